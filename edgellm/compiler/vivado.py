"""A Vivado project of a design: the Tcl scripts of hw/vivado, and settings.tcl with what is this design's and this board's.

Checked with Vivado's commands recorded, not run in Vivado (docs/vivado.md).
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template

from edgellm import files, registers, resources
from edgellm.compiler import block_design, boards, shell
from edgellm.compiler.block_design import BLOCK
from edgellm.compiler.boards import Board, ProcessingSystem
from edgellm.errors import BoardWithoutProcessors
from edgellm.sim import design as designs
from edgellm.sim.design import Design

SETTINGS, README, SYNTHESIS = "settings.tcl", "README.md", "files.f"
DESIGN, MEMORY, RTL = "design", "mem", "rtl"
INTERRUPTS_SEGMENT = "S_AXI"  # of the interrupt controller's IP
PRESETS = {
    "xilinx.com": "Vivado brings the files of the board `$board_part`; if not: Tools, Vivado Store, Boards.",
    "": "The files of the board `$board_part` do not come with Vivado: Tools, Vivado Store, Boards; or empty `board_part` in "
    "`settings.tcl`: on a board that has booted, its processing system is already set up.",
}


@contextlib.contextmanager
def project(out: Path, board: Board) -> Iterator[Path]:
    """A folder to fill that becomes `out` when the block ends; an older project there goes with all that Vivado made in it.

    Raises: BoardWithoutProcessors; UsageError when `out` holds anything else.
    """
    processors(board)
    files.check_replaceable(out, SETTINGS, "a Vivado project of edgellm")
    with files.new_directory(out, replace=True) as work:
        yield work


def processors(board: Board) -> ProcessingSystem:
    """The board's processing system. Raises: BoardWithoutProcessors."""
    if board.ps is None:
        known = ", ".join(name for name in boards.names() if boards.load(name).ps)
        raise BoardWithoutProcessors(
            f"{board.title} has no processing system that Vivado could join the accelerator to: boards that have one are {known}"
        )
    return board.ps


def fill(folder: Path, board: Board, out: Path) -> None:
    """Write the project of the design in `folder` into the empty folder `out`."""
    design, ps = designs.load(folder), processors(board)
    synthesis = (folder / SYNTHESIS).read_text(encoding="utf-8").split()
    sources = [_copied(folder / name, out / RTL) for name in [*synthesis, *design.shell.sources]]
    memories = [_copied(path, out / MEMORY) for path in sorted((folder / MEMORY).iterdir())]
    for path in sorted((resources.directory("hw") / "vivado").iterdir()):
        if path.name != README:
            shutil.copyfile(path, out / path.name)
    files.write_text(out / SETTINGS, _settings(design, board, ps, sources, memories))
    files.write_text(out / README, _readme(design, board, ps))


def _copied(path: Path, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    return f"{folder.name}/{path.name}"


def _settings(
    design: Design, board: Board, ps: ProcessingSystem, sources: list[str], memories: list[str]
) -> str:
    vendor, library, name, version = registers.VLNV.split(":")
    lines = [
        f"# {_word(design.model['name'])} for {board.title}: written by edgellm compile, read by the other scripts.",
        *_set(design_name=block_design.NAME, build=f"0x{design.shell.build:08X}"),
        *_set(part=board.part, board_part=ps.board_part, clock_mhz=f"{design.clock_mhz:g}"),
        "\n# the accelerator as an IP",
        *_set(ip_vendor=vendor, ip_library=library, ip_name=name, ip_version=version),
        *_set(register_interface=shell.REGISTERS, memory_interfaces=" ".join(shell.MASTERS)),
        *_set(register_block=BLOCK, register_bytes=registers.PAGE),
        "\n# name, offset and access of each register",
        _list("registers", (f"{f.name} 0x{f.offset:02X} {f.access}" for f in block_design.fields())),
        "\n# the processing system: its IP, the ports that are used and the pins of their clocks",
        *_processing_system(ps),
        "\n# segment, address and bytes of the registers; the memory from address 0 on",
        _list("register_segments", _segments(ps)),
        *_set(
            memory_segment=ps.ip.memory_ports[ps.memory_port].segment, memory_bytes=f"0x{ps.memory_bytes:X}"
        ),
        "\n# RTL, packages first, and the files its memories begin with",
        _list("sources", sources),
        _list("memories", memories),
    ]
    return "\n".join(lines) + "\n"


def _processing_system(ps: ProcessingSystem) -> list[str]:
    ip = ps.ip
    external = ", ".join(ip.external)
    preset = "apply_board_preset 1"
    automation = f'make_external "{external}" {preset} Master Disable Slave Disable' if external else preset
    told = block_design.parameters(ps)
    return [
        *_set(ps_ip=ip.vlnv.rpartition(":")[0], ps_rule=f"xilinx.com:bd_rule:{ps.kind}"),
        *_set(ps_automation=automation, ps_external=" ".join(ip.external)),
        _list("ps_config", (f"CONFIG.{name} {value}" for name, value in told.items())),
        *_set(ps_clock=ps.clock, ps_reset=ps.reset, ps_interrupt=ps.interrupt),
        *_set(
            register_port=ps.registers_port, register_port_clock=ip.register_ports[ps.registers_port].clock
        ),
        *_set(memory_port=ps.memory_port, memory_port_clock=ip.memory_ports[ps.memory_port].clock),
    ]


def _segments(ps: ProcessingSystem) -> Iterator[str]:
    for segment in block_design.segments(ps):
        own = segment.cell == block_design.ACCELERATOR
        interface = segment.interface if own else INTERRUPTS_SEGMENT
        yield f"{segment.cell}/{interface}/{BLOCK} 0x{segment.base:08X} 0x{segment.size:X}"


def _set(**values: object) -> list[str]:
    return [f"set {name} {{{value}}}" for name, value in values.items()]


def _list(name: str, items: Iterable[str]) -> str:
    return f"set {name} {{\n" + "".join(f"    {item}\n" for item in items) + "}"


def _word(text: str) -> str:
    """A name from outside, without what Tcl or Markdown would read into it."""
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)


def _readme(design: Design, board: Board, ps: ProcessingSystem) -> str:
    vendor = ps.board_part.partition(":")[0]
    presets = Template(PRESETS.get(vendor, PRESETS[""])).substitute(board_part=ps.board_part)
    text = (resources.directory("hw") / "vivado" / README).read_text(encoding="utf-8")
    return Template(text).substitute(
        design=_word(design.model["name"]),
        board=board.title,
        build=f"0x{design.shell.build:08X}",
        clock=f"{design.clock_mhz:g}",
        slots=design.slots,
        part=design.part,
        presets=presets,
    )
