// Sequencer: turns SUBMIT commands into token beats and generated tokens into events and new tokens.
//
// in0   command words, 32 bit (docs/hardware.md)
// in1   token beat back from argmax, 64 bit: [31:0] tag of the vector, [47:32] generated token
// out0  token beat to the embedding, 64 bit: [31:0] tag, [47:32] token
// out1  event words, 32 bit
//
// Prompt tokens go out back to back, only the last one with the LOGITS flag; every generated token
// that does not end the answer goes out at the next position with the flag, before prompt tokens.
// After a generated token: stop id -> stop, max_new_tokens reached -> length, position CONTEXT-1
// used -> context. A slot is free again with its last event.
//
// Rejected, with one event after the whole command has been read: slot >= SLOTS or busy, no prompt
// tokens, start + prompt longer than CONTEXT, max_new_tokens 0, a prompt token >= VOCAB. In the
// last case the tokens before the bad one have been processed: K/V from the start position on are
// undefined, those before it are intact. Words that are no SUBMIT where one is due are dropped.
//
// No deadlock: a slot has at most one token with the LOGITS flag on its way, and in1 has room for
// one of each slot, so in1 is always ready whatever out0 and out1 do; nothing is lost or repeated
// while either of them waits. Only the command stream waits for the events to be read.
//
// Latency    3 cycles from the first prompt word to out0, 4 from in1 to out0 and out1.
// Throughput one prompt token a cycle; one generated token every 2 cycles.
// Reset      frees all slots and drops the command and the tokens inside.
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
    input  logic        out1_V_TREADY
);
  localparam int SlotBits = SLOTS > 1 ? $clog2(SLOTS) : 1;

  if (SLOTS < 1 || SLOTS > 256) begin : gen_bad_slots
    $error("sequencer: SLOTS=%0d, must be 1..256", SLOTS);
  end
  if (CONTEXT < 1 || CONTEXT > 65536) begin : gen_bad_context
    $error("sequencer: CONTEXT=%0d, must be 1..65536", CONTEXT);
  end
  if (VOCAB < 1 || VOCAB > 65535) begin : gen_bad_vocab
    $error("sequencer: VOCAB=%0d, must be 1..65535 (0xFFFF means no stop id)", VOCAB);
  end

  typedef struct packed {
    logic [7:0]  flags;
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
    kRejected = 3'd4
  } reason_e;

  typedef struct packed {
    logic [3:0]  unused;
    reason_e     reason;
    logic        last;
    logic [7:0]  slot;
    logic [15:0] token;
  } event_t;

  // What a request asks of the generation; written by SUBMIT, read for every generated token.
  typedef struct packed {
    logic [16:0] last_position;  // position whose generated token is number max_new_tokens
    logic [15:0] second_stop;
    logic [15:0] stop;
  } limits_t;

  localparam logic [3:0] Submit = 4'd1;
  localparam logic [7:0] Logits = 8'd1;

  logic [SLOTS-1:0] busy;
  limits_t limits[SLOTS];

  // ---- Commands -------------------------------------------------------------------------------
  typedef enum logic [2:0] {
    kHeader,
    kLimits,
    kStops,
    kCheck,
    kPrompt,
    kReject
  } state_e;

  state_e state;
  logic [31:0] command;
  logic command_valid, command_ready;
  logic [7:0] slot;
  logic [15:0] words_left, max_tokens, position;
  limits_t requested;
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
  wire [16:0] prompt_end = 17'(position) + 17'(words_left);
  wire bad_slot = 9'(slot) >= 9'(SLOTS) || busy[slot_index];
  wire bad_length = words_left == '0 || prompt_end > 17'(CONTEXT) || max_tokens == '0;
  wire bad_request = bad_slot || bad_length;
  wire accept = state == kCheck && !bad_request;

  wire last_word = words_left == 16'd1;
  wire bad_token = command[15:0] >= 16'(VOCAB);
  wire beat_t prompt_beat = '{
      command[15:0],
      '{last_word ? Logits : 8'd0, slot, position}
  };
  wire prompt_offered = state == kPrompt && command_valid && !rejected && !bad_token;
  logic token_ready, prompt_taken, reject_taken;

  always_comb begin
    unique case (state)
      kHeader, kLimits, kStops: command_ready = 1'b1;
      kPrompt: command_ready = rejected || bad_token || prompt_taken;
      default: command_ready = 1'b0;
    endcase
  end

  wire word = command_valid && command_ready;

  always_ff @(posedge ap_clk) begin
    if (word) begin
      unique case (state)
        kHeader: {slot, words_left} <= command[23:0];
        kLimits: {max_tokens, position} <= command;
        kStops:  {requested.second_stop, requested.stop} <= command;
        default: begin
          words_left <= words_left - 1'b1;
          position   <= position + 1'b1;
        end
      endcase
    end
    if (state == kCheck) {occupied, rejected} <= {accept, bad_request};
    else if (state == kPrompt && word && bad_token) rejected <= 1'b1;
    if (accept) limits[slot_index] <= requested;
  end

  always_ff @(posedge ap_clk) begin
    if (state == kStops) requested.last_position <= prompt_end + 17'(max_tokens) - 17'd2;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      state <= kHeader;
    end else begin
      unique case (state)
        kHeader: if (word && command[31:28] == Submit) state <= kLimits;
        kLimits: if (word) state <= kStops;
        kStops: if (word) state <= kCheck;
        kCheck: state <= words_left == '0 ? kReject : kPrompt;
        kPrompt: if (word && last_word) state <= rejected || bad_token ? kReject : kHeader;
        kReject: if (reject_taken) state <= kHeader;
        default: state <= kHeader;
      endcase
    end
  end

  // ---- Generated tokens -----------------------------------------------------------------------
  beat_t feedback, generated;
  logic feedback_valid, feedback_ready, generated_valid;
  limits_t generated_limits;

  axis_fifo #(
      .W(48),
      .DEPTH(SLOTS)
  ) feedback_fifo (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in1_V_TDATA[47:0]),
      .in0_V_TVALID (in1_V_TVALID),
      .in0_V_TREADY (in1_V_TREADY),
      .out0_V_TDATA (feedback),
      .out0_V_TVALID(feedback_valid),
      .out0_V_TREADY(feedback_ready)
  );

  wire [SlotBits-1:0] feedback_slot = SlotBits'(feedback.tag.slot);
  wire [SlotBits-1:0] generated_slot = SlotBits'(generated.tag.slot);
  assign feedback_ready = !generated_valid;

  function automatic reason_e judge(input beat_t beat, input limits_t limit);
    if (beat.token == limit.stop || beat.token == limit.second_stop) return kStop;
    if (17'(beat.tag.position) == limit.last_position) return kLength;
    if (beat.tag.position == 16'(CONTEXT - 1)) return kContext;
    return kNone;
  endfunction

  wire reason_e reason = judge(generated, generated_limits);
  wire ends = reason != kNone;
  logic event_ready;
  wire event_t generated_event = '{4'd0, reason, ends, generated.tag.slot, generated.token};
  wire event_t reject_event = '{4'd0, kRejected, 1'b1, slot, 16'd0};
  wire beat_t next_beat = '{
      generated.token,
      '{Logits, generated.tag.slot, generated.tag.position + 16'd1}
  };

  // A generated token leaves for the host and for the embedding in the same cycle.
  wire generated_taken = generated_valid && event_ready && (ends || token_ready);
  wire next_offered = generated_taken && !ends;

  assign prompt_taken = token_ready && !next_offered;
  assign reject_taken = state == kReject && event_ready && !generated_taken;

  always_ff @(posedge ap_clk) begin
    if (feedback_valid && feedback_ready) begin
      generated        <= feedback;
      generated_limits <= limits[feedback_slot];
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      generated_valid <= 1'b0;
      busy            <= '0;
    end else begin
      if (feedback_valid && feedback_ready) generated_valid <= 1'b1;
      else if (generated_taken) generated_valid <= 1'b0;

      if (accept) busy[slot_index] <= 1'b1;
      if (generated_taken && ends) busy[generated_slot] <= 1'b0;
      if (reject_taken && occupied) busy[slot_index] <= 1'b0;
    end
  end

  // ---- Outputs --------------------------------------------------------------------------------
  wire beat_t token_beat = next_offered ? next_beat : prompt_beat;

  axis_register #(
      .W(64)
  ) token_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA ({16'd0, token_beat}),
      .in0_V_TVALID(next_offered || prompt_offered),
      .in0_V_TREADY(token_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
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
