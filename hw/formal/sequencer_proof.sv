// sequencer: whatever words come, whoever waits and whenever it is reset, no token is lost or repeated and nothing gets stuck.
//
// What is behind it gives back one generated token, any, for every beat that asks for one, in any order, at any time. Two
// slots are followed, any two: `slot`, of which every beat and event is checked, and `source`, from which it may be filled.
module sequencer_proof #(
    parameter int SLOTS   = 2,
    parameter int CONTEXT = 3,
    parameter int VOCAB   = 3
) (
    input logic        ap_clk,
    input logic        reset,
    input logic [31:0] word,
    input logic        word_valid,
    input logic [ 1:0] back_slot,
    input logic        back_silent,
    input logic        back_valid,
    input logic [ 2:0] out_ready,
    input logic        pick
);
  localparam logic [2:0] Rejected = 3'd4;

  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic word_ready, back_ready;
  logic [2:0] out_valid;
  logic [63:0] token_beat;
  logic [31:0] event_word;
  logic [95:0] request;
  wire [2:0] taken = out_valid & out_ready;

  // ---- The model behind it ------------------------------------------------------------------------
  logic [SLOTS-1:0] asked;  // a token of the slot is to come back
  logic [15:0] asked_position[SLOTS];
  wire [15:0] position = token_beat[15:0];
  wire [7:0] beat_slot = token_beat[23:16];
  wire head = token_beat[24];
  wire silent = token_beat[26];
  wire copied = token_beat[27];
  wire asks = taken[0] && head && !silent;
  wire named = 3'(back_slot) < 3'(SLOTS);
  wire in1_valid = back_valid && (back_silent || (named && asked[back_slot]));
  wire in1_taken = in1_valid && back_ready && !back_silent;
  wire [31:0] back_tag = {5'd0, back_silent, 2'b01, 6'd0, back_slot, asked_position[back_slot]};

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      asked <= '0;
    end else begin
      if (in1_taken) asked[back_slot] <= 1'b0;
      if (asks) asked[beat_slot] <= 1'b1;
    end
    if (asks) asked_position[beat_slot] <= position;
  end

  logic follows;

  sequencer #(
      .SLOTS  (SLOTS),
      .CONTEXT(CONTEXT),
      .VOCAB  (VOCAB)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (word),
      .in0_V_TVALID (word_valid),
      .in0_V_TREADY (word_ready),
      .in1_V_TDATA  ({31'd0, follows, back_tag}),
      .in1_V_TVALID (in1_valid),
      .in1_V_TREADY (back_ready),
      .out0_V_TDATA (token_beat),
      .out0_V_TVALID(out_valid[0]),
      .out0_V_TREADY(out_ready[0]),
      .out1_V_TDATA (event_word),
      .out1_V_TVALID(out_valid[1]),
      .out1_V_TREADY(out_ready[1]),
      .out2_V_TDATA (request),
      .out2_V_TVALID(out_valid[2]),
      .out2_V_TREADY(out_ready[2])
  );

  // ---- Beats: of slots, positions and tokens that exist, and of one token at a time -----------------
  wire [15:0] token = token_beat[47:32];

  always_ff @(posedge ap_clk) begin
    if (ap_rst_n) begin
      assert (back_ready);
      if (out_valid[0]) assert (beat_slot < SLOTS && position < CONTEXT);
      if (asks) assert (!asked[beat_slot]);
    end
  end

  // ---- Every beat that asks for a token has its request -----------------------------------------------
  logic [2:0] ahead;  // requests taken before their beats, or the other way round when negative
  wire empty = !out_valid[0] && !out_valid[2];

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      ahead <= '0;
    end else begin
      ahead <= ahead + 3'(taken[2]) - 3'(taken[0] && head);
      assert (ahead != 3'b100);
      if (empty) assert (ahead == '0);
    end
  end

  // ---- One generated token of slot 0 is followed, by its low bit, to its event and to the beat that goes on with it ----
  logic followed, told, ended;  // it came back; its event was read; as the last one
  logic fed, fed_well;  // the slot's next beat that asks has gone out; as it should
  logic [1:0] kept_position;
  logic [3:0] patience;
  assign follows = in1_taken && back_slot == '0 && pick && !followed;
  wire its_event = taken[1] && event_word[0];
  wire next_beat = asks && beat_slot == '0 && followed && !fed;
  wire well = token == 16'd1 && position == 16'(kept_position) + 1'b1;
  wire due = followed && (!told || (!ended && !fed));

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      {followed, told, ended, fed} <= '0;
      patience <= '0;
    end else begin
      if (follows) {followed, kept_position} <= {1'b1, 2'(asked_position[0])};
      if (its_event) begin
        assert (followed && !told && event_word[23:16] == '0 && event_word[27:25] != Rejected);
        if (!event_word[24] && fed) assert (fed_well);
        {told, ended} <= {1'b1, event_word[24]};
      end
      if (next_beat) begin
        {fed, fed_well} <= {1'b1, well};
        if (told && !ended) assert (well);
      end
      patience <= due && out_ready == '1 ? patience + 1'b1 : '0;
      assert (patience < 10);
    end
  end
endmodule
