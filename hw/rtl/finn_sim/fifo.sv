// Simulation stand-in for the module of the same name in FINN's RTL library, which Verilator 5.48 rejects (a constant
// function that returns a struct). Synthesis uses FINN's own.
//
// Same parameters, ports, capacity and timing cycle by cycle, for the styles shift, distributed and block
// (tests/test_rtl_finn_sim.py compares them). A ring buffer, where FINN shifts: faster to simulate.
module fifo #(
    parameter int unsigned DEPTH = 2,
    parameter int unsigned DATA_WIDTH = 8,
    parameter RAM_STYLE = "auto"
) (
    input logic clk,
    input logic rst,

    input  logic [DATA_WIDTH-1:0] idat,
    input  logic                  ivld,
    output logic                  irdy,

    output logic [DATA_WIDTH-1:0] odat,
    output logic                  ovld,
    input  logic                  ordy,

    output logic [$clog2(DEPTH+1):0] count,
    output logic [$clog2(DEPTH+1):0] maxcount
);
  // Which memory FINN chooses
  localparam bit Shift = DEPTH <= 33 || (RAM_STYLE == "shift")
      || (RAM_STYLE == "auto" && DEPTH <= 64 && DATA_WIDTH < 12);
  localparam bit Distributed = !Shift && ((RAM_STYLE == "distributed")
      || (RAM_STYLE == "auto" && (DEPTH <= 257 || DATA_WIDTH < 5)));
  localparam bit Ultra = !Shift && !Distributed && RAM_STYLE != "block" && DEPTH > 2028;

  if (DEPTH < 2) begin : gen_bad_depth
    $error("fifo: DEPTH=%0d, must be at least 2", DEPTH);
  end
  if (Ultra || RAM_STYLE == "ultra") begin : gen_no_ultra
    $error("fifo: DEPTH=%0d would take UltraRAM, which has no model for the simulation", DEPTH);
  end

  // Entries of the memory. A block memory is one power of two, or two of them when that is smaller.
  localparam int unsigned Wanted = DEPTH - 1;
  localparam int unsigned Whole = $clog2(Wanted);
  localparam int unsigned Rest = Whole > 0 ? $clog2(Wanted - 2 ** (Whole - 1)) : 0;
  localparam bit Split = Whole > 9 && Rest < Whole - 1;
  localparam int unsigned SplitEntries = 2 ** (Whole - 1) + 2 ** (Rest < 1 ? 1 : Rest);
  localparam int unsigned BlockEntries = Split ? SplitEntries : 2 ** Whole;
  localparam int unsigned ShiftEntries = Wanted > 4 ? Wanted : 4;
  localparam int unsigned Entries = Shift ? ShiftEntries : Distributed ? Wanted : BlockEntries;
  localparam int unsigned Stages = Shift || Distributed ? 1 : 2;  // registers behind the memory
  localparam int unsigned AddressBits = Entries > 1 ? $clog2(Entries) : 1;
  localparam int unsigned FillBits = $clog2(Entries + 1);
  localparam int unsigned CountBits = $clog2(DEPTH + 1) + 1;

  logic [DATA_WIDTH-1:0] memory[Entries];
  logic [AddressBits-1:0] write_at, read_at;
  logic [FillBits-1:0] fill;
  logic [Stages-1:0] stage_valid;
  logic [Stages-1:0][DATA_WIDTH-1:0] stage_data;

  wire push = ivld && irdy;
  wire advance = ordy || !ovld;
  wire pop = advance && fill != '0;

  assign irdy = fill != FillBits'(Entries);
  assign ovld = stage_valid[Stages-1];
  assign odat = stage_data[Stages-1];

  function automatic logic [AddressBits-1:0] after(input logic [AddressBits-1:0] at);
    return at == AddressBits'(Entries - 1) ? '0 : at + 1'b1;
  endfunction

  always_ff @(posedge clk) begin
    if (push) memory[write_at] <= idat;
    if (advance) stage_data <= (Stages * DATA_WIDTH)'({stage_data, memory[read_at]});
  end

  wire [CountBits-1:0] next_count = count + CountBits'(push) - CountBits'(ovld && ordy);
  always_ff @(posedge clk) begin
    if (rst) begin
      write_at    <= '0;
      read_at     <= '0;
      fill        <= '0;
      stage_valid <= '0;
      count       <= '0;
      maxcount    <= '0;
    end else begin
      if (push) write_at <= after(write_at);
      if (pop) read_at <= after(read_at);
      fill <= fill + FillBits'(push) - FillBits'(pop);
      if (advance) stage_valid <= Stages'({stage_valid, pop});
      count <= next_count;
      if (next_count > maxcount) maxcount <= next_count;
    end
  end
endmodule
