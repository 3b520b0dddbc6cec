"""From what a person types to prompt ids: normalisation rules and the template of a model's manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgellm.errors import EmptyPrompt, ModelUnsupported, PromptNotText, PromptTooLong
from edgellm.tokenizer import Tokenizer

PLACEHOLDER = "{prompt}"

RULES: dict[str, Callable[[str], str]] = {
    "lowercase": str.lower,
    "collapse_spaces": lambda text: " ".join(text.split()),
    "strip_spaces": str.strip,
    "strip_final_punctuation": lambda text: re.sub(r"[\s.!?]+$", "", text),
    "strip_punctuation": lambda text: re.sub(r"[.,;:!?]+(?=\s|$)", "", text),
}


def check_text(prompt: str | bytes) -> str:
    """`prompt` as text; PromptNotText when it is not UTF-8."""
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


def prepare(
    prompt: str | bytes, tokenizer: Tokenizer, template: str, rules: Sequence[str], context: int
) -> list[int]:
    """Checked, normalised and encoded prompt.

    Raises EmptyPrompt, PromptNotText, or PromptTooLong when it has more than `context` tokens.
    """
    text = normalise(check_text(prompt), rules)
    if not text.strip():
        raise EmptyPrompt("the prompt is empty: say what to answer, for example 'turn on the kitchen light'")
    ids = encode(tokenizer, template, text)
    if len(ids) > context:
        raise PromptTooLong(f"the prompt has {len(ids)} tokens, the context holds {context}: shorten it")
    return ids
