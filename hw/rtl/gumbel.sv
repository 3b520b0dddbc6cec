// A random word to Gumbel noise in 1/1024 nats (docs/numerics.md, "Sampling").
//
// The word's leading zeros and the 4 bits behind its leading one choose an entry {drop, base} of the table; the 8 bits
// behind those say how far noise has fallen from `base` towards the next entry: base - (drop * ramp >> 8).
// Table file: 512 entries of 26 bits in hexadecimal, {drop (10 bits), base (16 bits, signed)}.
//
// A free-running pipeline: no handshake.
// Latency    6 cycles.
// Throughput one word a cycle; one multiplication of 10 by 8 bits.
// Reset      none: the pipeline holds no state but the words inside.
module gumbel #(
    parameter TABLE_FILE = "gumbel.dat"
) (
    input  logic               ap_clk,
    input  logic        [31:0] word,
    output logic signed [16:0] noise
);
  localparam int BaseBits = 16;
  localparam int DropBits = 10;
  localparam int RampBits = 8;

  logic [DropBits+BaseBits-1:0] entries[512];
  initial $readmemh(TABLE_FILE, entries);

  // The lowest bit counts as 1, so there is always a leading one.
  logic [4:0] octave;
  logic [31:0] odd, counted, behind;
  logic [4:0] counted_octave;
  assign odd = word | 32'd1;
  always_comb begin
    octave = '0;
    for (int bit_index = 0; bit_index < 32; bit_index++) begin
      if (odd[bit_index]) octave = 5'(31 - bit_index);
    end
  end

  logic [8:0] index;
  logic [RampBits-1:0] ramp, ramp_read, ramp_data;
  logic [DropBits+BaseBits-1:0] entry, entry_data;
  logic [DropBits+RampBits-1:0] fall;
  logic signed [BaseBits-1:0] base;

  assign behind = counted << counted_octave;  // the leading one is bit 31

  always_ff @(posedge ap_clk) begin
    counted        <= odd;
    counted_octave <= octave;

    index          <= {counted_octave, behind[30:27]};
    ramp           <= behind[26:19];

    entry          <= entries[index];  // the memory's register, then its output register
    ramp_read      <= ramp;
    entry_data     <= entry;
    ramp_data      <= ramp_read;

    fall           <= (DropBits + RampBits)'(entry_data[BaseBits+:DropBits]) * ramp_data;
    base           <= entry_data[BaseBits-1:0];

    noise          <= 17'(base) - 17'($signed({1'b0, fall[DropBits+RampBits-1:RampBits]}));
  end
endmodule
