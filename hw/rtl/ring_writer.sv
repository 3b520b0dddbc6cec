// Writes records to a ring in the host's memory, each with a number by which the host knows that it is there.
//
// in0  head of a record, 32 bits
// in1  its other beats, BEATS of 64 bits; not used where BEATS is 0
// m_axi  write channels of AXI4, 64 bits, bursts of up to 16 beats that never cross 128 bytes
//
// A record starts with the word {number, head}: numbers count from 1 and go on when the ring starts again. The other beats begin 128
// bytes behind it and are in memory (their responses have come) before that word is written. Without other beats a record has 8 bytes.
// base       address of the ring, a multiple of 4096
// size_log2  its records, as a power of two
// taken      how many the host has taken out since reset: a full ring waits
// run        no transaction begins without it; idle says that none is outstanding
// failed     a response was an error; nothing is written any more until reset
//
// Latency    2 cycles from in0 to the address, when nothing else is to be done.
// Throughput BEATS = 0: a record in 2 cycles as long as fewer than 8 wait for a response.
// Reset      forgets what is inside; only allowed while idle.
module ring_writer #(
    parameter int BEATS = 0,
    parameter int ADDRESS_BITS = 40
) (
    input  logic                    ap_clk,
    input  logic                    ap_rst_n,
    input  logic [            31:0] in0_V_TDATA,
    input  logic                    in0_V_TVALID,
    output logic                    in0_V_TREADY,
    input  logic [            63:0] in1_V_TDATA,
    input  logic                    in1_V_TVALID,
    output logic                    in1_V_TREADY,
    input  logic [ADDRESS_BITS-1:0] base,
    input  logic [             4:0] size_log2,
    input  logic [            31:0] taken,
    input  logic                    run,
    output logic [            31:0] written,
    output logic                    idle,
    output logic                    failed,
    output logic [ADDRESS_BITS-1:0] m_axi_awaddr,
    output logic [             7:0] m_axi_awlen,
    output logic                    m_axi_awvalid,
    input  logic                    m_axi_awready,
    output logic [            63:0] m_axi_wdata,
    output logic                    m_axi_wlast,
    output logic                    m_axi_wvalid,
    input  logic                    m_axi_wready,
    input  logic [             1:0] m_axi_bresp,
    input  logic                    m_axi_bvalid,
    output logic                    m_axi_bready
);
  localparam int BurstBeats = 16;
  localparam int RecordLog2 = BEATS == 0 ? 3 : 7 + $clog2(
      1 + (BEATS + BurstBeats - 1) / BurstBeats
  );
  localparam int BeatBits = $clog2(BEATS + BurstBeats + 1);
  localparam int MostOutstanding = 8;

  if (BEATS < 0) begin : gen_bad_beats
    $error("ring_writer: BEATS=%0d, must be at least 0", BEATS);
  end
  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_bad_address
    $error("ring_writer: ADDRESS_BITS=%0d, must be 32 to 64", ADDRESS_BITS);
  end

  typedef enum logic [2:0] {
    kHead,     // waits for a record
    kAddress,  // of a burst
    kData,     // its beats
    kSettle,   // responses of all bursts
    kMark,     // address of the first word
    kNumber    // and the word
  } state_e;

  state_e state;
  logic [31:0] head;
  logic [BeatBits-1:0] left;  // beats of the record that have no address yet
  logic [4:0] burst;  // beats left in this burst
  logic [ADDRESS_BITS-1:0] record, address;
  logic [3:0] outstanding;

  wire [31:0] filled = written - taken;
  wire room = filled < (32'd1 << size_log2);
  wire [31:0] index = written & ((32'd1 << size_log2) - 32'd1);
  wire [4:0] next_burst = left > BeatBits'(BurstBeats) ? 5'(BurstBeats) : 5'(left);

  wire take_head = in0_V_TVALID && in0_V_TREADY;
  wire address_sent = m_axi_awvalid && m_axi_awready;
  wire beat_sent = m_axi_wvalid && m_axi_wready;
  wire response = m_axi_bvalid && m_axi_bready;
  wire write_free = !m_axi_wvalid || m_axi_wready;

  assign in0_V_TREADY = state == kHead && run && !failed && room;
  assign in1_V_TREADY = state == kData && write_free && burst != '0;
  assign m_axi_bready = 1'b1;
  assign idle = state == kHead && outstanding == '0 && !m_axi_awvalid && !m_axi_wvalid;

  always_ff @(posedge ap_clk) begin
    if (take_head) begin
      head   <= in0_V_TDATA;
      record <= base + (ADDRESS_BITS'(index) << RecordLog2);
    end
    if (state == kAddress && !m_axi_awvalid) begin
      m_axi_awaddr <= address;
      m_axi_awlen  <= 8'(next_burst) - 8'd1;
    end else if (state == kMark && !m_axi_awvalid) begin
      m_axi_awaddr <= record;
      m_axi_awlen  <= '0;
    end
    if (in1_V_TREADY && in1_V_TVALID) begin
      m_axi_wdata <= in1_V_TDATA;
      m_axi_wlast <= burst == 5'd1;
    end else if (state == kNumber && write_free) begin
      m_axi_wdata <= {written + 32'd1, head};
      m_axi_wlast <= 1'b1;
    end
  end

  // The address of a burst goes out before or beside its beats; the next burst's only when this one's has gone.
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      state <= kHead;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
      written <= '0;
      burst <= '0;
      left <= '0;
    end else begin
      if (address_sent) m_axi_awvalid <= 1'b0;
      if (beat_sent) m_axi_wvalid <= 1'b0;
      case (state)
        kHead:
        if (take_head) begin
          state <= BEATS == 0 ? kMark : kAddress;
          left  <= BeatBits'(BEATS);
        end
        kAddress:
        if (!m_axi_awvalid) begin
          m_axi_awvalid <= 1'b1;
          burst <= next_burst;
          left <= left - BeatBits'(next_burst);
          state <= kData;
        end
        kData: begin
          if (in1_V_TREADY && in1_V_TVALID) begin
            m_axi_wvalid <= 1'b1;
            burst <= burst - 5'd1;
          end
          if (burst == '0) state <= left != '0 ? kAddress : kSettle;
        end
        kSettle: if (outstanding == '0 && !m_axi_awvalid && !m_axi_wvalid) state <= kMark;
        kMark:
        if (!m_axi_awvalid && outstanding != 4'(MostOutstanding)) begin
          m_axi_awvalid <= 1'b1;
          state <= kNumber;
        end
        kNumber:
        if (write_free) begin
          m_axi_wvalid <= 1'b1;
          written <= written + 32'd1;
          state <= kHead;
        end
        default: state <= kHead;
      endcase
    end
  end

  always_ff @(posedge ap_clk) begin
    if (take_head) address <= base + (ADDRESS_BITS'(index) << RecordLog2) + ADDRESS_BITS'(128);
    else if (state == kAddress && !m_axi_awvalid)
      address <= address + ADDRESS_BITS'(8 * BurstBeats);
  end

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      outstanding <= '0;
      failed <= 1'b0;
    end else begin
      outstanding <= outstanding + 4'(address_sent) - 4'(response);
      if (response && m_axi_bresp[1]) failed <= 1'b1;
    end
  end
endmodule
