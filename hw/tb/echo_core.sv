// Stands for the accelerator in tests of the shell: every command word comes back as an event, and shows a vector if its top bit is set.
//
// Zero words are dropped, as the sequencer drops what is no command. Logit i of a vector is the word's low half plus i.
// Latency    2 cycles. Throughput one word a cycle, N/PE + 1 cycles with a vector. Reset drops everything.
module echo_core #(
    parameter int N = 24,
    parameter int PE = 2,
    localparam int ShownBits = PE < 2 ? 32 : PE * 16
) (
    input  logic                 ap_clk,
    input  logic                 ap_rst_n,
    input  logic [         31:0] in0_V_TDATA,
    input  logic                 in0_V_TVALID,
    output logic                 in0_V_TREADY,
    output logic [         31:0] out0_V_TDATA,
    output logic                 out0_V_TVALID,
    input  logic                 out0_V_TREADY,
    output logic [ShownBits-1:0] out1_V_TDATA,
    output logic                 out1_V_TVALID,
    input  logic                 out1_V_TREADY
);
  localparam int Beats = N / PE;

  logic [31:0] word;
  int unsigned beat;  // of the vector to show; 0 is the tag
  logic showing;
  wire free = !out0_V_TVALID && !showing;

  assign in0_V_TREADY  = free;
  assign out1_V_TVALID = showing;
  assign out0_V_TDATA  = word;

  always_comb begin
    out1_V_TDATA = ShownBits'(word);
    if (beat != 0)
      for (int lane = 0; lane < PE; ++lane)
        out1_V_TDATA[lane*16+:16] = word[15:0] + 16'((beat - 1) * PE + lane);
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      out0_V_TVALID <= 1'b0;
      showing <= 1'b0;
      beat <= 0;
    end else begin
      if (in0_V_TVALID && in0_V_TREADY && in0_V_TDATA != '0) begin
        word <= in0_V_TDATA;
        out0_V_TVALID <= 1'b1;
        showing <= in0_V_TDATA[31];
      end else if (out0_V_TREADY) out0_V_TVALID <= 1'b0;
      if (showing && out1_V_TREADY) begin
        beat <= beat == Beats ? 0 : beat + 1;
        if (beat == Beats) showing <= 1'b0;
      end
    end
  end
endmodule
