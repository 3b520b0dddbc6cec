// axis_register: nothing lost, repeated or reordered; room for a beat whenever fewer than two are inside.
module axis_register_proof #(
    parameter int W = 2
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
  wire in_taken = in_valid && in_ready;
  wire out_taken = out_valid && out_ready;

  axis_register #(
      .W(W)
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
      .CAPACITY(2)
  ) order (
      .ap_clk,
      .ap_rst_n,
      .pick,
      .in_data,
      .in_taken,
      .out_data,
      .out_taken
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

  logic [1:0] stored;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      stored <= '0;
    end else begin
      stored <= stored + 2'(in_taken) - 2'(out_taken);
      if (stored < 2) assert (in_ready);
      assert (out_valid == (stored != '0));
    end
  end
endmodule
