"""Where the RTL, the boards and the shipped models lie: at the top of a checkout, inside an installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def directory(name: str) -> Path:
    """Folder `hw` or `models`; the installed copy inside the package wins over the checkout beside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def rtl() -> Path:
    """SystemVerilog sources of the project's own blocks."""
    return directory("hw") / "rtl"


def boards() -> Path:
    """Board descriptions, one TOML file each."""
    return directory("hw") / "boards"


def models() -> Path:
    """Shipped models, one folder each."""
    return directory("models")
