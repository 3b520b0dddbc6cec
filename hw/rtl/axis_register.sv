// AXI4-Stream register slice (skid buffer) that cuts every combinational path of a stream.
//
// in0 (W bits) -> out0 (W bits), order kept.
// Latency    1 cycle.
// Throughput 1 beat a cycle; in0_V_TREADY and out0_V_TVALID are functions of registers only.
// Reset      empties the slice; data registers are not reset.
module axis_register #(
    parameter int W = 32
) (
    input  logic         ap_clk,
    input  logic         ap_rst_n,
    input  logic [W-1:0] in0_V_TDATA,
    input  logic         in0_V_TVALID,
    output logic         in0_V_TREADY,
    output logic [W-1:0] out0_V_TDATA,
    output logic         out0_V_TVALID,
    input  logic         out0_V_TREADY
);
  if (W < 1) begin : gen_bad_w
    $error("axis_register: W=%0d, must be at least 1", W);
  end

  logic [W-1:0] spare;  // holds the beat that arrives in the cycle in which out0 stalls
  logic         spare_valid;

  assign in0_V_TREADY = !spare_valid;

  wire out_free = !out0_V_TVALID || out0_V_TREADY;
  wire accept = in0_V_TVALID && in0_V_TREADY;

  always_ff @(posedge ap_clk) begin
    if (accept) spare <= in0_V_TDATA;
    if (out_free) out0_V_TDATA <= spare_valid ? spare : in0_V_TDATA;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      spare_valid   <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else if (out_free) begin
      out0_V_TVALID <= spare_valid || accept;
      spare_valid   <= 1'b0;
    end else if (accept) begin
      spare_valid <= 1'b1;
    end
  end
endmodule
