// Accumulators to int8 or int16: clip((acc * mult + bias) >> SHIFT), with one parameter set per layer.
// With ADD the scaled value is added to the residual before the clip.
//
// in0   accumulators, N/PE beats of PE x AW bits (signed, padded to whole bytes), lane 0 in the low bits
// in1   selector, 8 bit, one beat a vector: the layer whose parameters apply (below LAYERS); unused if LAYERS is 1
// in2   residual, N/PE beats of PE x OW bits; unused if ADD is 0
// out0  N/PE beats of PE x OW bits
//
// Table file: LAYERS*N/PE lines in hexadecimal, layer-major; lane p in bits [p*Entry +: Entry], mult (MW bits,
// unsigned) low. With BIAS_TABLE 1 an entry is {bias (BW bits, signed), mult}; with 0 it is mult alone, and the
// bias of every channel is the parameter BIAS.
// The products and sums have the width that their operands need, so nothing overflows for any input.
// ROM_STYLE is the synthesis attribute of the table: auto, block or distributed.
// Latency    4 cycles from a beat to its result, 1 more from the selector.
// Throughput 1 beat a cycle, vectors back to back; 1 multiplication a lane.
// Reset      drops the beats inside; the table stays.
module requantise #(
    parameter int N = 64,
    parameter int PE = 4,
    parameter int LAYERS = 1,
    parameter int AW = 20,
    parameter int MW = 16,
    parameter int BW = 32,
    parameter int SHIFT = 16,
    parameter int OW = 8,
    parameter int ADD = 0,
    parameter int BIAS_TABLE = 1,
    parameter int BIAS = 0,
    parameter TABLE_FILE = "requantise.dat",
    parameter ROM_STYLE = "auto",
    localparam int AccBits = (PE * AW + 7) / 8 * 8
) (
    input  logic               ap_clk,
    input  logic               ap_rst_n,
    input  logic [AccBits-1:0] in0_V_TDATA,
    input  logic               in0_V_TVALID,
    output logic               in0_V_TREADY,
    input  logic [        7:0] in1_V_TDATA,
    input  logic               in1_V_TVALID,
    output logic               in1_V_TREADY,
    input  logic [  PE*OW-1:0] in2_V_TDATA,
    input  logic               in2_V_TVALID,
    output logic               in2_V_TREADY,
    output logic [  PE*OW-1:0] out0_V_TDATA,
    output logic               out0_V_TVALID,
    input  logic               out0_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int Rows = LAYERS * Beats;
  localparam int RowBits = Rows > 1 ? $clog2(Rows) : 1;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int BiasBits = BIAS_TABLE != 0 ? BW : 32;
  localparam int EntryBits = MW + (BIAS_TABLE != 0 ? BW : 0);
  localparam int ProductBits = AW + MW;
  localparam int SumBits = (ProductBits > BiasBits ? ProductBits : BiasBits) + 1;
  localparam int Headroom = SumBits - SHIFT;  // bits of the scaled value, if there are any left
  localparam int ScaledBits = Headroom > 1 ? Headroom : 1;
  localparam int ResultBits = ADD != 0 ? (ScaledBits > OW ? ScaledBits : OW) + 1 : ScaledBits;

  if (PE < 1 || N % PE != 0) begin : gen_bad_pe
    $error("requantise: PE=%0d does not divide N=%0d", PE, N);
  end
  if (LAYERS < 1 || LAYERS > 256) begin : gen_bad_layers
    $error("requantise: LAYERS=%0d, must be 1..256", LAYERS);
  end
  if (AW < 2 || AW > 32 || MW < 1 || MW > 16 || BW < 1 || BW > 32) begin : gen_bad_bits
    $error("requantise: AW=%0d, MW=%0d, BW=%0d; limits 2..32, 1..16, 1..32", AW, MW, BW);
  end
  if (SHIFT < 1 || SHIFT > 40) begin : gen_bad_shift
    $error("requantise: SHIFT=%0d, must be 1..40", SHIFT);
  end
  if (OW != 8 && OW != 16) begin : gen_bad_ow
    $error("requantise: OW=%0d, must be 8 or 16", OW);
  end

  (* rom_style = ROM_STYLE *)
  logic [PE*EntryBits-1:0] rows[Rows];
  initial $readmemh(TABLE_FILE, rows, 0, Rows - 1);

  // Position in the vector, and the first row of the layer's parameters.
  logic [BeatBits-1:0] beat;
  logic [RowBits-1:0] base;
  logic base_valid;
  wire last_beat = beat == BeatBits'(Beats - 1);
  wire [RowBits-1:0] row = base + RowBits'(beat);

  // Valid flags of the stages: look up, multiply, add the bias; the output register is the fourth.
  logic looked_up, multiplied, biased;
  wire advance = !out0_V_TVALID || out0_V_TREADY;
  wire complete = in0_V_TVALID && base_valid && (ADD == 0 || in2_V_TVALID);
  wire accept = complete && advance;

  assign in0_V_TREADY = accept;
  assign in2_V_TREADY = ADD == 0 || accept;

  if (LAYERS == 1) begin : gen_one_set
    assign base = '0;
    assign base_valid = 1'b1;
    assign in1_V_TREADY = 1'b1;
  end else begin : gen_sets
    // The next selector is taken while the last beat of a vector leaves: no gap between vectors.
    assign in1_V_TREADY = !base_valid || (accept && last_beat);

    always_ff @(posedge ap_clk) begin
      if (in1_V_TVALID && in1_V_TREADY) base <= RowBits'(int'(in1_V_TDATA) * Beats);
    end

    always_ff @(posedge ap_clk) begin
      if (!ap_rst_n) base_valid <= 1'b0;
      else if (in1_V_TREADY) base_valid <= in1_V_TVALID;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      beat          <= '0;
      looked_up     <= 1'b0;
      multiplied    <= 1'b0;
      biased        <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else if (advance) begin
      if (complete) beat <= last_beat ? '0 : beat + 1'b1;
      looked_up     <= complete;
      multiplied    <= looked_up;
      biased        <= multiplied;
      out0_V_TVALID <= biased;
    end
  end

  logic [PE*EntryBits-1:0] entries;
  always_ff @(posedge ap_clk) begin
    if (advance) entries <= rows[row];
  end

  for (genvar lane = 0; lane < PE; lane++) begin : gen_lane
    wire [EntryBits-1:0] entry = entries[lane*EntryBits+:EntryBits];
    logic signed [AW-1:0] acc;
    logic signed [ProductBits-1:0] product;
    logic signed [BiasBits-1:0] bias;
    logic signed [SumBits-1:0] sum;
    wire signed [ScaledBits-1:0] scaled = ScaledBits'(sum >>> SHIFT);

    if (BIAS_TABLE != 0) begin : gen_bias_column
      always_ff @(posedge ap_clk) begin
        if (advance) bias <= entry[EntryBits-1:MW];
      end
    end else begin : gen_bias_constant
      assign bias = BiasBits'(BIAS);
    end

    always_ff @(posedge ap_clk) begin
      if (advance) begin
        acc     <= in0_V_TDATA[lane*AW+:AW];
        product <= acc * $signed({1'b0, entry[MW-1:0]});  // at most 2^(AW-1) * (2^MW - 1)
        sum     <= SumBits'(product) + SumBits'(bias);
      end
    end

    logic [ResultBits-1:0] result;
    if (ADD != 0) begin : gen_add
      logic [2:0][OW-1:0] residual;  // travels beside the three stages
      always_ff @(posedge ap_clk) begin
        if (advance) residual <= {residual[1:0], in2_V_TDATA[lane*OW+:OW]};
      end
      assign result = ResultBits'(scaled) + ResultBits'($signed(residual[2]));
    end else begin : gen_plain
      assign result = scaled;
    end

    logic [OW-1:0] clipped;
    saturate #(
        .IN_BITS (ResultBits),
        .OUT_BITS(OW)
    ) clip (
        .value  (result),
        .clipped(clipped)
    );

    always_ff @(posedge ap_clk) begin
      if (advance) out0_V_TDATA[lane*OW+:OW] <= clipped;
    end
  end
endmodule
