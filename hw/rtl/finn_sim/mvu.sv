// Simulation stand-in for the module of the same name in FINN's RTL library. FINN's own packs several products into a
// DSP slice and repairs the borrows between them; simulating that costs most of the build and run time of a whole
// accelerator. This one computes the same sums with plain products. Synthesis uses FINN's own.
//
// Same parameters, ports and timing cycle by cycle for `en` = 1, as mvu_vvu_axi.sv uses it: `p` belongs to the cycles
// with `vld` (tests/test_rtl_finn_mvu.py compares whole matrix units).
module mvu #(
    parameter int unsigned VERSION = 2,
    parameter int unsigned PE = 1,
    parameter int unsigned SIMD = 1,
    parameter int unsigned WEIGHT_WIDTH = 4,
    parameter int unsigned ACTIVATION_WIDTH = 8,
    parameter int unsigned ACCU_WIDTH = 16,
    parameter bit SIGNED_ACTIVATIONS = 0,
    parameter bit NARROW_WEIGHTS = 0,
    parameter bit FORCE_BEHAVIORAL = 0
) (
    input logic clk,
    input logic rst,
    input logic en,

    input logic last,
    input logic zero,
    input logic signed [PE-1:0][SIMD-1:0][WEIGHT_WIDTH-1:0] w,
    input logic [SIMD-1:0][ACTIVATION_WIDTH-1:0] a,

    output logic vld,
    output logic signed [PE-1:0][ACCU_WIDTH-1:0] p
);
  // FINN's depth: 3 stages in the DSP slice, then the sum over SIMD.
  localparam int unsigned Depth = 3 + $clog2(SIMD) + (SIMD == 1) + 1;
  localparam int unsigned Behind = Depth - 3;

  if (VERSION < 1 || VERSION > 2) begin : gen_bad_version
    $error("mvu: VERSION=%0d, the stand-in knows 1 (DSP48E1) and 2 (DSP48E2)", VERSION);
  end

  logic [Depth:1] marks;
  always_ff @(posedge clk) begin
    if (rst) marks <= '0;
    else if (en) marks <= {marks[Depth-1:1], last};
  end
  assign vld = marks[Depth];

  // Stage 1: operands
  logic [PE-1:0][SIMD-1:0][WEIGHT_WIDTH-1:0] weights;
  logic [SIMD-1:0][ACTIVATION_WIDTH-1:0] activations;
  logic idle;
  always_ff @(posedge clk) begin
    idle <= zero;
    weights <= w;
    activations <= a;
  end

  // Stage 2: products, summed over SIMD
  logic signed [PE-1:0][ACCU_WIDTH-1:0] sums;
  always_ff @(posedge clk) begin
    if (rst || idle) sums <= '0;
    else begin
      for (int unsigned pe = 0; pe < PE; pe++) begin
        automatic int sum = 0;
        for (int unsigned s = 0; s < SIMD; s++) begin
          sum += int'($signed(weights[pe][s]))
              * (SIGNED_ACTIVATIONS ? int'($signed(activations[s])) : int'(activations[s]));
        end
        sums[pe] <= ACCU_WIDTH'(sum);
      end
    end
  end

  // Stage 3: accumulation; a mark starts the next sum
  logic [PE-1:0][ACCU_WIDTH-1:0] totals;
  always_ff @(posedge clk) begin
    if (rst) totals <= '0;
    else begin
      for (int unsigned pe = 0; pe < PE; pe++) begin
        totals[pe] <= sums[pe] + (marks[3] ? '0 : totals[pe]);
      end
    end
  end

  // The rest of the pipeline
  logic [Behind-1:0][PE-1:0][ACCU_WIDTH-1:0] delayed;
  always_ff @(posedge clk) begin
    delayed[0] <= totals;
    for (int unsigned k = 1; k < Behind; k++) delayed[k] <= delayed[k-1];
  end
  assign p = delayed[Behind-1];
endmodule
