"""From what a person types to prompt ids: normalisation rules and the template of a model's manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgellm.errors import EmptyPrompt, ModelUnsupported, PromptNotText
from edgellm.manifest import Prompt
from edgellm.tokenizer import Tokenizer
from edgellm.truncation import truncate

PLACEHOLDER = "{prompt}"

# each looks behind itself, so that a long run is tried once and not from every place in it
_FINAL = re.compile(r"(?<![\s.!?])[\s.!?]+$")
_PUNCTUATION = re.compile(r"(?<![.,;:!?])[.,;:!?]+(?=\s|$)")
RULES: dict[str, Callable[[str], str]] = {
    "lowercase": str.lower,
    "collapse_spaces": lambda text: " ".join(text.split()),
    "strip_spaces": str.strip,
    "strip_final_punctuation": lambda text: _FINAL.sub("", text),
    "strip_punctuation": lambda text: _PUNCTUATION.sub("", text),
}


def check_text(prompt: str | bytes) -> str:
    """`prompt` as text; PromptNotText when it is not UTF-8."""
    if isinstance(prompt, str) and prompt.isascii():
        return prompt
    try:
        raw = prompt if isinstance(prompt, bytes) else prompt.encode("utf-8", "surrogateescape")
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise PromptNotText(
            f"the prompt is not UTF-8 text: byte 0x{byte:02x} at offset {error.start}; convert it to UTF-8 first"
        ) from None
    except UnicodeEncodeError as error:
        raise PromptNotText(
            f"the prompt is not UTF-8 text: lone surrogate U+{ord(error.object[error.start]):04X} "
            f"at character {error.start}; convert it to UTF-8 first"
        ) from None


def normalise(prompt: str, rules: Sequence[str]) -> str:
    """Apply the manifest's rules in order; ModelUnsupported for a rule this version does not know."""
    for rule in rules:
        if rule not in RULES:
            raise ModelUnsupported(
                f"prompt rule {rule!r} is not known (known: {', '.join(RULES)}): update edgellm"
            )
        prompt = RULES[rule](prompt)
    return prompt


def encode(tokenizer: Tokenizer, template: str, prompt: str) -> list[int]:
    """Ids of the template with the prompt in it. Special tokens count in the template only, never in the prompt."""
    ids: list[int] = []
    for piece, token in tokenizer.cut_added(template):
        ids += [token] if token is not None else tokenizer.encode(piece.replace(PLACEHOLDER, prompt))
    return ids


def frame(tokenizer: Tokenizer, template: str, ids: Sequence[int]) -> tuple[int, int]:
    """How many of the first and of the last tokens are the template's own, whatever the prompt is."""
    bare = encode(tokenizer, template, "")
    head = common_prefix(bare, ids)
    return head, common_prefix(bare[head:][::-1], ids[head:][::-1])


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning; halves the range, because whole runs compare in no time."""
    left, right = list(first), list(second)
    low, high = 0, min(len(left), len(right))
    while low < high:  # the first `low` agree; not more than `high` do
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def prepare(
    prompt: str | bytes,
    tokenizer: Tokenizer,
    rules: Prompt,
    context: int,
    policy: str = "error",
    reserve: int = 1,
) -> list[int]:
    """Checked, normalised and encoded prompt of at most `context` tokens.

    One that is longer is truncated by `policy` (edgellm.truncation), and then leaves `reserve` positions for the answer, whose
    last token needs none. Raises: EmptyPrompt, PromptNotText, PromptTooLong.
    """
    text = normalise(check_text(prompt), rules.normalise)
    if not text.strip():
        raise EmptyPrompt("the prompt is empty: say what to answer, for example 'turn on the kitchen light'")
    ids = encode(tokenizer, rules.template, text)
    if len(ids) <= context or policy == "error":
        return truncate(ids, context, policy)
    return truncate(ids, context - reserve + 1, policy, *frame(tokenizer, rules.template, ids))
