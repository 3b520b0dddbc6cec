// Passes logits on and shows them to the host where the token's DUMP flag asks for it.
//
// in0   logits, N/PE beats of PE x int16, lane 0 in the low bits
// in1   tag, 32 bit, one beat a vector: [25] DUMP
// out0  the logits
// out1  the tag, one beat a vector, before the vector's first beat
// out2  of vectors with DUMP: one beat with the tag in the low bits, then the logits; PE*16 bits, at least 32
//
// Latency    1 cycle from a beat to out0, 2 more from the tag for the first one, 3 with DUMP.
// Throughput one beat a cycle; N/PE + 1 cycles a vector, one more with DUMP.
// Reset      drops the vector inside.
module logits_tap #(
    parameter int N = 512,
    parameter int PE = 2,
    localparam int ShownBits = PE < 2 ? 32 : PE * 16
) (
    input  logic                 ap_clk,
    input  logic                 ap_rst_n,
    input  logic [    PE*16-1:0] in0_V_TDATA,
    input  logic                 in0_V_TVALID,
    output logic                 in0_V_TREADY,
    input  logic [         31:0] in1_V_TDATA,
    input  logic                 in1_V_TVALID,
    output logic                 in1_V_TREADY,
    output logic [    PE*16-1:0] out0_V_TDATA,
    output logic                 out0_V_TVALID,
    input  logic                 out0_V_TREADY,
    output logic [         31:0] out1_V_TDATA,
    output logic                 out1_V_TVALID,
    input  logic                 out1_V_TREADY,
    output logic [ShownBits-1:0] out2_V_TDATA,
    output logic                 out2_V_TVALID,
    input  logic                 out2_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int DumpBit = 25;

  if (PE < 1 || N % PE != 0) begin : gen_bad_pe
    $error("logits_tap: PE=%0d does not divide N=%0d", PE, N);
  end

  typedef enum logic [1:0] {
    kTag,
    kHeader,
    kLogits
  } state_e;

  state_e state;
  logic shown;  // this vector goes to the host too
  logic [31:0] tag;
  logic [BeatBits-1:0] beat;
  wire last_beat = beat == BeatBits'(Beats - 1);

  logic logits_ready, tag_ready, shown_ready;
  wire header = state == kHeader && shown_ready;
  wire pass = state == kLogits && in0_V_TVALID && logits_ready && (!shown || shown_ready);

  assign in0_V_TREADY = state == kLogits && logits_ready && (!shown || shown_ready);
  assign in1_V_TREADY = state == kTag && tag_ready;

  always_ff @(posedge ap_clk) begin
    if (in1_V_TVALID && in1_V_TREADY) {shown, tag} <= {in1_V_TDATA[DumpBit], in1_V_TDATA};
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      state <= kTag;
      beat  <= '0;
    end else begin
      unique case (state)
        kTag: if (in1_V_TVALID && in1_V_TREADY) state <= in1_V_TDATA[DumpBit] ? kHeader : kLogits;
        kHeader: if (header) state <= kLogits;
        default: if (pass && last_beat) state <= kTag;
      endcase
      if (pass) beat <= last_beat ? '0 : beat + 1'b1;
    end
  end

  axis_register #(
      .W(PE * 16)
  ) logits_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA,
      .in0_V_TVALID (pass),
      .in0_V_TREADY (logits_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );

  axis_register #(
      .W(32)
  ) tag_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in1_V_TDATA),
      .in0_V_TVALID (in1_V_TVALID && state == kTag),
      .in0_V_TREADY (tag_ready),
      .out0_V_TDATA (out1_V_TDATA),
      .out0_V_TVALID(out1_V_TVALID),
      .out0_V_TREADY(out1_V_TREADY)
  );

  axis_register #(
      .W(ShownBits)
  ) shown_register (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (state == kHeader ? ShownBits'(tag) : ShownBits'(in0_V_TDATA)),
      .in0_V_TVALID (state == kHeader || (pass && shown)),
      .in0_V_TREADY (shown_ready),
      .out0_V_TDATA (out2_V_TDATA),
      .out0_V_TVALID(out2_V_TVALID),
      .out0_V_TREADY(out2_V_TREADY)
  );
endmodule
