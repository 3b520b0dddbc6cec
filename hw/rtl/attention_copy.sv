// Copies rows of K and V from one place of both memories to another: 0 .. last_row of every KV head.
//
// `start` is a pulse one cycle after which source, target and last_row hold still until `done`. The memories are
// read through read_address and written in the cycle in which their row comes out; nobody else may use them.
//
// Latency    4 + KV_HEADS * (last_row + 1) cycles from start to done.
// Throughput one row of K and of V a cycle.
// Reset      stops a copy: what it was to write is undefined.
module attention_copy #(
    parameter int KV_HEADS = 2,
    parameter int ROWS = 256,
    parameter int DEPTH = 1024,
    localparam int AddressBits = DEPTH > 1 ? $clog2(DEPTH) : 1,
    localparam int RowBits = ROWS > 1 ? $clog2(ROWS) : 1
) (
    input  logic                   ap_clk,
    input  logic                   ap_rst_n,
    input  logic                   copy_start,
    input  logic [AddressBits-1:0] copy_source,
    input  logic [AddressBits-1:0] copy_target,
    input  logic [    RowBits-1:0] copy_last_row,
    output logic                   copy_done,
    output logic                   copy_reads,
    output logic [AddressBits-1:0] copy_read_address,
    output logic                   copy_writes,
    output logic [AddressBits-1:0] copy_write_address
);
  localparam int KvBits = KV_HEADS > 1 ? $clog2(KV_HEADS) : 1;
  localparam int ReadLatency = 2;

  logic [KvBits-1:0] kv;
  logic [RowBits-1:0] row;
  logic [AddressBits-1:0] head_offset;  // of the KV head within its layer and slot
  wire [AddressBits-1:0] offset = head_offset + AddressBits'(row);
  wire last_row = row == copy_last_row;
  wire last = last_row && kv == KvBits'(KV_HEADS - 1);

  logic [ReadLatency:0] valid, lasts;
  logic [AddressBits-1:0] addresses[ReadLatency+1];

  assign copy_read_address = copy_source + offset;
  assign valid[0] = copy_reads;
  assign lasts[0] = last;
  assign addresses[0] = copy_target + offset;
  assign copy_writes = valid[ReadLatency];
  assign copy_write_address = addresses[ReadLatency];

  always_ff @(posedge ap_clk) begin
    for (int stage = 1; stage <= ReadLatency; stage++) addresses[stage] <= addresses[stage-1];
    lasts[ReadLatency:1] <= lasts[ReadLatency-1:0];
    if (!copy_reads) begin
      kv          <= '0;
      row         <= '0;
      head_offset <= '0;
    end else begin
      row <= last_row ? '0 : row + 1'b1;
      if (last_row) begin
        kv          <= kv + 1'b1;
        head_offset <= head_offset + AddressBits'(ROWS);
      end
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      copy_reads           <= 1'b0;
      copy_done            <= 1'b0;
      valid[ReadLatency:1] <= '0;
    end else begin
      if (copy_start) copy_reads <= 1'b1;
      else if (last) copy_reads <= 1'b0;
      copy_done <= copy_writes && lasts[ReadLatency];
      valid[ReadLatency:1] <= valid[ReadLatency-1:0];
    end
  end
endmodule
