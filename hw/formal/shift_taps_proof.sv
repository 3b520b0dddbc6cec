// shift_taps: what is at a stage is what was shifted in that many words ago.
module shift_taps_proof #(
    parameter int W = 2,
    parameter int DEPTH = 5,
    localparam int TapBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input logic               ap_clk,
    input logic               shift,
    input logic [      W-1:0] d,
    input logic [TapBits-1:0] tap
);
  logic [W-1:0] q;
  logic [W-1:0] words[1 << TapBits];
  logic [TapBits:0] known = '0;  // words shifted in so far

  shift_taps #(
      .W(W),
      .DEPTH(DEPTH)
  ) dut (
      .ap_clk,
      .shift,
      .d,
      .tap,
      .q
  );

  always_ff @(posedge ap_clk) begin
    if (shift) begin
      words[0] <= d;
      for (int i = 1; i < 1 << TapBits; i++) words[i] <= words[i-1];
      if (!known[TapBits]) known <= known + 1'b1;
    end
    if ((TapBits + 1)'(tap) < known) assert (q == words[tap]);
  end
endmodule
