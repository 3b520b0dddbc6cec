// Products of GROUP small factors with one shared int8 factor, two products to a DSP slice.
//
// product[g] = left[g] * right, where left is 9 bits signed (int8, or uint8 with a zero in front) and
// every product fits 16 bits signed. (a * 2^16 + b) * c holds both products of a pair: b * c in the
// low half, a * c in the high half less the borrow of a negative low half. The wide factor has 25
// bits, which fits DSP48E1 and DSP48E2.
//
// Latency    1 cycle.
// Throughput one set of products a cycle.
// Reset      none: the registers hold data only.
module shared_multiply #(
    parameter int GROUP = 2
) (
    input  logic                  ap_clk,
    input  logic [GROUP-1:0][8:0] left,
    input  logic [      7:0]      right,
    output logic [GROUP-1:0][15:0] product
);
  for (genvar g = 0; g + 1 < GROUP; g += 2) begin : gen_pair
    logic signed [24:0] packed_left;
    logic signed [32:0] both;

    assign packed_left = $signed({left[g+1], 16'd0}) + 25'($signed(left[g]));
    always_ff @(posedge ap_clk) both <= packed_left * $signed(right);
    assign product[g]   = both[15:0];
    assign product[g+1] = both[31:16] + 16'(both[15]);
  end

  if (GROUP % 2 == 1) begin : gen_single
    always_ff @(posedge ap_clk) begin
      product[GROUP-1] <= 16'($signed(left[GROUP-1]) * $signed(right));
    end
  end
endmodule
