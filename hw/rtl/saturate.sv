// Limits a signed number to OUT_BITS bits: the nearest value that fits.
//
// value (IN_BITS bits, signed) -> clipped (OUT_BITS bits, two's complement). Combinational.
module saturate #(
    parameter int IN_BITS  = 20,
    parameter int OUT_BITS = 8
) (
    input  logic [ IN_BITS-1:0] value,
    output logic [OUT_BITS-1:0] clipped
);
  if (IN_BITS < 1 || OUT_BITS < 2) begin : gen_bad_width
    $error("saturate: IN_BITS=%0d, OUT_BITS=%0d; need at least 1 and 2", IN_BITS, OUT_BITS);
  end

  if (IN_BITS <= OUT_BITS) begin : gen_extend
    assign clipped = OUT_BITS'($signed(value));
  end else begin : gen_limit
    // It fits when every bit from the new sign bit upwards equals the sign.
    wire sign = value[IN_BITS-1];
    wire fits = value[IN_BITS-1:OUT_BITS-1] == {(IN_BITS - OUT_BITS + 1) {sign}};
    assign clipped = fits ? value[OUT_BITS-1:0] : {sign, {(OUT_BITS - 1) {!sign}}};
  end
endmodule
