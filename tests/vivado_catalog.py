"""Pins and interfaces of the IPs that the block design uses, by their parameters (PG201, PG082, PG065, PG164, PG247, PG099).

Written from the IPs' guides and not from edgellm, so that a wrong name there is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

IN, OUT, MASTER, SLAVE = "I", "O", "master", "slave"
Config = dict[str, str]


class VivadoError(Exception):
    """What Vivado would stop with."""


@dataclass
class Ip:
    """One configured IP. A pin that is `needed` must be connected before the design is valid."""

    pins: dict[str, str] = field(default_factory=dict)  # name -> IN or OUT
    interfaces: dict[str, str] = field(default_factory=dict)  # name -> MASTER or SLAVE
    needed: set[str] = field(default_factory=set)
    clocks: set[str] = field(default_factory=set)
    segments: dict[str, int] = field(default_factory=dict)  # interface/name -> most bytes

    def add_clock(self, name: str) -> None:
        self.pins[name] = IN
        self.needed.add(name)
        self.clocks.add(name)

    def add_reset(self, name: str) -> None:
        self.pins[name] = IN
        self.needed.add(name)

    def add_interface(self, name: str, mode: str) -> None:
        self.interfaces[name] = mode
        self.needed.add(name)


def _check(config: Config, *patterns: str) -> None:
    for name in config:
        if not any(re.fullmatch(pattern, name) for pattern in patterns):
            raise VivadoError(f"no parameter CONFIG.{name}")


def zynq_ultra_ps_e(config: Config) -> Ip:
    _check(
        config,
        r"PSU__USE__[MS]_AXI_GP[0-6]",
        r"PSU__[MS]AXIGP[0-6]__DATA_WIDTH",
        r"PSU__FPGA_PL[0-3]_ENABLE",
        r"PSU__CRL_APB__PL[0-3]_REF_CTRL__FREQMHZ",
        r"PSU__USE__FABRIC__RST",
        r"PSU__NUM_FABRIC_RESETS",
        r"PSU__USE__IRQ[01]",
    )
    ip = Ip()
    masters = ("M_AXI_HPM0_FPD", "M_AXI_HPM1_FPD", "M_AXI_HPM0_LPD")
    for number, name in enumerate(masters):  # a preset may have switched on any of them
        if config.get(f"PSU__USE__M_AXI_GP{number}", "1") == "1":
            ip.add_interface(name, MASTER)
            ip.add_clock(name.lower().replace("_axi_", "axi") + "_aclk")
    slaves = ("HPC0", "HPC1", "HP0", "HP1", "HP2", "HP3")
    for number, name in enumerate(slaves):
        if config.get(f"PSU__USE__S_AXI_GP{number}", "0") == "1":
            ip.add_interface(f"S_AXI_{name}_FPD", SLAVE)
            ip.add_clock(f"saxi{name.lower()}_fpd_aclk")
            ip.segments[f"SAXIGP{number}/{name}_DDR_LOW"] = 1 << 31
    if config.get("PSU__FPGA_PL0_ENABLE", "0") == "1":
        ip.pins["pl_clk0"] = OUT
    if config.get("PSU__USE__FABRIC__RST", "0") == "1":
        ip.pins["pl_resetn0"] = OUT
    if config.get("PSU__USE__IRQ0", "0") == "1":
        ip.pins["pl_ps_irq0"] = IN
        ip.needed.add("pl_ps_irq0")
    return ip


def processing_system7(config: Config) -> Ip:
    _check(
        config,
        r"PCW_USE_M_AXI_GP[01]",
        r"PCW_USE_S_AXI_HP[0-3]",
        r"PCW_S_AXI_HP[0-3]_DATA_WIDTH",
        r"PCW_EN_CLK[0-3]_PORT",
        r"PCW_FPGA[0-3]_PERIPHERAL_FREQMHZ",
        r"PCW_EN_RST0_PORT",
        r"PCW_USE_FABRIC_INTERRUPT",
        r"PCW_IRQ_F2P_INTR",
    )
    ip = Ip(interfaces={"DDR": MASTER, "FIXED_IO": MASTER}, needed={"DDR", "FIXED_IO"})
    for number in range(2):
        if config.get(f"PCW_USE_M_AXI_GP{number}", "1") == "1":
            ip.add_interface(f"M_AXI_GP{number}", MASTER)
            ip.add_clock(f"M_AXI_GP{number}_ACLK")
    for number in range(4):
        if config.get(f"PCW_USE_S_AXI_HP{number}", "0") == "1":
            ip.add_interface(f"S_AXI_HP{number}", SLAVE)
            ip.add_clock(f"S_AXI_HP{number}_ACLK")
            ip.segments[f"S_AXI_HP{number}/HP{number}_DDR_LOWOCM"] = 1 << 30
    if config.get("PCW_EN_CLK0_PORT", "0") == "1":
        ip.pins["FCLK_CLK0"] = OUT
    if config.get("PCW_EN_RST0_PORT", "0") == "1":
        ip.pins["FCLK_RESET0_N"] = OUT
    if (config.get("PCW_USE_FABRIC_INTERRUPT"), config.get("PCW_IRQ_F2P_INTR")) == ("1", "1"):
        ip.pins["IRQ_F2P"] = IN
        ip.needed.add("IRQ_F2P")
    return ip


def clk_wiz(config: Config) -> Ip:
    _check(
        config,
        *("PRIM_SOURCE", "CLKOUT1_REQUESTED_OUT_FREQ", "USE_LOCKED", "USE_RESET", "RESET_TYPE", "RESET_PORT"),
    )
    ip = Ip(pins={"clk_out1": OUT})
    ip.add_clock("clk_in1")
    if config.get("USE_LOCKED", "true") == "true":
        ip.pins["locked"] = OUT
    if config.get("USE_RESET", "true") == "true":
        ip.add_reset("resetn" if config.get("RESET_TYPE") == "ACTIVE_LOW" else "reset")
    return ip


def proc_sys_reset(config: Config) -> Ip:
    _check(config)
    ip = Ip(pins={"aux_reset_in": IN, "mb_debug_sys_rst": IN, "dcm_locked": IN})
    ip.add_clock("slowest_sync_clk")
    ip.add_reset("ext_reset_in")
    for name in ("mb_reset", "bus_struct_reset", "peripheral_reset"):
        ip.pins[name] = OUT
    ip.pins |= {"interconnect_aresetn": OUT, "peripheral_aresetn": OUT}
    return ip


def smartconnect(config: Config) -> Ip:
    _check(config, "NUM_SI", "NUM_MI")
    ip = Ip()
    ip.add_clock("aclk")
    ip.add_reset("aresetn")
    for letter, mode, count in (
        ("S", SLAVE, config.get("NUM_SI", "1")),
        ("M", MASTER, config.get("NUM_MI", "1")),
    ):
        for number in range(int(count)):
            ip.add_interface(f"{letter}{number:02d}_AXI", mode)
    return ip


def axi_intc(config: Config) -> Ip:
    _check(config, "C_IRQ_CONNECTION")
    ip = Ip(pins={"intr": IN}, needed={"intr"}, segments={"S_AXI/Reg": 1 << 16})
    ip.add_clock("s_axi_aclk")
    ip.add_reset("s_axi_aresetn")
    ip.add_interface("s_axi", SLAVE)
    if config.get("C_IRQ_CONNECTION", "0") == "1":
        ip.pins["irq"] = OUT
    else:
        ip.interfaces["interrupt"] = MASTER
    return ip


CATALOG = {
    f"xilinx.com:ip:{make.__name__}": make
    for make in (zynq_ultra_ps_e, processing_system7, clk_wiz, proc_sys_reset, smartconnect, axi_intc)
}


def module(text: str, name: str) -> Ip:
    """A Verilog module's ports: AXI channels by their names, the rest by what Vivado is told in attributes."""
    found = re.search(rf"\bmodule {name}\b.*?\);", text, re.DOTALL)
    if found is None:
        raise VivadoError(f"no module {name}")
    ip, header = Ip(), found.group()
    for direction, port in re.findall(r"(input|output) wire (?:\[[^\]]*\] )?(\w+)", header):
        channel = re.fullmatch(r"(\w+)_(?:aw|w|b|ar|r)\w+", port)
        if channel is None:
            ip.pins[port] = IN if direction == "input" else OUT
        elif re.search(r"_a[rw]valid$", port):
            ip.add_interface(channel.group(1), MASTER if direction == "output" else SLAVE)
    for pin, reset, buses in re.findall(
        r'XIL_INTERFACENAME (\w+), ASSOCIATED_BUSIF \S+, ASSOCIATED_RESET (\w+)"()', header
    ):
        ip.add_clock(pin + buses)
        ip.add_reset(reset)
    return ip
