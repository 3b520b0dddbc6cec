"""What clients ask: prompts of a given length, none of which is in any cache, and commands of a home."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROMPT, ANSWER = 20, 30  # tokens
SETS = Path(__file__).parent.parent.parent / "edgellm" / "data" / "sets"
Body = Callable[[int], dict[str, Any]]


def tokens(answer: int = ANSWER, seed: int = 0, **more: Any) -> Body:
    """Greedy completions of random prompts, all of the same length."""
    rng = random.Random(seed)

    def body(_: int) -> dict[str, Any]:
        prompt = [1, *(rng.randrange(260, 500) for _ in range(PROMPT - 1))]
        return {"prompt": prompt, "max_tokens": answer, "temperature": 0, **more}

    return body


def commands() -> list[str]:
    """What people say, no two the same."""
    rows = [line for name in ("heldout", "phrasings", "templates") for line in _lines(name)]
    return list(dict.fromkeys(row.split("\t")[0] for row in rows))


def _lines(name: str) -> Iterator[str]:
    return filter(None, (SETS / f"{name}.tsv").read_text(encoding="utf-8").split("\n"))
