// Memory with one write port and one read port, inferred as block, distributed or UltraRAM.
//
// A read in the cycle of a write to the same address returns the old word.
// Latency    LATENCY cycles from address to data, 1 or 2 (2 uses the memory's output register).
// Throughput one write and one read a cycle.
// Reset      none: contents and read data are not reset.
module simple_dual_port_ram #(
    parameter int WIDTH = 128,
    parameter int DEPTH = 1024,
    parameter int LATENCY = 2,
    parameter RAM_STYLE = "auto",
    localparam int AddressBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                   ap_clk,
    input  logic                   write,
    input  logic [AddressBits-1:0] write_address,
    input  logic [      WIDTH-1:0] write_data,
    input  logic [AddressBits-1:0] read_address,
    output logic [      WIDTH-1:0] read_data
);
  if (LATENCY != 1 && LATENCY != 2) begin : gen_bad_latency
    $error("simple_dual_port_ram: LATENCY=%0d, must be 1 or 2", LATENCY);
  end

  (* ram_style = RAM_STYLE *)
  logic [WIDTH-1:0] memory[DEPTH];
  logic [WIDTH-1:0] word;

  always_ff @(posedge ap_clk) begin
    if (write) memory[write_address] <= write_data;
    word <= memory[read_address];
  end

  if (LATENCY == 2) begin : gen_output_register
    always_ff @(posedge ap_clk) read_data <= word;
  end else begin : gen_direct
    assign read_data = word;
  end
endmodule
