// Causal grouped-query attention of one token at a time, int8, K/V on chip (docs/numerics.md).
//
// in0   HEADS beats of q, KV_HEADS of k, KV_HEADS of v, each HEAD_DIM x int8; k and v within KV_BITS bits
// in1   block tag, 40 bit: [15:0] position, [23:16] slot, [27] copy, [31:28] slot to copy from, [39:32] layer
// out0  HEADS beats of HEAD_DIM x int8, within OUT_BITS bits
//
// Five overlapped stages: load and store K/V | scores and maximum | weights, their sum and e * v |
// reciprocal | scale. PT positions are read a cycle, OM output channels are scaled a cycle.
// A token sees its own K/V and that of all earlier positions of its layer and slot, also when the
// positions follow back to back. A rewind (a position that is not past all tokens of the same layer
// and slot still inside) waits until those have read their K/V. A position >= CONTEXT is never
// written and its output means nothing.
// A token with the copy flag fills positions 0 .. position of its slot and layer from another slot, in its turn; it
// writes no K/V of its own, and its output means nothing.
//
// With rows = ceil((position+1)/PT), tree = ceil(clog2(PT)/2) and
// floor = max(11, HEADS/KV_HEADS * HEAD_DIM/OM + 1):
// Latency    22 + ceil(clog2(HEAD_DIM)/2) + tree + 2*rows + HEAD_DIM/OM cycles from the first k beat
//            to the first output beat, (KV_HEADS-1) * max(rows, floor) +
//            (HEADS/KV_HEADS-1) * HEAD_DIM/OM more to the last one (with more than two KV heads up
//            to (KV_HEADS-2) * (tree+5) above that).
// Throughput one token every KV_HEADS * max(rows, floor, (rows + floor + tree + 5) / 2) cycles, but
//            at least HEADS + 2*KV_HEADS + 1. A copy waits for the tokens before it and takes KV_HEADS * rows + 4.
// Reset      drops the tokens inside; K/V memory stays as it is.
module causal_attention #(
    parameter int HEADS = 4,
    parameter int KV_HEADS = 2,
    parameter int HEAD_DIM = 16,
    parameter int CONTEXT = 256,
    parameter int SLOTS = 4,
    parameter int LAYERS = 5,
    parameter int PT = 1,
    parameter int OM = 2,
    parameter int SCORE_MULT = 5,
    parameter int SCORE_SHIFT = 8,
    parameter int KV_BITS = 8,
    parameter int OUT_BITS = 8,
    parameter EXP_FILE = "exp.dat",
    parameter RAM_STYLE = "auto"
) (
    input  logic                  ap_clk,
    input  logic                  ap_rst_n,
    input  logic [HEAD_DIM*8-1:0] in0_V_TDATA,
    input  logic                  in0_V_TVALID,
    output logic                  in0_V_TREADY,
    input  logic [          39:0] in1_V_TDATA,
    input  logic                  in1_V_TVALID,
    output logic                  in1_V_TREADY,
    output logic [HEAD_DIM*8-1:0] out0_V_TDATA,
    output logic                  out0_V_TVALID,
    input  logic                  out0_V_TREADY
);
  localparam int Group = HEADS / KV_HEADS;
  localparam int Rows = (CONTEXT + PT - 1) / PT;
  localparam int Depth = LAYERS * SLOTS * KV_HEADS * Rows;
  localparam int AddressBits = Depth > 1 ? $clog2(Depth) : 1;
  localparam int PositionBits = CONTEXT > 1 ? $clog2(CONTEXT) : 1;
  localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1;
  localparam int KvBits = KV_HEADS > 1 ? $clog2(KV_HEADS) : 1;
  localparam int ScoreBits = 16 + $clog2(HEAD_DIM);
  localparam int SumBits = 8 + $clog2(Rows * PT);
  localparam int AccumulatorBits = 16 + $clog2(Rows * PT);
  localparam int ReciprocalBits = 17;

  if (KV_HEADS < 1 || HEADS < 1 || HEADS % KV_HEADS != 0) begin : gen_bad_heads
    $error("causal_attention: HEADS=%0d must be a multiple of KV_HEADS=%0d", HEADS, KV_HEADS);
  end
  if (HEAD_DIM < 1 || HEAD_DIM > 512) begin : gen_bad_head_dim
    $error("causal_attention: HEAD_DIM=%0d, must be 1..512", HEAD_DIM);
  end
  if (PT < 1 || (PT & (PT - 1)) != 0) begin : gen_bad_pt
    $error("causal_attention: PT=%0d, must be a power of two", PT);
  end
  if (CONTEXT < 1 || CONTEXT > 65536) begin : gen_bad_context
    $error("causal_attention: CONTEXT=%0d, must be 1..65536", CONTEXT);
  end
  if (SLOTS < 1 || SLOTS > 256 || LAYERS < 1 || LAYERS > 256) begin : gen_bad_slots
    $error("causal_attention: SLOTS=%0d and LAYERS=%0d, must be 1..256", SLOTS, LAYERS);
  end

  if (KV_BITS < 2 || KV_BITS > 8 || OUT_BITS < 2 || OUT_BITS > 8) begin : gen_bad_bits
    $error("causal_attention: KV_BITS=%0d and OUT_BITS=%0d, must be 2..8", KV_BITS, OUT_BITS);
  end

  logic [PT-1:0] k_write, v_write;
  logic [AddressBits-1:0] write_address, k_address, v_address;
  logic [PT-1:0][HEAD_DIM-1:0][7:0] k_data, v_data;
  logic k_loaded, v_loaded, context_release, token_done;
  logic [1:0][AddressBits-1:0] context_base;
  logic [1:0][PositionBits-1:0] context_position;
  logic q_context;
  logic [KvBits-1:0] q_kv;
  logic [Group-1:0][HEAD_DIM-1:0][7:0] q_data;

  logic copy_start, copy_done, copy_reads, copy_writes;
  logic [AddressBits-1:0] copy_source, copy_target, copy_read_address, copy_write_address;
  logic [RowBits-1:0] copy_last_row;
  wire [AddressBits-1:0] k_read_address = copy_reads ? copy_read_address : k_address;
  wire [AddressBits-1:0] v_read_address = copy_reads ? copy_read_address : v_address;
  wire [AddressBits-1:0] kv_write_address = copy_writes ? copy_write_address : write_address;

  attention_copy #(
      .KV_HEADS(KV_HEADS),
      .ROWS(Rows),
      .DEPTH(Depth)
  ) copy_stage (
      .*
  );

  attention_load #(
      .HEADS(HEADS),
      .KV_HEADS(KV_HEADS),
      .HEAD_DIM(HEAD_DIM),
      .CONTEXT(CONTEXT),
      .SLOTS(SLOTS),
      .LAYERS(LAYERS),
      .PT(PT)
  ) load_stage (
      .*
  );

  kv_memory #(
      .LANES(PT),
      .HEAD_DIM(HEAD_DIM),
      .DEPTH(Depth),
      .BITS(KV_BITS),
      .RAM_STYLE(RAM_STYLE)
  ) k_memory (
      .ap_clk,
      .write(k_write | {PT{copy_writes}}),
      .write_address(kv_write_address),
      .write_data(in0_V_TDATA),
      .copy(copy_writes),
      .read_address(k_read_address),
      .read_data(k_data)
  );

  kv_memory #(
      .LANES(PT),
      .HEAD_DIM(HEAD_DIM),
      .DEPTH(Depth),
      .BITS(KV_BITS),
      .RAM_STYLE(RAM_STYLE)
  ) v_memory (
      .ap_clk,
      .write(v_write | {PT{copy_writes}}),
      .write_address(kv_write_address),
      .write_data(in0_V_TDATA),
      .copy(copy_writes),
      .read_address(v_read_address),
      .read_data(v_data)
  );

  logic [1:0] job_ready, job_ends_token;
  logic [1:0][AddressBits-1:0] job_base;
  logic [1:0][RowBits-1:0] job_last_row;
  logic [1:0][PT-1:0] job_tail;
  logic [1:0][Group-1:0][ScoreBits-1:0] job_maximum;
  logic job_start, job_start_buffer, score_buffer;
  logic [RowBits-1:0] score_row;
  logic [Group-1:0][PT-1:0][ScoreBits-1:0] score_data;

  attention_scores #(
      .HEADS(HEADS),
      .KV_HEADS(KV_HEADS),
      .HEAD_DIM(HEAD_DIM),
      .CONTEXT(CONTEXT),
      .SLOTS(SLOTS),
      .LAYERS(LAYERS),
      .PT(PT)
  ) score_stage (
      .*
  );

  logic result_valid, result_ready;
  logic [Group-1:0][SumBits-1:0] result_sum;
  logic [Group-1:0][HEAD_DIM-1:0][AccumulatorBits-1:0] result_accumulator;

  attention_softmax #(
      .HEADS(HEADS),
      .KV_HEADS(KV_HEADS),
      .HEAD_DIM(HEAD_DIM),
      .CONTEXT(CONTEXT),
      .SLOTS(SLOTS),
      .LAYERS(LAYERS),
      .PT(PT),
      .SCORE_MULT(SCORE_MULT),
      .SCORE_SHIFT(SCORE_SHIFT),
      .EXP_FILE(EXP_FILE)
  ) softmax_stage (
      .*
  );

  logic mean_valid, mean_ready;
  logic [Group-1:0][ReciprocalBits-1:0] mean_reciprocal;
  logic [Group-1:0][HEAD_DIM-1:0][AccumulatorBits-1:0] mean_accumulator;

  attention_reciprocal #(
      .GROUP(Group),
      .HEAD_DIM(HEAD_DIM),
      .SUM_BITS(SumBits),
      .ACCUMULATOR_BITS(AccumulatorBits)
  ) reciprocal_stage (
      .*
  );

  attention_scale #(
      .GROUP(Group),
      .HEAD_DIM(HEAD_DIM),
      .OM(OM),
      .ACCUMULATOR_BITS(AccumulatorBits),
      .RECIPROCAL_BITS(ReciprocalBits),
      .KV_BITS(KV_BITS),
      .OUT_BITS(OUT_BITS)
  ) scale_stage (
      .*
  );
endmodule
