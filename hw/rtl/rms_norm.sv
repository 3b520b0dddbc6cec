// RMSNorm without gain: y = clip((r * n + 2^(NORM_SHIFT-1)) >> NORM_SHIFT), n = floor(2^24 / sqrt(sum of r^2)), where
// clip limits to OUT_BITS bits.
//
// in0   residual, N/PE beats of PE x int16, lane 0 in the low bits
// out0  N/PE beats of PE x int8
//
// Three stages overlap: the beats go into a ring while their squares are summed; the inverse root of a finished sum
// is found; the ring is read, multiplied and emitted.
// |r * n| <= 2^24 for every input, because r^2 <= sum of r^2: no sum or product here can overflow.
// Latency    from the last beat in to the first beat out: ceil(25/ROOT_DIGITS) + ceil(clog2(PE)/2) + 7 cycles.
// Throughput one vector every max(N/PE, ceil(25/ROOT_DIGITS) + 1) cycles; 2 multiplications a lane.
// Reset      drops the vectors inside.
module rms_norm #(
    parameter int N = 64,
    parameter int PE = 4,
    parameter int NORM_SHIFT = 16,
    parameter int ROOT_DIGITS = 2,
    parameter int OUT_BITS = 8
) (
    input  logic             ap_clk,
    input  logic             ap_rst_n,
    input  logic [PE*16-1:0] in0_V_TDATA,
    input  logic             in0_V_TVALID,
    output logic             in0_V_TREADY,
    output logic [ PE*8-1:0] out0_V_TDATA,
    output logic             out0_V_TVALID,
    input  logic             out0_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  // A vector stays for Beats + about 34 cycles; the ring is a power of two of vectors that covers that.
  localparam int Vectors = Beats >= 40 ? 2 : 4;
  localparam int VectorBits = $clog2(Vectors);
  localparam int Depth = Vectors * Beats;
  localparam int DepthBits = $clog2(Depth);
  localparam int CountBits = $clog2(Depth + 1);
  localparam int SquareBits = 32;  // 2^30 at most, as a signed number
  localparam int TreeBits = SquareBits + $clog2(PE);
  localparam int TreeLatency = ($clog2(PE) + 1) / 2;
  localparam int SumBits = 31 + $clog2(N);
  localparam int RootBits = 25;
  localparam int ProductBits = 26;
  localparam int RoundBits = ProductBits + 1;
  localparam logic signed [RoundBits-1:0] Half = RoundBits'(1) <<< (NORM_SHIFT - 1);

  if (PE < 1 || N % PE != 0) begin : gen_bad_pe
    $error("rms_norm: PE=%0d does not divide N=%0d", PE, N);
  end
  if (N < 1 || N > 65536) begin : gen_bad_n
    $error("rms_norm: N=%0d, must be 1..65536", N);
  end
  if (NORM_SHIFT < 1 || NORM_SHIFT > 25) begin : gen_bad_norm_shift
    $error("rms_norm: NORM_SHIFT=%0d, must be 1..25", NORM_SHIFT);
  end

  if (OUT_BITS < 2 || OUT_BITS > 8) begin : gen_bad_out_bits
    $error("rms_norm: OUT_BITS=%0d, must be 2..8", OUT_BITS);
  end

  // ------------------------------------------------------------------ load: ring and sum of squares
  logic [PE*16-1:0] ring[Depth];
  logic [DepthBits-1:0] write_at, read_at;
  logic [CountBits-1:0] count;
  logic [BeatBits-1:0] load_beat;
  logic load, read;  // a beat enters, leaves the ring
  wire last_load = load_beat == BeatBits'(Beats - 1);

  assign in0_V_TREADY = count != CountBits'(Depth);
  assign load = in0_V_TVALID && in0_V_TREADY;

  function automatic logic [DepthBits-1:0] after(input logic [DepthBits-1:0] at);
    return at == DepthBits'(Depth - 1) ? '0 : at + 1'b1;
  endfunction

  always_ff @(posedge ap_clk) begin
    if (load) ring[write_at] <= in0_V_TDATA;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      write_at  <= '0;
      read_at   <= '0;
      load_beat <= '0;
      count     <= '0;
    end else begin
      if (load) write_at <= after(write_at);
      if (read) read_at <= after(read_at);
      if (load) load_beat <= last_load ? '0 : load_beat + 1'b1;
      count <= count + CountBits'(load) - CountBits'(read);
    end
  end

  logic [PE-1:0][SquareBits-1:0] squares;
  for (genvar lane = 0; lane < PE; lane++) begin : gen_square
    wire signed [15:0] residual = in0_V_TDATA[lane*16+:16];
    logic signed [SquareBits-1:0] square;
    always_ff @(posedge ap_clk) square <= residual * residual;
    assign squares[lane] = square;
  end

  logic [TreeBits-1:0] beat_sum;
  adder_tree #(
      .N (PE),
      .IW(SquareBits),
      .OW(TreeBits)
  ) tree (
      .ap_clk,
      .terms(squares),
      .total(beat_sum)
  );

  // Flags beside the squares and the tree; it never stalls, so a beat is summed when it has arrived.
  logic [TreeLatency:0] summed, final_beat;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) summed <= '0;
    else summed <= (TreeLatency + 1)'({summed, load});
    final_beat <= (TreeLatency + 1)'({final_beat, last_load});
  end
  wire add = summed[TreeLatency];
  wire close = add && final_beat[TreeLatency];

  // Finished sums wait for the root. The ring holds every beat of a vector whose sum waits, so they fit.
  logic [Vectors-1:0][SumBits-1:0] sums;
  logic [VectorBits-1:0] sum_write, sum_read;
  logic [VectorBits:0] sums_waiting;
  logic [SumBits-1:0] partial;
  logic root_start;
  wire [SumBits-1:0] running = partial + SumBits'(beat_sum);

  always_ff @(posedge ap_clk) begin
    if (close) sums[sum_write] <= running;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      partial      <= '0;
      sum_write    <= '0;
      sum_read     <= '0;
      sums_waiting <= '0;
    end else begin
      if (add) partial <= close ? '0 : running;
      if (close) sum_write <= sum_write + 1'b1;
      if (root_start) sum_read <= sum_read + 1'b1;
      sums_waiting <= sums_waiting + (VectorBits + 1)'(close) - (VectorBits + 1)'(root_start);
    end
  end

  // ------------------------------------------------------------------ inverse root
  logic root_busy, root_done, root_held;
  logic [RootBits-1:0] root;
  logic take;  // the emitter takes the root, together with the first word of its vector
  wire root_ready = root_done || root_held;

  assign root_start = sums_waiting != '0 && !root_busy && (!root_ready || take);

  inverse_root #(
      .SW(SumBits),
      .DIGITS(ROOT_DIGITS)
  ) inverse (
      .ap_clk,
      .ap_rst_n,
      .start(root_start),
      .ss   (sums[sum_read]),
      .busy (root_busy),
      .done (root_done),
      .root
  );

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) root_held <= 1'b0;
    else root_held <= root_ready && !take;
  end

  // ------------------------------------------------------------------ emit
  logic [BeatBits-1:0] emit_beat;  // 0 between vectors
  wire advance = !out0_V_TVALID || out0_V_TREADY;
  wire between = emit_beat == '0;

  assign take = between && root_ready && advance;
  assign read = take || (!between && advance);

  // Valid flags of the stages: read, multiply, round; the output register is the fourth.
  logic fetched, multiplied, rounded;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      emit_beat     <= '0;
      fetched       <= 1'b0;
      multiplied    <= 1'b0;
      rounded       <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else if (advance) begin
      if (read) emit_beat <= emit_beat == BeatBits'(Beats - 1) ? '0 : emit_beat + 1'b1;
      fetched       <= read;
      multiplied    <= fetched;
      rounded       <= multiplied;
      out0_V_TVALID <= rounded;
    end
  end

  logic [PE*16-1:0] word;
  logic [RootBits-1:0] factor;
  always_ff @(posedge ap_clk) begin
    if (advance) word <= ring[read_at];
    if (take) factor <= root;
  end

  for (genvar lane = 0; lane < PE; lane++) begin : gen_emit
    wire signed [15:0] residual = word[lane*16+:16];
    logic signed [ProductBits-1:0] product;
    logic signed [RoundBits-1:0] sum;
    always_ff @(posedge ap_clk) begin
      if (advance) begin
        product <= ProductBits'(residual * $signed({1'b0, factor}));
        sum     <= RoundBits'(product) + Half;
      end
    end

    logic [OUT_BITS-1:0] clipped;
    saturate #(
        .IN_BITS (RoundBits - NORM_SHIFT),
        .OUT_BITS(OUT_BITS)
    ) clip (
        .value  (sum[RoundBits-1:NORM_SHIFT]),
        .clipped(clipped)
    );

    always_ff @(posedge ap_clk) begin
      if (advance) out0_V_TDATA[lane*8+:8] <= 8'($signed(clipped));
    end
  end
endmodule
