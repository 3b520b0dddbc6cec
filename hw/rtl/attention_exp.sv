// Weight of one position: exp_table[min(((maximum - score) * SCORE_MULT) >> SCORE_SHIFT, 255)].
//
// A masked position gets weight 0; `enable` belongs to the cycle in which the table is read, two
// cycles after the score.
// Latency    3 cycles.
// Throughput one weight a cycle.
// Reset      none: the registers hold data only.
module attention_exp #(
    parameter int SCORE_BITS = 20,
    parameter int SCORE_MULT = 5,
    parameter int SCORE_SHIFT = 8,
    parameter EXP_FILE = "exp.dat"
) (
    input  logic                  ap_clk,
    input  logic [SCORE_BITS-1:0] maximum,
    input  logic [SCORE_BITS-1:0] score,
    input  logic                  enable,
    output logic [           7:0] weight
);
  localparam int ProductBits = SCORE_BITS + $clog2(SCORE_MULT + 1);

  if (SCORE_MULT < 1 || SCORE_MULT > 65535) begin : gen_bad_mult
    $error("attention_exp: SCORE_MULT=%0d, must be 1..65535", SCORE_MULT);
  end
  if (SCORE_SHIFT < 0 || SCORE_SHIFT > 40) begin : gen_bad_shift
    $error("attention_exp: SCORE_SHIFT=%0d, must be 0..40", SCORE_SHIFT);
  end

  logic [7:0] table_memory[256];
  initial $readmemh(EXP_FILE, table_memory);

  logic [SCORE_BITS-1:0] distance;  // never negative, so its top bit is magnitude
  logic [ProductBits-1:0] product;

  wire [ProductBits-1:0] scaled = product >> SCORE_SHIFT;
  wire [7:0] index = scaled > ProductBits'(255) ? 8'd255 : 8'(scaled);

  always_ff @(posedge ap_clk) begin
    distance <= maximum - score;
    product  <= ProductBits'(distance) * ProductBits'(SCORE_MULT);
    weight   <= enable ? table_memory[index] : 8'd0;
  end
endmodule
