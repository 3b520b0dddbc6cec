// Loop control: sends every token LAYERS times through the one physical decoder block.
//
// in0   residual of a new token, BEATS beats of W bits
// in1   tag of a new token, 32 bit
// in2   residual back from the block, BEATS beats of W bits a vector, in the order of out0
// out0  residual to the block
// out1  block tag, 40 bit: {layer[7:0], tag}, one beat a vector
// out2  selector, 8 bit: layer, one beat a vector
// out3  residual after the last layer, only of tokens whose LOGITS flag (tag bit 24) is set
// out4  tag of the vector on out3
//
// Vectors that come back before the last layer wait in a ring; the ring goes before new tokens, so
// the order of the tokens inside never changes and a token sees the K/V of all tokens before it.
//
// No deadlock: at most TOKENS tokens are inside and the ring has room for all of them, so a vector
// that comes back always finds room there or leaves through out3/out4. The return path waits for
// nothing but out3/out4, hence never for the block itself; whatever takes out3/out4 must not wait
// for this module to accept a token (the sequencer stores what it is handed).
//
// Latency    4 cycles from in2 to out0 (through the ring); for a new token 1 cycle from in1 to out1
//            and out2, 2 to out0; 1 cycle from in2 to out3 and out4.
// Throughput one vector every BEATS + 1 cycles into the block, one every BEATS out of it.
// Reset      drops all tokens inside; the block must be reset with it.
module loop_control #(
    parameter int LAYERS = 5,
    parameter int TOKENS = 8,
    parameter int BEATS  = 16,
    parameter int W      = 64
) (
    input  logic         ap_clk,
    input  logic         ap_rst_n,
    input  logic [W-1:0] in0_V_TDATA,
    input  logic         in0_V_TVALID,
    output logic         in0_V_TREADY,
    input  logic [ 31:0] in1_V_TDATA,
    input  logic         in1_V_TVALID,
    output logic         in1_V_TREADY,
    input  logic [W-1:0] in2_V_TDATA,
    input  logic         in2_V_TVALID,
    output logic         in2_V_TREADY,
    output logic [W-1:0] out0_V_TDATA,
    output logic         out0_V_TVALID,
    input  logic         out0_V_TREADY,
    output logic [ 39:0] out1_V_TDATA,
    output logic         out1_V_TVALID,
    input  logic         out1_V_TREADY,
    output logic [  7:0] out2_V_TDATA,
    output logic         out2_V_TVALID,
    input  logic         out2_V_TREADY,
    output logic [W-1:0] out3_V_TDATA,
    output logic         out3_V_TVALID,
    input  logic         out3_V_TREADY,
    output logic [ 31:0] out4_V_TDATA,
    output logic         out4_V_TVALID,
    input  logic         out4_V_TREADY
);
  localparam int BeatBits = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam int InFlightBits = $clog2(TOKENS + 1);
  localparam int LogitsBit = 24;
  localparam logic [BeatBits-1:0] LastBeat = BeatBits'(BEATS - 1);

  if (LAYERS < 1 || LAYERS > 256) begin : gen_bad_layers
    $error("loop_control: LAYERS=%0d, must be 1..256", LAYERS);
  end
  if (TOKENS < 1) begin : gen_bad_tokens
    $error("loop_control: TOKENS=%0d, must be at least 1", TOKENS);
  end
  if (BEATS < 1) begin : gen_bad_beats
    $error("loop_control: BEATS=%0d, must be at least 1", BEATS);
  end

  typedef struct packed {
    logic [7:0]  layer;
    logic [31:0] tag;
  } block_tag_t;

  // ---- Vectors waiting for their next layer: data and block tags ------------------------------
  logic [W-1:0] ring_data;
  logic ring_data_valid, ring_data_ready, ring_write, ring_has_room;
  block_tag_t ring_tag, ring_tag_in;
  logic ring_tag_valid, ring_tag_ready, ring_tag_write, ring_tag_has_room;

  axis_fifo #(
      .W(W),
      .DEPTH(TOKENS * BEATS)
  ) ring (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in2_V_TDATA),
      .in0_V_TVALID (ring_write),
      .in0_V_TREADY (ring_has_room),
      .out0_V_TDATA (ring_data),
      .out0_V_TVALID(ring_data_valid),
      .out0_V_TREADY(ring_data_ready)
  );

  axis_fifo #(
      .W(40),
      .DEPTH(TOKENS)
  ) ring_tags (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (ring_tag_in),
      .in0_V_TVALID (ring_tag_write),
      .in0_V_TREADY (ring_tag_has_room),
      .out0_V_TDATA (ring_tag),
      .out0_V_TVALID(ring_tag_valid),
      .out0_V_TREADY(ring_tag_ready)
  );

  // ---- Vectors inside the block, in order -----------------------------------------------------
  // One entry more than tokens: the head of a vector may enter its next layer before its tail has
  // come back from the last one.
  block_tag_t block_tag;
  logic block_tag_valid, block_tag_ready, block_tags_have_room;

  // ---- Into the block -------------------------------------------------------------------------
  logic sending, from_ring;
  logic [BeatBits-1:0] send_beat;
  logic [InFlightBits-1:0] in_flight;  // tokens between in1 and the end of their last layer

  wire may_start = !sending && !out1_V_TVALID && !out2_V_TVALID && block_tags_have_room;
  wire start_ring = may_start && ring_tag_valid;
  wire may_admit = may_start && !ring_tag_valid && in_flight != InFlightBits'(TOKENS);
  wire start_new = may_admit && in1_V_TVALID;
  wire start = start_ring || start_new;
  wire block_tag_t started = start_ring ? ring_tag : '{8'd0, in1_V_TDATA};

  assign ring_tag_ready = may_start;
  assign in1_V_TREADY   = may_admit;

  logic send_ready;
  wire send_valid = sending && (from_ring ? ring_data_valid : in0_V_TVALID);
  wire send = send_valid && send_ready;

  assign in0_V_TREADY = sending && !from_ring && send_ready;
  assign ring_data_ready = sending && from_ring && send_ready;

  axis_fifo #(
      .W(40),
      .DEPTH(TOKENS + 1)
  ) block_tags (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (started),
      .in0_V_TVALID (start),
      .in0_V_TREADY (block_tags_have_room),
      .out0_V_TDATA (block_tag),
      .out0_V_TVALID(block_tag_valid),
      .out0_V_TREADY(block_tag_ready)
  );

  axis_register #(
      .W(W)
  ) send_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA (from_ring ? ring_data : in0_V_TDATA),
      .in0_V_TVALID(send_valid),
      .in0_V_TREADY(send_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );

  always_ff @(posedge ap_clk) begin
    if (start) begin
      from_ring    <= start_ring;
      out1_V_TDATA <= started;
      out2_V_TDATA <= started.layer;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      sending       <= 1'b0;
      send_beat     <= '0;
      out1_V_TVALID <= 1'b0;
      out2_V_TVALID <= 1'b0;
    end else begin
      if (start) sending <= 1'b1;
      else if (send && send_beat == LastBeat) sending <= 1'b0;

      if (send) send_beat <= send_beat == LastBeat ? '0 : send_beat + 1'b1;

      if (start) out1_V_TVALID <= 1'b1;
      else if (out1_V_TREADY) out1_V_TVALID <= 1'b0;

      if (start) out2_V_TVALID <= 1'b1;
      else if (out2_V_TREADY) out2_V_TVALID <= 1'b0;
    end
  end

  // ---- Out of the block -----------------------------------------------------------------------
  logic [BeatBits-1:0] return_beat;
  logic final_ready, final_tag_ready;

  wire first = return_beat == '0;
  wire finished = block_tag.layer == 8'(LAYERS - 1);
  wire wanted = block_tag.tag[LogitsBit];
  wire to_ring = !finished && ring_has_room && (!first || ring_tag_has_room);
  wire to_final = finished && wanted && final_ready && (!first || final_tag_ready);
  wire to_nowhere = finished && !wanted;

  assign in2_V_TREADY = block_tag_valid && (to_ring || to_final || to_nowhere);

  wire returned = in2_V_TVALID && in2_V_TREADY;
  wire returned_last = returned && return_beat == LastBeat;

  assign block_tag_ready = returned_last;
  assign ring_write = returned && !finished;
  assign ring_tag_write = ring_write && first;
  assign ring_tag_in = '{block_tag.layer + 8'd1, block_tag.tag};

  axis_register #(
      .W(W)
  ) final_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in2_V_TDATA),
      .in0_V_TVALID (returned && finished && wanted),
      .in0_V_TREADY (final_ready),
      .out0_V_TDATA (out3_V_TDATA),
      .out0_V_TVALID(out3_V_TVALID),
      .out0_V_TREADY(out3_V_TREADY)
  );

  axis_register #(
      .W(32)
  ) final_tag_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (block_tag.tag),
      .in0_V_TVALID (returned && finished && wanted && first),
      .in0_V_TREADY (final_tag_ready),
      .out0_V_TDATA (out4_V_TDATA),
      .out0_V_TVALID(out4_V_TVALID),
      .out0_V_TREADY(out4_V_TREADY)
  );

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      return_beat <= '0;
      in_flight   <= '0;
    end else begin
      if (returned) return_beat <= return_beat == LastBeat ? '0 : return_beat + 1'b1;
      in_flight <= in_flight + InFlightBits'(start_new)
                   - InFlightBits'(returned_last && finished);
    end
  end
endmodule
