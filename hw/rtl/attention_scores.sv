// Second stage of causal_attention: scores q . k of one KV head's group, and their maxima.
//
// One job per KV head of a token: PT positions a cycle, rows 0 .. position/PT. The scores go to one
// of two buffers that the softmax stage reads; the stage runs ahead by up to two jobs.
// A buffer is handed back when the softmax stage starts on it: it reads a row a cycle without a
// pause, and new rows are written at least two cycles behind.
//
// Latency    6 + ceil(clog2(HEAD_DIM)/2) cycles from k_loaded to job_ready, plus one per further row.
// Throughput one row of PT positions a cycle; no pause between jobs.
// Reset      drops all jobs.
module attention_scores #(
    parameter int HEADS = 4,
    parameter int KV_HEADS = 2,
    parameter int HEAD_DIM = 16,
    parameter int CONTEXT = 256,
    parameter int SLOTS = 4,
    parameter int LAYERS = 5,
    parameter int PT = 1,
    localparam int Group = HEADS / KV_HEADS,
    localparam int Rows = (CONTEXT + PT - 1) / PT,
    localparam int Depth = LAYERS * SLOTS * KV_HEADS * Rows,
    localparam int AddressBits = Depth > 1 ? $clog2(Depth) : 1,
    localparam int PositionBits = CONTEXT > 1 ? $clog2(CONTEXT) : 1,
    localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1,
    localparam int KvBits = KV_HEADS > 1 ? $clog2(KV_HEADS) : 1,
    localparam int ScoreBits = 16 + $clog2(HEAD_DIM)
) (
    input  logic                                               ap_clk,
    input  logic                                               ap_rst_n,
    // load stage and K memory; K and q arrive 2 cycles after their address
    input  logic                                               k_loaded,
    input  logic [           1:0][ AddressBits-1:0]            context_base,
    input  logic [           1:0][PositionBits-1:0]            context_position,
    output logic                                               context_release,
    output logic                                               q_context,
    output logic [    KvBits-1:0]                              q_kv,
    input  logic [     Group-1:0][    HEAD_DIM-1:0][      7:0] q_data,
    output logic [AddressBits-1:0]                             k_address,
    input  logic [        PT-1:0][    HEAD_DIM-1:0][      7:0] k_data,
    // jobs, one per buffer
    output logic [           1:0]                              job_ready,
    output logic [           1:0]                              job_ends_token,
    output logic [           1:0][ AddressBits-1:0]            job_base,
    output logic [           1:0][     RowBits-1:0]            job_last_row,
    output logic [           1:0][          PT-1:0]            job_tail,
    output logic [           1:0][       Group-1:0][ScoreBits-1:0] job_maximum,
    input  logic                                               job_start,
    input  logic                                               job_start_buffer,
    // scores of a buffer, 1 cycle after the address
    input  logic                                               score_buffer,
    input  logic [   RowBits-1:0]                              score_row,
    output logic [     Group-1:0][          PT-1:0][ScoreBits-1:0] score_data
);
  localparam int LaneBits = $clog2(PT);
  localparam int TreeLatency = ($clog2(HEAD_DIM) + 1) / 2;
  localparam int ScoreStage = 2 + 1 + TreeLatency;  // memory, products, adder tree
  localparam int CreditBits = $clog2(2 * KV_HEADS + 1);

  typedef struct packed {
    logic               first;
    logic               last;
    logic               buffer;
    logic [RowBits-1:0] row;
    logic [PT-1:0]      mask;    // positions of the row that the token may see
  } control_t;

  // ---- Issue of rows --------------------------------------------------------------------------
  logic active, context_now, buffer;
  logic [1:0] buffer_used;
  logic [KvBits-1:0] kv;
  logic [AddressBits-1:0] kv_offset;
  logic [RowBits-1:0] next_row;
  logic [CreditBits-1:0] keys;  // K heads in memory whose scores have not been started

  wire [PositionBits-1:0] position = context_position[context_now];
  wire [RowBits-1:0] last_row = RowBits'(position >> LaneBits);
  wire start = !active && keys != '0 && !buffer_used[buffer];
  wire issue = active || start;
  wire [RowBits-1:0] row = active ? next_row : '0;
  wire last = row == last_row;
  wire last_kv = kv == KvBits'(KV_HEADS - 1);

  logic [PT-1:0] tail;  // mask of the last row
  always_comb begin
    for (int i = 0; i < PT; i++) tail[i] = i <= int'(position) % PT;
  end

  assign q_context = context_now;
  assign q_kv = kv;
  assign k_address = context_base[context_now] + kv_offset + AddressBits'(row);
  assign context_release = issue && last && last_kv;

  always_ff @(posedge ap_clk) begin
    if (issue) next_row <= row + 1'b1;
    if (start) begin
      job_base[buffer] <= context_base[context_now] + kv_offset;
      job_last_row[buffer] <= last_row;
      job_tail[buffer] <= tail;
      job_ends_token[buffer] <= last_kv;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      active      <= 1'b0;
      context_now <= 1'b0;
      buffer      <= 1'b0;
      buffer_used <= '0;
      kv          <= '0;
      kv_offset   <= '0;
      keys        <= '0;
    end else begin
      keys <= keys + CreditBits'(k_loaded) - CreditBits'(start);
      if (start) buffer_used[buffer] <= 1'b1;
      if (job_start) buffer_used[job_start_buffer] <= 1'b0;
      if (issue) active <= !last;
      if (issue && last) begin
        buffer <= !buffer;
        kv <= last_kv ? '0 : kv + 1'b1;
        kv_offset <= last_kv ? '0 : kv_offset + AddressBits'(Rows);
        context_now <= context_now ^ last_kv;
      end
    end
  end

  // ---- Control beside the data: [0] is the issue, [ScoreStage] the scores ------------------------
  logic [ScoreStage+1:0] valid;
  control_t [ScoreStage+1:0] control;

  assign valid[0] = issue;
  assign control[0] = '{start, last, buffer, row, last ? tail : '1};

  always_ff @(posedge ap_clk) begin
    control[ScoreStage+1:1] <= control[ScoreStage:0];
    if (!ap_rst_n) valid[ScoreStage+1:1] <= '0;
    else valid[ScoreStage+1:1] <= valid[ScoreStage:0];
  end

  // ---- Scores ---------------------------------------------------------------------------------
  logic [Group-1:0][PT-1:0][ScoreBits-1:0] scores;

  for (genvar i = 0; i < PT; i++) begin : gen_lane
    logic [Group-1:0][HEAD_DIM-1:0][15:0] product;

    for (genvar h = 0; h < HEAD_DIM; h++) begin : gen_channel
      logic [Group-1:0][8:0] factor;
      logic [Group-1:0][15:0] channel_product;

      shared_multiply #(
          .GROUP(Group)
      ) multiply (
          .ap_clk,
          .left(factor),
          .right(k_data[i][h]),
          .product(channel_product)
      );
      for (genvar g = 0; g < Group; g++) begin : gen_member
        assign factor[g] = 9'($signed(q_data[g][h]));
        assign product[g][h] = channel_product[g];
      end
    end

    for (genvar g = 0; g < Group; g++) begin : gen_sum
      adder_tree #(
          .N (HEAD_DIM),
          .IW(16),
          .OW(ScoreBits)
      ) sum (
          .ap_clk,
          .terms(product[g]),
          .total(scores[g][i])
      );
    end
  end

  simple_dual_port_ram #(
      .WIDTH(Group * PT * ScoreBits),
      .DEPTH(2 << RowBits),
      .LATENCY(1)
  ) score_memory (
      .ap_clk,
      .write(valid[ScoreStage]),
      .write_address({control[ScoreStage].buffer, control[ScoreStage].row}),
      .write_data(scores),
      .read_address({score_buffer, score_row}),
      .read_data(score_data)
  );

  // ---- Maxima: over the lanes of a row, then over the rows --------------------------------------
  function automatic logic [ScoreBits-1:0] larger(input logic [ScoreBits-1:0] left,
                                                  input logic [ScoreBits-1:0] right);
    return $signed(right) > $signed(left) ? right : left;
  endfunction

  logic [Group-1:0][ScoreBits-1:0] row_maximum, row_maximum_next;
  always_comb begin
    for (int g = 0; g < Group; g++) begin
      row_maximum_next[g] = scores[g][0];  // lane 0 of a row is never masked
      for (int i = 1; i < PT; i++) begin
        if (control[ScoreStage].mask[i]) begin
          row_maximum_next[g] = larger(row_maximum_next[g], scores[g][i]);
        end
      end
    end
  end

  wire done_buffer = control[ScoreStage+1].buffer;
  wire row_counts = valid[ScoreStage+1];

  always_ff @(posedge ap_clk) begin
    row_maximum <= row_maximum_next;
    if (row_counts) begin
      for (int g = 0; g < Group; g++) begin
        job_maximum[done_buffer][g] <= control[ScoreStage+1].first ? row_maximum[g]
            : larger(job_maximum[done_buffer][g], row_maximum[g]);
      end
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      job_ready <= '0;
    end else begin
      if (job_start) job_ready[job_start_buffer] <= 1'b0;
      if (row_counts && control[ScoreStage+1].last) job_ready[done_buffer] <= 1'b1;
    end
  end
endmodule
