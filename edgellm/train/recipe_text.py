"""Recipes as TOML text, for commands that propose one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import tomli_w

from edgellm import files
from edgellm.data.records import OwnCorpus
from edgellm.train.bits import Bits
from edgellm.train.config import Recipe
from edgellm.train.corpus_table import KINDS


def write(recipe: Recipe, path: Path, remark: str) -> None:
    """Write a recipe that `config.load` reads back as the same; paths in it become relative to its folder."""
    table = _plain(recipe, path.parent)
    kind = next(name for name, known in KINDS.items() if type(recipe.corpus) is known)
    if isinstance(recipe.corpus, OwnCorpus):
        table["corpus"] = {"kind": kind, **table["corpus"]}
    files.write_text(path, f"# {remark}\n{tomli_w.dumps(table)}")


def bits_text(bits: Bits) -> str:
    """The `[bits]` tables of a recipe."""
    return tomli_w.dumps({"bits": dataclasses.asdict(bits)})


def _plain(value: Any, folder: Path) -> Any:
    """What TOML can hold; fields that are None are left out."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: _plain(part, folder) for name, part in fields.items() if part is not None}
    if isinstance(value, Path):
        return os.path.relpath(value.resolve(), folder.resolve())
    if isinstance(value, (list, tuple)):
        return [_plain(part, folder) for part in value]
    return dict(value) if isinstance(value, dict) else value
