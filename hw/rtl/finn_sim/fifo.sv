// Simulation stand-in for the module of the same name in FINN's RTL library, which Verilator 5.48 rejects (a constant
// function that returns a struct). Synthesis uses FINN's own.
//
// Same parameters, ports, capacity and timing cycle by cycle, for the styles shift, distributed and block
// (tests/test_rtl_finn_sim.py compares them). A ring buffer, where FINN shifts: faster to simulate.
// In Verilator the harness learns how full each FIFO was, and may let it hold as little as a shallower one (from the next
// reset on): depths are searched for without building again.
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
  function automatic bit is_shift(input int unsigned depth);
    return depth <= 33 || (RAM_STYLE == "shift")
        || (RAM_STYLE == "auto" && depth <= 64 && DATA_WIDTH < 12);
  endfunction
  function automatic bit is_distributed(input int unsigned depth);
    return !is_shift(depth) &&
        ((RAM_STYLE == "distributed") || (RAM_STYLE == "auto" && (depth <= 257 || DATA_WIDTH < 5)));
  endfunction
  // Entries of its memory. A block memory is one power of two, or two of them when that is smaller.
  function automatic int unsigned entries_of(input int unsigned depth);
    int unsigned wanted, whole, rest;
    wanted = depth - 1;
    whole  = $clog2(wanted);
    rest   = whole > 0 ? $clog2(wanted - 2 ** (whole - 1)) : 0;
    if (is_shift(depth)) return wanted > 4 ? wanted : 4;
    if (is_distributed(depth)) return wanted;
    if (whole > 9 && rest < whole - 1) return 2 ** (whole - 1) + 2 ** (rest < 1 ? 1 : rest);
    return 2 ** whole;
  endfunction

  localparam bit Block = !is_shift(DEPTH) && !is_distributed(DEPTH);
  localparam bit Ultra = Block && RAM_STYLE != "block" && DEPTH > 2028;

  if (DEPTH < 2) begin : gen_bad_depth
    $error("fifo: DEPTH=%0d, must be at least 2", DEPTH);
  end
  if (Ultra || RAM_STYLE == "ultra") begin : gen_no_ultra
    $error("fifo: DEPTH=%0d would take UltraRAM, which has no model for the simulation", DEPTH);
  end

  localparam int unsigned Entries = entries_of(DEPTH);
  localparam int unsigned Stages = Block ? 2 : 1;  // registers behind the memory
  localparam int unsigned AddressBits = Entries > 1 ? $clog2(Entries) : 1;
  localparam int unsigned FillBits = $clog2(Entries + 1);
  localparam int unsigned CountBits = $clog2(DEPTH + 1) + 1;

  logic [DATA_WIDTH-1:0] memory[Entries];
  logic [AddressBits-1:0] write_at, read_at;
  logic [FillBits-1:0] fill, most;
  logic [Stages-1:0] stage_valid;
  logic [Stages-1:0][DATA_WIDTH-1:0] stage_data;

  wire push = ivld && irdy;
  wire advance = ordy || !ovld;
  wire pop = advance && fill != '0;

  assign irdy = fill < most;
  assign ovld = stage_valid[Stages-1];
  assign odat = stage_data[Stages-1];

  function automatic logic [AddressBits-1:0] after(input logic [AddressBits-1:0] at);
    return at == AddressBits'(Entries - 1) ? '0 : at + 1'b1;
  endfunction

  always_ff @(posedge clk) begin
    if (push) memory[write_at] <= idat;
    if (advance) stage_data <= (Stages * DATA_WIDTH)'({stage_data, memory[read_at]});
  end

`ifdef VERILATOR
  import "DPI-C" context function int edgellm_fifo_new(
    input int depth,
    input int bits
  );
  import "DPI-C" function int edgellm_fifo_limit(input int id);
  import "DPI-C" function void edgellm_fifo_peak(
    input int id,
    input int count
  );
  int id;
  initial id = edgellm_fifo_new(DEPTH, DATA_WIDTH);

  function automatic int unsigned allowed();
    int unsigned limited;
    limited = entries_of(edgellm_fifo_limit(id));
    return limited < Entries ? limited : Entries;
  endfunction
  always_ff @(posedge clk) begin
    if (rst) most <= FillBits'(allowed());
    else if (next_count > maxcount) edgellm_fifo_peak(id, int'(next_count));
  end
`else
  assign most = FillBits'(Entries);
`endif

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
