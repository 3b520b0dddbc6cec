// Core of FINN's matrix unit for ternary weights, without multipliers: takes the place of FINN's `mvu` in mvu_vvu_axi
// (compiler/sources.py), so it has its parameters and ports.
//
// A weight is -1, 0 or 1; a product is the activation, its complement or nothing. What the complement lacks to the negative
// is the carry of an adder: a tree of SIMD terms has SIMD - 1 adders and the accumulator is one more, one carry for
// each weight.
//
// w (PE x SIMD weights), a (SIMD activations) -> p (PE sums), valid with `vld`; `last` closes a sum, with `zero` nothing is added.
// Latency    max(clog2(SIMD), 1) + 2 cycles from `last` to `vld`; FINN's takes two more.
// Throughput one w and a every cycle; `en` must be 1, as mvu_vvu_axi has it.
// Reset      `rst` empties the pipeline; registers of data settle in max(clog2(SIMD), 1) + 2 cycles.
module ternary_mvu #(
    parameter int unsigned VERSION = 2,
    parameter int unsigned PE = 1,
    parameter int unsigned SIMD = 1,
    parameter int unsigned WEIGHT_WIDTH = 2,
    parameter int unsigned ACTIVATION_WIDTH = 8,
    parameter int unsigned ACCU_WIDTH = 16,
    parameter bit SIGNED_ACTIVATIONS = 1,
    parameter bit NARROW_WEIGHTS = 1,
    parameter bit FORCE_BEHAVIORAL = 0
) (
    input logic clk,
    input logic rst,
    input logic en,

    input logic last,
    input logic zero,
    input logic [PE-1:0][SIMD-1:0][WEIGHT_WIDTH-1:0] w,
    input logic [SIMD-1:0][ACTIVATION_WIDTH-1:0] a,

    output logic vld,
    output logic [PE-1:0][ACCU_WIDTH-1:0] p
);
  localparam int unsigned Levels = SIMD == 1 ? 1 : $clog2(SIMD);
  localparam int unsigned Leaves = 1 << Levels;
  localparam int unsigned Depth = Levels + 2;
  localparam int unsigned TermWidth = ACTIVATION_WIDTH + (SIGNED_ACTIVATIONS ? 0 : 1);

  if (WEIGHT_WIDTH != 2 || !NARROW_WEIGHTS) begin : gen_bad_weights
    $error(
        "ternary_mvu: WEIGHT_WIDTH=%0d, NARROW_WEIGHTS=%0d; needs 2 and 1",
        WEIGHT_WIDTH,
        NARROW_WEIGHTS
    );
  end

  logic [Depth:1] marks;
  always_ff @(posedge clk) begin
    if (rst) marks <= '0;
    else if (en) marks <= {marks[Depth-1:1], last};
  end
  assign vld = marks[Depth];

  // Stage 1: operands. A weight's low bit says that there is a product, the high bit that it is negative.
  logic [PE-1:0][SIMD-1:0][1:0] weights;
  logic [SIMD-1:0][ACTIVATION_WIDTH-1:0] activations;
  always_ff @(posedge clk) begin
    if (rst || zero) weights <= '0;
    else weights <= w;
    activations <= a;
  end

  for (genvar pe = 0; pe < PE; pe++) begin : gen_pe
    // Stages 2 to Depth - 1: a register after every level; each node carries the one carry that is still owed
    for (genvar level = 0; level <= Levels; level++) begin : gen_level
      localparam int unsigned Width = TermWidth + level;
      logic [(Leaves>>level)-1:0][Width-1:0] node;
      logic [(Leaves>>level)-1:0] owed;
      if (level == 0) begin : gen_leaf
        for (genvar i = 0; i < Leaves; i++) begin : gen_term
          if (i < SIMD) begin : gen_used
            logic [TermWidth-1:0] full;
            assign full = SIGNED_ACTIVATIONS ? TermWidth'($signed(
                activations[i]
            )) : TermWidth'(activations[i]);
            wire negative = weights[pe][i][1], used = weights[pe][i][0];
            assign node[i] = (full ^ {TermWidth{negative}}) & {TermWidth{used}};
            assign owed[i] = negative;
          end else begin : gen_pad
            assign node[i] = '0;
            assign owed[i] = 1'b0;
          end
        end
      end else begin : gen_add
        for (genvar i = 0; i < (Leaves >> level); i++) begin : gen_pair
          logic [Width-2:0] left, right;
          logic [Width:0] sum;
          assign left = gen_level[level-1].node[2*i];
          assign right = gen_level[level-1].node[2*i+1];
          assign sum = {left[Width-2], left, 1'b1}
                       + {right[Width-2], right, gen_level[level-1].owed[2*i]};
          always_ff @(posedge clk) begin
            node[i] <= sum[Width:1];
            owed[i] <= gen_level[level-1].owed[2*i+1];
          end
        end
      end
    end

    // Last stage: accumulation; a mark starts the next sum
    logic [ACCU_WIDTH-1:0] total, kept;
    logic [ACCU_WIDTH:0] sum;
    assign kept = marks[Depth] ? '0 : total;
    assign sum = {ACCU_WIDTH'($signed(
        gen_level[Levels].node[0]
    )), 1'b1} + {kept, gen_level[Levels].owed[0]};
    always_ff @(posedge clk) begin
      if (rst) total <= '0;
      else total <= sum[ACCU_WIDTH:1];
    end
    assign p[pe] = total;
  end
endmodule
