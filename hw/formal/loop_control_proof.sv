// loop_control: every token goes through the block once a layer, in the order of the layers, and leaves once, with its tag; what
// comes back is taken whatever the block does, so that back pressure on the ring cannot stop it; while anything is inside
// and nobody waits, something moves.
//
// The block is anything that gives back as many beats as it took, at any time. One token is followed: it alone has the low bit
// of its tag set, which the module does not look at.
module loop_control_proof #(
    parameter int LAYERS = 2,
    parameter int TOKENS = 2,
    parameter int BEATS  = 2
) (
    input logic       ap_clk,
    input logic       reset,
    input logic       in0_valid,
    input logic       in1_valid,
    input logic       in1_followed,
    input logic       in1_wanted,
    input logic       back_valid,
    input logic [4:0] out_ready
);
  localparam int Passing = TOKENS * BEATS + BEATS;  // beats inside the block
  localparam int PassBits = $clog2(Passing + 1);
  localparam int SeenBits = $clog2(LAYERS + 2);
  localparam int Move = 6;  // cycles within which something moves: through FIFOs and registers

  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic in0_ready, in1_ready, in2_ready;
  logic out0_data, out3_data;
  logic [39:0] out1_data;
  logic [ 7:0] out2_data;
  logic [31:0] out4_data;
  logic [ 4:0] out_valid;
  wire  [ 4:0] taken = out_valid & out_ready;
  logic has_come, has_left;
  logic [SeenBits-1:0] seen;  // passes of the followed token
  logic [PassBits-1:0] passing;
  wire followed = in1_followed && !has_come;
  wire in1_taken = in1_valid && in1_ready;
  wire in2_valid = back_valid && passing != '0;
  wire in2_taken = in2_valid && in2_ready;

  loop_control #(
      .LAYERS(LAYERS),
      .TOKENS(TOKENS),
      .BEATS(BEATS),
      .W(1)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (1'b0),
      .in0_V_TVALID (in0_valid),
      .in0_V_TREADY (in0_ready),
      .in1_V_TDATA  ({7'd0, in1_wanted, 23'd0, followed}),
      .in1_V_TVALID (in1_valid),
      .in1_V_TREADY (in1_ready),
      .in2_V_TDATA  (1'b0),
      .in2_V_TVALID (in2_valid),
      .in2_V_TREADY (in2_ready),
      .out0_V_TDATA (out0_data),
      .out0_V_TVALID(out_valid[0]),
      .out0_V_TREADY(out_ready[0]),
      .out1_V_TDATA (out1_data),
      .out1_V_TVALID(out_valid[1]),
      .out1_V_TREADY(out_ready[1]),
      .out2_V_TDATA (out2_data),
      .out2_V_TVALID(out_valid[2]),
      .out2_V_TREADY(out_ready[2]),
      .out3_V_TDATA (out3_data),
      .out3_V_TVALID(out_valid[3]),
      .out3_V_TREADY(out_ready[3]),
      .out4_V_TDATA (out4_data),
      .out4_V_TVALID(out_valid[4]),
      .out4_V_TREADY(out_ready[4])
  );

  // ---- The followed token -------------------------------------------------------------------------
  logic wanted;  // it was, as it came
  logic offered;  // what is on out1 was there before
  wire [7:0] layer = out1_data[39:32];

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      {has_come, has_left, seen, offered} <= '0;
    end else begin
      offered <= out_valid[1] && !out_ready[1];
      if (in1_taken && followed) {has_come, wanted} <= {1'b1, in1_wanted};
      if (out_valid[1] && !offered && out1_data[0]) begin
        assert (has_come && !has_left && layer == 8'(seen) && out1_data[24] == wanted);
        seen <= seen + 1'b1;
      end
      if (taken[4] && out4_data[0]) begin
        assert (has_come && !has_left && seen == SeenBits'(LAYERS) && wanted);
        has_left <= 1'b1;
      end
      if (has_come && wanted && dut.in_flight == '0) assert (has_left || out_valid[4]);
      if (out_valid[1] && out_valid[2]) assert (layer == out2_data);
    end
  end

  // ---- Nothing waits for nothing --------------------------------------------------------------------
  logic [2:0] waited, still;
  wire nobody_waits = in0_valid && back_valid && out_ready == '1;
  wire moves = taken != '0 || in2_taken || (in0_valid && in0_ready) || in1_taken;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      passing <= '0;
      waited  <= '0;
      still   <= '0;
    end else begin
      passing <= passing + PassBits'(taken[0]) - PassBits'(in2_taken);
      assert (passing <= PassBits'(Passing));
      waited <= in2_valid && !in2_ready && out_ready[3] && out_ready[4] ? waited + 1'b1 : '0;
      assert (waited < Move);
      still <= nobody_waits && dut.in_flight != '0 && !moves ? still + 1'b1 : '0;
      assert (still < Move);
    end
  end

  for (genvar k = 0; k < 5; k++) begin : gen_held
    wire [39:0] beat = k == 1 ? out1_data : k == 2 ? 40'(out2_data) : k == 4 ? 40'(out4_data) : '0;

    stream_held #(
        .W(40)
    ) held (
        .ap_clk,
        .ap_rst_n,
        .data (beat),
        .valid(out_valid[k]),
        .ready(out_ready[k])
    );
  end

  // ---- Where the tokens and their beats are: what the proof stands on -----------------------------
  wire [7:0] ring_tags = 8'(dut.ring_tags.stored) + 8'(dut.ring_tags.out0_V_TVALID);
  wire [7:0] block_tags = 8'(dut.block_tags.stored) + 8'(dut.block_tags.out0_V_TVALID);
  wire [7:0] ring_beats = 8'(dut.ring.stored) + 8'(dut.ring.out0_V_TVALID);
  wire [7:0] leaving = 8'(out_valid[0]) + 8'(dut.send_register.spare_valid);
  wire parted = dut.return_beat != '0;
  wire in_both = parted && !dut.finished;
  wire [7:0] to_send = dut.sending ? 8'(BEATS) - 8'(dut.send_beat) : '0;

  always_ff @(posedge ap_clk) begin
    if (ap_rst_n) begin
      assert (8'(dut.in_flight) + 8'(in_both) == ring_tags + block_tags);
      assert (dut.in_flight <= TOKENS);
      assert (!parted || dut.block_tag_valid);
      assert (ring_beats + (in_both ? 8'(BEATS) - 8'(dut.return_beat) : '0)
              == ring_tags * 8'(BEATS) + (dut.from_ring ? to_send : '0));
      assert (8'(passing) + leaving + 8'(dut.return_beat) + to_send == block_tags * 8'(BEATS));
    end
  end
endmodule
