// Reads the beats that the host has put into a ring in its memory.
//
// m_axi  read channels of AXI4, 64 bits, bursts of up to 16 beats that never cross 128 bytes
// out0   the beats, 64 bits
//
// base       address of the ring, a multiple of 4096
// size_log2  its beats, as a power of two, at least 16
// offered    how many the host has put in since reset
// run        no transaction begins without it; idle says that none is outstanding
// failed     a response was an error; nothing is read any more until reset, and the burst with the error goes nowhere
//
// Latency    3 cycles and the memory's from `offered` to out0.
// Throughput one beat a cycle but for the time between bursts: one is under way at a time.
// Reset      forgets what is inside; only allowed while idle.
module ring_reader #(
    parameter int ADDRESS_BITS = 40
) (
    input  logic                    ap_clk,
    input  logic                    ap_rst_n,
    input  logic [ADDRESS_BITS-1:0] base,
    input  logic [             4:0] size_log2,
    input  logic [            31:0] offered,
    input  logic                    run,
    output logic [            31:0] fetched,
    output logic                    idle,
    output logic                    failed,
    output logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output logic [             7:0] m_axi_arlen,
    output logic                    m_axi_arvalid,
    input  logic                    m_axi_arready,
    input  logic [            63:0] m_axi_rdata,
    input  logic [             1:0] m_axi_rresp,
    input  logic                    m_axi_rlast,
    input  logic                    m_axi_rvalid,
    output logic                    m_axi_rready,
    output logic [            63:0] out0_V_TDATA,
    output logic                    out0_V_TVALID,
    input  logic                    out0_V_TREADY
);
  localparam int BurstBeats = 16;

  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_bad_address
    $error("ring_reader: ADDRESS_BITS=%0d, must be 32 to 64", ADDRESS_BITS);
  end

  typedef enum logic [1:0] {
    kWait,
    kAddress,
    kData
  } state_e;

  state_e state;
  logic [4:0] burst;

  wire [31:0] left = offered - fetched;
  wire [4:0] to_border = 5'(BurstBeats) - {1'b0, fetched[3:0]};
  wire [4:0] next_burst = left < 32'(to_border) ? left[4:0] : to_border;
  wire [31:0] index = fetched & ((32'd1 << size_log2) - 32'd1);
  wire beat = m_axi_rvalid && m_axi_rready;

  // a burst is asked for when there is room for all of it
  logic [4:0] stored;
  logic queue_ready;
  axis_fifo #(
      .W(64),
      .DEPTH(BurstBeats)
  ) queue (
      .ap_clk,
      .ap_rst_n,
      .in0_V_TDATA (m_axi_rdata),
      .in0_V_TVALID(m_axi_rvalid && state == kData && !failed && !m_axi_rresp[1]),
      .in0_V_TREADY(queue_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );
  wire taken = out0_V_TVALID && out0_V_TREADY;

  assign m_axi_rready = state == kData;
  assign idle = state == kWait;

  always_ff @(posedge ap_clk) begin
    if (state == kWait) begin
      m_axi_araddr <= base + (ADDRESS_BITS'(index) << 3);
      m_axi_arlen <= 8'(next_burst) - 8'd1;
      burst <= next_burst;
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      state <= kWait;
      m_axi_arvalid <= 1'b0;
      fetched <= '0;
      stored <= '0;
      failed <= 1'b0;
    end else begin
      stored <= stored + 5'(beat && !failed && !m_axi_rresp[1]) - 5'(taken);
      if (beat && m_axi_rresp[1]) failed <= 1'b1;
      case (state)
        kWait:
        if (run && !failed && left != '0 && stored == '0) begin
          m_axi_arvalid <= 1'b1;
          state <= kAddress;
        end
        kAddress:
        if (m_axi_arready) begin
          m_axi_arvalid <= 1'b0;
          state <= kData;
        end
        kData:
        if (beat && m_axi_rlast) begin
          fetched <= fetched + 32'(burst);
          state   <= kWait;
        end
        default: state <= kWait;
      endcase
    end
  end
endmodule
