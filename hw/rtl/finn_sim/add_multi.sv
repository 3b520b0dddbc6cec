// Simulation stand-in for the module of the same name in FINN's RTL library, which Verilator 5.48 rejects (a constant
// function inside a generate block). Synthesis uses FINN's own.
//
// Sum of N arguments, DEPTH cycles later; same parameters, ports and timing. The first clog2(N) registers obey `en`,
// those behind them run freely, as in the original.
module add_multi
  import mvu_pkg::*;
#(
    parameter int unsigned N = 4,
    parameter int unsigned DEPTH = 1,
    parameter int unsigned ARG_WIDTH = 4,
    parameter int ARG_LO = 0,
    parameter int ARG_HI = 0,
    parameter bit RESET_ZERO = 1,
    localparam int unsigned SumWidth = sumwidth(N, ARG_WIDTH, ARG_LO, ARG_HI)
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic                 en,
    input  logic [ARG_WIDTH-1:0] arg[N],
    output logic [ SumWidth-1:0] sum
);
  localparam bit Signed = ARG_LO < 0;
  localparam int unsigned Levels = $clog2(N);
  localparam int unsigned Held = Levels < DEPTH ? Levels : DEPTH;

  logic [SumWidth-1:0] total;
  always_comb begin
    total = '0;
    for (int unsigned i = 0; i < N; i++) begin
      total += Signed ? SumWidth'($signed(arg[i])) : SumWidth'(arg[i]);
    end
  end

  if (DEPTH == 0) begin : gen_wire
    assign sum = total;
  end else begin : gen_registers
    logic [DEPTH-1:0][SumWidth-1:0] stage;
    always_ff @(posedge clk) begin
      for (int unsigned i = 0; i < DEPTH; i++) begin
        if (rst) stage[i] <= '0;
        else if (en || i >= Held) stage[i] <= i == 0 ? total : stage[i-1];
      end
    end
    assign sum = stage[DEPTH-1];
  end
endmodule
