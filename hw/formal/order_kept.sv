// Beats leave in the order in which they came, each once, at most CAPACITY of them inside.
//
// Any one beat that comes in is picked by `pick` and followed: as many leave before it as were inside.
module order_kept #(
    parameter int W = 4,
    parameter int CAPACITY = 2
) (
    input logic         ap_clk,
    input logic         ap_rst_n,
    input logic         pick,
    input logic [W-1:0] in_data,
    input logic         in_taken,
    input logic [W-1:0] out_data,
    input logic         out_taken
);
  localparam int CountBits = $clog2(CAPACITY + 2);
  logic [CountBits-1:0] stored, ahead;
  logic picked, done;
  logic [W-1:0] kept;

  wire followed = in_taken && pick && !picked;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      stored <= '0;
      picked <= 1'b0;
      done   <= 1'b0;
    end else begin
      stored <= stored + CountBits'(in_taken) - CountBits'(out_taken);
      if (followed) begin
        {picked, kept} <= {1'b1, in_data};
        ahead <= stored - CountBits'(out_taken);
      end else if (out_taken && picked && !done) begin
        ahead <= ahead - 1'b1;
        done  <= ahead == '0;
        if (ahead == '0) assert (out_data == kept);
      end
      assert (stored <= CountBits'(CAPACITY));
      assert (!out_taken || stored != '0);
    end
  end
endmodule
