"""From the header of a Verilator model to the C++ that ties its ports to the harness (harness.h)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgellm.errors import SimulationError

_PORT = re.compile(r"VL_(IN|OUT)(?:8|16|64|W)?\(&?(\w+),(\d+),0[,)]")
_STREAM = re.compile(r"(in|out)(\d+)_V_T(DATA|VALID|READY)", re.IGNORECASE)
_CLOCKS = ("ap_clk", "ap_rst_n")
_ROLES = ("DATA", "VALID", "READY")


@dataclass(frozen=True, slots=True)
class Wires:
    """Ports of one AXI4-Stream."""

    name: str  # in0, out0, ...
    bits: int  # of TDATA
    ports: dict[str, str]  # DATA, VALID, READY to the port's own name

    @property
    def is_input(self) -> bool:
        return self.name.startswith("in")


def streams(top: str, header: str) -> list[Wires]:
    """The streams of model header `header`. Raises SimulationError for a port that belongs to none."""
    ports: dict[tuple[str, int], dict[str, tuple[str, int]]] = {}
    seen = set()
    for _, port, high in _PORT.findall(header):
        seen.add(port)
        if port in _CLOCKS:
            continue
        match = _STREAM.fullmatch(port)
        if match is None:
            raise SimulationError(
                f"module {top}: port {port} is neither ap_clk, ap_rst_n nor part of an AXI4-Stream inK_V_*, outK_V_*"
            )
        roles = ports.setdefault((match[1].lower(), int(match[2])), {})
        roles[match[3].upper()] = (port, int(high) + 1)
    for clock in _CLOCKS:
        if clock not in seen:
            raise SimulationError(f"module {top} has no port {clock}")
    return [_wires(top, f"{side}{number}", roles) for (side, number), roles in sorted(ports.items())]


def _wires(top: str, name: str, roles: dict[str, tuple[str, int]]) -> Wires:
    missing = [f"{name}_V_T{role}" for role in _ROLES if role not in roles]
    if missing:
        raise SimulationError(f"module {top}: stream {name} has no port {', '.join(missing)}")
    return Wires(name, roles["DATA"][1], {role: roles[role][0] for role in _ROLES})


def source(model: str, wires: list[Wires], threads: int) -> str:
    """C++ of the adapter of Verilator class `model`, which was made for that many threads."""
    lines = [
        f'#include "{model}.h"',
        '#include "harness.h"',
        "namespace {",
        "struct Adapter final : edgellm::Model {",
        f"    {model} top;",
        "    explicit Adapter(VerilatedContext* context) : top{context} {",
        f"        threads = {threads};",
        "        clock = &top.ap_clk;",
        "        reset_n = &top.ap_rst_n;",
        "        streams = {",
        *(f"            {_initializer(stream)}," for stream in wires),
        "        };",
        "    }",
        "    void eval() override { top.eval(); }",
        "};",
        "}  // namespace",
        "std::unique_ptr<edgellm::Model> edgellm::make_model(VerilatedContext* context) {",
        f"    context->threads({threads});",
        "    return std::make_unique<Adapter>(context);",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _initializer(stream: Wires) -> str:
    pointers = ", ".join(f"&top.{stream.ports[role]}" for role in _ROLES)
    return f'{{"{stream.name}", {str(stream.is_input).lower()}, {stream.bits}, {pointers}}}'
