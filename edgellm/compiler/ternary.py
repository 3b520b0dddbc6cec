"""Matrix units without multipliers: FINN's streams and buffers around the project's own core for ternary weights.

FINN's unit chooses its core by name, so a ternary node's files are FINN's with two names changed: the unit's own, because
a design may hold both kinds, and its core's.
"""

from __future__ import annotations

import re

from edgellm.compiler import rtl_library
from edgellm.errors import CompileError

FINN_CORE_FILES = ("mvu.sv", "add_multi.sv")  # what the ternary core does without
CORE = "ternary_mvu"  # hw/rtl
UNIT, OWN_UNIT, FINN_CORE = "mvu_vvu_axi", "ternary_mvu_axi", "mvu"
_UNIT, _CORE = re.compile(rf"\b{UNIT}\b"), re.compile(rf"\b{FINN_CORE} #\(")


def files(texts: dict[str, str]) -> dict[str, str]:
    """File name -> text of a node's matrix unit, from FINN's. Raises: CompileError."""
    kept = {name: wrapper(text) for name, text in texts.items() if name not in FINN_CORE_FILES}
    core = rtl_library.path(CORE)
    return {
        **{name: text for name, text in kept.items() if name != f"{UNIT}.sv"},
        f"{OWN_UNIT}.sv": unit(texts[f"{UNIT}.sv"]),
        core.name: core.read_text(encoding="utf-8"),
    }


def unit(text: str) -> str:
    """FINN's mvu_vvu_axi.sv with the ternary core. Raises: CompileError when it is not the file known here."""
    if len(_CORE.findall(text)) != 1 or not _UNIT.search(text):
        raise CompileError("mvu_vvu_axi.sv of this FINN is not the one known here: install finn-plus 1.6.1")
    return wrapper(_CORE.sub(f"{CORE} #(", text))


def wrapper(text: str) -> str:
    """A file that instantiates the unit, with the ternary one."""
    return _UNIT.sub(OWN_UNIT, text)
