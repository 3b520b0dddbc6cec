// stream_fork: every consumer gets every beat once and in order, and a consumer that waits holds back nobody's current beat.
module stream_fork_proof #(
    parameter int K = 3,
    parameter int W = 2
) (
    input logic         ap_clk,
    input logic         reset,
    input logic         pick,
    input logic [W-1:0] in_data,
    input logic         in_valid,
    input logic [K-1:0] out_ready
);
  logic started = 1'b0;
  always_ff @(posedge ap_clk) started <= 1'b1;
  wire ap_rst_n = started && !reset;

  logic in_ready;
  logic [K-1:0] out_valid;
  logic [K-1:0][W-1:0] out_data;

  stream_fork #(
      .K(K),
      .W(W)
  ) dut (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA (in_data),
      .in0_V_TVALID(in_valid),
      .in0_V_TREADY(in_ready),
      .out_V_TDATA (out_data),
      .out_V_TVALID(out_valid),
      .out_V_TREADY(out_ready)
  );

  for (genvar k = 0; k < K; k++) begin : gen_consumer
    order_kept #(
        .W(W),
        .CAPACITY(1)
    ) order (
        .ap_clk,
        .ap_rst_n,
        .pick,
        .in_data,
        .in_taken (in_valid && in_ready),
        .out_data (out_data[k]),
        .out_taken(out_valid[k] && out_ready[k])
    );

    stream_held #(
        .W(W)
    ) held (
        .ap_clk,
        .ap_rst_n,
        .data (out_data[k]),
        .valid(out_valid[k]),
        .ready(out_ready[k])
    );
  end

  always_ff @(posedge ap_clk) if (ap_rst_n && (out_valid & ~out_ready) == '0) assert (in_ready);
endmodule
