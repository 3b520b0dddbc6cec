// Last stage of causal_attention: out = clip((accumulator * reciprocal + 2^(s-1)) >> s), where
// s = 24 + KV_BITS - OUT_BITS and clip limits to OUT_BITS bits.
//
// OM channels a cycle, gathered to one beat a head. |accumulator| <= 2^(KV_BITS-1) * sum and
// reciprocal <= 2^24 / sum, so only an OUT_BITS below KV_BITS meets the clip.
//
// Latency    HEAD_DIM/OM + 2 cycles from a group's means to the first head's beat.
// Throughput one group every GROUP*HEAD_DIM/OM + 1 cycles.
// Reset      drops what is inside.
module attention_scale #(
    parameter int GROUP = 2,
    parameter int HEAD_DIM = 16,
    parameter int OM = 2,
    parameter int ACCUMULATOR_BITS = 24,
    parameter int RECIPROCAL_BITS = 17,
    parameter int KV_BITS = 8,
    parameter int OUT_BITS = 8
) (
    input  logic                                                          ap_clk,
    input  logic                                                          ap_rst_n,
    input  logic                                                          mean_valid,
    output logic                                                          mean_ready,
    input  logic [   GROUP-1:0][RECIPROCAL_BITS-1:0]                      mean_reciprocal,
    input  logic [   GROUP-1:0][       HEAD_DIM-1:0][ACCUMULATOR_BITS-1:0] mean_accumulator,
    output logic [HEAD_DIM-1:0][                7:0]                      out0_V_TDATA,
    output logic                                                          out0_V_TVALID,
    input  logic                                                          out0_V_TREADY
);
  localparam int Shift = 24 + KV_BITS - OUT_BITS;
  localparam int Parts = HEAD_DIM / OM;
  localparam int PartBits = Parts > 1 ? $clog2(Parts) : 1;
  localparam int GroupBits = GROUP > 1 ? $clog2(GROUP) : 1;
  localparam int ProductBits = ACCUMULATOR_BITS + RECIPROCAL_BITS + 1;
  localparam logic signed [ProductBits-1:0] Half = ProductBits'(1 << (Shift - 1));

  if (OM < 1 || HEAD_DIM % OM != 0) begin : gen_bad_om
    $error("attention_scale: OM=%0d does not divide HEAD_DIM=%0d", OM, HEAD_DIM);
  end

  typedef logic [OM-1:0][ACCUMULATOR_BITS-1:0] part_t;

  // ---- One part a cycle: the numerators move down by a part, the reciprocals by a head -----------
  logic busy;
  logic [PartBits-1:0] part;
  logic [GroupBits-1:0] member;
  logic [GROUP-1:0][RECIPROCAL_BITS-1:0] reciprocals;
  part_t [GROUP*Parts-1:0] numerators;

  logic product_valid, product_last;
  wire advance = !(product_valid && product_last && out0_V_TVALID && !out0_V_TREADY);
  wire scale = busy && advance;
  wire last_part = part == PartBits'(Parts - 1);
  wire last_member = member == GroupBits'(GROUP - 1);

  assign mean_ready = !busy;

  always_ff @(posedge ap_clk) begin
    if (!busy) begin
      numerators  <= mean_accumulator;
      reciprocals <= mean_reciprocal;
    end else if (scale) begin
      numerators <= numerators >> $bits(part_t);
      if (last_part) reciprocals <= reciprocals >> RECIPROCAL_BITS;
    end
  end

  // ---- Products, then the rounded bytes gathered into a beat --------------------------------------
  logic [OM-1:0][ProductBits-1:0] product;
  logic [OM-1:0][7:0] rounded;
  logic [HEAD_DIM-1:0][7:0] gathered;
  wire signed [RECIPROCAL_BITS:0] reciprocal = {1'b0, reciprocals[0]};
  wire [HEAD_DIM-1:0][7:0] gathered_next = (HEAD_DIM * 8)'({rounded, gathered} >> (OM * 8));

  for (genvar i = 0; i < OM; i++) begin : gen_round
    wire signed [ProductBits-1:0] scaled = ($signed(product[i]) + Half) >>> Shift;
    logic [OUT_BITS-1:0] clipped;
    saturate #(
        .IN_BITS (OUT_BITS + 1),  // at most 2^(OUT_BITS-1)
        .OUT_BITS(OUT_BITS)
    ) clip (
        .value  ((OUT_BITS + 1)'(scaled)),
        .clipped(clipped)
    );
    assign rounded[i] = 8'($signed(clipped));
  end

  always_ff @(posedge ap_clk) begin
    if (advance) begin
      product_last <= last_part;
      for (int i = 0; i < OM; i++) product[i] <= $signed(numerators[0][i]) * reciprocal;
      if (product_valid) gathered <= gathered_next;
      if (product_valid && product_last) out0_V_TDATA <= gathered_next;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      busy          <= 1'b0;
      part          <= '0;
      member        <= '0;
      product_valid <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else begin
      if (!busy) busy <= mean_valid;
      else if (scale && last_part && last_member) busy <= 1'b0;

      if (scale) part <= last_part ? '0 : part + 1'b1;
      if (scale && last_part) member <= last_member ? '0 : member + 1'b1;
      if (advance) product_valid <= scale;

      if (advance && product_valid && product_last) out0_V_TVALID <= 1'b1;
      else if (out0_V_TREADY) out0_V_TVALID <= 1'b0;
    end
  end
endmodule
