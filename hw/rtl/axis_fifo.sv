// AXI4-Stream FIFO with a registered output, in block or distributed memory.
//
// in0 (W bits) -> out0 (W bits), order kept. DEPTH beats are always accepted; the output register
// holds one more.
// Latency    2 cycles through an empty FIFO.
// Throughput 1 beat a cycle; in0_V_TREADY and out0_V_TVALID are functions of registers only.
// Reset      empties the FIFO; memory and data register are not reset.
module axis_fifo #(
    parameter int W = 32,
    parameter int DEPTH = 16
) (
    input  logic         ap_clk,
    input  logic         ap_rst_n,
    input  logic [W-1:0] in0_V_TDATA,
    input  logic         in0_V_TVALID,
    output logic         in0_V_TREADY,
    output logic [W-1:0] out0_V_TDATA,
    output logic         out0_V_TVALID,
    input  logic         out0_V_TREADY
);
  localparam int AddressBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int CountBits = $clog2(DEPTH + 1);

  if (W < 1) begin : gen_bad_w
    $error("axis_fifo: W=%0d, must be at least 1", W);
  end
  if (DEPTH < 1) begin : gen_bad_depth
    $error("axis_fifo: DEPTH=%0d, must be at least 1", DEPTH);
  end

  logic [W-1:0] memory[DEPTH];
  logic [AddressBits-1:0] write_address, read_address;
  logic [CountBits-1:0] stored;

  assign in0_V_TREADY = stored != CountBits'(DEPTH);

  wire write = in0_V_TVALID && in0_V_TREADY;
  wire read = stored != '0 && (!out0_V_TVALID || out0_V_TREADY);

  function automatic logic [AddressBits-1:0] next(input logic [AddressBits-1:0] address);
    return address == AddressBits'(DEPTH - 1) ? '0 : address + 1'b1;
  endfunction

  always_ff @(posedge ap_clk) begin
    if (write) memory[write_address] <= in0_V_TDATA;
    if (read) out0_V_TDATA <= memory[read_address];
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      write_address <= '0;
      read_address  <= '0;
      stored        <= '0;
      out0_V_TVALID <= 1'b0;
    end else begin
      if (write) write_address <= next(write_address);
      if (read) read_address <= next(read_address);
      stored <= stored + CountBits'(write) - CountBits'(read);
      if (read) out0_V_TVALID <= 1'b1;
      else if (out0_V_TREADY) out0_V_TVALID <= 1'b0;
    end
  end
endmodule
