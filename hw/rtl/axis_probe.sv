// axis_probe: lets the simulator record every beat that moves on a stream.
//
// Function    Watches one AXI4-Stream; drives nothing. In synthesis it is empty.
// Simulation  Each accepted beat is offered to the harness, which returns 0 at once unless recording is on.
// Reset       Beats are ignored while ap_rst_n is low.
module axis_probe #(
    parameter int unsigned ID = 0,  // number under which the harness files the beats
    parameter int unsigned W = 8  // TDATA bits
) (
    input wire         ap_clk,
    input wire         ap_rst_n,
    input wire [W-1:0] tdata,
    input wire         tvalid,
    input wire         tready
);

`ifdef VERILATOR
  localparam int unsigned Words = (W + 63) / 64;

  import "DPI-C" function int edgellm_probe_beat(
    input int id,
    input int bits
  );
  import "DPI-C" function void edgellm_probe_word(
    input int     id,
    input int     index,
    input longint word
  );

  wire [Words*64-1:0] padded = (Words * 64)'(tdata);

  always_ff @(posedge ap_clk) begin
    if (ap_rst_n && tvalid && tready) begin
      if (edgellm_probe_beat(ID, W) != 0) begin
        for (int unsigned k = 0; k < Words; ++k) edgellm_probe_word(ID, k, padded[64*k+:64]);
      end
    end
  end
`endif

endmodule
