"""Sentence templates of home-assistant-intents, read once, with the grammar corrections of `grammar.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgellm.errors import TrainingError

if TYPE_CHECKING:
    from hassil.expression import Expression


@dataclass(frozen=True, slots=True)
class Template:
    """One sentence of one slot combination of one intent."""

    intent: str
    group: int  # index of the slot combination within the whole grammar
    sentence: str
    response: str  # key of the spoken response
    domains: tuple[str, ...]
    slots: dict[str, str] = field(default_factory=dict)  # slots that the combination fixes


@dataclass(frozen=True, slots=True)
class Grammar:
    """Everything the sampler needs: templates, value lists, rules and spoken responses."""

    templates: tuple[Template, ...]
    lists: dict[str, Any]
    rules: dict[str, str]
    responses: dict[str, dict[str, str]]


@cache
def load_grammar() -> Grammar:
    """The corrected English grammar.

    Raises: TrainingError when home-assistant-intents or hassil is not installed.
    """
    raw, fixes = _intents_file(), _fixes()
    templates: list[Template] = []
    group = 0
    for intent, body in raw["intents"].items():
        for entry in body["data"]:
            templates += _templates_of(intent, group, entry, fixes)
            group += 1
    return Grammar(
        tuple(templates), raw["lists"], raw["expansion_rules"] | fixes["rules"], raw["responses"]["intents"]
    )


@cache
def parse(sentence: str) -> Expression:
    """The expression tree of one template in hassil's syntax."""
    from hassil.parse_expression import parse_sentence

    return parse_sentence(sentence).expression


def _intents_file() -> dict[str, Any]:
    try:
        folder = resources.files("home_assistant_intents")
        import hassil  # noqa: F401
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"the home corpus needs the package {error.name}: install edgellm[train]"
        ) from error
    return dict(json.loads(folder.joinpath("data/en.json").read_text("utf-8")))


def _fixes() -> dict[str, Any]:
    return dict(json.loads(resources.files("edgellm.data").joinpath("grammar.json").read_text("utf-8")))


def _templates_of(intent: str, group: int, entry: dict[str, Any], fixes: dict[str, Any]) -> list[Template]:
    fixed = {key: str(value) for key, value in entry.get("slots", {}).items()}
    domains = entry.get("requires_context", {}).get("domain") or fixed.get("domain") or ()
    domains = (domains,) if isinstance(domains, str) else tuple(domains)
    sentences = dict.fromkeys(_correct(text, fixes) for text in entry["sentences"])
    return [
        Template(intent, group, text, entry.get("response", "default"), domains, fixed)
        for text in sentences
        if text
    ]


def _correct(sentence: str, fixes: dict[str, Any]) -> str:
    """The sentence after the replacements, or an empty string when it is dropped."""
    dropped = any(part in sentence for part in fixes["drop_containing"])
    if dropped or sentence in fixes["drop_exact"]:
        return ""
    for old, new in fixes["replace"]:
        sentence = sentence.replace(old, new)
    return sentence
