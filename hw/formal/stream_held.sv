// What AXI4-Stream asks of a sender: a beat that is offered stays, unchanged, until it is taken.
module stream_held #(
    parameter int W = 32
) (
    input logic         ap_clk,
    input logic         ap_rst_n,
    input logic [W-1:0] data,
    input logic         valid,
    input logic         ready
);
  logic waiting;
  logic [W-1:0] offered;

  always_ff @(posedge ap_clk) begin
    waiting <= ap_rst_n && valid && !ready;
    offered <= data;
    if (ap_rst_n && waiting) assert (valid && data == offered);
  end
endmodule
