// Fourth stage of causal_attention: R = floor(2^24 / sum) of each head of a group, side by side.
//
// Restoring division, DIVIDER_BITS quotient bits a cycle. The sum is at least 255 (the contract's
// exp_table[0]), so 17 quotient bits are enough. The accumulators are kept beside the division.
//
// Latency    ceil(17/DIVIDER_BITS) + 1 cycles.
// Throughput one result every ceil(17/DIVIDER_BITS) + 2 cycles.
// Reset      drops what is inside.
module attention_reciprocal #(
    parameter int GROUP = 2,
    parameter int HEAD_DIM = 16,
    parameter int SUM_BITS = 16,
    parameter int ACCUMULATOR_BITS = 24,
    parameter int DIVIDER_BITS = 2,
    localparam int QuotientBits = 17
) (
    input  logic                                                      ap_clk,
    input  logic                                                      ap_rst_n,
    input  logic                                                      result_valid,
    output logic                                                      result_ready,
    input  logic [GROUP-1:0][    SUM_BITS-1:0]                        result_sum,
    input  logic [GROUP-1:0][    HEAD_DIM-1:0][ACCUMULATOR_BITS-1:0]  result_accumulator,
    output logic                                                      mean_valid,
    input  logic                                                      mean_ready,
    output logic [GROUP-1:0][QuotientBits-1:0]                        mean_reciprocal,
    output logic [GROUP-1:0][    HEAD_DIM-1:0][ACCUMULATOR_BITS-1:0]  mean_accumulator
);
  localparam int Scale = 24;
  localparam int Steps = (QuotientBits + DIVIDER_BITS - 1) / DIVIDER_BITS;
  localparam int StepBits = Steps > 1 ? $clog2(Steps) : 1;

  if (DIVIDER_BITS < 1 || DIVIDER_BITS > 4) begin : gen_bad_divider_bits
    $error("attention_reciprocal: DIVIDER_BITS=%0d, must be 1..4", DIVIDER_BITS);
  end

  typedef struct packed {
    logic [SUM_BITS-1:0]     remainder;  // less than the divisor
    logic [QuotientBits-1:0] quotient;
  } division_t;

  // The dividend's bits above the quotient: no quotient bit of them can be 1.
  localparam division_t Begin = '{SUM_BITS'(1 << (Scale - Steps * DIVIDER_BITS)), '0};

  function automatic division_t divide(input division_t now, input logic [SUM_BITS-1:0] divisor);
    division_t next;
    logic [SUM_BITS:0] doubled;
    logic fits;
    next = now;
    for (int i = 0; i < DIVIDER_BITS; i++) begin
      doubled = {next.remainder, 1'b0};
      fits = doubled >= {1'b0, divisor};
      next.remainder = SUM_BITS'(fits ? doubled - {1'b0, divisor} : doubled);
      next.quotient = {next.quotient[QuotientBits-2:0], fits};
    end
    return next;
  endfunction

  logic dividing;
  logic [StepBits-1:0] step;
  logic [GROUP-1:0][SUM_BITS-1:0] divisor;
  division_t [GROUP-1:0] division;

  assign result_ready = !dividing && !mean_valid;
  wire take = result_valid && result_ready;
  wire last = step == StepBits'(Steps - 1);

  for (genvar g = 0; g < GROUP; g++) begin : gen_member
    assign mean_reciprocal[g] = division[g].quotient;
  end

  always_ff @(posedge ap_clk) begin
    if (take) begin
      divisor <= result_sum;
      mean_accumulator <= result_accumulator;
      division <= {GROUP{Begin}};
    end else if (dividing) begin
      for (int g = 0; g < GROUP; g++) division[g] <= divide(division[g], divisor[g]);
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      dividing   <= 1'b0;
      step       <= '0;
      mean_valid <= 1'b0;
    end else begin
      if (take) dividing <= 1'b1;
      else if (last) dividing <= 1'b0;
      if (dividing) step <= last ? '0 : step + 1'b1;
      if (dividing && last) mean_valid <= 1'b1;
      else if (mean_ready) mean_valid <= 1'b0;
    end
  end
endmodule
