// n = floor(2^24 / sqrt(ss)) for ss >= 1, by digit recurrence: no multiplier, DIGITS bits of n a cycle.
//
// The largest n with n^2 * ss <= 2^48. Bit by bit from the top, with a = n * ss and rem = (digits of 2^48 so far)
// - n^2 * ss: appending a 1 to n costs trial = 4a + ss, so the bit is 1 exactly when 4*rem + next digit >= trial.
// trial itself follows without a product: it becomes 2*trial + 3*ss after a 1, 2*trial - ss after a 0.
//
// start, ss (SW bits) -> done (one cycle), root (25 bits). For ss = 0 every bit is 1; the caller's vector is zero.
// Latency    ceil(25 / DIGITS) + 1 cycles from start to done; root stays until the next start.
// Throughput one root at a time: no start while busy.
// Reset      stops the recurrence.
module inverse_root #(
    parameter int SW = 37,
    parameter int DIGITS = 1
) (
    input  logic          ap_clk,
    input  logic          ap_rst_n,
    input  logic          start,
    input  logic [SW-1:0] ss,
    output logic          busy,
    output logic          done,
    output logic [  24:0] root
);
  localparam int RootBits = 25;  // 2^24 for ss = 1
  localparam int Rounds = (RootBits + DIGITS - 1) / DIGITS;
  localparam int RoundBits = $clog2(Rounds + 1);
  localparam int LeadingDigits = Rounds * DIGITS - RootBits;  // zeros before 2^48 in base 4
  // n <= 2^24 / sqrt(ss) bounds a = n*ss by 2^(24 + SW/2) and trial, 4*rem + 1 by 8 times that plus ss.
  localparam int BoundBits = 24 + (SW + 1) / 2;
  localparam int Width = (BoundBits > SW ? BoundBits : SW) + 4;

  if (DIGITS < 1 || DIGITS > 4) begin : gen_bad_digits
    $error("inverse_root: DIGITS=%0d, must be 1..4", DIGITS);
  end
  if (SW < 1 || SW > 48) begin : gen_bad_sw
    $error("inverse_root: SW=%0d, must be 1..48", SW);
  end

  logic [SW-1:0] addend;
  logic [SW+1:0] triple;
  logic [Width-1:0] remainder, trial;
  logic [RoundBits-1:0] round;

  logic [Width-1:0] next_remainder, next_trial;
  logic [RootBits-1:0] next_root;
  always_comb begin
    next_remainder = remainder;
    next_trial = trial;
    next_root = root;
    for (int digit = 0; digit < DIGITS; digit++) begin
      // 2^48 in base 4 is a 1 and zeros
      automatic logic is_one = round == '0 && digit == LeadingDigits;
      automatic logic [Width-1:0] shifted = {next_remainder[Width-3:0], 1'b0, is_one};
      automatic logic [Width:0] difference = {1'b0, shifted} - {1'b0, next_trial};
      automatic logic fits = !difference[Width];
      next_remainder = fits ? difference[Width-1:0] : shifted;
      next_trial = fits ? (next_trial << 1) + Width'(triple) : (next_trial << 1) - Width'(addend);
      next_root = {next_root[RootBits-2:0], fits};
    end
  end

  always_ff @(posedge ap_clk) begin
    if (start) begin
      addend    <= ss;
      triple    <= (SW + 2)'(ss) + ((SW + 2)'(ss) << 1);
      remainder <= '0;
      trial     <= Width'(ss);
      root      <= '0;
      round     <= '0;
    end else if (busy) begin
      remainder <= next_remainder;
      trial     <= next_trial;
      root      <= next_root;
      round     <= round + 1'b1;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      busy <= 1'b0;
      done <= 1'b0;
    end else begin
      if (start) busy <= 1'b1;
      else if (round == RoundBits'(Rounds - 1)) busy <= 1'b0;
      done <= busy && round == RoundBits'(Rounds - 1);
    end
  end
endmodule
