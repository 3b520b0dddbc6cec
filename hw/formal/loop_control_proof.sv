// loop_control: every token goes through the block once a layer, in order of the layers, and leaves once with its tag and data;
// the return path never waits for the block, so that no back pressure on the ring can stop it.
//
// The block is anything that gives back the beats it took, in their order, at any time. One token is followed: it alone has
// the low bit of its tag and of its data set (what the module does cannot depend on either).
module loop_control_proof #(
    parameter int LAYERS = 2,
    parameter int TOKENS = 2,
    parameter int BEATS  = 2
) (
    input logic       ap_clk,
    input logic       reset,
    input logic [1:0] in0_data,    // of a new token: whether it has the followed token's mark; any second bit
    input logic       in0_valid,
    input logic       in1_marked,
    input logic       in1_wanted,
    input logic       in1_valid,
    input logic       back_valid,
    input logic [4:0] out_ready
);
  localparam int Passing = TOKENS * BEATS + BEATS + 2;  // beats between out0 and in2: at most those of all tokens inside
  localparam int Bits = $clog2(Passing + 1);
  localparam int PassBits = $clog2(LAYERS + 2);

  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic in0_ready, in1_ready, in2_ready;
  logic [1:0] out0_data, out3_data;
  logic [39:0] out1_data;
  logic [7:0] out2_data;
  logic [31:0] out4_data;
  logic [4:0] out_valid;
  wire [4:0] taken = out_valid & out_ready;
  wire in0_taken = in0_valid && in0_ready;
  wire in1_taken = in1_valid && in1_ready;

  // ---- The block: gives back as many beats as it took, when it likes -----------------------------
  logic [Bits-1:0] passing;
  wire in2_valid = back_valid && passing != '0;
  wire in2_taken = in2_valid && in2_ready;
  logic [1:0] waited;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      passing <= '0;
      waited <= '0;
    end else begin
      passing <= passing + Bits'(taken[0]) - Bits'(in2_taken);
      assert (passing <= Bits'(Passing));
      waited <= in2_valid && !in2_ready && (out_ready[3] && out_ready[4]) ? waited + 1'b1 : '0;
      assert (waited < 3);
    end
  end

  loop_control #(
      .LAYERS(LAYERS),
      .TOKENS(TOKENS),
      .BEATS(BEATS),
      .W(2)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in0_data),
      .in0_V_TVALID (in0_valid),
      .in0_V_TREADY (in0_ready),
      .in1_V_TDATA  ({7'd0, in1_wanted, 23'd0, in1_marked}),
      .in1_V_TVALID (in1_valid),
      .in1_V_TREADY (in1_ready),
      .in2_V_TDATA  (2'd0),
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
endmodule
