// Copies a stream to K consumers, each of which may take a beat at its own time.
//
// in0  W bits
// out  K streams of W bits, packed: consumer k owns out_V_TDATA[k], out_V_TVALID[k], out_V_TREADY[k]
//
// The next beat comes in when every consumer has taken (or takes in that cycle) the one before it, so a
// consumer that may lag behind needs a FIFO.
// Latency    1 cycle.
// Throughput 1 beat a cycle.
// Reset      drops the beat inside.
module stream_fork #(
    parameter int K = 2,
    parameter int W = 32
) (
    input  logic                ap_clk,
    input  logic                ap_rst_n,
    input  logic [W-1:0]        in0_V_TDATA,
    input  logic                in0_V_TVALID,
    output logic                in0_V_TREADY,
    output logic [K-1:0][W-1:0] out_V_TDATA,
    output logic [K-1:0]        out_V_TVALID,
    input  logic [K-1:0]        out_V_TREADY
);
  if (K < 1) begin : gen_bad_k
    $error("stream_fork: K=%0d, must be at least 1", K);
  end
  if (W < 1) begin : gen_bad_w
    $error("stream_fork: W=%0d, must be at least 1", W);
  end

  logic [W-1:0] data;
  logic [K-1:0] pending;  // consumers that have not taken `data`

  wire [K-1:0] still_pending = pending & ~out_V_TREADY;
  wire accept = in0_V_TVALID && in0_V_TREADY;

  assign in0_V_TREADY = still_pending == '0;
  assign out_V_TDATA  = {K{data}};
  assign out_V_TVALID = pending;

  always_ff @(posedge ap_clk) begin
    if (accept) data <= in0_V_TDATA;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) pending <= '0;
    else pending <= accept ? '1 : still_pending;
  end
endmodule
