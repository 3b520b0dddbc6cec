"""Which templates can produce a given command with a given meaning: hassil's recogniser, run against our own grammar.

Used to keep the free-phrasing test set strange: a template that can say one of its lines is never used for training.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgellm.data.templates import Grammar, Template
from edgellm.data.words import word_lists

if TYPE_CHECKING:
    from hassil.intents import SlotList

OPEN = {  # list of the grammar -> slot that holds its value
    "message": "message",
    "name": "name",
    "search_query": "search_query",
    "zone": "state",
    "timer_name": "name",
    "timer_command": "conversation_command",
    "shopping_list_item": "item",
    "todo_list_item": "item",
}
NOTHING = "\ue000"  # a value that no command holds
_SLOT = re.compile(r" (\w+)= (.+?)(?= \w+= |$)")


def producers(source: Grammar, rows: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """(intent, sentence) of the templates that can produce one of the rows (command, target), with exactly that row's values."""
    from hassil import Intents

    by_intent: dict[str, list[Template]] = defaultdict(list)
    for template in source.templates:
        by_intent[template.intent].append(template)
    prepared: dict[str, Any] = {}
    found: set[tuple[str, str]] = set()
    for command, target in rows:
        intent = target.split(" ", 1)[0]
        if intent not in prepared:
            prepared[intent] = Intents.from_dict(_table(source, intent, by_intent[intent]))
        sentences = _matching(prepared[intent], command, dict(_SLOT.findall(target)))
        found |= {(intent, sentence) for sentence in sentences}
    return found


def _table(source: Grammar, intent: str, templates: list[Template]) -> dict[str, Any]:
    closed = {name: body for name, body in source.lists.items() if name not in OPEN}
    data = [{"sentences": [template.sentence]} for template in templates]
    return {
        "language": "en",
        "intents": {intent: {"data": data}},
        "lists": closed,
        "expansion_rules": source.rules,
    }


def _matching(intents: Any, command: str, slots: dict[str, str]) -> set[str]:
    from hassil.recognize import recognize_all

    plain = command.lower().strip(" .?!")
    lists = _lists(slots)
    results = recognize_all(plain, intents, slot_lists=lists)
    return {result.intent_sentence.text for result in results if result.intent_sentence is not None}


def _lists(slots: dict[str, str]) -> dict[str, SlotList]:
    """Every open list with the one value that the row has for it; areas and floors whole."""
    from hassil.intents import TextSlotList

    words = word_lists()
    values = {name: [slots.get(slot, NOTHING)] for name, slot in OPEN.items()}
    values |= {"area": words["areas"], "floor": words["floors"]}
    return {name: TextSlotList.from_strings(entries, name=name) for name, entries in values.items()}
