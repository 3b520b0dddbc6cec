// Adds seeded Gumbel noise to logits, so that their argmax is a draw from the softmax; with temperature 0 it is the
// argmax of the logits themselves.
//
// in0   logits, N/PE beats of PE x int16, lane 0 in the low bits
// in1   request, 96 bit, one beat a vector: [63:0] seed, [79:64] position, [95:80] temperature (1/4096)
// out0  scores, N/PE beats of PE x OutBits, signed: (logit << 4) + round(noise * temperature / 2^SHIFT)
//
// Table file: of `gumbel`. SHIFT is 18 less the fraction bits of a logit step.
// The pipeline runs freely; beats are taken only while the output queue has room for all that are inside.
// Latency    25 cycles from a beat to its scores, 1 more from the request.
// Throughput 1 beat a cycle. A vector of fewer than 23 beats waits until the one before the last has left the generator.
// Reset      drops the vectors inside.
module sampler #(
    parameter int N = 512,
    parameter int PE = 2,
    parameter int SHIFT = 10,
    parameter TABLE_FILE = "gumbel.dat",
    localparam int ShakenBits = 16 + 1 + 16,
    localparam int KeptBits = ShakenBits - SHIFT > 20 ? ShakenBits - SHIFT : 20,
    localparam int OutBits = KeptBits + 1,
    localparam int OutWidth = (PE * OutBits + 7) / 8 * 8
) (
    input  logic                ap_clk,
    input  logic                ap_rst_n,
    input  logic [   PE*16-1:0] in0_V_TDATA,
    input  logic                in0_V_TVALID,
    output logic                in0_V_TREADY,
    input  logic [        95:0] in1_V_TDATA,
    input  logic                in1_V_TVALID,
    output logic                in1_V_TREADY,
    output logic [OutWidth-1:0] out0_V_TDATA,
    output logic                out0_V_TVALID,
    input  logic                out0_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int Generators = (PE + 1) / 2;
  localparam int NoiseLatency = 14 + 6;
  localparam int Latency = NoiseLatency + 3;  // multiply, its output register, add
  localparam int Depth = 32;
  localparam int CountBits = $clog2(Depth + 1);

  if (PE < 1 || N % PE != 0 || (PE > 1 && PE % 2 != 0)) begin : gen_bad_pe
    $error("sampler: PE=%0d must be 1 or even and divide N=%0d", PE, N);
  end
  if (N < 1 || N > 65536) begin : gen_bad_n
    $error("sampler: N=%0d, must be 1..65536", N);
  end
  if (SHIFT < 4 || SHIFT > 17) begin : gen_bad_shift
    $error("sampler: SHIFT=%0d, must be 4..17: logit steps of 2^-14 to 2^-1 nats", SHIFT);
  end

  // ---- Requests: two banks, so that vectors follow each other while the generator is full ------
  typedef struct packed {
    logic [15:0] temperature;
    logic [15:0] position;
    logic [63:0] seed;
  } request_t;

  request_t requests[2];
  logic [CountBits-1:0] held[2];  // beats of the bank between in0 and the output queue
  logic loading, bank;  // the bank that the next request goes to, and that of the next beat
  logic [1:0] loaded;  // a request is there

  wire load = in1_V_TVALID && in1_V_TREADY;
  assign in1_V_TREADY = !loaded[loading] && held[loading] == '0;

  logic [BeatBits-1:0] beat;
  wire last_beat = beat == BeatBits'(Beats - 1);
  wire accept = in0_V_TVALID && in0_V_TREADY;

  always_ff @(posedge ap_clk) begin
    if (load) requests[loading] <= in1_V_TDATA;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      loading <= 1'b0;
      bank    <= 1'b0;
      loaded  <= '0;
      beat    <= '0;
    end else begin
      if (load) begin
        loaded[loading] <= 1'b1;
        loading         <= !loading;
      end
      if (accept) beat <= last_beat ? '0 : beat + 1'b1;
      if (accept && last_beat) begin
        loaded[bank] <= 1'b0;
        bank         <= !bank;
      end
    end
  end

  // ---- Room: every beat inside has a place in the output queue ---------------------------------
  logic [CountBits-1:0] owed;  // beats between in0 and out0
  logic [Latency:0] valid;  // [k]: a beat was taken k cycles ago
  logic [Latency:0] banks;
  wire leave = out0_V_TVALID && out0_V_TREADY;

  assign valid[0] = accept;
  assign banks[0] = bank;
  assign in0_V_TREADY = loaded[bank] && owed != CountBits'(Depth);

  always_ff @(posedge ap_clk) begin
    banks[Latency:1] <= banks[Latency-1:0];
    if (!ap_rst_n) begin
      valid[Latency:1] <= '0;
      owed             <= '0;
      held             <= '{default: '0};
    end else begin
      valid[Latency:1] <= valid[Latency-1:0];
      owed             <= owed + CountBits'(accept) - CountBits'(leave);
      for (int b = 0; b < 2; b++) begin
        held[b] <= held[b] + CountBits'(accept && bank == 1'(b))
                     - CountBits'(valid[Latency] && banks[Latency] == 1'(b));
      end
    end
  end

  // ---- Random words, noise, scores -------------------------------------------------------------
  logic signed [16:0] noise[PE];
  logic [PE*16-1:0] logits[NoiseLatency+2];  // beside the generator

  wire [31:0] first_block = PE == 1 ? 32'(beat >> 1) : 32'(beat) * 32'(Generators);
  wire [1:0][1:0][31:0] keys = {requests[1].seed, requests[0].seed};

  for (genvar g = 0; g < Generators; g++) begin : gen_generator
    logic [1:0][31:0] words;
    threefry generator (
        .ap_clk,
        .keys,
        .bank,
        .counter({first_block + 32'(g), 32'(requests[bank].position)}),
        .words
    );
    if (PE == 1) begin : gen_one
      logic [13:0] second;
      always_ff @(posedge ap_clk) second <= {second[12:0], beat[0]};
      gumbel #(
          .TABLE_FILE(TABLE_FILE)
      ) table_lookup (
          .ap_clk,
          .word (words[second[13]]),
          .noise(noise[0])
      );
    end else begin : gen_two
      for (genvar w = 0; w < 2; w++) begin : gen_word
        gumbel #(
            .TABLE_FILE(TABLE_FILE)
        ) table_lookup (
            .ap_clk,
            .word (words[w]),
            .noise(noise[2*g+w])
        );
      end
    end
  end

  always_ff @(posedge ap_clk) begin
    logits[0] <= in0_V_TDATA;
    for (int stage = 1; stage < NoiseLatency + 2; stage++) logits[stage] <= logits[stage-1];
  end

  logic [OutWidth-1:0] scores;
  if (OutWidth > PE * OutBits) begin : gen_padding
    assign scores[OutWidth-1:PE*OutBits] = '0;
  end
  for (genvar lane = 0; lane < PE; lane++) begin : gen_lane
    wire [15:0] temperature = requests[banks[NoiseLatency]].temperature;
    logic signed [ShakenBits-1:0] shaken, rounded;
    wire signed [15:0] logit = logits[NoiseLatency+1][lane*16+:16];
    always_ff @(posedge ap_clk) begin
      shaken <= noise[lane] * $signed({1'b0, temperature});
      rounded <= shaken + (ShakenBits'(1) << (SHIFT - 1));
      scores[lane*OutBits+:OutBits] <= (OutBits'(logit) <<< 4) + OutBits'(rounded >>> SHIFT);
    end
  end

  axis_fifo #(
      .W(OutWidth),
      .DEPTH(Depth)
  ) queue (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA (scores),
      .in0_V_TVALID(valid[Latency]),
      .in0_V_TREADY(),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );
endmodule
