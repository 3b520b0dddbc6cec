// Parts the stream of shown logits (logits_tap) into tags and logits of 64-bit beats.
//
// in0   vectors: a beat with the tag in the low bits, then N/PE beats of PE x int16; at least 32 bits
// out0  the tag, one beat a vector
// out1  the logits, ceil(N/4) beats of 64 bits, the last one filled up with zeros
//
// Latency    1 cycle to out0; 2 to out1 from the beat that fills one of its own.
// Throughput one beat a cycle; where PE is above 4, PE/4 cycles a beat.
// Reset      drops the vector inside.
module shown_logits #(
    parameter int N = 512,
    parameter int PE = 2,
    localparam int ShownBits = PE < 2 ? 32 : PE * 16
) (
    input  logic                 ap_clk,
    input  logic                 ap_rst_n,
    input  logic [ShownBits-1:0] in0_V_TDATA,
    input  logic                 in0_V_TVALID,
    output logic                 in0_V_TREADY,
    output logic [         31:0] out0_V_TDATA,
    output logic                 out0_V_TVALID,
    input  logic                 out0_V_TREADY,
    output logic [         63:0] out1_V_TDATA,
    output logic                 out1_V_TVALID,
    input  logic                 out1_V_TREADY
);
  localparam int Beats = N / PE;
  // beats of zeros that complete the last word: the lanes of a vector are a multiple of 4 with them
  localparam int Filled = PE < 4 ? ((N + 3) / 4 * 4) / PE : Beats;
  localparam int BeatBits = $clog2(Filled + 1);

  if (PE < 1 || N % PE != 0 || (PE < 4 ? 4 % PE != 0 : PE % 4 != 0)) begin : gen_bad_pe
    $error("shown_logits: PE=%0d must divide N=%0d, and be 1, 2 or a multiple of 4", PE, N);
  end

  logic taken;  // a vector, whose tag has been taken
  logic [BeatBits-1:0] beat;
  logic tag_ready, lanes_ready;
  wire filling = taken && beat >= BeatBits'(Beats);
  wire last = beat == BeatBits'(Filled - 1);

  wire tag_valid = in0_V_TVALID && !taken;
  wire lanes_valid = taken && (filling || in0_V_TVALID);
  assign in0_V_TREADY = taken ? lanes_ready && !filling : tag_ready;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      taken <= 1'b0;
      beat  <= '0;
    end else if (!taken) begin
      if (tag_valid && tag_ready) taken <= 1'b1;
    end else if (lanes_valid && lanes_ready) begin
      beat <= last ? '0 : beat + 1'b1;
      if (last) taken <= 1'b0;
    end
  end

  axis_register #(
      .W(32)
  ) tags (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA (in0_V_TDATA[31:0]),
      .in0_V_TVALID(tag_valid),
      .in0_V_TREADY(tag_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );

  width_converter #(
      .IN_BITS (PE * 16),
      .OUT_BITS(64)
  ) words (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (filling ? '0 : in0_V_TDATA[PE*16-1:0]),
      .in0_V_TVALID (lanes_valid),
      .in0_V_TREADY (lanes_ready),
      .out0_V_TDATA (out1_V_TDATA),
      .out0_V_TVALID(out1_V_TVALID),
      .out0_V_TREADY(out1_V_TREADY)
  );
endmodule
