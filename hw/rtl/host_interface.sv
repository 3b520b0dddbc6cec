// Between the accelerator's streams and a host: registers, and three rings in the host's memory.
//
// s_axi      registers (host_registers)
// m_commands read channels: the ring of command words, two a beat, the first in the low half
// m_events   write channels: the ring of events, {number, event} in 8 bytes
// m_logits   write channels: the ring of shown logits, {number, tag}, and from byte 128 on the logits
// out0       command words to the accelerator; in0 its events, in1 its shown logits
// core_rst_n the accelerator's reset, which the host asks for and gets when nothing is under way on the bus
// interrupt  there are events that the host has not said it has seen
//
// Latency    of a command: 4 cycles and the memory's; of an event: 3 and the memory's.
// Throughput a command word a cycle, an event in 2 cycles.
// Reset      everything; the host's own `core reset` forgets the rings' counts as well.
module host_interface #(
    parameter int N = 512,  // logits
    parameter int PE = 2,
    parameter int SLOTS = 8,
    parameter int ADDRESS_BITS = 40,
    parameter bit [31:0] BUILD = 32'h0,
    localparam int ShownBits = PE < 2 ? 32 : PE * 16
) (
    input  logic                    ap_clk,
    input  logic                    ap_rst_n,
    input  logic [             7:0] s_axi_awaddr,
    input  logic                    s_axi_awvalid,
    output logic                    s_axi_awready,
    input  logic [            31:0] s_axi_wdata,
    input  logic [             3:0] s_axi_wstrb,
    input  logic                    s_axi_wvalid,
    output logic                    s_axi_wready,
    output logic [             1:0] s_axi_bresp,
    output logic                    s_axi_bvalid,
    input  logic                    s_axi_bready,
    input  logic [             7:0] s_axi_araddr,
    input  logic                    s_axi_arvalid,
    output logic                    s_axi_arready,
    output logic [            31:0] s_axi_rdata,
    output logic [             1:0] s_axi_rresp,
    output logic                    s_axi_rvalid,
    input  logic                    s_axi_rready,
    output logic [ADDRESS_BITS-1:0] m_commands_araddr,
    output logic [             7:0] m_commands_arlen,
    output logic                    m_commands_arvalid,
    input  logic                    m_commands_arready,
    input  logic [            63:0] m_commands_rdata,
    input  logic [             1:0] m_commands_rresp,
    input  logic                    m_commands_rlast,
    input  logic                    m_commands_rvalid,
    output logic                    m_commands_rready,
    output logic [ADDRESS_BITS-1:0] m_events_awaddr,
    output logic [             7:0] m_events_awlen,
    output logic                    m_events_awvalid,
    input  logic                    m_events_awready,
    output logic [            63:0] m_events_wdata,
    output logic                    m_events_wlast,
    output logic                    m_events_wvalid,
    input  logic                    m_events_wready,
    input  logic [             1:0] m_events_bresp,
    input  logic                    m_events_bvalid,
    output logic                    m_events_bready,
    output logic [ADDRESS_BITS-1:0] m_logits_awaddr,
    output logic [             7:0] m_logits_awlen,
    output logic                    m_logits_awvalid,
    input  logic                    m_logits_awready,
    output logic [            63:0] m_logits_wdata,
    output logic                    m_logits_wlast,
    output logic                    m_logits_wvalid,
    input  logic                    m_logits_wready,
    input  logic [             1:0] m_logits_bresp,
    input  logic                    m_logits_bvalid,
    output logic                    m_logits_bready,
    output logic [            31:0] out0_V_TDATA,
    output logic                    out0_V_TVALID,
    input  logic                    out0_V_TREADY,
    input  logic [            31:0] in0_V_TDATA,
    input  logic                    in0_V_TVALID,
    output logic                    in0_V_TREADY,
    input  logic [   ShownBits-1:0] in1_V_TDATA,
    input  logic                    in1_V_TVALID,
    output logic                    in1_V_TREADY,
    output logic                    core_rst_n,
    output logic                    interrupt
);
  logic run;
  logic [2:0] idle, failed;
  logic [ADDRESS_BITS-1:0] command_base, event_base, logits_base;
  logic [4:0] command_size, event_size, logits_size;
  logic [31:0] command_offered, command_fetched;
  logic [31:0] event_taken, event_written, logits_taken, logits_written;

  host_registers #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .SLOTS(SLOTS),
      .BUILD(BUILD)
  ) registers (
      .idle(&idle),
      .*
  );

  logic [63:0] pair;
  logic pair_valid, pair_ready;

  ring_reader #(
      .ADDRESS_BITS(ADDRESS_BITS)
  ) commands (
      .ap_clk,
      .ap_rst_n(core_rst_n),
      .base(command_base),
      .size_log2(command_size),
      .offered(command_offered),
      .run,
      .fetched(command_fetched),
      .idle(idle[0]),
      .failed(failed[0]),
      .m_axi_araddr(m_commands_araddr),
      .m_axi_arlen(m_commands_arlen),
      .m_axi_arvalid(m_commands_arvalid),
      .m_axi_arready(m_commands_arready),
      .m_axi_rdata(m_commands_rdata),
      .m_axi_rresp(m_commands_rresp),
      .m_axi_rlast(m_commands_rlast),
      .m_axi_rvalid(m_commands_rvalid),
      .m_axi_rready(m_commands_rready),
      .out0_V_TDATA(pair),
      .out0_V_TVALID(pair_valid),
      .out0_V_TREADY(pair_ready)
  );

  width_converter #(
      .IN_BITS (64),
      .OUT_BITS(32)
  ) words (
      .ap_clk,
      .ap_rst_n(core_rst_n),
      .in0_V_TDATA(pair),
      .in0_V_TVALID(pair_valid),
      .in0_V_TREADY(pair_ready),
      .out0_V_TDATA,
      .out0_V_TVALID,
      .out0_V_TREADY
  );

  ring_writer #(
      .BEATS(0),
      .ADDRESS_BITS(ADDRESS_BITS)
  ) events (
      .ap_clk,
      .ap_rst_n(core_rst_n),
      .in0_V_TDATA,
      .in0_V_TVALID,
      .in0_V_TREADY,
      .in1_V_TDATA('0),
      .in1_V_TVALID(1'b0),
      .in1_V_TREADY(),
      .base(event_base),
      .size_log2(event_size),
      .taken(event_taken),
      .run,
      .written(event_written),
      .idle(idle[1]),
      .failed(failed[1]),
      .m_axi_awaddr(m_events_awaddr),
      .m_axi_awlen(m_events_awlen),
      .m_axi_awvalid(m_events_awvalid),
      .m_axi_awready(m_events_awready),
      .m_axi_wdata(m_events_wdata),
      .m_axi_wlast(m_events_wlast),
      .m_axi_wvalid(m_events_wvalid),
      .m_axi_wready(m_events_wready),
      .m_axi_bresp(m_events_bresp),
      .m_axi_bvalid(m_events_bvalid),
      .m_axi_bready(m_events_bready)
  );

  logic [31:0] tag;
  logic [63:0] logits;
  logic tag_valid, tag_ready, logits_valid, logits_ready;

  shown_logits #(
      .N (N),
      .PE(PE)
  ) parts (
      .ap_clk,
      .ap_rst_n(core_rst_n),
      .in0_V_TDATA(in1_V_TDATA),
      .in0_V_TVALID(in1_V_TVALID),
      .in0_V_TREADY(in1_V_TREADY),
      .out0_V_TDATA(tag),
      .out0_V_TVALID(tag_valid),
      .out0_V_TREADY(tag_ready),
      .out1_V_TDATA(logits),
      .out1_V_TVALID(logits_valid),
      .out1_V_TREADY(logits_ready)
  );

  ring_writer #(
      .BEATS((N + 3) / 4),
      .ADDRESS_BITS(ADDRESS_BITS)
  ) shown (
      .ap_clk,
      .ap_rst_n(core_rst_n),
      .in0_V_TDATA(tag),
      .in0_V_TVALID(tag_valid),
      .in0_V_TREADY(tag_ready),
      .in1_V_TDATA(logits),
      .in1_V_TVALID(logits_valid),
      .in1_V_TREADY(logits_ready),
      .base(logits_base),
      .size_log2(logits_size),
      .taken(logits_taken),
      .run,
      .written(logits_written),
      .idle(idle[2]),
      .failed(failed[2]),
      .m_axi_awaddr(m_logits_awaddr),
      .m_axi_awlen(m_logits_awlen),
      .m_axi_awvalid(m_logits_awvalid),
      .m_axi_awready(m_logits_awready),
      .m_axi_wdata(m_logits_wdata),
      .m_axi_wlast(m_logits_wlast),
      .m_axi_wvalid(m_logits_wvalid),
      .m_axi_wready(m_logits_wready),
      .m_axi_bresp(m_logits_bresp),
      .m_axi_bvalid(m_logits_bvalid),
      .m_axi_bready(m_logits_bready)
  );
endmodule
