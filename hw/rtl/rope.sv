// Rotary position embedding on the q and k heads of a vector; the v heads pass.
//   even' = clip8((even*cos - odd*sin + 4096) >> 13), odd' = clip8((even*sin + odd*cos + 4096) >> 13)
// With KV_BITS below 8 what goes to the cache, the last NP rotated heads (k) and the passed ones (v), is rounded to
// that many bits, halves up: k once, from its sum, with 8-KV_BITS more bits shifted out.
//
// in0   NR rotated then NP passed heads of HD int8, HD/PE beats a head, lane 0 in the low bits
// in1   block tag, 40 bit, one beat a vector: bits [15:0] are the position (below T)
// out0  the same heads in the same order
//
// Table file: T*HD/PE lines in hexadecimal, position-major; pair p in bits [30p +: 30], cos low, then sin, both
// 15-bit two's complement, Q13. Any table gives exact arithmetic: no sum here can overflow.
// ROM_STYLE is the synthesis attribute of the table: auto, block or distributed.
// Latency    4 cycles from a beat to its result, 1 more from the tag.
// Throughput 1 beat a cycle, vectors back to back; 4 multiplications a pair of lanes.
// Reset      drops the beats inside; the table stays.
module rope #(
    parameter int NR = 6,
    parameter int NP = 2,
    parameter int HD = 16,
    parameter int PE = 4,
    parameter int T = 256,
    parameter int KV_BITS = 8,
    parameter TABLE_FILE = "rope.dat",
    parameter ROM_STYLE = "auto"
) (
    input  logic            ap_clk,
    input  logic            ap_rst_n,
    input  logic [PE*8-1:0] in0_V_TDATA,
    input  logic            in0_V_TVALID,
    output logic            in0_V_TREADY,
    input  logic [    39:0] in1_V_TDATA,
    input  logic            in1_V_TVALID,
    output logic            in1_V_TREADY,
    output logic [PE*8-1:0] out0_V_TDATA,
    output logic            out0_V_TVALID,
    input  logic            out0_V_TREADY
);
  localparam int Pairs = PE / 2;
  localparam int HeadBeats = HD / PE;
  localparam int Beats = (NR + NP) * HeadBeats;
  localparam int Rows = T * HeadBeats;
  localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1;
  localparam int HeadBeatBits = HeadBeats > 1 ? $clog2(HeadBeats) : 1;
  localparam int BeatBits = $clog2(Beats + 1);
  localparam int FactorBits = 15;  // Q13: 8192 is 1.0
  localparam int EntryBits = 2 * FactorBits;
  localparam int Shift = 13;
  localparam int ProductBits = 8 + FactorBits;
  localparam int SumBits = ProductBits + 1;  // 2 * 2^21 of the products + 2^12 of the half < 2^23
  localparam int Drop = 8 - KV_BITS;  // bits that the cache does not keep
  localparam logic signed [SumBits-1:0] Half = SumBits'(1) <<< (Shift - 1);
  localparam logic signed [SumBits-1:0] KeyHalf = SumBits'(1) <<< (Shift + Drop - 1);

  if (PE < 2 || PE % 2 != 0 || HD % PE != 0) begin : gen_bad_pe
    $error("rope: PE=%0d must be even and divide HD=%0d", PE, HD);
  end
  if (NR < 0 || NP < 0 || NR + NP < 1) begin : gen_bad_heads
    $error("rope: NR=%0d, NP=%0d; need at least one head", NR, NP);
  end
  if (KV_BITS < 2 || KV_BITS > 8 || (KV_BITS < 8 && NP > NR)) begin : gen_bad_kv_bits
    $error("rope: KV_BITS=%0d, must be 2..8, and 8 if NP=%0d is above NR=%0d", KV_BITS, NP, NR);
  end
  if (T < 1 || T > 65536) begin : gen_bad_t
    $error("rope: T=%0d, must be 1..65536", T);
  end

  (* rom_style = ROM_STYLE *)
  logic [Pairs*EntryBits-1:0] rows[Rows];
  initial $readmemh(TABLE_FILE, rows, 0, Rows - 1);

  // Where the beat is in its vector and in its head, and the first row of its position.
  logic [BeatBits-1:0] beat;
  logic [HeadBeatBits-1:0] head_beat;
  logic [RowBits-1:0] base;
  logic base_valid;
  wire last_beat = beat == BeatBits'(Beats - 1);
  wire last_head_beat = head_beat == HeadBeatBits'(HeadBeats - 1);
  wire [RowBits-1:0] row = base + RowBits'(head_beat);

  // Valid flags of the stages: look up, multiply, add; the output register is the fourth.
  logic looked_up, multiplied, added;
  wire advance = !out0_V_TVALID || out0_V_TREADY;
  wire complete = in0_V_TVALID && base_valid;
  wire accept = complete && advance;

  // The next tag is taken while the last beat of a vector leaves: no gap between vectors.
  assign in0_V_TREADY = base_valid && advance;
  assign in1_V_TREADY = !base_valid || (accept && last_beat);

  always_ff @(posedge ap_clk) begin
    if (in1_V_TVALID && in1_V_TREADY) base <= RowBits'(int'(in1_V_TDATA[15:0]) * HeadBeats);
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      beat       <= '0;
      head_beat  <= '0;
      base_valid <= 1'b0;
    end else begin
      if (accept) beat <= last_beat ? '0 : beat + 1'b1;
      if (accept) head_beat <= last_head_beat ? '0 : head_beat + 1'b1;
      if (in1_V_TREADY) base_valid <= in1_V_TVALID;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      looked_up     <= 1'b0;
      multiplied    <= 1'b0;
      added         <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else if (advance) begin
      looked_up     <= complete;
      multiplied    <= looked_up;
      added         <= multiplied;
      out0_V_TVALID <= added;
    end
  end

  // What travels beside the arithmetic: the beat itself, and whether its head is turned, and a key.
  logic [Pairs*EntryBits-1:0] factors;
  logic [2:0][PE*8-1:0] plain;
  logic [2:0] turned, key;
  always_ff @(posedge ap_clk) begin
    if (advance) begin
      factors <= rows[row];
      plain   <= {plain[1:0], in0_V_TDATA};
      turned  <= {turned[1:0], beat < BeatBits'(NR * HeadBeats)};
      key     <= {key[1:0], beat >= BeatBits'((NR - NP) * HeadBeats)};  // or a value
    end
  end

  for (genvar pair = 0; pair < Pairs; pair++) begin : gen_pair
    wire signed [FactorBits-1:0] cosine = factors[pair*EntryBits+:FactorBits];
    wire signed [FactorBits-1:0] sine = factors[pair*EntryBits+FactorBits+:FactorBits];
    wire signed [7:0] even = plain[0][pair*16+:8];
    wire signed [7:0] odd = plain[0][pair*16+8+:8];
    logic signed [ProductBits-1:0] even_cosine, odd_sine, even_sine, odd_cosine;
    logic signed [1:0][SumBits-1:0] sum;
    wire signed [SumBits-1:0] half = Drop > 0 && key[1] ? KeyHalf : Half;

    always_ff @(posedge ap_clk) begin
      if (advance) begin
        even_cosine <= even * cosine;
        odd_sine    <= odd * sine;
        even_sine   <= even * sine;
        odd_cosine  <= odd * cosine;
        sum[0]      <= SumBits'(even_cosine) - SumBits'(odd_sine) + half;
        sum[1]      <= SumBits'(even_sine) + SumBits'(odd_cosine) + half;
      end
    end

    for (genvar side = 0; side < 2; side++) begin : gen_side
      localparam int Low = pair * 16 + side * 8;
      logic [7:0] clipped;
      saturate #(
          .IN_BITS (SumBits - Shift),
          .OUT_BITS(8)
      ) clip (
          .value  (sum[side][SumBits-1:Shift]),
          .clipped(clipped)
      );

      if (Drop == 0) begin : gen_byte
        always_ff @(posedge ap_clk) begin
          if (advance) out0_V_TDATA[Low+:8] <= turned[2] ? clipped : plain[2][Low+:8];
        end
      end else begin : gen_narrow
        localparam logic signed [8:0] ValueHalf = 9'(1 << Drop) >>> 1;
        wire signed [8:0] value = 9'($signed(plain[2][Low+:8])) + ValueHalf;
        wire [KV_BITS:0] value_top = value[8:Drop];
        wire [SumBits-Shift-Drop-1:0] key_top = sum[side][SumBits-1:Shift+Drop];
        logic [KV_BITS-1:0] kept_value, kept_key;
        saturate #(
            .IN_BITS (KV_BITS + 1),
            .OUT_BITS(KV_BITS)
        ) clip_value (
            .value  (value_top),
            .clipped(kept_value)
        );
        saturate #(
            .IN_BITS (SumBits - Shift - Drop),
            .OUT_BITS(KV_BITS)
        ) clip_key (
            .value  (key_top),
            .clipped(kept_key)
        );

        wire [7:0] kept = 8'($signed(turned[2] ? kept_key : kept_value));
        always_ff @(posedge ap_clk) begin
          if (advance) out0_V_TDATA[Low+:8] <= key[2] ? kept : clipped;
        end
      end
    end
  end
endmodule
