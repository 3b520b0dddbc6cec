// Changes the width of a stream by a whole factor; the low bits of a wide beat are its first ones.
//
// in0 (IN_BITS) -> out0 (OUT_BITS), one a multiple of the other, TDATA padded to whole bytes.
// Latency    1 cycle from a wide beat to its first narrow one, from the last narrow beat to the wide one.
// Throughput one narrow beat a cycle; in0_V_TREADY and out0_V_TVALID are functions of registers only.
// Reset      drops what is inside; data registers are not reset.
module width_converter #(
    parameter int IN_BITS = 32,
    parameter int OUT_BITS = 8,
    localparam int InPadded = (IN_BITS + 7) / 8 * 8,
    localparam int OutPadded = (OUT_BITS + 7) / 8 * 8
) (
    input  logic                 ap_clk,
    input  logic                 ap_rst_n,
    input  logic [ InPadded-1:0] in0_V_TDATA,
    input  logic                 in0_V_TVALID,
    output logic                 in0_V_TREADY,
    output logic [OutPadded-1:0] out0_V_TDATA,
    output logic                 out0_V_TVALID,
    input  logic                 out0_V_TREADY
);
  if (IN_BITS < 1 || OUT_BITS < 1 || (IN_BITS % OUT_BITS != 0 && OUT_BITS % IN_BITS != 0))
  begin : gen_bad_widths
    $error("width_converter: IN_BITS=%0d, OUT_BITS=%0d, one must divide the other", IN_BITS,
           OUT_BITS);
  end

  localparam bit Narrows = IN_BITS >= OUT_BITS;
  localparam int K = Narrows ? IN_BITS / OUT_BITS : OUT_BITS / IN_BITS;
  localparam int Narrow = Narrows ? OUT_BITS : IN_BITS;
  localparam int CountBits = $clog2(K + 1);

  logic [K*Narrow-1:0] buffer;
  logic [CountBits-1:0] count;  // narrow beats in the buffer
  wire accept = in0_V_TVALID && in0_V_TREADY;

  if (Narrows) begin : gen_narrow
    // The first narrow beat goes past the buffer when the output is free.
    logic [Narrow-1:0] data;
    logic [K*Narrow-1:0] source;
    wire free = !out0_V_TVALID || out0_V_TREADY;
    assign in0_V_TREADY = count == '0;
    assign out0_V_TDATA = OutPadded'(data);
    assign source = in0_V_TREADY ? in0_V_TDATA[IN_BITS-1:0] : buffer;

    always_ff @(posedge ap_clk) begin
      if (free) data <= source[Narrow-1:0];
      if (accept || free) buffer <= free ? source >> Narrow : source;
    end

    always_ff @(posedge ap_clk) begin
      if (!ap_rst_n) begin
        count         <= '0;
        out0_V_TVALID <= 1'b0;
      end else begin
        if (free) out0_V_TVALID <= accept || count != '0;
        if (accept) count <= CountBits'(K) - CountBits'(free);
        else if (free && count != '0) count <= count - 1'b1;
      end
    end
  end else begin : gen_widen
    // While a wide beat waits, one narrow beat of the next one finds room beside it.
    logic [Narrow-1:0] side;
    logic side_valid;
    wire full = count == CountBits'(K);
    wire leaves = full && out0_V_TREADY;
    wire [Narrow-1:0] next = side_valid ? side : in0_V_TDATA[IN_BITS-1:0];
    wire offered = side_valid || accept;
    wire move = offered && (!full || leaves);
    assign in0_V_TREADY  = !side_valid;
    assign out0_V_TVALID = full;
    assign out0_V_TDATA  = OutPadded'(buffer);

    always_ff @(posedge ap_clk) begin
      if (move) buffer <= {next, buffer[K*Narrow-1:Narrow]};
      if (accept) side <= in0_V_TDATA[IN_BITS-1:0];
    end

    always_ff @(posedge ap_clk) begin
      if (!ap_rst_n) begin
        count      <= '0;
        side_valid <= 1'b0;
      end else begin
        count      <= (leaves ? '0 : count) + CountBits'(move);
        side_valid <= offered && !move;
      end
    end
  end
endmodule
