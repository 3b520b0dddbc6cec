"""The processing systems of Zynq parts as Vivado's IP knows them: ports, pins, parameters (PG201, PG082).

A board file names the ports that its design uses (hw/boards); here is what belongs to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AxiPort:
    """One AXI port towards the logic."""

    enable: str  # parameter that switches it on
    clock: str  # pin with its clock
    width: str  # parameter with its data width
    bits: int  # of data, as the boot loader leaves it
    segment: str = ""  # the DDR memory behind it, of a port into memory
    first: int = 0  # addresses behind it, of a port to registers
    last: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A pin that is a clock, a reset or an interrupt, and the parameters that switch it on."""

    parameters: Mapping[str, str]
    frequency: str = ""  # parameter with it in MHz, of a clock


@dataclass(frozen=True, slots=True)
class Kind:
    """One IP of Vivado."""

    vlnv: str
    register_ports: Mapping[str, AxiPort]
    memory_ports: Mapping[str, AxiPort]
    clocks: Mapping[str, Line]
    resets: Mapping[str, Line]
    interrupts: Mapping[str, Line]
    handoff: tuple[
        str, str, str, str, str
    ]  # of clock {}: enabled, its two divisors, source, MHz that came of it
    pll: str  # source of the clocks, as the boot loader leaves it
    pll_mhz: int
    external: tuple[str, ...] = ()  # interfaces that leave the block design


def _ultra_memory(name: str, number: int) -> AxiPort:
    short = name.removeprefix("S_AXI_").removesuffix("_FPD")
    return AxiPort(
        f"PSU__USE__S_AXI_GP{number}",
        f"saxi{short.lower()}_fpd_aclk",
        f"PSU__SAXIGP{number}__DATA_WIDTH",
        128,
        segment=f"SAXIGP{number}/{short}_DDR_LOW",
    )


def _ultra_register(number: int, clock: str, bits: int, first: int, last: int) -> AxiPort:
    width = f"PSU__MAXIGP{number}__DATA_WIDTH"
    return AxiPort(f"PSU__USE__M_AXI_GP{number}", clock, width, bits, first=first, last=last)


_ULTRA_MEMORY = ("HPC0", "HPC1", "HP0", "HP1", "HP2", "HP3")
ZYNQ_ULTRA = Kind(
    "xilinx.com:ip:zynq_ultra_ps_e:3.5",
    {
        "M_AXI_HPM0_FPD": _ultra_register(0, "maxihpm0_fpd_aclk", 128, 0xA000_0000, 0xAFFF_FFFF),
        "M_AXI_HPM1_FPD": _ultra_register(1, "maxihpm1_fpd_aclk", 128, 0xB000_0000, 0xBFFF_FFFF),
        "M_AXI_HPM0_LPD": _ultra_register(2, "maxihpm0_lpd_aclk", 32, 0x8000_0000, 0x9FFF_FFFF),
    },
    {f"S_AXI_{port}_FPD": _ultra_memory(f"S_AXI_{port}_FPD", i) for i, port in enumerate(_ULTRA_MEMORY)},
    {
        f"pl_clk{i}": Line({f"PSU__FPGA_PL{i}_ENABLE": "1"}, f"PSU__CRL_APB__PL{i}_REF_CTRL__FREQMHZ")
        for i in range(4)
    },
    {"pl_resetn0": Line({"PSU__USE__FABRIC__RST": "1", "PSU__NUM_FABRIC_RESETS": "1"})},
    {f"pl_ps_irq{i}": Line({f"PSU__USE__IRQ{i}": "1"}) for i in range(2)},
    handoff=(
        "PSU__FPGA_PL{}_ENABLE",
        "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR0",
        "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR1",
        "PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL",
        "PSU__CRL_APB__PL{}_REF_CTRL__ACT_FREQMHZ",
    ),
    pll="IOPLL",
    pll_mhz=1500,
)
ZYNQ_7000 = Kind(
    "xilinx.com:ip:processing_system7:5.5",
    {
        f"M_AXI_GP{i}": AxiPort(
            f"PCW_USE_M_AXI_GP{i}",
            f"M_AXI_GP{i}_ACLK",
            "",
            32,
            first=0x4000_0000 * (i + 1),
            last=0x4000_0000 * (i + 2) - 1,
        )
        for i in range(2)
    },
    {
        f"S_AXI_HP{i}": AxiPort(
            f"PCW_USE_S_AXI_HP{i}",
            f"S_AXI_HP{i}_ACLK",
            f"PCW_S_AXI_HP{i}_DATA_WIDTH",
            64,
            segment=f"S_AXI_HP{i}/HP{i}_DDR_LOWOCM",
        )
        for i in range(4)
    },
    {f"FCLK_CLK{i}": Line({f"PCW_EN_CLK{i}_PORT": "1"}, f"PCW_FPGA{i}_PERIPHERAL_FREQMHZ") for i in range(4)},
    {"FCLK_RESET0_N": Line({"PCW_EN_RST0_PORT": "1"})},
    {"IRQ_F2P": Line({"PCW_USE_FABRIC_INTERRUPT": "1", "PCW_IRQ_F2P_INTR": "1"})},
    handoff=(
        "PCW_FPGA_FCLK{}_ENABLE",
        "PCW_FCLK{}_PERIPHERAL_DIVISOR0",
        "PCW_FCLK{}_PERIPHERAL_DIVISOR1",
        "PCW_FCLK{}_PERIPHERAL_CLKSRC",
        "PCW_ACT_FPGA{}_PERIPHERAL_FREQMHZ",
    ),
    pll="IO PLL",
    pll_mhz=1000,
    external=("FIXED_IO", "DDR"),
)
KINDS: Mapping[str, Kind] = {"zynq_ultra_ps_e": ZYNQ_ULTRA, "processing_system7": ZYNQ_7000}
