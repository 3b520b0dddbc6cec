"""Byte-level BPE read from a Hugging Face `tokenizer.json`, in plain Python.

Training uses the `tokenizers` library; running a model needs NumPy alone, so that boards without its wheels work too. The subset
is what edgellm trains: BPE without normaliser, pre-tokenizers `Digits(individual)` and `ByteLevel` (GPT-2's split rule,
Radford et al. 2019), added tokens. Anything else in the file is refused rather than approximated.
"""

from __future__ import annotations

import functools
import heapq
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgellm.errors import ModelCorrupt, ModelNotFound, ModelUnsupported

CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
WORD_CACHE = 4096
LONGEST_KEPT = 64  # characters of a word in the cache
TEMPLATE_CACHE = 16
KIND_CACHE = 4096  # characters
_CONTROL = re.compile(r"<[^<>]+>")
# the rules below for ASCII, where `re` knows the classes of characters
_DIGIT = re.compile("([0-9])")
_WORD = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9 \t-\r]+|[ \t-\r]+(?![^ \t-\r])|[ \t-\r]+"
)


@functools.cache
def byte_symbols() -> tuple[str, ...]:
    """GPT-2's printable stand-in for each byte value: index byte, value one character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


class Tokenizer:
    """Text to token ids and back.

    `vocab` maps symbols to ids, `merges` is ordered by rank, `added` are tokens that never result from text unless asked for.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        merges: Sequence[tuple[str, str]],
        added: dict[str, int],
        split_digits: bool = True,
    ) -> None:
        self._vocab, self._added, self._split_digits = vocab, added, split_digits
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        symbols = byte_symbols()
        self._byte_of = {symbol: byte for byte, symbol in enumerate(symbols)}
        missing = [byte for byte, symbol in enumerate(symbols) if symbol not in vocab]
        if missing:
            raise ModelUnsupported(
                f"the tokenizer has no symbol for {len(missing)} byte values (first: {missing[0]}): "
                "train it with the whole byte alphabet"
            )
        self.token_bytes: Sequence[bytes] = self._token_bytes()  # of each id
        self._added_pattern = _any_of(added)
        self._pieces = functools.lru_cache(TEMPLATE_CACHE)(lambda text: tuple(self._cut(text)))
        self._word = functools.lru_cache(WORD_CACHE)(self._merge_word)

    @classmethod
    def from_file(cls, path: Path | str) -> Tokenizer:
        """Read a `tokenizer.json`; ModelNotFound, ModelCorrupt or ModelUnsupported when that cannot be done."""
        path = Path(path)
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelNotFound(f"{path}: no such tokenizer file") from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ModelCorrupt(f"{path}: not a JSON tokenizer file ({error})") from error
        try:
            return cls._from_spec(spec)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelCorrupt(f"{path}: malformed tokenizer ({type(error).__name__}: {error})") from error

    @classmethod
    def _from_spec(cls, spec: dict[str, Any]) -> Tokenizer:
        model = spec["model"]
        if model.get("type", "BPE") != "BPE":
            raise ModelUnsupported(f"tokenizer model {model['type']!r} is not supported: only BPE is")
        if spec.get("normalizer") is not None:
            raise ModelUnsupported(
                "tokenizer normalisers are not supported: put them into the manifest's prompt rules"
            )
        merges = [tuple(m.split(" ", 1) if isinstance(m, str) else m) for m in model["merges"]]
        added = {token["content"]: int(token["id"]) for token in spec.get("added_tokens", [])}
        vocab = {str(symbol): int(i) for symbol, i in model["vocab"].items()}
        return cls(vocab, merges, added, _split_digits(spec.get("pre_tokenizer")))

    @property
    def size(self) -> int:
        """Number of ids: one more than the largest."""
        return len(self.token_bytes)

    @property
    def control_ids(self) -> list[int]:
        """Added tokens that stand for no text: those written <name>."""
        return [token for content, token in self._added.items() if _CONTROL.fullmatch(content)]

    def token_id(self, content: str) -> int:
        """Id of one token by its content, added tokens first; KeyError when there is none."""
        return self._added[content] if content in self._added else self._vocab[content]

    def encode(self, text: str, specials: bool = False) -> list[int]:
        """Ids of `text`. With `specials`, contents of added tokens in it become those tokens; without, they are plain text."""
        if not specials:
            return self._encode_plain(text)
        ids: list[int] = []
        for piece, token in self.cut_added(text):
            ids += [token] if token is not None else self._encode_plain(piece)
        return ids

    def decode_bytes(self, ids: Iterable[int], specials: bool = True) -> bytes:
        """Bytes of the tokens; `specials=False` leaves added tokens out."""
        hidden = set() if specials else set(self._added.values())
        return b"".join(self.token_bytes[i] for i in ids if i not in hidden)

    def decode(self, ids: Iterable[int], specials: bool = True) -> str:
        """Text of the tokens; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, specials).decode("utf-8", errors="replace")

    def _token_bytes(self) -> list[bytes]:
        table = [b""] * (1 + max([*self._vocab.values(), *self._added.values()]))
        for symbol, i in self._vocab.items():
            if symbol not in self._added:
                table[i] = bytes(self._byte_of[c] for c in symbol)
        for content, i in self._added.items():
            table[i] = content.encode()
        return table

    def _cut(self, text: str) -> Iterator[tuple[str, int | None]]:
        start = 0
        for hit in self._added_pattern.finditer(text):
            if start < hit.start():
                yield text[start : hit.start()], None
            yield hit[0], self._added[hit[0]]
            start = hit.end()
        if start < len(text):
            yield text[start:], None

    def cut_added(self, text: str) -> Sequence[tuple[str, int | None]]:
        """Leftmost, longest added tokens, and the plain text between them."""
        return self._pieces(text)

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        digits, words = (_DIGIT.split, _WORD.findall) if text.isascii() else (_isolate_digits, _split_words)
        for run in digits(text) if self._split_digits else (text,):
            for word in words(run):
                ids += self._word(word) if len(word) <= LONGEST_KEPT else self._merge_word(word)
        return ids

    def _merge_word(self, word: str) -> tuple[int, ...]:
        """Merge the pair of lowest rank, of equal ones the left one, until none is left (Sennrich et al. 2016): n log n steps."""
        symbols, rank_of = byte_symbols(), self._rank.get
        parts = [*(symbols[byte] for byte in word.encode("utf-8", errors="surrogatepass")), ""]
        left_of, right_of = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
        pairs = [(rank, at) for at, pair in enumerate(pairwise(parts)) if (rank := rank_of(pair)) is not None]
        heapq.heapify(pairs)
        while pairs:
            rank, at = heapq.heappop(pairs)
            right = right_of[at]
            if rank_of((parts[at], parts[right])) != rank:
                continue  # one of the two has been merged meanwhile
            parts[at] += parts[right]
            parts[right] = ""
            right_of[at] = following = right_of[right]
            left_of[following] = at
            for left in (left_of[at], at):
                found = rank_of((parts[left], parts[right_of[left]])) if left >= 0 else None
                if found is not None:
                    heapq.heappush(pairs, (found, left))
        return tuple(self._vocab[part] for part in parts if part)


def _any_of(contents: Iterable[str]) -> re.Pattern[str]:
    """The longest of these texts that begins at a place; nothing where there are none."""
    by_length = sorted((one for one in contents if one), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length)) or r"(?!)")


def _split_digits(pre: dict[str, Any] | None) -> bool:
    """Check the pre-tokenizer chain; True when it isolates digits."""
    steps = [] if pre is None else pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]
    kinds = [step["type"] for step in steps]
    if kinds not in (["ByteLevel"], ["Digits", "ByteLevel"]):
        raise ModelUnsupported(
            f"pre-tokenizers {kinds} are not supported: use ByteLevel or Digits, ByteLevel"
        )
    if steps[-1].get("add_prefix_space") or not steps[-1].get("use_regex", True):
        raise ModelUnsupported(
            "the ByteLevel pre-tokenizer must have add_prefix_space=false and use_regex=true"
        )
    if len(steps) == 2 and not steps[0].get("individual_digits"):
        raise ModelUnsupported("the Digits pre-tokenizer must have individual_digits=true")
    return len(steps) == 2


@functools.lru_cache(KIND_CACHE)
def _is_number(char: str) -> bool:
    return unicodedata.category(char)[0] == "N"


@functools.lru_cache(KIND_CACHE)
def _kind(char: str) -> str:
    """GPT-2's character classes: L letter, N number, S white space, O anything else."""
    if char.isspace() and char not in "\x1c\x1d\x1e\x1f":  # these four are not White_Space in Unicode
        return "S"
    major = unicodedata.category(char)[0]
    return major if major in "LN" else "O"


def _isolate_digits(text: str) -> Iterator[str]:
    start = 0
    for here, char in enumerate(text):
        if _is_number(char):
            if start < here:
                yield text[start:here]
            yield char
            start = here + 1
    if start < len(text):
        yield text[start:]


def _split_words(text: str) -> Iterator[str]:
    """GPT-2's rule: contractions, then runs of one class with at most one leading space, then white space."""
    here = 0
    while here < len(text):
        end = _word_end(text, here)
        yield text[here:end]
        here = end


def _word_end(text: str, here: int) -> int:
    for suffix in CONTRACTIONS:
        if text.startswith(suffix, here):
            return here + len(suffix)
    first = here + 1 if text[here] == " " and here + 1 < len(text) else here
    if _kind(text[first]) != "S":
        return _run_end(text, first)
    end = _run_end(text, here)
    # the last white space before a word belongs to that word
    return end - 1 if end < len(text) and end - here > 1 else end


def _run_end(text: str, here: int) -> int:
    kind = _kind(text[here])
    while here < len(text) and _kind(text[here]) == kind:
        here += 1
    return here
