// Shift registers that are read at any one stage: what SRL16E and SRLC32E of Xilinx parts are.
//
// d goes into stage 0 when `shift` is high; q is stage `tap` of what was shifted in, combinational.
// Latency    0 from tap to q, 1 cycle from d to stage 0.
// Throughput one word a cycle.
// Reset      none: the stages keep what they hold.
//
// Written bit by bit, because that is what synthesis tools know as a shift register with a tap.
module shift_taps #(
    parameter int W = 8,
    parameter int DEPTH = 16,
    localparam int TapBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic               ap_clk,
    input  logic               shift,
    input  logic [      W-1:0] d,
    input  logic [TapBits-1:0] tap,
    output logic [      W-1:0] q
);
  if (W < 1) begin : gen_bad_w
    $error("shift_taps: W=%0d, must be at least 1", W);
  end
  if (DEPTH < 1) begin : gen_bad_depth
    $error("shift_taps: DEPTH=%0d, must be at least 1", DEPTH);
  end
  localparam int Stages = 1 << TapBits;

`ifdef VERILATOR
  logic [W-1:0] stages[Stages];
  assign q = stages[tap];
  always_ff @(posedge ap_clk) begin
    if (shift) begin
      stages[0] <= d;
      for (int i = 1; i < Stages; i++) stages[i] <= stages[i-1];
    end
  end
`else
  for (genvar i = 0; i < W; i++) begin : gen_bit
    (* shreg_extract = "yes" *) logic [Stages-1:0] stages;
    assign q[i] = stages[tap];
    always_ff @(posedge ap_clk) if (shift) stages <= {stages[Stages-2:0], d[i]};
  end
`endif
endmodule
