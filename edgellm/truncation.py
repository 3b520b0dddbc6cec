"""What to leave out of a prompt that is longer than the context: the same tokens every time."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.errors import PromptTooLong

POLICIES = ("error", "left", "middle")


def truncate(ids: Sequence[int], room: int, policy: str, head: int = 0, tail: int = 0) -> list[int]:
    """At most `room` of the tokens.

    The first `head` and the last `tail` tokens (of a template: beginning of text, system part, separator) always stay. `left`
    leaves out the oldest of the rest, `middle` what is in its middle, `error` raises PromptTooLong, as do `head` and `tail`
    that leave no room.
    """
    surplus = len(ids) - room
    if surplus <= 0:
        return list(ids)
    if policy == "error":
        raise PromptTooLong(f"the prompt has {len(ids)} tokens, the context holds {room}: shorten it")
    if head + tail >= room:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens, the context holds {room}, and {head + tail} of the template have to stay: "
            "shorten the template"
        )
    kept_first = head if policy == "left" else head + (room - head - tail + 1) // 2
    return [*ids[:kept_first], *ids[kept_first + surplus :]]
