"""The hardware hand-off (.hwh) of a design on its board: what PYNQ reads to find the accelerator.

Vivado writes its own for a bitstream. This one holds what PYNQ reads of it - processing system, clocks, addresses, registers,
interrupt - and belongs to the simulated board; both come from the board's description.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from edgellm import registers
from edgellm.compiler import block_design, shell
from edgellm.compiler.block_design import ACCELERATOR, BLOCK, INTERRUPTS, PS, Segment
from edgellm.compiler.boards import ProcessingSystem
from edgellm.compiler.processing_system import Kind

FILE = f"{shell.MODULE}.hwh"
AXI = shell.AXI
MASTER, SLAVE = "INITIATOR", "TARGET"
CLOCKS = 4  # that a processing system gives to the logic


def text(ps: ProcessingSystem, part: str, build: int, clock_mhz: float) -> str:
    """The hand-off as XML: the accelerator named `build` at `clock_mhz`."""
    root = Element("EDKSYSTEM", {"EDWVERSION": "1.2"})
    SubElement(root, "SYSTEMINFO", {"DEVICE": part, "NAME": block_design.NAME})
    SubElement(root, "EXTERNALPORTS")
    modules = SubElement(root, "MODULES")
    _accelerator(modules, ps, build, clock_mhz)
    _interrupts(modules, ps)
    _processors(modules, ps)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _accelerator(modules: Element, ps: ProcessingSystem, build: int, clock_mhz: float) -> None:
    module = _module(modules, ACCELERATOR, registers.VLNV)
    _registers(module)
    _parameters(module, {"BUILD": f"0x{build:08X}"})
    ports = SubElement(module, "PORTS")
    clock = {"DIR": "I", "NAME": shell.CLOCK, "SIGIS": "clk", "CLKFREQUENCY": str(round(clock_mhz * 1e6))}
    SubElement(ports, "PORT", clock)
    SubElement(ports, "PORT", {"DIR": "I", "NAME": shell.RESET, "SIGIS": "rst"})
    _wire(ports, "O", shell.INTERRUPT, (INTERRUPTS, "intr"))
    _interfaces(module, {shell.REGISTERS: SLAVE, **dict.fromkeys(shell.MASTERS, MASTER)})
    memory = SubElement(module, "MEMORYMAP")
    for master in shell.MASTERS:
        block = ps.ip.memory_ports[ps.memory_port].segment.split("/")[1]
        _range(memory, Segment(PS, ps.memory_port, 0, ps.memory_bytes), master, block, "MEMORY")


def _interrupts(modules: Element, ps: ProcessingSystem) -> None:
    module = _module(modules, INTERRUPTS, block_design.INTERRUPTS_VLNV)
    ports = SubElement(module, "PORTS")
    _wire(ports, "I", "intr", (ACCELERATOR, shell.INTERRUPT))
    _wire(ports, "O", "irq", (PS, ps.interrupt))
    _interfaces(module, {block_design.segments(ps)[1].interface: SLAVE})


def _processors(modules: Element, ps: ProcessingSystem) -> None:
    module = _module(modules, PS, ps.ip.vlnv)
    told = block_design.parameters(ps)
    widths = {_handed(name): value for name, value in told.items() if name.endswith("DATA_WIDTH")}
    _parameters(module, {**told, **widths, **_clocks(ps.ip, ps)})
    _wire(SubElement(module, "PORTS"), "I", ps.interrupt, (INTERRUPTS, "irq"))
    _interfaces(module, {ps.registers_port: MASTER, ps.memory_port: SLAVE})
    memory = SubElement(module, "MEMORYMAP")
    for segment in block_design.segments(ps):
        _range(memory, segment, ps.registers_port, BLOCK, "REGISTER")


def _handed(parameter: str) -> str:
    """The name in a hand-off of a parameter that the IP derives: C_SAXIGP2_DATA_WIDTH."""
    return "C_" + parameter.removeprefix("PSU__").removeprefix("PCW_").replace("__", "_")


def _clocks(ip: Kind, ps: ProcessingSystem) -> dict[str, str]:
    """All four clocks, of which the reference runs."""
    found: dict[str, str] = {}
    for index, name in enumerate(ip.clocks):
        divisor = ip.pll_mhz // ps.clock_mhz
        values = (str(int(name == ps.clock)), str(divisor), "1", ip.pll, f"{ip.pll_mhz / divisor:.6f}")
        found |= {key.format(index): value for key, value in zip(ip.handoff, values, strict=True)}
    return found


def _module(modules: Element, name: str, vlnv: str) -> Element:
    kind = vlnv.split(":")[2]
    about = {"FULLNAME": f"/{name}", "INSTANCE": name, "IPTYPE": "PERIPHERAL", "MODTYPE": kind, "VLNV": vlnv}
    return SubElement(modules, "MODULE", about)


def _registers(module: Element) -> None:
    blocks = SubElement(module, "ADDRESSBLOCKS")
    about = {"ACCESS": "read-write", "INTERFACE": shell.REGISTERS, "NAME": BLOCK, "USAGE": "register"}
    listed = SubElement(SubElement(blocks, "ADDRESSBLOCK", about), "REGISTERS")
    for field in block_design.fields():
        register = SubElement(listed, "REGISTER", {"NAME": field.name})
        values = {"ADDRESS_OFFSET": f"0x{field.offset:X}", "SIZE": "32", "ACCESS": field.access}
        for name, value in {**values, "IS_ENABLED": "true"}.items():
            SubElement(register, "PROPERTY", {"NAME": name, "VALUE": value})


def _parameters(module: Element, values: dict[str, str]) -> None:
    listed = SubElement(module, "PARAMETERS")
    for name, value in values.items():
        SubElement(listed, "PARAMETER", {"NAME": name, "VALUE": value})


def _interfaces(module: Element, interfaces: dict[str, str]) -> None:
    listed = SubElement(module, "BUSINTERFACES")
    for name, kind in interfaces.items():
        SubElement(listed, "BUSINTERFACE", {"NAME": name, "TYPE": kind, "VLNV": AXI})


def _wire(ports: Element, direction: str, name: str, other: tuple[str, str]) -> None:
    port = SubElement(ports, "PORT", {"DIR": direction, "NAME": name, "SIGIS": "INTERRUPT"})
    about = {"INSTANCE": other[0], "PORT": other[1]}
    SubElement(SubElement(port, "CONNECTIONS"), "CONNECTION", about)


def _range(memory: Element, segment: Segment, master: str, block: str, kind: str) -> None:
    about = {
        "ADDRESSBLOCK": block,
        "BASEVALUE": f"0x{segment.base:08X}",
        "HIGHVALUE": f"0x{segment.last:08X}",
        "INSTANCE": segment.cell,
        "MASTERBUSINTERFACE": master,
        "MEMTYPE": kind,
        "SLAVEBUSINTERFACE": segment.interface,
    }
    SubElement(memory, "MEMRANGE", about)
