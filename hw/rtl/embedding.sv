// Embedding look-up: one token beat in, its residual vector and its tag out.
//
// in0   token beat, 64 bit: [31:0] tag, [47:32] token
// out0  residual, N/PE beats of PE x int16, table[token] << EMBED_SHIFT, lane 0 in the low bits
// out1  tag, 32 bit, one beat a token, offered no later than the token's first residual beat
//
// A token of VOCAB or more reads the last row (the sequencer never sends one).
// Table file: VOCAB*N/PE lines of PE numbers of BITS bits (signed) in hexadecimal, lane 0 in the low bits.
// Latency    4 cycles from token to first residual beat.
// Throughput one token every N/PE cycles (every 2 if N/PE is 1).
// Reset      drops the tokens inside; the table stays.
module embedding #(
    parameter int VOCAB = 512,
    parameter int N = 64,
    parameter int PE = 4,
    parameter int EMBED_SHIFT = 4,
    parameter int BITS = 8,
    parameter TABLE_FILE = "embedding.dat"
) (
    input  logic             ap_clk,
    input  logic             ap_rst_n,
    input  logic [     63:0] in0_V_TDATA,
    input  logic             in0_V_TVALID,
    output logic             in0_V_TREADY,
    output logic [PE*16-1:0] out0_V_TDATA,
    output logic             out0_V_TVALID,
    input  logic             out0_V_TREADY,
    output logic [     31:0] out1_V_TDATA,
    output logic             out1_V_TVALID,
    input  logic             out1_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int Rows = VOCAB * Beats;
  localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int TokenBits = 16;

  if (PE < 1 || N % PE != 0) begin : gen_bad_pe
    $error("embedding: PE=%0d does not divide N=%0d", PE, N);
  end
  if (VOCAB < 1 || VOCAB > 65535) begin : gen_bad_vocab
    $error("embedding: VOCAB=%0d, must be 1..65535", VOCAB);
  end
  if (BITS < 2 || BITS > 8) begin : gen_bad_bits
    $error("embedding: BITS=%0d, must be 2..8", BITS);
  end
  if (EMBED_SHIFT < 0 || EMBED_SHIFT > 16 - BITS) begin : gen_bad_embed_shift
    $error("embedding: EMBED_SHIFT=%0d, must be 0..%0d: results are int16", EMBED_SHIFT, 16 - BITS);
  end

  logic [PE*BITS-1:0] rows[Rows];
  initial $readmemh(TABLE_FILE, rows);

  // One token waits here while the one before it is read out.
  logic waiting;
  logic [TokenBits-1:0] waiting_token;
  logic [31:0] waiting_tag;

  // Row address generator, then the memory's data register, then the output register.
  logic active, row_valid;
  logic [BeatBits-1:0] beat;
  logic [RowBits-1:0] row;
  logic [PE*BITS-1:0] row_data;

  wire out_free = !out0_V_TVALID || out0_V_TREADY;
  wire data_free = !row_valid || out_free;
  wire last = beat == BeatBits'(Beats - 1);
  wire finish = active && data_free && last;
  wire start = waiting && !out1_V_TVALID && (!active || finish);

  assign in0_V_TREADY = !waiting;

  wire [TokenBits-1:0] token = in0_V_TDATA[47:32];

  always_ff @(posedge ap_clk) begin
    if (in0_V_TVALID && in0_V_TREADY) begin
      waiting_token <= token < TokenBits'(VOCAB) ? token : TokenBits'(VOCAB - 1);
      waiting_tag   <= in0_V_TDATA[31:0];
    end
    if (start) begin
      row <= RowBits'(int'(waiting_token) * Beats);
      out1_V_TDATA <= waiting_tag;
    end else if (active && data_free) begin
      row <= row + 1'b1;
    end
    if (data_free) row_data <= rows[row];
    if (out_free) begin
      for (int lane = 0; lane < PE; lane++) begin
        out0_V_TDATA[lane*16+:16] <= 16'($signed(row_data[lane*BITS+:BITS])) <<< EMBED_SHIFT;
      end
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      waiting       <= 1'b0;
      active        <= 1'b0;
      row_valid     <= 1'b0;
      beat          <= '0;
      out0_V_TVALID <= 1'b0;
      out1_V_TVALID <= 1'b0;
    end else begin
      if (in0_V_TVALID && in0_V_TREADY) waiting <= 1'b1;
      else if (start) waiting <= 1'b0;

      if (start) active <= 1'b1;
      else if (finish) active <= 1'b0;

      if (active && data_free) beat <= last ? '0 : beat + 1'b1;
      if (data_free) row_valid <= active;
      if (out_free) out0_V_TVALID <= row_valid;

      if (start) out1_V_TVALID <= 1'b1;
      else if (out1_V_TREADY) out1_V_TVALID <= 1'b0;
    end
  end
endmodule
