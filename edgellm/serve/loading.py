"""Where settings come from: flags over environment variables over a TOML file over defaults."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from edgellm.errors import ConfigError
from edgellm.serve.settings import ModelSettings, Section, Values

PREFIX, NESTED = "EDGELLM_SERVE_", "__"
CONFIG = PREFIX + "CONFIG"
FLAGS = {  # of `edgellm serve`; other settings have --set
    "host": "--host",
    "port": "--port",
    "models": "MODEL",
    "drain_seconds": "--drain-seconds",
    "page": "--no-page",
    "security.keys": "--keys",
    "security.tls_certificate": "--tls-certificate",
    "security.tls_key": "--tls-key",
    "log.level": "--log-level",
}
Place = tuple["str | int", ...]  # ("models", 0, "path")
Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, and what it calls a setting."""

    table: Table
    name: Callable[[Place], str]


class _Environment(Values, BaseSettings):  # type: ignore[misc]
    """For pydantic-settings, which wants a class of its own; never made."""


def load(flags: Mapping[str, object], config: Path | None = None) -> Values:
    """Settings of the service.

    `flags`: setting -> value, such as {"queue.most_requests": 10}; "models.backends" and "models.isolated" are said of every
    model. `config`: the TOML file, else the one that EDGELLM_SERVE_CONFIG names.
    Raises: ConfigError naming file, variable or flag, the value and what it may be.
    """
    layers = [_flags(flags), *_without_flags(config)]
    merged = _merged([layer.table for layer in reversed(layers)])
    if not merged.get("models"):
        raise ConfigError(
            f"there is no model to serve: name one (edgellm serve MODEL), or give models in a TOML file or {PREFIX}MODELS"
        )
    _for_all_models(merged, flags)
    try:
        return Values.model_validate(merged)
    except ValidationError as error:
        raise ConfigError("; ".join(_told(one, layers) for one in _deepest(error))) from None


def shown(values: Values) -> Table:
    """All settings, ready for JSON; passwords in addresses are not shown."""
    table: Table = values.model_dump(mode="json")
    for section, name in (("cache", "url"), ("log", "traces")):
        table[section][name] = re.sub(r"(://[^/@]*:)[^/@]*@", r"\1***@", table[section][name])
    return table


def keys_file(config: Path | None = None) -> Path | None:
    """The file of API keys that file and environment name."""
    merged = _merged([layer.table for layer in reversed(_without_flags(config))])
    security = merged.get("security")
    keys = security.get("keys") if isinstance(security, dict) else None
    return Path(keys) if isinstance(keys, str) else None


def fields(section: type[Section] = Values, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all settings."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from fields(kind, (*path, name))
        else:
            yield (*path, name)


def variable(path: Sequence[str]) -> str:
    """The environment variable of a setting."""
    return PREFIX + NESTED.join(path).upper()


def _for_all_models(table: Table, flags: Mapping[str, object]) -> None:
    said = {name.removeprefix("models."): v for name, v in flags.items() if name.startswith("models.")}
    if said and isinstance(table["models"], (list, tuple)):
        models = [{"path": model} if isinstance(model, str) else model for model in table["models"]]
        table["models"] = [{**model, **said} if isinstance(model, dict) else model for model in models]


def _without_flags(config: Path | None) -> list[Layer]:
    named = os.environ.get(CONFIG)
    config = config or (Path(named) if named else None)
    return [_environment(), *([_file(config)] if config else [])]


def _flags(flags: Mapping[str, object]) -> Layer:
    table: Table = {}
    for name, value in flags.items():
        if not name.startswith("models."):
            *sections, last = name.split(".")
            inner = table
            for section in sections:
                inner = inner.setdefault(section, {})
                if not isinstance(inner, dict):
                    raise ConfigError(f"--set {name}: {section} has no settings of its own")
            inner[last] = value
    return Layer(table, lambda place: FLAGS.get(_dotted(place), f"--set {_dotted(place)}"))


def _environment() -> Layer:
    known = {variable(path): path for path in fields()}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in (*known, CONFIG):
            raise ConfigError(f"{name}: there is no such setting{_meant(upper, [*known, CONFIG])}")
    source = EnvSettingsSource(_Environment, False, PREFIX, env_nested_delimiter=NESTED)
    try:
        table = source()
    except SettingsError as error:
        broken = _not_json(known)
        raise ConfigError(f"{broken or PREFIX} cannot be read as JSON: {error.__cause__ or error}") from None
    return Layer(table, lambda place: variable([str(part) for part in place if isinstance(part, str)]))


def _not_json(known: Mapping[str, Sequence[str]]) -> str:
    """The variables that hold a list."""
    return " or ".join(name for name in known if name in os.environ and os.environ[name].lstrip()[:1] != '"')


def _file(path: Path) -> Layer:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be read as TOML: {why}") from None
    return Layer(table, lambda place: f"{path}: {_dotted(place)}")


def _merged(tables: Sequence[Table]) -> Table:
    """Tables laid over one another, the last one on top."""
    merged: Table = {}
    for table in tables:
        for name, value in table.items():
            below = merged.get(name)
            if isinstance(value, dict) and isinstance(below, dict):
                value = _merged([below, value])
            merged[name] = value
    return merged


def _deepest(error: ValidationError) -> list[Any]:
    """Its mistakes, without what is said of a list because of its entries."""
    places = [one["loc"] for one in error.errors()]
    inside = {place[:depth] for place in places for depth in range(len(place))}
    return [one for one in error.errors() if one["loc"] not in inside]


def _told(error: Any, layers: Sequence[Layer]) -> str:
    """One mistake, in the words of the source that made it."""
    place: Place = error["loc"]
    said = place[:-1] if error["type"] == "missing" else place
    where = next((layer.name(place) for layer in layers if _holds(layer.table, said)), _dotted(place))
    if error["type"] == "extra_forbidden":
        *outer, last = place
        return f"{where}: there is no such setting{_meant(str(last), _names(outer))}"
    if error["type"] == "missing":
        return f"{where} is missing"
    must = error["msg"].replace("Input should be", "must be")
    return f"{where} is {error['input']!r}: {must}"


def _holds(table: Any, place: Place) -> bool:
    for part in place:
        if isinstance(table, str):  # a model that is its path
            return part == "path"
        if part not in (table if isinstance(table, dict) else range(len(table))):
            return False
        table = table[part]
    return True


def _names(outer: Sequence[str | int]) -> list[str]:
    """Settings of a table."""
    names = [part for part in outer if isinstance(part, str)]
    if names[:1] == ["models"]:
        return list(ModelSettings.model_fields)
    section: type[Section] = Values
    for name in names:
        section = section.model_fields[name].annotation  # type: ignore[assignment]
    return list(section.model_fields)


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(known)}"


def _dotted(place: Place) -> str:
    """("models", 0, "path") -> models[0].path"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
