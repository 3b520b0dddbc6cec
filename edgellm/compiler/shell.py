"""The accelerator with a host's interface around it, as one Verilog module with plain AXI ports.

    accelerator = host_interface (registers, rings in the host's memory) + top (the stitched streams)

This is what a block design, a simulated board and a protocol test instantiate. Verilog, because Vivado takes no SystemVerilog
for a module of a block design; attributes (UG994) say which ports belong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgellm.registers import ADDRESS_BITS

MODULE = "accelerator"
FILE = f"{MODULE}.v"
INTERFACE = "host_interface"  # of hw/rtl

READ, WRITE = "read", "write"
REGISTERS = "s_axi"
MASTERS = {"m_commands": READ, "m_events": WRITE, "m_logits": WRITE}
CLOCK, RESET, INTERRUPT = "ap_clk", "ap_rst_n", "interrupt"
AXI, CLOCKS, RESETS, INTERRUPTS = (
    "xilinx.com:interface:aximm:1.0",
    "xilinx.com:signal:clock:1.0",
    "xilinx.com:signal:reset:1.0",
    "xilinx.com:signal:interrupt:1.0",
)


@dataclass(frozen=True, slots=True)
class Shell:
    """What the shell of one design needs to know."""

    vocab: int
    lanes: int  # of the stream of logits
    slots: int
    build: int  # 32 bits that name the design
    address_bits: int = ADDRESS_BITS

    @property
    def shown_bits(self) -> int:
        """Width of the stream of shown logits."""
        return 32 if self.lanes < 2 else 16 * self.lanes


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the shell; one with a constant is driven by it, the others go to the host interface."""

    name: str
    direction: str
    bits: int = 1
    constant: str | None = None


def lite_ports() -> Iterator[Port]:
    """AXI4-Lite slave with the registers."""
    yield from _channel("s_axi_aw", "input", [("addr", 8)])
    yield from _channel("s_axi_w", "input", [("data", 32), ("strb", 4)])
    yield from _channel("s_axi_b", "output", [("resp", 2)])
    yield from _channel("s_axi_ar", "input", [("addr", 8)])
    yield from _channel("s_axi_r", "output", [("data", 32), ("resp", 2)])


def master_ports(name: str, address_bits: int) -> Iterator[Port]:
    """AXI4 master: the channels of its direction. Incrementing bursts of 8-byte beats, one identifier, bufferable memory."""
    letter = "ar" if MASTERS[name] == READ else "aw"
    yield from _channel(f"{name}_{letter}", "output", [("addr", address_bits), ("len", 8)])
    constants = [
        ("id", 1, "1'b0"),
        ("size", 3, "3'd3"),
        ("burst", 2, "2'b01"),
        ("cache", 4, "4'b0011"),
        ("prot", 3, "3'b000"),
    ]
    for suffix, bits, value in constants:
        yield Port(f"{name}_{letter}{suffix}", "output", bits, value)
    if letter == "ar":
        yield Port(f"{name}_rid", "input", 1, "")
        yield from _channel(f"{name}_r", "input", [("data", 64), ("resp", 2), ("last", 1)])
    else:
        yield from _channel(f"{name}_w", "output", [("data", 64), ("last", 1)])
        yield Port(f"{name}_wstrb", "output", 8, "8'hFF")
        yield Port(f"{name}_bid", "input", 1, "")
        yield from _channel(f"{name}_b", "input", [("resp", 2)])


def _channel(prefix: str, direction: str, signals: list[tuple[str, int]]) -> Iterator[Port]:
    """Payload and handshake of one channel; ready goes the other way."""
    back = "output" if direction == "input" else "input"
    for suffix, bits in signals:
        yield Port(prefix + suffix, direction, bits)
    yield Port(f"{prefix}valid", direction)
    yield Port(f"{prefix}ready", back)


def ports(shell: Shell) -> list[Port]:
    """All but clock, reset and interrupt."""
    masters = (port for name in MASTERS for port in master_ports(name, shell.address_bits))
    return [*lite_ports(), *masters]


