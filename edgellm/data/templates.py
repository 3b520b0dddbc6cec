"""Sentence templates, read once: home-assistant-intents with the corrections of `grammar.json`, and the project's own phrasings.

`phrasings_*.json` say the same commands as people do, in the same schema as home-assistant-intents' own file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgellm.errors import TrainingError

if TYPE_CHECKING:
    from hassil.expression import Expression

PHRASINGS = ("phrasings_house.json", "phrasings_media.json")


@dataclass(frozen=True, slots=True)
class Template:
    """One sentence of one slot combination of one intent."""

    intent: str
    group: int  # index of the slot combination within the whole grammar
    sentence: str
    response: str  # key of the spoken response
    domains: tuple[str, ...]
    slots: dict[str, str] = field(default_factory=dict)  # slots that the combination fixes
    free: bool = False  # from the project's own phrasings


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
    raw, fixes = _intents_file(), _own("grammar.json")
    templates: list[Template] = []
    rules = dict(raw["expansion_rules"]) | fixes["rules"]
    for source, free in ((raw, False), *((_own(name), True) for name in PHRASINGS)):
        for intent, body in source["intents"].items():
            for entry in body["data"]:
                group = templates[-1].group + 1 if templates else 0
                templates += _templates_of(intent, group, entry, {} if free else fixes, free)
        if free:
            rules = _merged(rules, source["rules"])
    return Grammar(tuple(templates), raw["lists"], rules, raw["responses"]["intents"])


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


def _own(name: str) -> dict[str, Any]:
    return dict(json.loads(resources.files("edgellm.data").joinpath(name).read_text("utf-8")))


def _merged(rules: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    for name, text in more.items():
        if rules.get(name, text) != text:
            raise TrainingError(f"rule <{name}> has two meanings: {rules[name]!r} and {text!r}")
    return rules | more


def _templates_of(
    intent: str, group: int, entry: dict[str, Any], fixes: dict[str, Any], free: bool
) -> list[Template]:
    fixed = {key: str(value) for key, value in entry.get("slots", {}).items()}
    domains = entry.get("requires_context", {}).get("domain") or fixed.get("domain") or ()
    domains = (domains,) if isinstance(domains, str) else tuple(domains)
    sentences = dict.fromkeys(_correct(text, fixes) for text in entry["sentences"])
    return [
        Template(intent, group, text, entry.get("response", "default"), domains, fixed, free)
        for text in sentences
        if text
    ]


def _correct(sentence: str, fixes: dict[str, Any]) -> str:
    """The sentence after the replacements, or an empty string when it is dropped."""
    if not fixes:
        return sentence
    dropped = any(part in sentence for part in fixes["drop_containing"])
    if dropped or sentence in fixes["drop_exact"]:
        return ""
    for old, new in fixes["replace"]:
        sentence = sentence.replace(old, new)
    return sentence
