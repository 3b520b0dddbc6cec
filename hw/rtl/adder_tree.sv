// Pipelined sum of N signed terms, one register after every second level of adders.
//
// terms (N x IW bits, signed) -> total (OW bits, signed), exact when OW >= IW + clog2(N).
// Latency    ceil(clog2(N) / 2) cycles: 0 for one term, 1 up to 4, 2 up to 16, 3 up to 64.
// Throughput one sum a cycle.
// Reset      none: the registers hold data only.
module adder_tree #(
    parameter int N  = 16,
    parameter int IW = 16,
    parameter int OW = 20
) (
    input  logic                        ap_clk,
    input  logic        [N-1:0][IW-1:0] terms,
    output logic signed [OW-1:0]        total
);
  localparam int Levels = $clog2(N);
  localparam int Leaves = 1 << Levels;

  if (N < 1 || OW < IW) begin : gen_bad_width
    $error("adder_tree: N=%0d, IW=%0d, OW=%0d; needs N >= 1 and OW >= IW", N, IW, OW);
  end

  for (genvar level = 0; level <= Levels; level++) begin : gen_level
    logic [(Leaves>>level)-1:0][OW-1:0] node;
    if (level == 0) begin : gen_leaf
      for (genvar i = 0; i < Leaves; i++) begin : gen_term
        if (i < N) begin : gen_used
          assign node[i] = OW'($signed(terms[i]));
        end else begin : gen_pad
          assign node[i] = '0;
        end
      end
    end else begin : gen_add
      logic [(Leaves>>level)-1:0][OW-1:0] sums;
      for (genvar i = 0; i < (Leaves >> level); i++) begin : gen_pair
        assign sums[i] = gen_level[level-1].node[2*i] + gen_level[level-1].node[2*i+1];
      end
      if (level % 2 == 0 || level == Levels) begin : gen_register
        always_ff @(posedge ap_clk) node <= sums;
      end else begin : gen_wire
        assign node = sums;
      end
    end
  end

  assign total = gen_level[Levels].node[0];
endmodule
