// SiLU gate: clip((silu_table[gate] * up + 2^(GLU_SHIFT-1)) >> GLU_SHIFT), where clip limits to OUT_BITS bits.
//
// in0   PE pairs of int8, gate then up: lane 2p is a gate, lane 2p+1 its up (rows interleaved by the compiler)
// out0  PE x int8
//
// Table file: 256 lines of int8 in hexadecimal, line gate + 128.
// Latency    4 cycles.
// Throughput 1 beat a cycle; 1 multiplication a lane.
// Reset      drops the beats inside; the table stays.
module silu_gate #(
    parameter int PE = 4,
    parameter int GLU_SHIFT = 4,
    parameter int OUT_BITS = 8,
    parameter TABLE_FILE = "silu.dat"
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
  // |silu * up| <= 2^14, plus the rounding half, plus a sign
  localparam int SumBits = (GLU_SHIFT > 15 ? GLU_SHIFT : 15) + 2;
  localparam logic signed [SumBits-1:0] Half = SumBits'(1) <<< (GLU_SHIFT - 1);

  if (PE < 1) begin : gen_bad_pe
    $error("silu_gate: PE=%0d, must be at least 1", PE);
  end
  if (GLU_SHIFT < 1 || GLU_SHIFT > 24) begin : gen_bad_glu_shift
    $error("silu_gate: GLU_SHIFT=%0d, must be 1..24", GLU_SHIFT);
  end

  if (OUT_BITS < 2 || OUT_BITS > 8) begin : gen_bad_out_bits
    $error("silu_gate: OUT_BITS=%0d, must be 2..8", OUT_BITS);
  end

  logic [7:0] rows[256];
  initial $readmemh(TABLE_FILE, rows, 0, 255);

  // Valid flags of the stages: look up, multiply, add the half; the output register is the fourth.
  logic looked_up, multiplied, added;
  wire advance = !out0_V_TVALID || out0_V_TREADY;

  assign in0_V_TREADY = advance;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      looked_up     <= 1'b0;
      multiplied    <= 1'b0;
      added         <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else if (advance) begin
      looked_up     <= in0_V_TVALID;
      multiplied    <= looked_up;
      added         <= multiplied;
      out0_V_TVALID <= added;
    end
  end

  for (genvar lane = 0; lane < PE; lane++) begin : gen_lane
    logic signed [7:0] silu, up;
    logic signed [15:0] product;
    logic signed [SumBits-1:0] sum;

    always_ff @(posedge ap_clk) begin
      if (advance) begin
        silu    <= rows[in0_V_TDATA[lane*16+:8]^8'h80];  // two's complement to gate + 128
        up      <= in0_V_TDATA[lane*16+8+:8];
        product <= silu * up;
        sum     <= SumBits'(product) + Half;
      end
    end

    logic [OUT_BITS-1:0] clipped;
    saturate #(
        .IN_BITS (SumBits - GLU_SHIFT),
        .OUT_BITS(OUT_BITS)
    ) clip (
        .value  (sum[SumBits-1:GLU_SHIFT]),
        .clipped(clipped)
    );

    always_ff @(posedge ap_clk) begin
      if (advance) out0_V_TDATA[lane*8+:8] <= 8'($signed(clipped));
    end
  end
endmodule
