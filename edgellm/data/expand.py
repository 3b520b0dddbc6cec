"""Random expansion: a template becomes a command, its slots and a spoken reply."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from json import loads
from typing import TYPE_CHECKING, Any

from edgellm.data import grammar
from edgellm.data.templates import Grammar, Template, parse
from edgellm.data.words import Values
from edgellm.errors import TrainingError

if TYPE_CHECKING:
    from hassil.expression import Expression, ListReference
    from jinja2 import Template as JinjaTemplate

SPELLED_SHARE = 0.1
POLITE_SHARE = 0.15
CAPITAL_SHARE = 0.06
PUNCTUATION_SHARE = 0.06
QUESTION_RULES = {"are_any": "p", "are_all": "p", "how_many": "p", "which": ""}
COVERED = {"are_any", "are_all", "how_many", "which"}


@dataclass(frozen=True, slots=True)
class Example:
    """One line of the corpus."""

    command: str
    intent: str
    slots: tuple[tuple[str, str], ...]
    reply: str
    copied: bool = False  # holds an open value that has to be copied

    @property
    def target(self) -> str:
        """`Intent key= value ...`"""
        return self.intent + "".join(f" {key}= {value}" for key, value in self.slots)

    @property
    def line(self) -> str:
        return f"{self.command}\t{self.target}\t{self.reply}"


@dataclass(slots=True)
class _Draft:
    """State of one expansion."""

    template: Template
    domain: str
    number: str  # "s", "p" or "" when the sentence is not a question about a kind of thing
    slots: dict[str, str]
    opened: list[str] = field(default_factory=list)
    copied: bool = False


class Expander:
    """Expands templates with one random generator and one set of values."""

    def __init__(self, source: Grammar, rng: random.Random, values: Values) -> None:
        self.source, self.rng, self.values = source, rng, values

    def expand(self, template: Template) -> Example:
        """A random sentence of the template with its slots and reply."""
        draft = _Draft(
            template,
            self.rng.choice(template.domains) if template.domains else "light",
            self._number(template),
            dict(template.slots),
        )
        sentence = grammar.repair(self._walk(parse(template.sentence), draft).lower())
        sentence = self._dress(grammar.fill(sentence, draft.opened), sentence)
        slots = tuple(sorted((key, value.lower()) for key, value in draft.slots.items()))
        return Example(sentence, template.intent, slots, reply(self.source, draft), draft.copied)

    def _number(self, template: Template) -> str:
        first = re.match(r"<(\w+)>", template.sentence)
        if first is None or first.group(1) not in COVERED:
            return ""
        return QUESTION_RULES[first.group(1)] or self.rng.choice("sp")

    def _walk(self, node: Expression, draft: _Draft) -> str:
        from hassil import expression as tree

        if isinstance(node, tree.TextChunk):
            return str(node.text)
        if isinstance(node, tree.ListReference):
            return self._value(node, draft)
        if isinstance(node, tree.RuleReference):
            return self._rule(node.rule_name, draft)
        if isinstance(node, tree.Alternative):
            return self._walk(self._choose(node, draft), draft)
        if isinstance(node, tree.Permutation):
            items = list(node.items)
            self.rng.shuffle(items)
            return " ".join(self._walk(item, draft) for item in items)
        if isinstance(node, tree.Group):
            return "".join(self._walk(item, draft) for item in node.items)
        raise TrainingError(f"template {draft.template.sentence!r}: cannot expand {type(node).__name__}")

    def _choose(self, node: Any, draft: _Draft) -> Expression:
        """One alternative; a plural ending follows the number of the question."""
        first = _plain(node.items[0])
        if draft.number and node.is_optional and first in ("s", "es"):
            return _as_expression(node.items[0] if draft.number == "p" else node.items[-1])
        return _as_expression(self.rng.choice(node.items))

    def _rule(self, name: str, draft: _Draft) -> str:
        if name == "in":
            return self._preposition(draft.template.sentence)
        if name == "is":
            return {"p": "are", "s": "is"}.get(draft.number, self.rng.choice(("is", "are")))
        if name == "light" and draft.number:
            return self.rng.choice(("lights", "lamps") if draft.number == "p" else ("light", "lamp"))
        if name == "which" and draft.number == "s":
            return self.rng.choice(("which", "what"))
        if name == "the" and draft.domain == "person":
            return ""
        return self._walk(parse(self.source.rules[name]), draft)

    def _preposition(self, sentence: str) -> str:
        if "{floor}" in sentence:
            return "on"
        return self.rng.choice(("in", "at")) if "{zone" in sentence else "in"

    def _value(self, node: ListReference, draft: _Draft) -> str:
        if node.is_inline_range and (bounds := node.get_inline_range()):
            text = value = str(self.rng.randrange(bounds[0], bounds[1] + 1, bounds[2]))
        elif (opened := self._open_value(node.list_name, draft)) is not None:
            text, value = opened
        else:
            text, value = self._listed_value(node.list_name, draft)
        draft.slots[node.slot_name] = value
        return text

    def _open_value(self, name: str, draft: _Draft) -> tuple[str, str] | None:
        draws = {
            "area": self.values.area,
            "floor": self.values.floor,
            "name": lambda: self.values.name(draft.domain),
            "message": self.values.message,
            "search_query": self.values.search_query,
            "zone": lambda: self.values.pick("zones"),
            "timer_name": self.values.timer_name,
            "timer_command": self.values.timer_command,
            "shopping_list_item": self.values.item,
            "todo_list_item": self.values.task,
        }
        if name not in draws:
            return None
        value = draws[name]()
        draft.copied |= name not in ("area", "floor", "zone")
        draft.opened.append(value)
        return chr(grammar.FIRST_MARK + len(draft.opened) - 1), value.removeprefix(
            "the "
        ) if name == "zone" else value

    def _listed_value(self, name: str, draft: _Draft) -> tuple[str, str]:
        listing = self.source.lists[name]
        if "range" in listing:
            bounds = listing["range"]
            number = self.values.number(name, bounds["from"], bounds["to"], bounds.get("step", 1))
            spelled = number <= 100 and self.rng.random() < SPELLED_SHARE
            text = grammar.spell(number) if spelled else str(number)
            return text, str(number * bounds.get("multiplier", 1))
        entry = self.rng.choice(listing["values"])
        if name == "volume_step":  # "turn up", "volume up": the verbs have templates of their own
            return entry["out"], entry["out"]
        return self._walk(parse(str(entry["in"])), draft), str(entry["out"])

    def _dress(self, sentence: str, marked: str) -> str:
        """Politeness, a capital, a full stop: never inside a value."""
        lists = self.values.lists
        head = marked.split(" ")[0]
        if self.rng.random() < POLITE_SHARE:
            polite = head in lists["imperatives"]
            sentence = f"{self.values.pick('polite_prefixes' if polite else 'question_prefixes')} {sentence}"
        elif (
            head in lists["imperatives"]
            and self.rng.random() < 0.05
            and not re.search(grammar.MARK + "$", marked)
        ):
            sentence = f"{sentence} {self.values.pick('polite_suffixes')}"
        if self.rng.random() < CAPITAL_SHARE and not re.match(grammar.MARK, marked):
            sentence = sentence[0].upper() + sentence[1:]
        if self.rng.random() < PUNCTUATION_SHARE:
            sentence += "." if head in lists["imperatives"] else "?" if head in QUESTION_HEADS else ""
        return sentence


QUESTION_HEADS = frozenset(
    (
        "what",
        "what's",
        "whats",
        "how",
        "how's",
        "hows",
        "is",
        "are",
        "which",
        "who",
        "where",
        "where's",
        "wheres",
        "do",
    )
)


def _plain(node: Any) -> str:
    """The text of an alternative that is a single text chunk, else an empty string."""
    items = getattr(node, "items", None)
    if items is not None and len(items) == 1:
        node = items[0]
    return str(getattr(node, "text", "")).strip()


def _as_expression(node: Any) -> Expression:
    expression: Expression = node
    return expression


@cache
def _own_replies() -> dict[str, dict[str, str]]:
    return dict(loads(resources.files("edgellm.data").joinpath("replies.json").read_text("utf-8")))


@cache
def _compiled(text: str) -> JinjaTemplate:
    import jinja2

    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text)


def reply(source: Grammar, draft: _Draft) -> str:
    """The package's spoken response with the slots filled in.

    Responses that need the state of a house use the project's own wording (`replies.json`).
    """
    own, intent, key = _own_replies(), draft.template.intent, draft.template.response
    text = own.get(intent, {}).get(key) or source.responses.get(intent, {}).get(key) or "Done"
    what = draft.slots.get("device_class", own["what"].get(draft.slots.get("domain", ""), "devices"))
    if "device_class" in draft.slots:
        what = grammar.plural(what)
    rendered = _compiled(text).render(slots=draft.slots, state={"domain": draft.domain}, what=what)
    return " ".join(rendered.split()) or "Done"
