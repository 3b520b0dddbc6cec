"""A design on a board: files checked, bitstream loaded over PYNQ, clock read back, the accelerator asked who it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import registers
from edgellm.bundle import hardware
from edgellm.errors import BackendFailed, BackendUnavailable, BundleMismatch, ToolMissing
from edgellm.registers import Register
from edgellm.runtime.backends.fpga.design import Design
from edgellm.runtime.backends.fpga.waiting import loop

PLUGINS = "pynq.lib"
XRT = "XILINX_XRT"
FPGA_MANAGER = Path("/sys/class/fpga_manager/fpga0")
CLOCK_TOLERANCE = hardware.CLOCK_TOLERANCE
INTERRUPT = "interrupt"
ZYNQ_7000, NO_ZYNQ_7000 = "processing_system7", 4  # and the version of PYNQ that left it out
ACHIEVED = (
    "PSU__CRL_APB__PL{}_REF_CTRL__ACT_FREQMHZ",
    "PCW_ACT_FPGA{}_PERIPHERAL_FREQMHZ",
)  # MHz of a clock, in a hand-off


class Registers:
    """The accelerator's registers."""

    def __init__(self, mmio: Any) -> None:
        """`mmio`: a pynq.MMIO on them."""
        self._mmio = mmio

    def read(self, offset: int) -> int:
        """32 bits."""
        return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        """32 bits."""
        self._mmio.write(offset, int(value))

    def cycles(self) -> int:
        """The counter, whole: its low word holds the high one."""
        low = self.read(Register.CYCLES)
        return self.read(Register.CYCLES_HIGH) << 32 | low


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A design that runs on a device."""

    design: Design
    registers: Registers
    allocate: Callable[[int], Any]  # bytes of memory for both sides, as a pynq.Buffer
    interrupt: Any  # pynq.Interrupt, or None where there is none
    clocks: dict[int, float]  # MHz, as read back


def devices() -> list[Any]:
    """PYNQ's devices, those that plug-ins bring too. Raises: BackendUnavailable without PYNQ."""
    try:
        import pynq
    except ImportError as error:
        raise BackendUnavailable(f"PYNQ does not work here ({error}): pip install 'edgellm[pynq]'") from error
    for plugin in importlib.metadata.entry_points(group=PLUGINS):
        importlib.import_module(plugin.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what `absent` says better
        return list(pynq.Device.devices)


def device() -> Any:
    """PYNQ's active device. Raises: BackendUnavailable where there is none."""
    if not devices():
        raise BackendUnavailable(absent())
    import pynq

    return pynq.Device.active_device


def check() -> None:
    """Raises ToolMissing where there is no board."""
    try:
        device()
    except BackendUnavailable as error:
        raise ToolMissing(str(error)) from error


def absent() -> str:
    """Why PYNQ finds no device."""
    if not os.environ.get(XRT):
        return f"PYNQ finds no device, because {XRT} is not set: export {XRT}=/usr and run as root (sudo -E)"
    if not FPGA_MANAGER.exists():
        return f"PYNQ finds no device: Linux manages no FPGA here ({FPGA_MANAGER} is missing)"
    return "PYNQ finds no device: run as root (sudo -E), whom /dev/mem belongs to"


def load(design: Design) -> Accelerator:
    """Check the files of a design, load its bitstream and ask who is there."""
    wanted = design.wanted()
    hardware.check_bitstream(design.bitstream, wanted)
    hardware.check_handoff(design.handoff, wanted)
    found = device()
    try:
        return _load(design, found)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and os.geteuid() != 0:
            raise BackendUnavailable(f"the board belongs to root ({error}): run as root (sudo -E)") from error
        raise BackendFailed(
            f"PYNQ cannot load {design.bitstream} ({type(error).__name__}: {error}): run `edgellm doctor`"
        ) from error


def _load(design: Design, device: Any) -> Accelerator:
    import pynq

    overlay = pynq.Overlay(str(design.bitstream), download=False, device=device)
    _check_family(overlay.parser.family_ps, pynq.__version__)
    name, described = _described(design, overlay)
    overlay.download()
    clocks = _set_clocks(design, overlay, pynq.Clocks)
    mmio = pynq.MMIO(described["phys_addr"], registers.BYTES, device=device)
    accelerator = Accelerator(
        design,
        Registers(mmio),
        lambda size: pynq.allocate((size,), "u1", target=device, cacheable=True),
        _interrupt(f"{name}/{INTERRUPT}", overlay, pynq.Interrupt),
        clocks,
    )
    _identify(accelerator)
    return accelerator


def _check_family(family: str, version: str) -> None:
    if family == ZYNQ_7000 and int(version.split(".")[0]) >= NO_ZYNQ_7000:
        raise BackendUnavailable(f"PYNQ {version} knows no Zynq-7000 any more: pip install pynq==3.1.2")


def _described(design: Design, overlay: Any) -> tuple[str, dict[str, Any]]:
    """The accelerator's entry in what PYNQ has read of the hand-off, which it may have kept from another one."""
    named = {name: ip for name, ip in overlay.ip_dict.items() if ip["type"] == registers.VLNV}
    if len(named) != 1:
        raise BundleMismatch(
            f"{design.handoff}: PYNQ sees {len(named)} blocks {registers.VLNV} in it, not one"
        )
    ((name, described),) = named.items()
    build = int(str(described["parameters"].get("BUILD", design.build)), 0)
    if build != design.build:
        raise BundleMismatch(
            f"PYNQ takes {design.handoff} for that of build {build:08x}, it is of {design.build:08x}: delete "
            "_current_metadata.pkl and global_pl_state_.json in PYNQ's folder pl_server"
        )
    return name, described


def _set_clocks(design: Design, overlay: Any, clocks: Any) -> dict[int, float]:
    """Every clock that the hand-off switches on runs as it says: set by the download, else here, and read back."""
    found = {}
    for index, told in overlay.clock_dict.items():
        if not told.get("enable"):
            continue
        wanted = _frequency(design, overlay, index)
        name = f"fclk{index}_mhz"  # get_pl_clk of PYNQ 3.1 returns nothing
        if _differs(getattr(clocks, name), wanted):
            setattr(clocks, name, wanted)
        found[index] = getattr(clocks, name)
        if _differs(found[index], wanted):
            raise BackendFailed(
                f"clock {index} of the board runs at {found[index]:g} MHz, the bitstream was made for {wanted:g} MHz: "
                "restart the board, or check who else sets its clocks"
            )
    return found


def _differs(found: float, wanted: float) -> bool:
    return abs(found - wanted) > CLOCK_TOLERANCE * wanted


def _frequency(design: Design, overlay: Any, index: int) -> float:
    """What a clock was made for, in MHz."""
    parameters = overlay.ip_dict[overlay.parser.ps_name]["parameters"]
    for name in ACHIEVED:
        if told := parameters.get(name.format(index)):
            return float(told)
    raise BundleMismatch(
        f"{design.handoff} does not say how fast clock {index} is: take the one Vivado wrote"
    )


def _interrupt(pin: str, overlay: Any, interrupt: Any) -> Any:
    """PYNQ's interrupt, where the design and the platform have one; without, the driver looks into the memory."""
    if pin not in overlay.interrupt_pins:
        return None
    try:
        return loop().call(lambda: interrupt(pin))
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
    ):  # no UIO device for it, as PYNQ says in several ways
        return None


def _identify(accelerator: Accelerator) -> None:
    """Who answers is the accelerator of this design."""
    design, ask = accelerator.design, accelerator.registers.read
    again = f"{design.bitstream} and {design.folder} do not belong together: build the bitstream again"
    if (identity := ask(Register.IDENTITY)) != registers.IDENTITY_VALUE:
        raise BackendFailed(
            f"no accelerator answers: its identity reads {identity:#010x}, not {registers.IDENTITY_VALUE:#010x}; {again}"
        )
    expected = {
        Register.VERSION: registers.VERSION_VALUE,
        Register.BUILD: design.build,
        Register.SLOTS: design.slots,
    }
    for register, value in expected.items():
        if (got := ask(register)) != value:
            raise BackendFailed(
                f"the accelerator's {register.name} is {got:#x}, the design's {value:#x}: {again}"
            )
