// Dot product of two int8 vectors.
//
// total = sum of left[i] * right[i] over N elements, exact in 16 + clog2(N) bits.
// Latency    1 + ceil(clog2(N) / 2) cycles.
// Throughput one dot product a cycle.
// Reset      none: the registers hold data only.
module dot_product #(
    parameter int N = 16
) (
    input  logic                                ap_clk,
    input  logic        [          N-1:0][7:0]  left,
    input  logic        [          N-1:0][7:0]  right,
    output logic signed [16+$clog2(N)-1:0]      total
);
  logic [N-1:0][15:0] products;

  always_ff @(posedge ap_clk) begin
    for (int i = 0; i < N; i++) products[i] <= $signed(left[i]) * $signed(right[i]);
  end

  adder_tree #(
      .N (N),
      .IW(16),
      .OW(16 + $clog2(N))
  ) sum (
      .ap_clk,
      .terms(products),
      .total
  );
endmodule
