// width_converter: the narrow beats that come are those that leave, in order; none waits for another wide beat than its own.
module width_converter_proof #(
    parameter int IN_BITS = 3,
    parameter int OUT_BITS = 1,
    localparam int Narrow = IN_BITS < OUT_BITS ? IN_BITS : OUT_BITS,
    localparam int InBeats = IN_BITS / Narrow,
    localparam int OutBeats = OUT_BITS / Narrow,
    localparam int Capacity = InBeats + OutBeats,
    localparam int CountBits = $clog2(Capacity + 1)
) (
    input logic                 ap_clk,
    input logic                 reset,
    input logic                 pick,
    input logic [CountBits-1:0] which,
    input logic [  IN_BITS-1:0] in_data,
    input logic                 in_valid,
    input logic                 out_ready
);
  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic in_ready, out_valid;
  logic [7:0] out_data;
  wire in_taken = in_valid && in_ready;
  wire out_taken = out_valid && out_ready;

  width_converter #(
      .IN_BITS(IN_BITS),
      .OUT_BITS(OUT_BITS)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (8'(in_data)),
      .in0_V_TVALID (in_valid),
      .in0_V_TREADY (in_ready),
      .out0_V_TDATA (out_data),
      .out0_V_TVALID(out_valid),
      .out0_V_TREADY(out_ready)
  );

  stream_held #(
      .W(OUT_BITS)
  ) held (
      .ap_clk,
      .ap_rst_n,
      .data (out_data[OUT_BITS-1:0]),
      .valid(out_valid),
      .ready(out_ready)
  );

  // One narrow beat, number `which` of a beat that is picked, is followed: `ahead` others leave first.
  logic [CountBits-1:0] stored, ahead;
  logic picked, gone;
  logic [Narrow-1:0] kept;
  wire follows = in_taken && pick && !picked && which < CountBits'(InBeats);

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      stored <= '0;
      {picked, gone} <= '0;
    end else begin
      stored <= stored + (in_taken ? CountBits'(InBeats) : '0)
                - (out_taken ? CountBits'(OutBeats) : '0);
      assert (stored <= CountBits'(Capacity));
      assert (out_valid == (stored >= CountBits'(OutBeats)));
      if (follows) begin
        picked <= 1'b1;
        kept   <= in_data[which*Narrow+:Narrow];
        ahead  <= stored + which - (out_taken ? CountBits'(OutBeats) : '0);
      end else if (out_taken && picked && !gone) begin
        ahead <= ahead - CountBits'(OutBeats);
        gone  <= ahead < CountBits'(OutBeats);
        if (ahead < CountBits'(OutBeats)) assert (out_data[ahead*Narrow+:Narrow] == kept);
      end
    end
  end
endmodule
