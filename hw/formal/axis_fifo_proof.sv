// axis_fifo: nothing lost, repeated or reordered, whatever comes, whoever waits, whenever it is reset.
module axis_fifo_proof #(
    parameter int W = 2,
    parameter int DEPTH = 3
) (
    input logic         ap_clk,
    input logic         reset,
    input logic         pick,
    input logic [W-1:0] in_data,
    input logic         in_valid,
    input logic         out_ready
);
  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic in_ready, out_valid;
  logic [W-1:0] out_data;

  axis_fifo #(
      .W(W),
      .DEPTH(DEPTH)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA  (in_data),
      .in0_V_TVALID (in_valid),
      .in0_V_TREADY (in_ready),
      .out0_V_TDATA (out_data),
      .out0_V_TVALID(out_valid),
      .out0_V_TREADY(out_ready)
  );

  order_kept #(
      .W(W),
      .CAPACITY(DEPTH + 1)
  ) order (
      .ap_clk,
      .ap_rst_n,
      .pick,
      .in_data,
      .in_taken (in_valid && in_ready),
      .out_data,
      .out_taken(out_valid && out_ready)
  );

  stream_held #(
      .W(W)
  ) held (
      .ap_clk,
      .ap_rst_n,
      .data (out_data),
      .valid(out_valid),
      .ready(out_ready)
  );

  // Room that is free is offered, and what is inside comes out.
  logic [$clog2(DEPTH+2)-1:0] stored;
  logic idle;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      stored <= '0;
      idle   <= 1'b0;
    end else begin
      stored <= stored + (in_valid && in_ready) - (out_valid && out_ready);
      idle   <= stored != '0 && !out_valid;
      if (stored < DEPTH) assert (in_ready);
      assert (!(idle && !out_valid));
    end
  end
endmodule
