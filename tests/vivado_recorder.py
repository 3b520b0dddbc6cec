"""Vivado's commands in a Tcl interpreter, recorded: files, cells, pins, addresses must exist and fit, unknown commands fail."""

from __future__ import annotations

import re
import tkinter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import vivado_catalog as catalog
from vivado_catalog import IN, MASTER, OUT, SLAVE, Ip, VivadoError

PROCEDURES = """
namespace eval ipx {}
rename puts _puts
proc puts args {
    if {[llength $args] > 1} {return [_puts {*}$args]}
    _vivado do_puts {*}$args
    return
}
proc _dispatch {args} {
    lassign [_vivado {*}$args] state result
    if {$state eq "error"} {error $result}
    return $result
}
"""
STEPS = ("synth_design", "route_design", "write_bitstream")


@dataclass
class Cell:
    vlnv: str
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Assigned:
    """A segment in an address space."""

    space: str
    segment: str
    offset: int
    size: int


def options(arguments: Sequence[str], flags: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Named options and the rest; a name in `flags` takes no value."""
    named: dict[str, str] = {}
    rest, queue = [], list(arguments)
    while queue:
        word = queue.pop(0)
        if word.startswith("-") and not word[1:2].isdigit():
            named[word] = "" if word in flags else queue.pop(0)
        else:
            rest.append(word)
    return named, rest


class Vivado:
    """What the scripts have made so far."""

    def __init__(
        self, boards: Sequence[str] = (), release: str = "2024.1", setup: float = 0.1, hold: float = 0.01
    ) -> None:
        self.boards, self.release, self.slack = boards, release, {"STATS.WNS": setup, "STATS.WHS": hold}
        self.cells: dict[str, Cell] = {}
        self.nets: dict[str, set[str]] = {}  # driver -> loads
        self.joined: dict[str, str] = {}  # interface -> the other end, both ways
        self.external: set[str] = set()
        self.assigned: list[Assigned] = []
        self.properties: dict[tuple[str, str], str] = {}
        self.projects: dict[str, Path] = {}
        self.open = ""
        self.files: dict[str, list[Path]] = {}
        self.packaged: dict[str, Ip] = {}
        self.registers: dict[str, int] = {}
        self.preset = self.valid = False
        self.done: list[str] = []
        self.said: list[str] = []
        self.tcl = tkinter.Tcl()
        self.tcl.createcommand("_vivado", self._run)
        self.tcl.eval(PROCEDURES)
        for name in dir(self):
            if name.startswith("do_") and name != "do_puts":
                command = name[3:].replace("__", "::")
                self.tcl.eval(f"proc {command} args {{return [_dispatch {name} {{*}}$args]}}")

    def source(self, path: Path, *arguments: str) -> None:
        """Run a script as `vivado -source PATH -tclargs ARGUMENTS` does. Raises: VivadoError."""
        self.tcl.setvar("argv", tuple(arguments))
        try:
            self.tcl.call("source", str(path))
        except tkinter.TclError as error:
            raise VivadoError(str(error)) from None

    def _run(self, name: str, *arguments: str) -> tuple[str, str]:
        try:
            return "ok", getattr(self, name)(*arguments) or ""
        except (VivadoError, OSError, LookupError, ValueError) as error:
            return "error", f"{name[3:].replace('__', '::')}: {error}"

    def split(self, text: str) -> list[str]:
        """Elements of a Tcl list."""
        return [str(item) for item in self.tcl.splitlist(text)]

    def do_puts(self, text: str) -> None:
        self.said.append(text)

    # projects and files

    def do_version(self, *arguments: str) -> str:
        return self.release

    def do_create_project(self, *arguments: str) -> None:
        named, (name, folder) = options(arguments, ["-force"])
        if self.open:
            raise VivadoError(f"project {self.open} is open")
        if not named.get("-part"):
            raise VivadoError("no part")
        self.open, self.projects[name] = name, Path(folder)
        self.files[name] = []
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.xpr").write_text(named["-part"])

    def do_open_project(self, path: str) -> None:
        if not Path(path).is_file():
            raise VivadoError(f"no project {path}")
        self.open = Path(path).stem

    def do_close_project(self) -> None:
        self.do_current_project()
        self.open = ""

    def do_current_project(self) -> str:
        if not self.open:
            raise VivadoError("no project is open")
        return f"project {self.open}"

    def do_get_board_parts(self, *arguments: str) -> str:
        return " ".join(name for name in options(arguments, ["-quiet"])[1] if name in self.boards)

    def do_update_ip_catalog(self, *arguments: str) -> None:
        if not (Path(self.properties[f"project {self.open}", "ip_repo_paths"]) / "component.xml").is_file():
            raise VivadoError("the repository holds no IP")

    def do_get_filesets(self, name: str) -> str:
        if name not in ("sources_1", "constrs_1"):
            raise VivadoError(f"no fileset {name}")
        return f"fileset {self.open} {name}"

    def do_add_files(self, *arguments: str) -> None:
        named, (names,) = options(arguments, ["-norecurse"])
        self.do_get_filesets(named.get("-fileset", "sources_1"))
        for name in self.split(names):
            if not Path(name).is_file():
                raise VivadoError(f"no file {name}")
            self.files[self.open].append(Path(name))

    def do_get_files(self, name: str) -> str:
        if name not in [path.name for path in self.files[self.open]]:
            raise VivadoError(f"no file {name} in the project")
        return name

    def do_update_compile_order(self, *arguments: str) -> None:
        self.do_get_filesets(options(arguments)[0]["-fileset"])

    def do_set_property(self, *arguments: str) -> None:
        named, rest = options(arguments) if arguments[0] == "-dict" else ({}, list(arguments))
        pairs = self.split(named["-dict"]) if named else rest[:2]
        if not rest[-1]:
            raise VivadoError("no object")
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._set(rest[-1], name, value)

    def _set(self, target: str, name: str, value: str) -> None:
        if target in self.cells:
            if not name.startswith("CONFIG."):
                raise VivadoError(f"{target} has no property {name}")
            self.cells[target].config[name.removeprefix("CONFIG.")] = value
            self._ip(target)
        self.properties[target, name] = value

    def do_get_property(self, name: str, target: str) -> str:
        if target.startswith("run "):
            found = {"PROGRESS": "100%", "STATUS": "done", "DIRECTORY": "runs", **self.slack}
            return str(found[name])
        return target.rpartition("/")[2] if name == "name" else self.properties[target, name]

    # packaging

    def do_ipx__package_project(self, *arguments: str) -> None:
        named, _ = options(arguments, ["-import_files", "-force"])
        top = self.properties[f"fileset {self.open} sources_1", "top"]
        texts = [path.read_text() for path in self.files[self.open]]
        for text in texts:
            for memory in re.findall(r'"([^"\n]*/[^"\n]*\.dat)"', text):
                if not (Path(memory).is_absolute() and Path(memory).is_file()):
                    raise VivadoError(f"no memory file {memory}")
        own = next((text for text in texts if re.search(rf"\bmodule {top}\b", text)), "")
        self.core = f"{named['-vendor']}:{named['-library']}:{top}:1.0"
        self.packaged[self.core] = catalog.module(own, top)
        Path(named["-root_dir"]).mkdir(parents=True)

    def do_ipx__current_core(self) -> str:
        return self.core

    def do_ipx__get_bus_interfaces(self, name: str, *arguments: str) -> str:
        return name if name in self.packaged[self.core].interfaces else ""

    def do_ipx__get_memory_maps(self, name: str, *arguments: str) -> str:
        return f"map/{name}"

    def do_ipx__get_address_blocks(self, *arguments: str) -> str:
        return f"{options(arguments)[0]['-of_objects']}/reg0"

    def do_ipx__remove_address_block(self, name: str, owner: str) -> None:
        if name != "reg0":
            raise VivadoError(f"no block {name}")

    def do_ipx__add_address_block(self, name: str, owner: str) -> str:
        self.block = f"{owner}/{name}"
        return self.block

    def do_ipx__add_register(self, name: str, block: str) -> str:
        return f"{block}/{name}"

    def do_ipx__create_xgui_files(self, core: str) -> None: ...

    def do_ipx__update_checksums(self, core: str) -> None: ...

    def do_ipx__save_core(self, core: str) -> None:
        ip, size = self.packaged[core], int(self.properties[self.block, "range"], 0)
        ip.segments[self.block.removeprefix("map/")] = size
        for (target, name), value in self.properties.items():
            if target.startswith(f"{self.block}/") and name == "address_offset":
                self.registers[target.rpartition("/")[2]] = int(value, 0)
        root = self.files[self.open][0].parent.parent / "ip"
        (root / "component.xml").write_text(core)

    # block design

    def do_create_bd_design(self, name: str) -> None:
        self.files[self.open].append(Path(f"{name}.bd"))

    def do_create_bd_cell(self, *arguments: str) -> str:
        named, (name,) = options(arguments)
        if named["-vlnv"] not in catalog.CATALOG and named["-vlnv"] not in self.packaged:
            raise VivadoError(f"no IP {named['-vlnv']}")
        self.cells[name] = Cell(named["-vlnv"])
        return name

    def _ip(self, cell: str) -> Ip:
        found = self.cells[cell]
        if found.vlnv in self.packaged:
            return self.packaged[found.vlnv]
        return catalog.CATALOG[found.vlnv](found.config)

    def do_apply_bd_automation(self, *arguments: str) -> None:
        named, (cell,) = options(arguments)
        if self.cells[cell].vlnv.split(":")[2] != named["-rule"].split(":")[2]:
            raise VivadoError(f"rule {named['-rule']} is not for {cell}")
        config = self.split(named["-config"])
        wished = dict(zip(config[::2], config[1::2], strict=True))
        self.preset = wished["apply_board_preset"] == "1"
        self.external |= {f"{cell}/{name}" for name in wished.get("make_external", "").split(", ") if name}

    def do_make_bd_intf_pins_external(self, pin: str) -> None:
        self.external.add(pin)

    def do_get_bd_pins(self, path: str) -> str:
        return self._member(path, "pins")

    def do_get_bd_intf_pins(self, path: str) -> str:
        return self._member(path, "interfaces")

    def _member(self, path: str, kind: str) -> str:
        cell, _, name = path.partition("/")
        if cell not in self.cells:
            raise VivadoError(f"no cell {cell}")
        if name not in getattr(self._ip(cell), kind):
            raise VivadoError(f"{self.cells[cell].vlnv} has no {name} among its {kind}")
        return path

    def _kind(self, path: str, kind: str) -> str:
        cell, _, name = path.partition("/")
        return str(getattr(self._ip(cell), kind)[name])

    def do_connect_bd_net(self, driver: str, load: str) -> None:
        if (self._kind(driver, "pins"), self._kind(load, "pins")) != (OUT, IN):
            raise VivadoError(f"{driver} does not drive {load}")
        if any(load in loads for loads in self.nets.values()):
            raise VivadoError(f"{load} has a driver")
        self.nets.setdefault(driver, set()).add(load)

    def do_connect_bd_intf_net(self, master: str, slave: str) -> None:
        if (self._kind(master, "interfaces"), self._kind(slave, "interfaces")) != (MASTER, SLAVE):
            raise VivadoError(f"{master} is no master of {slave}")
        if master in self.joined or slave in self.joined:
            raise VivadoError(f"{master} or {slave} is connected")
        self.joined |= {master: slave, slave: master}

    def do_get_bd_addr_spaces(self, path: str) -> str:
        cell, _, name = path.partition("/")
        masters = [name for name, mode in self._ip(cell).interfaces.items() if mode == MASTER]
        if name not in (["Data"] if cell == "ps" else masters):
            raise VivadoError(f"no address space {path}")
        return path

    def do_get_bd_addr_segs(self, path: str) -> str:
        cell, _, name = path.partition("/")
        if name not in self._ip(cell).segments:
            raise VivadoError(f"no segment {path}")
        return path

    def do_assign_bd_address(self, *arguments: str) -> None:
        named, (segment,) = options(arguments, ["-force"])
        offset, size = int(named["-offset"], 0), int(named["-range"], 0)
        cell, _, name = segment.partition("/")
        most = max(self._ip(cell).segments[name], 4096)
        if size & (size - 1) or offset % size or not 4096 <= size <= most:
            raise VivadoError(f"{size:#x} bytes at {offset:#x} do not fit {segment}")
        space = named["-target_address_space"]
        if cell not in self._reached(space):
            raise VivadoError(f"{segment} is not connected to {space}")
        for other in self.assigned:
            if other.space == space and other.offset < offset + size and offset < other.offset + other.size:
                raise VivadoError(f"{segment} and {other.segment} overlap in {space}")
        self.assigned.append(Assigned(space, segment, offset, size))

    def _reached(self, space: str) -> set[str]:
        """Cells behind the masters of an address space, through the interconnects."""
        cell, _, name = space.partition("/")
        starts = [
            n for n, mode in self._ip(cell).interfaces.items() if mode == MASTER and name in ("Data", n)
        ]
        return set().union(*(self._behind(f"{cell}/{start}") for start in starts))

    def _behind(self, master: str) -> set[str]:
        if master not in self.joined:
            return set()
        cell = self.joined[master].partition("/")[0]
        if not self.cells[cell].vlnv.endswith(":smartconnect"):
            return {cell}
        masters = [n for n, mode in self._ip(cell).interfaces.items() if mode == MASTER]
        return set().union(*(self._behind(f"{cell}/{name}") for name in masters))

    def frequency(self, pin: str) -> float:
        """MHz of the clock that a pin gets."""
        driver = next((driver for driver, loads in self.nets.items() if pin in loads), None)
        if driver is None:
            raise VivadoError(f"{pin} has no clock")
        cell = driver.partition("/")[0]
        config = self.cells[cell].config
        if cell == "ps":
            return float(next(value for name, value in config.items() if name.endswith("FREQMHZ")))
        return float(config["CLKOUT1_REQUESTED_OUT_FREQ"])

    def do_validate_bd_design(self) -> None:
        loads = set().union(*self.nets.values())
        for cell in self.cells:
            for path in (f"{cell}/{name}" for name in sorted(self._ip(cell).needed)):
                if not (path in loads or path in self.joined or path in self.external):
                    raise VivadoError(f"{path} is not connected")
        spaces = {assigned.space for assigned in self.assigned}
        for name, mode in self._ip("accelerator").interfaces.items():
            if mode == MASTER and f"accelerator/{name}" not in spaces:
                raise VivadoError(f"accelerator/{name} has no addresses")
        self.valid = True

    def do_save_bd_design(self) -> None: ...

    def do_make_wrapper(self, *arguments: str) -> None:
        if not self.valid:
            raise VivadoError("the block design is not validated")
        named, _ = options(arguments, ["-import", "-top"])
        self.files[self.open].append(Path(f"{Path(named['-files']).stem}_wrapper.v"))

    # runs

    def do_get_runs(self, name: str) -> str:
        if name not in ("synth_1", "impl_1"):
            raise VivadoError(f"no run {name}")
        return f"run {name}"

    def do_reset_run(self, name: str) -> None:
        self.do_get_runs(name)

    def do_launch_runs(self, *arguments: str) -> None:
        named, (name,) = options(arguments)
        self.do_get_runs(name)
        int(named["-jobs"])
        step = named.get("-to_step", "synth_design")
        if self.done != list(STEPS[: STEPS.index(step)]):
            raise VivadoError(f"{step} after {self.done}")
        self.done.append(step)
        if step == "write_bitstream":
            self._write_results()

    def _write_results(self) -> None:
        name, folder = self.open, self.projects[self.open]
        runs, handoff = folder / f"{name}.runs/impl_1", folder / f"{name}.gen/sources_1/bd/{name}/hw_handoff"
        runs.mkdir(parents=True)
        handoff.mkdir(parents=True)
        (runs / f"{name}_wrapper.bit").write_text("bits")
        (handoff / f"{name}.hwh").write_text("<EDKSYSTEM/>")

    def do_wait_on_run(self, name: str) -> None:
        self.do_get_runs(name)

    def do_open_run(self, name: str) -> None:
        if "route_design" not in self.done:
            raise VivadoError(f"{name} is not routed")

    def do_close_design(self) -> None: ...

    def _report(self, *arguments: str) -> None:
        named, _ = options(arguments, ["-hierarchical"])
        Path(named["-file"]).write_text("report")

    do_report_utilization = do_report_timing_summary = do_report_clocks = _report
