"""Typed access to the objects of a JSON file, with the field's name in the message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.errors import EdgeLLMError

_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    dict: "an object",
    list: "a list",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of the file `path`; what is wrong with it is raised as `error`."""

    data: Any
    path: Path | str
    error: type[EdgeLLMError]
    prefix: str = ""

    def get(self, key: str, kind: type[Any]) -> Any:
        """The value, which is exactly of this kind."""
        value = self.data.get(key) if isinstance(self.data, dict) else None
        if type(value) is not kind:
            raise self.error(f"{self.path}: field {self.prefix}{key} must be {_NAMES[kind]}")
        return value

    def list_of(self, key: str, kind: type[Any]) -> list[Any]:
        """A list with values of this kind."""
        values: list[Any] = self.get(key, list)
        if any(type(value) is not kind for value in values):
            raise self.error(f"{self.path}: field {self.prefix}{key} must hold {_NAMES[kind]} only")
        return values

    def inner(self, key: str) -> Fields:
        """The object in a field."""
        return Fields(self.get(key, dict), self.path, self.error, f"{self.prefix}{key}.")

    def optional(self, key: str) -> Fields | None:
        """The object in a field that may be null."""
        if isinstance(self.data, dict) and key in self.data and self.data[key] is None:
            return None
        return self.inner(key)

    def only(self, *keys: str) -> None:
        """There are no other fields."""
        if unknown := sorted(set(self.data) - set(keys)):
            raise self.error(f"{self.path}: unknown field {self.prefix}{unknown[0]}")


def parse(raw: bytes, path: Path | str, error: type[EdgeLLMError], way_out: str) -> Fields:
    """The object that a JSON file holds; `way_out` ends the message when it is none."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise error(f"{path}: not valid JSON: {way_out}") from None
    return Fields(data, path, error)
