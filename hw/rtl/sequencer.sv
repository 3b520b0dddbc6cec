// Sequencer: turns commands into token beats and generated tokens into events and new tokens.
//
// in0   command words, 32 bit (docs/hardware.md): SUBMIT, CANCEL, COPY
// in1   token beat back from argmax, 64 bit: [31:0] tag of the vector, [47:32] generated token
// out0  token beat to the embedding, 64 bit: [31:0] tag, [47:32] token
// out1  event words, 32 bit
// out2  sampling request of every token on out0 whose HEAD flag is set, 96 bit: [63:0] seed, [79:64] position,
//       [95:80] temperature
//
// Prompt tokens go out back to back, the last one with the HEAD flag (with PROMPT_LOGITS all of them, the others
// SILENT: what is chosen after them is dropped here); every generated token that does not end the answer goes out at
// the next position with the flag, before prompt tokens.
// After a generated token: cancelled -> cancelled; stop id -> stop, max_new_tokens reached -> length, position
// CONTEXT-1 used -> context. A slot is free again with its last event.
//
// A slot knows how many of its positions are filled: those before the last generated token's. SUBMIT may start at any of
// them or right behind; COPY fills a free slot from another one: a beat with the COPY flag and the source in the
// flags' high half, at the last position to copy, tells the attention to copy in its order.
//
// Rejected, with one event after the whole command has been read: slot >= SLOTS or busy; SUBMIT with no prompt
// tokens, start + prompt longer than CONTEXT, start behind what is filled, max_new_tokens 0, a prompt token >=
// VOCAB (the tokens before it have been processed: what was filled from the start position on is lost); COPY of
// nothing, from a slot >= SLOTS, or of more than the source has filled. CANCEL of a free slot and words that are no
// command where one is due are dropped.
//
// No deadlock: a slot has at most one token that is to come back on its way, in1 has room for all of them and
// drops silent ones, so in1 is always ready whatever the outputs do; nothing is lost or repeated while they wait.
// Only the command stream waits for events to be read and requests to be taken.
//
// Latency    3 cycles from the first prompt word to out0, 4 from in1 to out0 and out1.
// Throughput one prompt token a cycle; one generated token every 2 cycles.
// Reset      frees all slots, forgets what they hold, and drops the command and the tokens inside.
module sequencer #(
    parameter int SLOTS = 4,
    parameter int CONTEXT = 256,
    parameter int VOCAB = 512
) (
    input  logic        ap_clk,
    input  logic        ap_rst_n,
    input  logic [31:0] in0_V_TDATA,
    input  logic        in0_V_TVALID,
    output logic        in0_V_TREADY,
    input  logic [63:0] in1_V_TDATA,
    input  logic        in1_V_TVALID,
    output logic        in1_V_TREADY,
    output logic [63:0] out0_V_TDATA,
    output logic        out0_V_TVALID,
    input  logic        out0_V_TREADY,
    output logic [31:0] out1_V_TDATA,
    output logic        out1_V_TVALID,
    input  logic        out1_V_TREADY,
    output logic [95:0] out2_V_TDATA,
    output logic        out2_V_TVALID,
    input  logic        out2_V_TREADY
);
  localparam int SlotBits = SLOTS > 1 ? $clog2(SLOTS) : 1;

  if (SLOTS < 1 || SLOTS > 16) begin : gen_bad_slots
    $error("sequencer: SLOTS=%0d, must be 1..16", SLOTS);
  end
  if (CONTEXT < 1 || CONTEXT > 65536) begin : gen_bad_context
    $error("sequencer: CONTEXT=%0d, must be 1..65536", CONTEXT);
  end
  if (VOCAB < 1 || VOCAB > 65535) begin : gen_bad_vocab
    $error("sequencer: VOCAB=%0d, must be 1..65535 (0xFFFF means no stop id)", VOCAB);
  end

  typedef struct packed {
    logic [3:0]  source;  // of a copy
    logic        copy;
    logic        silent;
    logic        dump;
    logic        head;
    logic [7:0]  slot;
    logic [15:0] position;
  } tag_t;

  typedef struct packed {
    logic [15:0] token;
    tag_t        tag;
  } beat_t;

  typedef enum logic [2:0] {
    kNone = 3'd0,
    kStop = 3'd1,
    kLength = 3'd2,
    kContext = 3'd3,
    kRejected = 3'd4,
    kCancelled = 3'd5
  } reason_e;

  typedef struct packed {
    logic [3:0]  unused;
    reason_e     reason;
    logic        last;
    logic [7:0]  slot;
    logic [15:0] token;
  } event_t;

  // What a request asks of the generation; written by SUBMIT, read for every token that chooses one.
  typedef struct packed {
    logic        dump;
    logic [15:0] temperature;
    logic [63:0] seed;
    logic [16:0] last_position;  // position whose generated token is number max_new_tokens
    logic [15:0] second_stop;
    logic [15:0] stop;
  } wishes_t;

  localparam logic [3:0] Submit = 4'd1;
  localparam logic [3:0] Cancel = 4'd2;
  localparam logic [3:0] Copy = 4'd3;

  logic [SLOTS-1:0] busy, cancelled;
  logic [16:0] filled[SLOTS];  // positions that hold K/V of every layer
  wishes_t wishes[SLOTS];

  // ---- Commands -------------------------------------------------------------------------------
  typedef enum logic [3:0] {
    kHeader,
    kLimits,
    kStops,
    kTemperature,
    kLowSeed,
    kHighSeed,
    kCheck,
    kPrompt,
    kSource,
    kCopyCheck,
    kCopy,
    kReject
  } state_e;

  state_e state;
  logic [31:0] command;
  logic command_valid, command_ready;
  logic [7:0] slot, source;
  logic [15:0] words_left, max_tokens, position;
  logic all_logits;
  wishes_t requested;
  logic rejected;  // nothing of the command is sent on any more
  logic occupied;  // the command was accepted and holds its slot

  axis_register #(
      .W(32)
  ) command_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA,
      .in0_V_TVALID,
      .in0_V_TREADY,
      .out0_V_TDATA (command),
      .out0_V_TVALID(command_valid),
      .out0_V_TREADY(command_ready)
  );

  wire [SlotBits-1:0] slot_index = SlotBits'(slot);
  wire [SlotBits-1:0] source_index = SlotBits'(source);
  wire [SlotBits-1:0] named_index = SlotBits'(command[23:16]);  // of the header that is read now
  wire [16:0] prompt_end = 17'(position) + 17'(words_left);
  wire bad_slot = 9'(slot) >= 9'(SLOTS) || busy[slot_index];
  wire bad_length = words_left == '0 || prompt_end > 17'(CONTEXT) || max_tokens == '0;
  wire bad_start = 17'(position) > filled[slot_index];
  wire bad_source = 9'(source) >= 9'(SLOTS) || 17'(words_left) > filled[source_index];
  wire bad_submit = bad_slot || bad_length || bad_start;
  wire bad_copy = bad_slot || bad_source || words_left == '0;
  wire accept = state == kCheck && !bad_submit;

  wire last_word = words_left == 16'd1;
  wire bad_token = command[15:0] >= 16'(VOCAB);
  wire prompt_head = last_word || all_logits;
  wire prompt_dump = prompt_head && requested.dump;
  wire tag_t prompt_tag = '{
      4'd0, 1'b0, all_logits && !last_word, prompt_dump, prompt_head, slot, position
  };
  wire tag_t copy_tag = '{source[3:0], 1'b1, 1'b0, 1'b0, 1'b0, slot, words_left - 16'd1};
  wire prompt_offered = state == kPrompt && command_valid && !rejected && !bad_token;
  wire command_offered = prompt_offered || state == kCopy;
  logic next_offered, token_ready, request_ready, reject_taken;
  wire command_taken = token_ready && !next_offered
      && (request_ready || state == kCopy || !prompt_head);

  always_comb begin
    unique case (state)
      kCheck, kCopyCheck, kCopy, kReject: command_ready = 1'b0;
      kPrompt: command_ready = rejected || bad_token || command_taken;
      default: command_ready = 1'b1;
    endcase
  end

  wire word = command_valid && command_ready;

  always_ff @(posedge ap_clk) begin
    if (word) begin
      unique case (state)
        kHeader: {all_logits, requested.dump, slot, words_left} <= {command[25:24], command[23:0]};
        kLimits: {max_tokens, position} <= command;
        kStops: {requested.second_stop, requested.stop} <= command;
        kTemperature: requested.temperature <= command[31:16];
        kLowSeed: requested.seed[31:0] <= command;
        kHighSeed: requested.seed[63:32] <= command;
        kSource: source <= command[7:0];
        default: begin
          words_left <= words_left - 1'b1;
          position   <= position + 1'b1;
        end
      endcase
    end
    if (state == kCheck) {occupied, rejected} <= {accept, bad_submit};
    else if (state == kCopyCheck) occupied <= 1'b0;
    else if (state == kPrompt && word && bad_token) rejected <= 1'b1;
    if (accept) wishes[slot_index] <= requested;
  end

  always_ff @(posedge ap_clk) begin
    if (state == kStops) requested.last_position <= prompt_end + 17'(max_tokens) - 17'd2;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      state <= kHeader;
    end else begin
      unique case (state)
        kHeader: begin
          if (word && command[31:28] == Submit) state <= kLimits;
          else if (word && command[31:28] == Copy) state <= kSource;
        end
        kLimits: if (word) state <= kStops;
        kStops: if (word) state <= kTemperature;
        kTemperature: if (word) state <= kLowSeed;
        kLowSeed: if (word) state <= kHighSeed;
        kHighSeed: if (word) state <= kCheck;
        kCheck: state <= words_left == '0 ? kReject : kPrompt;
        kPrompt: if (word && last_word) state <= rejected || bad_token ? kReject : kHeader;
        kSource: if (word) state <= kCopyCheck;
        kCopyCheck: state <= bad_copy ? kReject : kCopy;
        kCopy: if (command_taken) state <= kHeader;
        kReject: if (reject_taken) state <= kHeader;
        default: state <= kHeader;
      endcase
    end
  end

  // ---- Generated tokens -----------------------------------------------------------------------
  beat_t back, feedback, generated;
  logic feedback_valid, feedback_ready, generated_valid, feedback_has_room;
  wishes_t generated_wishes;

  assign back = in1_V_TDATA[47:0];
  assign in1_V_TREADY = feedback_has_room;

  axis_fifo #(
      .W(48),
      .DEPTH(SLOTS > 1 ? SLOTS : 2)  // one entry is full until it reaches the output
  ) feedback_fifo (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (back),
      .in0_V_TVALID (in1_V_TVALID && !back.tag.silent),
      .in0_V_TREADY (feedback_has_room),
      .out0_V_TDATA (feedback),
      .out0_V_TVALID(feedback_valid),
      .out0_V_TREADY(feedback_ready)
  );

  wire [SlotBits-1:0] feedback_slot = SlotBits'(feedback.tag.slot);
  wire [SlotBits-1:0] generated_slot = SlotBits'(generated.tag.slot);
  assign feedback_ready = !generated_valid;

  function automatic reason_e judge(input beat_t beat, input wishes_t wish, input logic cancel);
    if (cancel) return kCancelled;
    if (beat.token == wish.stop || beat.token == wish.second_stop) return kStop;
    if (17'(beat.tag.position) == wish.last_position) return kLength;
    if (beat.tag.position == 16'(CONTEXT - 1)) return kContext;
    return kNone;
  endfunction

  wire reason_e reason = judge(generated, generated_wishes, cancelled[generated_slot]);
  wire ends = reason != kNone;
  logic event_ready;
  wire event_t generated_event = '{4'd0, reason, ends, generated.tag.slot, generated.token};
  wire event_t reject_event = '{4'd0, kRejected, 1'b1, slot, 16'd0};
  wire [15:0] next_position = generated.tag.position + 16'd1;
  wire tag_t next_tag = '{
      4'd0, 1'b0, 1'b0, generated_wishes.dump, 1'b1, generated.tag.slot, next_position
  };

  // A generated token leaves for the host and for the embedding in the same cycle.
  wire generated_taken = generated_valid && event_ready && (ends || (token_ready && request_ready));
  assign next_offered = generated_taken && !ends;
  assign reject_taken = state == kReject && event_ready && !generated_taken;

  always_ff @(posedge ap_clk) begin
    if (feedback_valid && feedback_ready) begin
      generated        <= feedback;
      generated_wishes <= wishes[feedback_slot];
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      generated_valid <= 1'b0;
      busy            <= '0;
      cancelled       <= '0;
    end else begin
      if (feedback_valid && feedback_ready) generated_valid <= 1'b1;
      else if (generated_taken) generated_valid <= 1'b0;

      if (word && state == kHeader && command[31:28] == Cancel && command[23:16] < 8'(SLOTS)) begin
        cancelled[named_index] <= busy[named_index];
      end
      if (accept) begin
        busy[slot_index]      <= 1'b1;
        cancelled[slot_index] <= 1'b0;
      end
      if (generated_taken && ends) busy[generated_slot] <= 1'b0;
      if (reject_taken && occupied) busy[slot_index] <= 1'b0;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      filled <= '{default: '0};
    end else begin
      if (accept) filled[slot_index] <= 17'(position);
      else if (state == kCopy && command_taken) filled[slot_index] <= 17'(words_left);
      if (generated_taken) filled[generated_slot] <= 17'(generated.tag.position) + 17'd1;
    end
  end

  // ---- Outputs --------------------------------------------------------------------------------
  wire beat_t command_beat = state == kCopy ? '{16'd0, copy_tag} : '{command[15:0], prompt_tag};
  wire beat_t token_beat = next_offered ? '{generated.token, next_tag} : command_beat;
  wire wishes_t wish = next_offered ? generated_wishes : requested;

  // What needs a request goes out only when there is room for both.
  wire token_offered = next_offered || (command_offered && command_taken);

  axis_register #(
      .W(64)
  ) token_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA ({16'd0, token_beat}),
      .in0_V_TVALID(token_offered),
      .in0_V_TREADY(token_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );

  axis_register #(
      .W(96)
  ) request_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA ({wish.temperature, token_beat.tag.position, wish.seed}),
      .in0_V_TVALID(token_offered && token_beat.tag.head),
      .in0_V_TREADY(request_ready),
      .out0_V_TDATA(out2_V_TDATA),
      .out0_V_TVALID(out2_V_TVALID),
      .out0_V_TREADY(out2_V_TREADY)
  );

  axis_register #(
      .W(32)
  ) event_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (generated_taken ? generated_event : reject_event),
      .in0_V_TVALID (generated_taken || reject_taken),
      .in0_V_TREADY (event_ready),
      .out0_V_TDATA (out1_V_TDATA),
      .out0_V_TVALID(out1_V_TVALID),
      .out0_V_TREADY(out1_V_TREADY)
  );
endmodule
