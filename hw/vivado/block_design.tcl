# The system around the accelerator. Sourced by create_project.tcl.
#
#   ps -- to_registers -- accelerator/s_axi           accelerator/m_* -- to_memory -- ps -- DDR
#                     +-- irq_controller              accelerator/interrupt -- irq_controller -- ps
#
# One clock: pl_clock makes it out of the processing system's, exactly, whatever PLLs the boot loader has set up.

proc cell {vlnv name {parameters {}}} {
    set made [create_bd_cell -type ip -vlnv $vlnv $name]
    if {[llength $parameters] > 0} {
        set_property -dict $parameters $made
    }
    return $made
}
proc wire {from args} {
    foreach to $args {
        connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
    }
}
proc axi {master slave} {
    connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $slave]
}

create_bd_design $design_name

# processing system: the board's preset, then the ports that are used here
set ps [cell $ps_ip ps]
if {$board_part ne ""} {
    apply_bd_automation -rule $ps_rule -config $ps_automation $ps
} else {
    foreach interface $ps_external {
        make_bd_intf_pins_external [get_bd_intf_pins ps/$interface]
    }
}
set_property -dict $ps_config $ps

cell xilinx.com:ip:clk_wiz pl_clock [list \
    CONFIG.PRIM_SOURCE No_buffer \
    CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $clock_mhz \
    CONFIG.USE_LOCKED true \
    CONFIG.USE_RESET true \
    CONFIG.RESET_TYPE ACTIVE_LOW \
    CONFIG.RESET_PORT resetn \
]
cell xilinx.com:ip:proc_sys_reset pl_reset
cell xilinx.com:ip:smartconnect to_registers {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2}
cell xilinx.com:ip:smartconnect to_memory [list CONFIG.NUM_SI [llength $memory_interfaces] CONFIG.NUM_MI 1]
# PYNQ waits for interrupts behind an AXI interrupt controller only; a single output line, not a bus
cell xilinx.com:ip:axi_intc irq_controller {CONFIG.C_IRQ_CONNECTION 1}
cell $ip_vendor:$ip_library:$ip_name:$ip_version accelerator

# clock and reset
wire ps/$ps_clock pl_clock/clk_in1
wire ps/$ps_reset pl_clock/resetn pl_reset/ext_reset_in
wire pl_clock/locked pl_reset/dcm_locked
wire pl_clock/clk_out1 \
    pl_reset/slowest_sync_clk \
    accelerator/ap_clk \
    irq_controller/s_axi_aclk \
    to_registers/aclk \
    to_memory/aclk \
    ps/$register_port_clock \
    ps/$memory_port_clock
wire pl_reset/interconnect_aresetn to_registers/aresetn to_memory/aresetn
wire pl_reset/peripheral_aresetn accelerator/ap_rst_n irq_controller/s_axi_aresetn

# registers, memory, interrupt
axi ps/$register_port to_registers/S00_AXI
axi to_registers/M00_AXI accelerator/$register_interface
axi to_registers/M01_AXI irq_controller/s_axi
set number 0
foreach interface $memory_interfaces {
    axi accelerator/$interface to_memory/[format S%02d_AXI $number]
    incr number
}
axi to_memory/M00_AXI ps/$memory_port
wire accelerator/interrupt irq_controller/intr
wire irq_controller/irq ps/$ps_interrupt

# addresses: of the registers as the processors see them, of the memory as the accelerator sees it
foreach {segment offset range} $register_segments {
    assign_bd_address -offset $offset -range $range \
        -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs $segment] -force
}
foreach interface $memory_interfaces {
    assign_bd_address -offset 0x00000000 -range $memory_bytes \
        -target_address_space [get_bd_addr_spaces accelerator/$interface] [get_bd_addr_segs ps/$memory_segment] -force
}

validate_bd_design
save_bd_design
