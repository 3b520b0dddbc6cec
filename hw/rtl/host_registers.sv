// Registers by which a host drives the accelerator, behind AXI4-Lite. docs/hardware.md has their map.
//
// s_axi  32 bits, one access at a time; an address that is no register reads 0 and takes no write, with an OKAY
//
// control    what the host asks for: run, core reset, interrupt enable; rings' addresses, sizes and counts
// status     what it may read: counts of the rings, idle, failed
//
// Latency    a write takes effect 1 cycle after both its address and its data are there; a read answers after 1.
// Throughput an access in 3 cycles.
// Reset      everything 0: nothing runs, the core is held in reset.
module host_registers #(
    parameter int ADDRESS_BITS = 40,
    parameter int SLOTS = 8,
    parameter bit [31:0] BUILD = 32'h0  // which design this is
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
    output logic                    run,
    output logic                    core_rst_n,
    output logic [ADDRESS_BITS-1:0] command_base,
    output logic [             4:0] command_size,
    output logic [            31:0] command_offered,
    input  logic [            31:0] command_fetched,
    output logic [ADDRESS_BITS-1:0] event_base,
    output logic [             4:0] event_size,
    output logic [            31:0] event_taken,
    input  logic [            31:0] event_written,
    output logic [ADDRESS_BITS-1:0] logits_base,
    output logic [             4:0] logits_size,
    output logic [            31:0] logits_taken,
    input  logic [            31:0] logits_written,
    input  logic                    idle,
    input  logic [             2:0] failed,
    output logic                    interrupt
);
  localparam logic [31:0] Identity = 32'h4D4C4745;  // "EGLM" in memory
  localparam logic [31:0] Version = 32'd1;

  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_bad_address
    $error("host_registers: ADDRESS_BITS=%0d, must be 32 to 64", ADDRESS_BITS);
  end
  if (SLOTS < 1 || SLOTS > 16) begin : gen_bad_slots
    $error("host_registers: SLOTS=%0d, must be 1 to 16", SLOTS);
  end

  typedef enum logic [5:0] {
    kIdentity = 6'h00,
    kVersion = 6'h01,
    kBuild = 6'h02,
    kShape = 6'h03,
    kControl = 6'h04,
    kStatus = 6'h05,
    kSeen = 6'h06,
    kCyclesLow = 6'h08,
    kCyclesHigh = 6'h09,
    kCommandLow = 6'h10,
    kCommandHigh = 6'h11,
    kCommandSize = 6'h12,
    kCommandOffered = 6'h13,
    kCommandFetched = 6'h14,
    kEventLow = 6'h18,
    kEventHigh = 6'h19,
    kEventSize = 6'h1A,
    kEventTaken = 6'h1B,
    kEventWritten = 6'h1C,
    kLogitsLow = 6'h20,
    kLogitsHigh = 6'h21,
    kLogitsSize = 6'h22,
    kLogitsTaken = 6'h23,
    kLogitsWritten = 6'h24
  } register_e;

  logic interrupt_enabled, reset_asked, run_asked;
  logic [31:0] seen;
  logic [63:0] command_address, event_address, logits_address;
  logic [63:0] cycles;
  logic [31:0] cycles_high;  // as they were when the low word was read

  assign run = run_asked;
  assign command_base = ADDRESS_BITS'(command_address);
  assign event_base = ADDRESS_BITS'(event_address);
  assign logits_base = ADDRESS_BITS'(logits_address);

  // A write waits until address and data are there.
  wire  write = s_axi_awvalid && s_axi_wvalid && s_axi_awready && (!s_axi_bvalid || s_axi_bready);
  logic write_taken;
  assign s_axi_awready = write_taken;
  assign s_axi_wready  = write_taken;
  assign s_axi_bresp   = 2'b00;
  assign s_axi_rresp   = 2'b00;

  wire [31:0] mask = {
    {8{s_axi_wstrb[3]}}, {8{s_axi_wstrb[2]}}, {8{s_axi_wstrb[1]}}, {8{s_axi_wstrb[0]}}
  };
  function automatic logic [31:0] merged(input logic [31:0] old, input logic [31:0] data,
                                         input logic [31:0] bits);
    return (old & ~bits) | (data & bits);
  endfunction

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      write_taken  <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end else begin
      write_taken <= s_axi_awvalid && s_axi_wvalid && !write_taken && !s_axi_bvalid;
      if (write) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
    end
  end

  wire [31:0] control = {29'd0, interrupt_enabled, reset_asked, run_asked};
  wire [31:0] control_next = merged(control, s_axi_wdata, mask);

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      {interrupt_enabled, reset_asked, run_asked} <= 3'b010;
      seen <= '0;
      {command_address, event_address, logits_address} <= '0;
      {command_size, event_size, logits_size} <= '0;
      {command_offered, event_taken, logits_taken} <= '0;
    end else if (write) begin
      case (register_e'(s_axi_awaddr[7:2]))
        kControl: {interrupt_enabled, reset_asked, run_asked} <= control_next[2:0];
        kSeen: seen <= merged(seen, s_axi_wdata, mask);
        kCommandLow: command_address[31:0] <= merged(command_address[31:0], s_axi_wdata, mask);
        kCommandHigh: command_address[63:32] <= merged(command_address[63:32], s_axi_wdata, mask);
        kCommandSize: command_size <= 5'(merged(32'(command_size), s_axi_wdata, mask));
        kCommandOffered: command_offered <= merged(command_offered, s_axi_wdata, mask);
        kEventLow: event_address[31:0] <= merged(event_address[31:0], s_axi_wdata, mask);
        kEventHigh: event_address[63:32] <= merged(event_address[63:32], s_axi_wdata, mask);
        kEventSize: event_size <= 5'(merged(32'(event_size), s_axi_wdata, mask));
        kEventTaken: event_taken <= merged(event_taken, s_axi_wdata, mask);
        kLogitsLow: logits_address[31:0] <= merged(logits_address[31:0], s_axi_wdata, mask);
        kLogitsHigh: logits_address[63:32] <= merged(logits_address[63:32], s_axi_wdata, mask);
        kLogitsSize: logits_size <= 5'(merged(32'(logits_size), s_axi_wdata, mask));
        kLogitsTaken: logits_taken <= merged(logits_taken, s_axi_wdata, mask);
        default: ;
      endcase
    end else if (!core_rst_n) begin
      // what is counted since reset
      {command_offered, event_taken, logits_taken} <= '0;
      seen <= '0;
    end
  end

  function automatic logic [31:0] value(input logic [5:0] address);
    case (register_e'(address))
      kIdentity: return Identity;
      kVersion: return Version;
      kBuild: return BUILD;
      kShape: return 32'(SLOTS);
      kControl: return control;
      kStatus: return {26'd0, failed, interrupt, core_rst_n, idle};
      kSeen: return seen;
      kCyclesLow: return cycles[31:0];
      kCyclesHigh: return cycles_high;
      kCommandLow: return command_address[31:0];
      kCommandHigh: return command_address[63:32];
      kCommandSize: return 32'(command_size);
      kCommandOffered: return command_offered;
      kCommandFetched: return command_fetched;
      kEventLow: return event_address[31:0];
      kEventHigh: return event_address[63:32];
      kEventSize: return 32'(event_size);
      kEventTaken: return event_taken;
      kEventWritten: return event_written;
      kLogitsLow: return logits_address[31:0];
      kLogitsHigh: return logits_address[63:32];
      kLogitsSize: return 32'(logits_size);
      kLogitsTaken: return logits_taken;
      kLogitsWritten: return logits_written;
      default: return '0;
    endcase
  endfunction

  wire read = s_axi_arvalid && s_axi_arready;
  always_ff @(posedge ap_clk) begin
    if (read) begin
      s_axi_rdata <= value(s_axi_araddr[7:2]);
      if (register_e'(s_axi_araddr[7:2]) == kCyclesLow) cycles_high <= cycles[63:32];
    end
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      s_axi_arready <= 1'b0;
      s_axi_rvalid  <= 1'b0;
    end else begin
      s_axi_arready <= !s_axi_arready && s_axi_arvalid && !s_axi_rvalid;
      if (read) s_axi_rvalid <= 1'b1;
      else if (s_axi_rready) s_axi_rvalid <= 1'b0;
    end
  end

  // The core is reset while nothing is under way on the bus, so that no transaction is torn.
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) core_rst_n <= 1'b0;
    else if (!reset_asked) core_rst_n <= 1'b1;
    else if (idle) core_rst_n <= 1'b0;
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      interrupt <= 1'b0;
      cycles <= '0;
    end else begin
      interrupt <= interrupt_enabled && event_written != seen;
      cycles <= cycles + 64'd1;
    end
  end
endmodule
