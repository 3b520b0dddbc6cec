"""The `[corpus]` table of a recipe: which kind it is, and what its fields may hold."""

from __future__ import annotations

from collections.abc import Iterator

from edgellm import prompt
from edgellm.data.corpus import HomeCorpus
from edgellm.data.records import SEPARATORS, JsonlCorpus, OwnCorpus, TextCorpus
from edgellm.data.tokenizer import END, PAD, START, TAB
from edgellm.train.toml_source import TomlSource

Corpus = HomeCorpus | OwnCorpus
HOME = "home"
KINDS: dict[str, type[HomeCorpus] | type[OwnCorpus]] = {
    HOME: HomeCorpus,
    "jsonl": JsonlCorpus,
    "text": TextCorpus,
}
LONGEST_SPECIAL = 64  # characters


def kind_of(table: object, source: TomlSource) -> type[HomeCorpus] | type[OwnCorpus]:
    """The class of a `[corpus]` table; ConfigError when its `kind` is not one."""
    kind = table.get("kind", HOME) if isinstance(table, dict) else HOME
    if not isinstance(kind, str) or kind not in KINDS:
        raise source.error("corpus.kind", f"must be one of {', '.join(KINDS)}, not {kind!r}")
    return KINDS[kind]


def check(corpus: Corpus, source: TomlSource) -> None:
    """ConfigError for the first field whose value cannot be meant."""
    if isinstance(corpus, OwnCorpus):
        for field, problem in _problems(corpus):
            raise source.error(f"corpus.{field}", problem)


def _problems(corpus: OwnCorpus) -> Iterator[tuple[str, str]]:
    if not corpus.train:
        yield "train", "must name at least one file"
    if not 0 < corpus.valid_share <= 0.5:
        yield "valid_share", f"must be more than 0 and at most 0.5, not {corpus.valid_share}"
    if not corpus.valid_bytes:
        yield "valid_bytes", "must be at least 1, not 0"
    for rule in corpus.normalise:
        if rule not in prompt.RULES:
            yield "normalise", f"has {rule!r}; known rules: {', '.join(prompt.RULES)}"
    for token in corpus.special_tokens:
        if problem := _special(token, corpus.special_tokens):
            yield "special_tokens", f"has {token!r}, {problem}"
    if isinstance(corpus, TextCorpus) and corpus.separator not in SEPARATORS:
        yield "separator", f"must be {' or '.join(SEPARATORS)}, not {corpus.separator!r}"


def _special(token: str, every: tuple[str, ...]) -> str:
    """What is wrong with a special token; empty when nothing is."""
    if not token.strip() or len(token) > LONGEST_SPECIAL:
        return f"which must be 1 to {LONGEST_SPECIAL} characters, not only spaces"
    if token in (PAD, START, END, TAB):
        return "which every tokenizer here has already"
    return "twice" if every.count(token) > 1 else ""
