// Index of the largest score; the lowest index wins a tie.
//
// in0   scores, N/PE beats of PE x W bits (signed, padded to whole bytes), lane 0 in the low bits
// in1   tag, 32 bit, one beat a vector
// out0  token beat, 64 bit: [31:0] tag, [47:32] index, rest 0
//
// A pipelined comparison tree over the lanes, then a running maximum over the beats.
// Latency    clog2(PE) + 2 cycles from the last scores beat to the token beat.
// Throughput one vector every N/PE cycles (every 2 if N/PE is 1).
// Reset      drops the vectors inside.
module argmax #(
    parameter int N  = 512,
    parameter int PE = 4,
    parameter int W = 16,
    localparam int InBits = (PE * W + 7) / 8 * 8
) (
    input  logic              ap_clk,
    input  logic              ap_rst_n,
    input  logic [InBits-1:0] in0_V_TDATA,
    input  logic              in0_V_TVALID,
    output logic              in0_V_TREADY,
    input  logic [      31:0] in1_V_TDATA,
    input  logic              in1_V_TVALID,
    output logic              in1_V_TREADY,
    output logic [      63:0] out0_V_TDATA,
    output logic              out0_V_TVALID,
    input  logic              out0_V_TREADY
);
  localparam int Beats = N / PE;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int Levels = $clog2(PE);
  localparam int Leaves = 1 << Levels;

  if (PE < 1 || N % PE != 0) begin : gen_bad_pe
    $error("argmax: PE=%0d does not divide N=%0d", PE, N);
  end
  if (N < 1 || N > 65536) begin : gen_bad_n
    $error("argmax: N=%0d, must be 1..65536", N);
  end
  if (W < 2 || W > 64) begin : gen_bad_w
    $error("argmax: W=%0d, must be 2..64", W);
  end

  typedef struct packed {
    logic signed [W-1:0] value;
    logic [15:0]         index;
  } candidate_t;

  // The left operand has the lower index, so it wins a tie.
  function automatic candidate_t larger(input candidate_t left, input candidate_t right);
    return right.value > left.value ? right : left;
  endfunction

  logic [BeatBits-1:0] beat;
  wire last_beat = beat == BeatBits'(Beats - 1);

  // A finished vector waits in `result` for its tag and for the output register.
  logic [15:0] result;
  logic result_valid;

  // Valid and last flags travel beside the tree: [0] is the input, [Levels] the root.
  logic [Levels:0] valid, last;
  wire advance = !(valid[Levels] && last[Levels] && result_valid);

  assign in0_V_TREADY = advance;
  assign valid[0] = in0_V_TVALID;
  assign last[0] = last_beat;

  for (genvar level = 0; level <= Levels; level++) begin : gen_level
    candidate_t [(Leaves>>level)-1:0] node;
    if (level == 0) begin : gen_leaf
      for (genvar i = 0; i < Leaves; i++) begin : gen_lane
        if (i < PE) begin : gen_used
          assign node[i] = '{in0_V_TDATA[i*W+:W], 16'(int'(beat) * PE + i)};
        end else begin : gen_pad  // never larger than a lane to its left
          assign node[i] = '{{1'b1, {(W - 1) {1'b0}}}, 16'hFFFF};
        end
      end
    end else begin : gen_compare
      always_ff @(posedge ap_clk) begin
        if (advance) begin
          for (int i = 0; i < (Leaves >> level); i++) begin
            node[i] <= larger(gen_level[level-1].node[2*i], gen_level[level-1].node[2*i+1]);
          end
        end
      end
      always_ff @(posedge ap_clk) begin
        if (!ap_rst_n) valid[level] <= 1'b0;
        else if (advance) valid[level] <= valid[level-1];
        if (advance) last[level] <= last[level-1];
      end
    end
  end

  // Running maximum over the beats of one vector.
  candidate_t best;
  logic best_valid;  // false before the first beat of a vector
  wire candidate_t root = gen_level[Levels].node[0];
  wire candidate_t winner = best_valid ? larger(best, root) : root;
  wire finish = valid[Levels] && last[Levels] && advance;
  wire emit = result_valid && in1_V_TVALID && !out0_V_TVALID;

  assign in1_V_TREADY = result_valid && !out0_V_TVALID;

  always_ff @(posedge ap_clk) begin
    if (valid[Levels] && advance) best <= winner;
    if (finish) result <= winner.index;
    if (emit) out0_V_TDATA <= {16'd0, result, in1_V_TDATA};
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      beat          <= '0;
      best_valid    <= 1'b0;
      result_valid  <= 1'b0;
      out0_V_TVALID <= 1'b0;
    end else begin
      if (in0_V_TVALID && in0_V_TREADY) beat <= last_beat ? '0 : beat + 1'b1;
      if (valid[Levels] && advance) best_valid <= !last[Levels];

      if (finish) result_valid <= 1'b1;
      else if (emit) result_valid <= 1'b0;

      if (emit) out0_V_TVALID <= 1'b1;
      else if (out0_V_TREADY) out0_V_TVALID <= 1'b0;
    end
  end
endmodule
