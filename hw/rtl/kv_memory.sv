// K or V of every layer, slot and KV head: LANES banks, one head vector per bank and row, BITS bits a number.
//
// Position p of a sequence lies in bank p % LANES, so a row holds LANES consecutive positions. With `copy` what is
// written is not write_data but the row that comes out of the memory in this cycle.
// Latency    2 cycles from read address to the row.
// Throughput one head vector written and one row read a cycle.
// Reset      none: contents stay.
module kv_memory #(
    parameter int LANES = 1,
    parameter int HEAD_DIM = 16,
    parameter int DEPTH = 1024,
    parameter int BITS = 8,
    parameter RAM_STYLE = "auto",
    localparam int AddressBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                                  ap_clk,
    input  logic [      LANES-1:0]                write,
    input  logic [AddressBits-1:0]                write_address,
    input  logic [   HEAD_DIM-1:0][7:0]           write_data,
    input  logic                                  copy,
    input  logic [AddressBits-1:0]                read_address,
    output logic [      LANES-1:0][HEAD_DIM-1:0][7:0] read_data
);
  logic [HEAD_DIM-1:0][BITS-1:0] narrow;
  for (genvar channel = 0; channel < HEAD_DIM; channel++) begin : gen_narrow
    assign narrow[channel] = write_data[channel][BITS-1:0];
  end

  for (genvar lane = 0; lane < LANES; lane++) begin : gen_bank
    logic [HEAD_DIM-1:0][BITS-1:0] row;
    simple_dual_port_ram #(
        .WIDTH(HEAD_DIM * BITS),
        .DEPTH(DEPTH),
        .LATENCY(2),
        .RAM_STYLE(RAM_STYLE)
    ) bank (
        .ap_clk,
        .write(write[lane]),
        .write_address,
        .write_data(copy ? row : narrow),
        .read_address,
        .read_data(row)
    );
    for (genvar channel = 0; channel < HEAD_DIM; channel++) begin : gen_byte
      assign read_data[lane][channel] = 8'($signed(row[channel]));
    end
  end
endmodule
