// First stage of causal_attention: takes tags and q, k, v beats, stores K/V, holds q for the scores.
//
// Two tokens fit: one being loaded, one whose scores are being computed ("contexts").
// A token waits here while an older one of the same memory (layer, slot) at the same or a later
// position is still inside the unit, because its K/V would overwrite what the older one reads.
// A position >= CONTEXT, slot >= SLOTS or layer >= LAYERS writes nothing.
// A tag whose COPY flag is set asks for positions 0 .. position of another slot (the flags' high half) in its own slot
// and layer: the copy begins when all tokens before it are through, and no token passes it. Its own q, k and v
// count as those of a token that writes nothing.
//
// Latency    2 cycles from tag to the first beat accepted; k_loaded, v_loaded with the beat.
// Throughput one token every HEADS + 2 * KV_HEADS + 1 cycles.
// Reset      drops the tokens inside; K/V memory and q stay as they are.
module attention_load #(
    parameter int HEADS = 4,
    parameter int KV_HEADS = 2,
    parameter int HEAD_DIM = 16,
    parameter int CONTEXT = 256,
    parameter int SLOTS = 4,
    parameter int LAYERS = 5,
    parameter int PT = 1,
    parameter int INSIDE = 4,  // tokens whose K/V is still to be read, this stage included
    localparam int Group = HEADS / KV_HEADS,
    localparam int Rows = (CONTEXT + PT - 1) / PT,
    localparam int Depth = LAYERS * SLOTS * KV_HEADS * Rows,
    localparam int AddressBits = Depth > 1 ? $clog2(Depth) : 1,
    localparam int PositionBits = CONTEXT > 1 ? $clog2(CONTEXT) : 1,
    localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1,
    localparam int KvBits = KV_HEADS > 1 ? $clog2(KV_HEADS) : 1
) (
    input  logic                                        ap_clk,
    input  logic                                        ap_rst_n,
    // streams
    input  logic [  HEAD_DIM-1:0][              7:0]    in0_V_TDATA,
    input  logic                                        in0_V_TVALID,
    output logic                                        in0_V_TREADY,
    input  logic [          39:0]                       in1_V_TDATA,
    input  logic                                        in1_V_TVALID,
    output logic                                        in1_V_TREADY,
    // K/V memories
    output logic [        PT-1:0]                       k_write,
    output logic [        PT-1:0]                       v_write,
    output logic [AddressBits-1:0]                      write_address,
    output logic                                        k_loaded,
    output logic                                        v_loaded,
    // contexts
    output logic [           1:0][   AddressBits-1:0]   context_base,
    output logic [           1:0][  PositionBits-1:0]   context_position,
    input  logic                                        context_release,
    input  logic                                        q_context,
    input  logic [    KvBits-1:0]                       q_kv,
    output logic [     Group-1:0][HEAD_DIM-1:0][7:0]    q_data,
    // the oldest token has read its last row of V
    input  logic                                        token_done,
    // copies between slots
    output logic                                        copy_start,
    output logic [AddressBits-1:0]                      copy_source,
    output logic [AddressBits-1:0]                      copy_target,
    output logic [   RowBits-1:0]                       copy_last_row,
    input  logic                                        copy_done
);
  localparam int LaneBits = $clog2(PT);
  localparam int CopyBit = 27;
  localparam int IndexBits = LAYERS * SLOTS > 1 ? $clog2(LAYERS * SLOTS) : 1;
  localparam int GroupBits = Group > 1 ? $clog2(Group) : 1;
  localparam int EntryBits = INSIDE > 1 ? $clog2(INSIDE) : 1;

  typedef struct packed {
    logic [IndexBits-1:0]    index;  // layer * SLOTS + slot
    logic [PositionBits-1:0] position;
  } place_t;

  typedef enum logic [1:0] {
    kQuery,
    kKey,
    kValue
  } phase_e;

  // ---- The next token's tag -------------------------------------------------------------------
  logic waiting, waiting_writes, waiting_copies, copying;
  place_t waiting_place;
  logic [IndexBits-1:0] waiting_source;

  wire [15:0] position = in1_V_TDATA[15:0];
  wire [7:0] slot = in1_V_TDATA[23:16];
  wire [7:0] layer = in1_V_TDATA[39:32];
  wire inside_context = 17'(position) < 17'(CONTEXT);
  wire inside_memory = 9'(slot) < 9'(SLOTS) && 9'(layer) < 9'(LAYERS);
  wire copies = in1_V_TDATA[CopyBit];
  wire [3:0] source = in1_V_TDATA[31:28];
  wire good_copy = inside_context && inside_memory && 9'(source) < 9'(SLOTS);

  assign in1_V_TREADY = !waiting;

  // ---- Tokens inside, oldest first ------------------------------------------------------------
  logic [INSIDE-1:0] entry_valid;
  place_t [INSIDE-1:0] entry_place;
  logic [EntryBits-1:0] newest, oldest;

  function automatic logic [EntryBits-1:0] next_entry(input logic [EntryBits-1:0] entry);
    return entry == EntryBits'(INSIDE - 1) ? '0 : entry + 1'b1;
  endfunction

  logic conflict;
  always_comb begin
    conflict = 1'b0;
    for (int i = 0; i < INSIDE; i++) begin
      conflict |= entry_valid[i] && entry_place[i].index == waiting_place.index
          && waiting_place.position <= entry_place[i].position;
    end
  end

  // ---- Loading --------------------------------------------------------------------------------
  logic loading, writes;
  logic [1:0] context_used;
  logic load_context, release_context;
  phase_e phase;
  logic [KvBits-1:0] kv;
  logic [GroupBits-1:0] member;
  logic [AddressBits-1:0] kv_offset;

  wire start = waiting && !waiting_copies && !loading && !conflict && !context_used[load_context]
      && !entry_valid[newest];
  assign copy_start = waiting && waiting_copies && !copying && !loading && entry_valid == '0;
  wire beat = in0_V_TVALID && in0_V_TREADY;
  wire last_member = phase != kQuery || member == GroupBits'(Group - 1);
  wire last_kv = last_member && kv == KvBits'(KV_HEADS - 1);
  wire last = phase == kValue && last_kv;

  assign in0_V_TREADY = loading;

  wire [PositionBits-1:0] load_position = context_position[load_context];
  logic [PT-1:0] lane;
  always_comb begin
    for (int i = 0; i < PT; i++) lane[i] = int'(load_position) % PT == i;
  end

  assign k_loaded = beat && phase == kKey;
  assign v_loaded = beat && phase == kValue;
  assign k_write = lane & {PT{k_loaded && writes}};
  assign v_write = lane & {PT{v_loaded && writes}};
  assign write_address = context_base[load_context] + kv_offset
      + AddressBits'(RowBits'(load_position >> LaneBits));

  always_ff @(posedge ap_clk) begin
    if (in1_V_TVALID && in1_V_TREADY) begin
      waiting_place.index <= inside_memory ? IndexBits'(int'(layer) * SLOTS + int'(slot)) : '0;
      waiting_place.position <= inside_context ? PositionBits'(position) : PositionBits'(CONTEXT-1);
      waiting_writes <= inside_context && inside_memory && !copies;
      waiting_source <= IndexBits'(int'(layer) * SLOTS + int'(source));
    end
    copy_source <= AddressBits'(int'(waiting_source) * KV_HEADS * Rows);
    copy_target <= AddressBits'(int'(waiting_place.index) * KV_HEADS * Rows);
    copy_last_row <= RowBits'(waiting_place.position >> LaneBits);
    if (start) begin
      context_base[load_context] <= AddressBits'(int'(waiting_place.index) * KV_HEADS * Rows);
      context_position[load_context] <= waiting_place.position;
      entry_place[newest] <= waiting_place;
      writes <= waiting_writes;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      waiting         <= 1'b0;
      waiting_copies  <= 1'b0;
      copying         <= 1'b0;
      loading         <= 1'b0;
      context_used    <= '0;
      load_context    <= 1'b0;
      release_context <= 1'b0;
      entry_valid     <= '0;
      newest          <= '0;
      oldest          <= '0;
    end else begin
      if (in1_V_TVALID && in1_V_TREADY) waiting <= 1'b1;
      else if (start) waiting <= 1'b0;

      if (in1_V_TVALID && in1_V_TREADY) waiting_copies <= copies && good_copy;
      else if (copy_done) waiting_copies <= 1'b0;
      if (copy_start) copying <= 1'b1;
      else if (copy_done) copying <= 1'b0;

      if (start) begin
        loading <= 1'b1;
        context_used[load_context] <= 1'b1;
        entry_valid[newest] <= 1'b1;
        newest <= next_entry(newest);
      end else if (beat && last) begin
        loading <= 1'b0;
        load_context <= !load_context;
      end
      if (context_release) begin
        context_used[release_context] <= 1'b0;
        release_context <= !release_context;
      end
      if (token_done) begin
        entry_valid[oldest] <= 1'b0;
        oldest <= next_entry(oldest);
      end
    end
  end

  // Order of the beats: heads in groups of one KV head, then KV heads of K, then of V.
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      phase     <= kQuery;
      kv        <= '0;
      member    <= '0;
      kv_offset <= '0;
    end else if (beat) begin
      member <= last_member ? '0 : member + 1'b1;
      if (last_member) kv <= last_kv ? '0 : kv + 1'b1;
      if (phase != kQuery) kv_offset <= last_kv ? '0 : kv_offset + AddressBits'(Rows);
      if (last_kv) begin
        unique case (phase)
          kQuery: phase <= kKey;
          kKey: phase <= kValue;
          default: phase <= kQuery;
        endcase
      end
    end
  end

  // ---- Queries of both contexts ---------------------------------------------------------------
  for (genvar g = 0; g < Group; g++) begin : gen_query
    simple_dual_port_ram #(
        .WIDTH(HEAD_DIM * 8),
        .DEPTH(2 << KvBits),
        .LATENCY(2)
    ) query (
        .ap_clk,
        .write(beat && phase == kQuery && member == GroupBits'(g)),
        .write_address({load_context, kv}),
        .write_data(in0_V_TDATA),
        .read_address({q_context, q_kv}),
        .read_data(q_data[g])
    );
  end
endmodule