def verilog(shell: Shell, top: str) -> str:
    """Text of the module around `top`."""
    listed = ports(shell)
    buses = ":".join([REGISTERS, *MASTERS])
    clock = f"ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET {RESET}"
    header = [
        _signal(CLOCKS, CLOCK, "CLK", clock) + f"input wire {CLOCK}",
        _signal(RESETS, RESET, "RST", "POLARITY ACTIVE_LOW") + f"input wire {RESET}",
        *_declarations(listed),
        _signal(INTERRUPTS, INTERRUPT, "INTERRUPT", "SENSITIVITY LEVEL_HIGH") + f"output wire {INTERRUPT}",
    ]
    constants = [f"  assign {port.name} = {port.constant};" for port in listed if port.constant]
    pins = [f".{port.name}({port.name})" for port in listed if port.constant is None]
    body = [
        "  wire core_rst_n;",
        *(_stream(name, bits) for name, bits in _streams(shell)),
        *constants,
        _interface(shell, pins),
        _core(top),
    ]
    opening = f"module {MODULE} #(\n  parameter [31:0] BUILD = 32'h{shell.build:08x}\n) (\n  "
    return opening + ",\n  ".join(header) + "\n);\n" + "\n".join(body) + "\nendmodule\n"


def _signal(vlnv: str, name: str, role: str, parameters: str = "") -> str:
    """Attributes of a port: its interface and role in it; the parameters of the interface with its first port."""
    info = f'(* X_INTERFACE_INFO = "{vlnv} {name} {role}" *)\n  '
    if not parameters:
        return info
    return f'(* X_INTERFACE_PARAMETER = "XIL_INTERFACENAME {name}, {parameters}" *)\n  {info}'


def _declarations(listed: list[Port]) -> Iterator[str]:
    seen: set[str] = set()
    for port in listed:
        bus, _, role = port.name.rpartition("_")
        attributes = _signal(AXI, bus, role.upper(), "" if bus in seen else _bus_parameters(bus))
        seen.add(bus)
        width = f"[{port.bits - 1}:0] " if port.bits > 1 else ""
        yield f"{attributes}{port.direction} wire {width}{port.name}"


def _bus_parameters(bus: str) -> str:
    if bus == REGISTERS:
        return "PROTOCOL AXI4LITE"
    return f"PROTOCOL AXI4, READ_WRITE_MODE {MASTERS[bus].upper()}_ONLY, SUPPORTS_NARROW_BURST 0, MAX_BURST_LENGTH 16"


def _streams(shell: Shell) -> list[tuple[str, int]]:
    return [("command", 32), ("event", 32), ("shown", shell.shown_bits)]


def _stream(name: str, bits: int) -> str:
    return f"  wire [{bits - 1}:0] {name}_tdata;\n  wire {name}_tvalid, {name}_tready;"


def _pins(port: str, stream: str) -> list[str]:
    return [f".{port}_V_{signal.upper()}({stream}_{signal})" for signal in ("tdata", "tvalid", "tready")]


def _interface(shell: Shell, pins: list[str]) -> str:
    parameters = {
        "N": shell.vocab,
        "PE": shell.lanes,
        "SLOTS": shell.slots,
        "ADDRESS_BITS": shell.address_bits,
        "BUILD": "BUILD",
    }
    listed = ", ".join(f".{name}({value})" for name, value in parameters.items())
    joined = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)", *pins]
    joined += [*_pins("out0", "command"), *_pins("in0", "event"), *_pins("in1", "shown")]
    joined += [".core_rst_n(core_rst_n)", ".interrupt(interrupt)"]
    return f"  {INTERFACE} #({listed}) host (\n    " + ",\n    ".join(joined) + "\n  );"


def _core(top: str) -> str:
    joined = [".ap_clk(ap_clk)", ".ap_rst_n(core_rst_n)"]
    joined += [*_pins("in0", "command"), *_pins("out0", "event"), *_pins("out1", "shown")]
    return f"  {top} core (\n    " + ",\n    ".join(joined) + "\n  );"
