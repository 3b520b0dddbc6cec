"""Simulations of a compiled module: push beats in, run the clock, pop beats out.

    library = verilator.build("rms_norm", [RTL / "rms_norm.sv"], {"N": 64, "PE": 4})
    sim = Simulation(library)
    sim.reset()
    sim.push("in0", streams.pack(vectors.reshape(-1, 4), 16))
    sim.run(10_000, until={"out0": 16})
    rows, cycles = sim.pop("out0")

Every run checks the AXI4-Stream rules on the module's outputs: TVALID stays, and TDATA with it, until TREADY;
neither follows TREADY without a register. Registers that reset leaves alone start with random bits (`seed`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm import cache
from edgellm.errors import Deadlock, SimulationError, UsageError
from edgellm.sim.streams import Rows, beat_bytes

Cycles = NDArray[np.uint64]
Stall = float | Mapping[str, float]
SLICE = 1 << 17  # cycles between two looks at Ctrl-C
IDLE_LIMIT = 100_000  # cycles without any movement that count as a deadlock

_CYCLES_DONE, _GOAL_REACHED, _IDLE, _FAILED = range(4)
_DIRECTORY_LOCK = threading.Lock()  # the working directory belongs to the process
_SIGNATURES: dict[str, tuple[str, str]] = {
    # result, arguments: p handle or buffer, i int, I uint32, Q uint64, q int64, d double, s string, - nothing
    "new": ("p", "I"),
    "delete": ("-", "p"),
    "ports": ("i", "p"),
    "port_name": ("s", "pi"),
    "port_is_input": ("i", "pi"),
    "port_bits": ("i", "pi"),
    "error": ("s", "p"),
    "cycle": ("Q", "p"),
    "registered": ("-", "pi"),
    "reset": ("i", "pQ"),
    "push": ("-", "pipQ"),
    "available": ("Q", "pi"),
    "pop": ("-", "pippQ"),
    "accepted": ("Q", "pip"),
    "port_waits": ("i", "pi"),
    "plan": ("-", "pidq"),
    "seed": ("-", "pQ"),
    "advance": ("i", "pQQ"),
    "fifos": ("i", "p"),
    "fifo_name": ("s", "pi"),
    "fifo_depth": ("i", "pi"),
    "fifo_bits": ("i", "pi"),
    "fifo_most": ("i", "pi"),
    "fifo_restrict": ("-", "pii"),
    "probe": ("-", "pi"),
    "probe_ids": ("Q", "pp"),
    "probe_beats": ("Q", "pi"),
    "probe_bits": ("i", "pi"),
    "probe_read": ("-", "pipp"),
    "probe_clear": ("-", "p"),
}
_TYPES: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "i": ctypes.c_int,
    "I": ctypes.c_uint32,
    "Q": ctypes.c_uint64,
    "q": ctypes.c_int64,
    "d": ctypes.c_double,
    "s": ctypes.c_char_p,
    "-": None,
}


@dataclass(frozen=True, slots=True)
class Port:
    """One AXI4-Stream of the module."""

    name: str  # in0, out0, ...
    index: int
    is_input: bool
    bits: int  # of TDATA

    @property
    def bytes(self) -> int:
        return beat_bytes(1, self.bits)


@dataclass(frozen=True, slots=True)
class Fifo:
    """A FIFO somewhere in the module."""

    index: int
    path: str  # names of the instances that hold it, from the top module down
    depth: int  # beats, as built
    bits: int  # of a beat
    peak: int  # most beats in it since the last reset


def _from_integers(port: Port, beats: Sequence[int]) -> Rows:
    for number, beat in enumerate(beats):
        if not 0 <= beat < 1 << port.bits:
            raise UsageError(f"beat {number} of stream {port.name}, {beat}, does not fit {port.bits} bits")
    data = b"".join(int(beat).to_bytes(port.bytes, "little") for beat in beats)
    return np.frombuffer(data, np.uint8).reshape(-1, port.bytes)


@contextmanager
def inside(directory: Path | None) -> Iterator[None]:
    """Make `directory` the working directory for a moment: relative $readmemh paths start there."""
    if directory is None:
        yield
        return
    if not directory.is_dir():
        raise SimulationError(f"the run directory {directory} does not exist")
    with _DIRECTORY_LOCK:
        before = os.open(".", os.O_RDONLY)
        try:
            os.chdir(directory)
            yield
        finally:
            os.fchdir(before)
            os.close(before)


class Simulation:
    """One instance of a compiled module, for one thread at a time; `run` releases the interpreter lock."""

    def __init__(self, library: Path, run_dir: Path | None = None, *, seed: int = 1) -> None:
        """Load `library` (from `verilator.build`); memory files are read relative to `run_dir`.

        Raises SimulationError when a memory file is missing, malformed or too long (or too short, where the
        module says how many lines it wants).
        """
        self._handle = None
        self.library = library
        self._library = load_library(library, _SIGNATURES)
        cache.hold(library, self)
        with inside(run_dir):
            self._handle = self._call("new", seed & 0xFFFFFFFF)
        self._check_error()
        self.ports = {port.name: port for port in self._read_ports()}

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.edgellm_delete(self._handle)

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(self._library, f"edgellm_{name}")
        return function(*arguments) if name == "new" else function(self._handle, *arguments)

    def _read_ports(self) -> Iterator[Port]:
        for index in range(self._call("ports")):
            name = self._call("port_name", index).decode()
            yield Port(name, index, bool(self._call("port_is_input", index)), self._call("port_bits", index))

    def _port(self, name: str, is_input: bool | None = None) -> Port:
        port = self.ports.get(name)
        if port is None:
            raise UsageError(f"no stream {name}; this module has {', '.join(self.ports)}")
        if is_input not in (None, port.is_input):
            raise UsageError(f"stream {name} is an {'input' if port.is_input else 'output'}")
        return port

    def _check_error(self) -> None:
        if text := self._call("error").decode():
            raise SimulationError(text)

    @property
    def cycle(self) -> int:
        """Clock cycles so far, resets included."""
        return int(self._call("cycle"))

    def require_registered_outputs(self, on: bool = True) -> None:
        """Also report an output that follows an input's TVALID without a register."""
        self._call("registered", int(on))

    def reset(self, cycles: int = 8) -> None:
        """Hold ap_rst_n low; beats not accepted or popped are forgotten. TVALID must be low at its end."""
        self._call("reset", cycles)
        self._check_error()

    def push(self, port: str, beats: Rows | Sequence[int]) -> None:
        """Queue beats: uint8 rows [beats, bytes] (see streams.pack), or a list of non-negative integers."""
        target = self._port(port, is_input=True)
        rows = self._rows(target, beats)
        self._call("push", target.index, rows.ctypes.data, len(rows))

    def _rows(self, port: Port, beats: Rows | Sequence[int]) -> Rows:
        if not isinstance(beats, np.ndarray):
            beats = _from_integers(port, beats)
        if beats.dtype != np.uint8 or beats.ndim != 2 or beats.shape[1] != port.bytes:
            shape = f"{beats.dtype} {list(beats.shape)}"
            raise UsageError(f"stream {port.name} takes uint8 [beats, {port.bytes}], not {shape}")
        rows: Rows = np.ascontiguousarray(beats)
        if spare := port.bytes * 8 - port.bits:
            rows = rows.copy()
            rows[:, -1] &= 0xFF >> spare
        return rows

    def pop(self, port: str) -> tuple[Rows, Cycles]:
        """Take the beats received on an output: rows [beats, bytes] and the cycle in which each moved."""
        source = self._port(port, is_input=False)
        beats = self._call("available", source.index)
        rows, cycles = np.empty((beats, source.bytes), np.uint8), np.empty(beats, np.uint64)
        self._call("pop", source.index, rows.ctypes.data, cycles.ctypes.data, beats)
        return rows, cycles

    def available(self, port: str) -> int:
        """Beats an output holds for `pop`, or beats an input has not accepted yet."""
        return int(self._call("available", self._port(port).index))

    def accepted(self, port: str) -> Cycles:
        """Cycle in which each pushed beat was accepted, since the last reset."""
        target = self._port(port, is_input=True)
        cycles = np.empty(self._call("accepted", target.index, None), np.uint64)
        self._call("accepted", target.index, cycles.ctypes.data)
        return cycles

    def run(
        self,
        max_cycles: int,
        until: Mapping[str, int] | None = None,
        *,
        stall_in: Stall = 0.0,
        stall_out: Stall = 0.0,
        seed: int = 0,
        idle_limit: int = IDLE_LIMIT,
    ) -> bool:
        """Run until every output in `until` holds that many beats, at most `max_cycles`; True if they do.

        Without `until` it runs `max_cycles` and returns True. `stall_in` and `stall_out` are the chances, for
        all ports or by name, that an input offers or an output takes nothing in a cycle (1.0: never). Raises
        SimulationError for a broken AXI4-Stream rule (names the port), Deadlock when nothing moved for
        `idle_limit` cycles although `until` is not reached.
        """
        self._plan(until or {}, stall_in, stall_out)
        self._call("seed", seed & 0xFFFFFFFF)
        left, status = max_cycles, _CYCLES_DONE
        while left > 0 and status == _CYCLES_DONE:
            status = self._call("advance", min(left, SLICE), idle_limit if until else 0)
            left -= SLICE
        self._check_error()
        if status == _IDLE:
            raise Deadlock(self._explain(idle_limit))
        return status == _GOAL_REACHED or not until

    def _plan(self, until: Mapping[str, int], stall_in: Stall, stall_out: Stall) -> None:
        for name in until:
            self._port(name, is_input=False)
        for port in self.ports.values():
            stall = stall_in if port.is_input else stall_out
            chance = stall.get(port.name, 0.0) if isinstance(stall, Mapping) else stall
            self._call("plan", port.index, chance, until.get(port.name, -1))

    def _explain(self, idle_limit: int) -> str:
        waiting = [port for port in self.ports.values() if self._call("port_waits", port.index)]
        notes = [
            f"{port.name} {'still has' if port.is_input else 'gave only'} {self.available(port.name)} beats"
            for port in waiting
        ]
        return f"nothing moved for {idle_limit} cycles before cycle {self.cycle}: " + ", ".join(notes)

    def fifos(self) -> list[Fifo]:
        """FINN's FIFOs in the module, with how full they were."""
        return [self._fifo(index) for index in range(self._call("fifos"))]

    def _fifo(self, index: int) -> Fifo:
        path = self._call("fifo_name", index).decode()
        depth, bits, peak = (self._call(f"fifo_{what}", index) for what in ("depth", "bits", "most"))
        return Fifo(index, path, depth, bits, peak)

    def restrict(self, fifo: Fifo, depth: int) -> None:
        """From the next reset on let it hold no more than one of `depth` beats. Raises: UsageError outside 2..its depth."""
        if not 2 <= depth <= fifo.depth:
            raise UsageError(f"{fifo.path}: depth {depth}, must be 2 to {fifo.depth}")
        self._call("fifo_restrict", fifo.index, depth)

    def probe(self, on: bool) -> None:
        """Start or stop recording the beats that pass the axis_probe modules."""
        self._call("probe", int(on))

    def probe_ids(self) -> list[int]:
        """Probes that have recorded something."""
        ids = np.empty(self._call("probe_ids", None), np.int32)
        self._call("probe_ids", ids.ctypes.data)
        return [int(number) for number in ids]

    def probes(self, number: int) -> tuple[Rows, Cycles]:
        """What probe `number` has recorded: rows [beats, bytes] and cycles."""
        beats, bits = self._call("probe_beats", number), self._call("probe_bits", number)
        rows, cycles = np.empty((beats, beat_bytes(1, bits)), np.uint8), np.empty(beats, np.uint64)
        if beats:
            self._call("probe_read", number, rows.ctypes.data, cycles.ctypes.data)
        return rows, cycles

    def clear_probes(self) -> None:
        """Forget what the probes recorded."""
        self._call("probe_clear")


def load_library(path: Path, signatures: Mapping[str, tuple[str, str]]) -> ctypes.CDLL:
    """A simulator's library with the types of its functions `edgellm_NAME`. Raises: SimulationError."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise SimulationError(f"cannot load the simulator {path}: {error}") from error
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"edgellm_{name}")
        function.restype = _TYPES[result]
        function.argtypes = [_TYPES[letter] for letter in arguments]
    return library
