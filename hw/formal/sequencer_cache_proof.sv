// sequencer: no token looks at keys and values that were not filled for its own answer, whatever words come; and words are taken
// as long as nobody waits.
//
// The beats of out0 reach the attention in their order. A token's beat fills one position of its slot and reads all before it; a
// COPY's fills a slot up to its position from another one.
module sequencer_cache_proof #(
    parameter int SLOTS   = 2,
    parameter int CONTEXT = 3,
    parameter int VOCAB   = 3
) (
    input logic        ap_clk,
    input logic        reset,
    input logic [31:0] word,
    input logic        word_valid,
    input logic        back_slot,
    input logic        back_valid,
    input logic [ 2:0] out_ready
);
  // cycles without a word taken, while nobody waits and no generated token goes first
  localparam int Patience = 4;

  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic word_ready, back_ready;
  logic [2:0] out_valid;
  logic [63:0] token_beat;
  logic [31:0] event_word;
  logic [95:0] request;
  logic [SLOTS-1:0] asked;
  logic [15:0] asked_position[SLOTS];
  wire [15:0] position = token_beat[15:0];
  wire [7:0] slot = token_beat[23:16];
  wire copied = token_beat[27];
  wire [3:0] source = token_beat[31:28];
  wire token_taken = out_valid[0] && out_ready[0];
  wire asks = token_taken && token_beat[24] && !token_beat[26];
  wire back_offered = back_valid && asked[back_slot];
  wire back_taken = back_offered && back_ready;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      asked <= '0;
    end else begin
      if (back_taken) asked[back_slot] <= 1'b0;
      if (asks) asked[slot[0]] <= 1'b1;
    end
    if (asks) asked_position[slot[0]] <= position;
  end

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
      .in1_V_TDATA  ({39'd0, 1'b1, 7'd0, back_slot, asked_position[back_slot]}),
      .in1_V_TVALID (back_offered),
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

  logic [2:0] filled [SLOTS];
  logic [2:0] waited;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      filled <= '{default: '0};
      waited <= '0;
    end else begin
      if (token_taken) begin
        assert (slot < SLOTS && position < CONTEXT);
        if (copied)
          assert (source < SLOTS && position < filled[source[0]] && !asked[slot[0]]);
          else assert (position <= filled[slot[0]]);
        filled[slot[0]] <= position[2:0] + 1'b1;
      end
      waited <= word_valid && !word_ready && out_ready == '1 && !back_taken ? waited + 1'b1 : '0;
      assert (waited < 3'(Patience) + 3'(SLOTS));
    end
  end

  stream_held #(
      .W(64)
  ) tokens_held (
      .ap_clk,
      .ap_rst_n,
      .data (token_beat),
      .valid(out_valid[0]),
      .ready(out_ready[0])
  );

  stream_held #(
      .W(32)
  ) events_held (
      .ap_clk,
      .ap_rst_n,
      .data (event_word),
      .valid(out_valid[1]),
      .ready(out_ready[1])
  );

  stream_held #(
      .W(96)
  ) requests_held (
      .ap_clk,
      .ap_rst_n,
      .data (request),
      .valid(out_valid[2]),
      .ready(out_ready[2])
  );
endmodule
