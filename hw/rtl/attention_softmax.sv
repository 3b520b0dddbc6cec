// Third stage of causal_attention: weights e, their sum and the sum of e * v of one job.
//
// Takes the jobs of attention_scores in order, reads scores and V a row a cycle without a pause, and
// hands sums and accumulators to attention_reciprocal. A job starts only when the accumulators are sure
// to be free by the time its first row reaches them.
//
// Latency    7 + ceil(clog2(PT)/2) cycles from job_start to result_valid, plus one per further row.
// Throughput one row of PT positions a cycle; no pause between jobs unless the next stage is slower.
// Reset      drops all jobs.
module attention_softmax #(
    parameter int HEADS = 4,
    parameter int KV_HEADS = 2,
    parameter int HEAD_DIM = 16,
    parameter int CONTEXT = 256,
    parameter int SLOTS = 4,
    parameter int LAYERS = 5,
    parameter int PT = 1,
    parameter int SCORE_MULT = 5,
    parameter int SCORE_SHIFT = 8,
    parameter EXP_FILE = "exp.dat",
    localparam int Group = HEADS / KV_HEADS,
    localparam int Rows = (CONTEXT + PT - 1) / PT,
    localparam int Depth = LAYERS * SLOTS * KV_HEADS * Rows,
    localparam int AddressBits = Depth > 1 ? $clog2(Depth) : 1,
    localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1,
    localparam int ScoreBits = 16 + $clog2(HEAD_DIM),
    localparam int SumBits = 8 + $clog2(Rows * PT),
    localparam int AccumulatorBits = 16 + $clog2(Rows * PT)
) (
    input  logic                                                       ap_clk,
    input  logic                                                       ap_rst_n,
    // load stage and V memory; V arrives 2 cycles after its address
    input  logic                                                       v_loaded,
    output logic                                                       token_done,
    output logic [AddressBits-1:0]                                     v_address,
    input  logic [        PT-1:0][   HEAD_DIM-1:0][                7:0] v_data,
    // jobs and scores
    input  logic [           1:0]                                      job_ready,
    input  logic [           1:0]                                      job_ends_token,
    input  logic [           1:0][AddressBits-1:0]                     job_base,
    input  logic [           1:0][    RowBits-1:0]                     job_last_row,
    input  logic [           1:0][         PT-1:0]                     job_tail,
    input  logic [           1:0][      Group-1:0][      ScoreBits-1:0] job_maximum,
    output logic                                                       job_start,
    output logic                                                       job_start_buffer,
    output logic                                                       score_buffer,
    output logic [   RowBits-1:0]                                      score_row,
    input  logic [     Group-1:0][         PT-1:0][      ScoreBits-1:0] score_data,
    // results
    output logic                                                       result_valid,
    input  logic                                                       result_ready,
    output logic [     Group-1:0][    SumBits-1:0]                     result_sum,
    output logic [     Group-1:0][   HEAD_DIM-1:0][AccumulatorBits-1:0] result_accumulator
);
  localparam int AddressStage = 2;  // V is addressed so that it arrives with the weights
  localparam int WeightStage = 4;
  localparam int TreeLatency = ($clog2(PT) + 1) / 2;
  localparam int SumStage = WeightStage + 1 + TreeLatency;
  localparam int CreditBits = $clog2(2 * KV_HEADS + 3);

  typedef struct packed {
    logic          first;
    logic          last;
    logic          ends_token;
    logic [PT-1:0] mask;
  } control_t;

  // ---- Issue of rows --------------------------------------------------------------------------
  logic active, buffer, ends_token;
  logic [RowBits-1:0] next_row, last_row;
  logic [PT-1:0] tail;
  logic [AddressBits-1:0] base;
  logic [Group-1:0][ScoreBits-1:0] maximum;
  logic [CreditBits-1:0] values;  // V heads in memory whose job has not been started
  logic [1:0] untaken;  // jobs started whose result the next stage has not taken

  wire taken = result_valid && result_ready;
  wire room = untaken == 2'd0 || (untaken == 2'd1 && result_ready);
  wire start = !active && job_ready[buffer] && values != '0 && room;
  wire issue = active || start;
  wire [RowBits-1:0] row = active ? next_row : '0;
  wire last = row == (active ? last_row : job_last_row[buffer]);

  assign job_start = start;
  assign job_start_buffer = buffer;
  // The score stage may reuse the buffer from the start on: see there.
  assign score_buffer = active ? !buffer : buffer;
  assign score_row = row;

  always_ff @(posedge ap_clk) begin
    if (issue) next_row <= row + 1'b1;
    if (start) begin
      last_row <= job_last_row[buffer];
      tail <= job_tail[buffer];
      base <= job_base[buffer];
      ends_token <= job_ends_token[buffer];
      maximum <= job_maximum[buffer];
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      active  <= 1'b0;
      buffer  <= 1'b0;
      values  <= '0;
      untaken <= '0;
    end else begin
      values  <= values + CreditBits'(v_loaded) - CreditBits'(start);
      untaken <= untaken + 2'(start) - 2'(taken);
      if (issue) active <= !last;
      if (start) buffer <= !buffer;
    end
  end

  // ---- Control beside the data: [0] is the issue, [SumStage] the sums over the lanes --------------
  logic [SumStage:0] valid;
  control_t [SumStage:0] control;
  logic [AddressStage:1][AddressBits-1:0] address;

  wire [AddressBits-1:0] issue_base = active ? base : job_base[buffer];
  wire [PT-1:0] issue_tail = active ? tail : job_tail[buffer];
  wire issue_ends = active ? ends_token : job_ends_token[buffer];

  assign valid[0] = issue;
  assign control[0] = '{start, last, issue_ends, last ? issue_tail : '1};

  always_ff @(posedge ap_clk) begin
    control[SumStage:1] <= control[SumStage-1:0];
    address <= {address[1], issue_base + AddressBits'(row)};
    if (!ap_rst_n) valid[SumStage:1] <= '0;
    else valid[SumStage:1] <= valid[SumStage-1:0];
  end

  assign v_address = address[AddressStage];
  assign token_done = valid[AddressStage] && control[AddressStage].last
      && control[AddressStage].ends_token;

  // ---- Weights, products, sums over the lanes -----------------------------------------------------
  logic [Group-1:0][PT-1:0][7:0] weight;
  logic [Group-1:0][PT-1:0][8:0] weight_late;  // with a sign bit, beside the products
  logic [Group-1:0][HEAD_DIM-1:0][PT-1:0][15:0] product;
  logic [Group-1:0][SumBits:0] row_sum;
  logic [Group-1:0][HEAD_DIM-1:0][AccumulatorBits-1:0] row_accumulator;

  for (genvar i = 0; i < PT; i++) begin : gen_lane
    logic [Group-1:0][8:0] factor;
    for (genvar g = 0; g < Group; g++) begin : gen_factor
      assign factor[g] = {1'b0, weight[g][i]};
    end
    for (genvar h = 0; h < HEAD_DIM; h++) begin : gen_channel
      logic [Group-1:0][15:0] channel_product;

      shared_multiply #(
          .GROUP(Group)
      ) multiply (
          .ap_clk,
          .left(factor),
          .right(v_data[i][h]),
          .product(channel_product)
      );
      for (genvar g = 0; g < Group; g++) begin : gen_member
        assign product[g][h][i] = channel_product[g];
      end
    end
  end

  for (genvar g = 0; g < Group; g++) begin : gen_member
    for (genvar i = 0; i < PT; i++) begin : gen_weight
      attention_exp #(
          .SCORE_BITS(ScoreBits),
          .SCORE_MULT(SCORE_MULT),
          .SCORE_SHIFT(SCORE_SHIFT),
          .EXP_FILE(EXP_FILE)
      ) exponential (
          .ap_clk,
          .maximum(maximum[g]),
          .score  (score_data[g][i]),
          .enable (control[WeightStage-1].mask[i]),
          .weight (weight[g][i])
      );

      always_ff @(posedge ap_clk) weight_late[g][i] <= {1'b0, weight[g][i]};
    end

    adder_tree #(
        .N (PT),
        .IW(9),
        .OW(SumBits + 1)
    ) weights (
        .ap_clk,
        .terms(weight_late[g]),
        .total(row_sum[g])
    );

    for (genvar h = 0; h < HEAD_DIM; h++) begin : gen_channel
      adder_tree #(
          .N (PT),
          .IW(16),
          .OW(AccumulatorBits)
      ) products (
          .ap_clk,
          .terms(product[g][h]),
          .total(row_accumulator[g][h])
      );
    end
  end

  // ---- Sums over the rows -------------------------------------------------------------------------
  wire first_row = control[SumStage].first;

  always_ff @(posedge ap_clk) begin
    if (valid[SumStage]) begin
      for (int g = 0; g < Group; g++) begin
        result_sum[g] <= SumBits'(row_sum[g]) + (first_row ? '0 : result_sum[g]);
        for (int h = 0; h < HEAD_DIM; h++) begin
          result_accumulator[g][h] <=
              row_accumulator[g][h] + (first_row ? '0 : result_accumulator[g][h]);
        end
      end
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) result_valid <= 1'b0;
    else if (valid[SumStage] && control[SumStage].last) result_valid <= 1'b1;
    else if (taken) result_valid <= 1'b0;
  end
endmodule
