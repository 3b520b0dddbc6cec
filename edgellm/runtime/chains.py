"""Filters and post-processors from tables: what a configuration names, in its order.

[[filters]]
kind = "max_characters"
most = 2000

[[post]]
kind = "strip"
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgellm.errors import ConfigError
from edgellm.runtime import filters, post
from edgellm.runtime.filters import Filter

FILTERS: dict[str, Callable[..., Filter]] = {
    "max_characters": filters.MaxCharacters,
    "remove_controls": filters.RemoveControls,
    "normalise": filters.Normalise,
    "deny": filters.Deny,
    "allow": filters.Allow,
    "mask_personal": filters.MaskPersonal,
}
POST: dict[str, post.Maker] = {
    "strip": post.Strip,
    "repair_json": post.repair_json,
    "intent": post.intent,
}
T = TypeVar("T")
NOT_IN_TABLES = ("name", "mask")  # what only code can say


@dataclass(frozen=True, slots=True)
class Chains:
    """Both sides of an answer."""

    filters: tuple[Filter, ...] = ()
    post: tuple[post.Maker, ...] = ()


def of(table: Mapping[str, Any]) -> Chains:
    """From a table with the lists `filters` and `post`; an entry is a table, a kind alone, or what it would become.

    Raises: ConfigError naming entry, field and value; ToolMissing.
    """
    if unknown := [name for name in table if name not in ("filters", "post")]:
        raise ConfigError(f"there is no {unknown[0]!r} here: a chain file has filters and post")
    return Chains(_made(table, "filters", _filter), _made(table, "post", _maker))


def read(path: Path) -> Chains:
    """From a TOML file. Raises: as `of`, ConfigError for a file that cannot be read."""
    if sys.version_info >= (3, 11):  # few have a file: not loaded before
        import tomllib
    else:
        import tomli as tomllib
    try:
        return of(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _made(table: Mapping[str, Any], name: str, make: Callable[[str, object], T]) -> tuple[T, ...]:
    entries = enumerate(table.get(name, ()))
    return tuple(entry if callable(entry) else make(f"{name}[{number}]", entry) for number, entry in entries)


def _filter(place: str, entry: object) -> Filter:
    kind, fields = _parts(place, entry, FILTERS)
    known = [name for name in inspect.signature(FILTERS[kind]).parameters if name not in NOT_IN_TABLES]
    for name in fields:
        if name not in known:
            raise ConfigError(f"{place}: {kind} has no field {name!r}: it has {', '.join(known) or 'none'}")
    try:
        return FILTERS[kind](**fields)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{place}: {error}") from None


def _maker(place: str, entry: object) -> post.Maker:
    kind, fields = _parts(place, entry, POST)
    if fields:
        raise ConfigError(f"{place}: {kind} has no field {next(iter(fields))!r}: it has none")
    POST[kind]()  # so that what is missing is noticed now
    return POST[kind]


def _parts(place: str, entry: object, kinds: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of an entry."""
    fields = dict(entry) if isinstance(entry, Mapping) else {"kind": entry}
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"{place}: kind is {kind!r}: must be one of {', '.join(kinds)}")
    return kind, fields
