// Threefry-2x32 of 13 rounds (Salmon et al. 2011): two random words from a key of two words and a counter of two.
//
// A free-running pipeline: no handshake. Keys change seldom: they lie in two banks, and `bank` travels with the
// counter, so a bank must not change while a counter that uses it is inside.
//
// Latency    14 cycles from counter to words.
// Throughput one counter a cycle.
// Reset      none: the pipeline holds no state but the words inside.
module threefry (
    input  logic                  ap_clk,
    input  logic [1:0][1:0][31:0] keys,
    input  logic                  bank,
    input  logic      [1:0][31:0] counter,
    output logic      [1:0][31:0] words
);
  localparam int Rounds = 13;
  localparam logic [31:0] Parity = 32'h1BD11BDA;
  localparam int Rotations[8] = '{13, 15, 26, 6, 17, 29, 16, 24};

  typedef logic [31:0] word_t;

  // The third word of a key is the parity of the other two.
  word_t schedule[2][3];
  for (genvar b = 0; b < 2; b++) begin : gen_schedule
    assign schedule[b][0] = keys[b][0];
    assign schedule[b][1] = keys[b][1];
    always_ff @(posedge ap_clk) schedule[b][2] <= Parity ^ keys[b][0] ^ keys[b][1];
  end

  word_t x[Rounds+1];
  word_t y[Rounds+1];
  logic [Rounds:0] banks;

  always_ff @(posedge ap_clk) begin
    x[0] <= counter[0] + schedule[bank][0];
    y[0] <= counter[1] + schedule[bank][1];
    banks <= {banks[Rounds-1:0], bank};
  end

  for (genvar r = 0; r < Rounds; r++) begin : gen_round
    localparam int Turn = Rotations[r%8];
    localparam int Group = (r + 1) / 4;
    wire word_t sum = x[r] + y[r];
    wire word_t mixed = {y[r][31-Turn:0], y[r][31:32-Turn]} ^ sum;

    if ((r + 1) % 4 == 0) begin : gen_inject
      always_ff @(posedge ap_clk) begin
        x[r+1] <= x[r] + y[r] + schedule[banks[r]][Group%3];
        y[r+1] <= mixed + schedule[banks[r]][(Group+1)%3] + word_t'(Group);
      end
    end else begin : gen_mix
      always_ff @(posedge ap_clk) begin
        x[r+1] <= sum;
        y[r+1] <= mixed;
      end
    end
  end

  assign words = {y[Rounds], x[Rounds]};
endmodule
