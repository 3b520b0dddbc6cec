"""A model's words: its manifest, tokenizer and chains, without a device. Prompts become tokens here, tokens become text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edgellm import manifest, prompt
from edgellm.runtime.chains import Chains
from edgellm.runtime.completion import Writing
from edgellm.runtime.params import Params
from edgellm.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
UNCHANGED = Chains()
ANSWER_SHARE = 4  # a truncated prompt leaves a quarter of the context to the answer, or what it may take


class Model:
    """What can be known of a model folder without a back end."""

    def __init__(self, folder: Path, chains: Chains = UNCHANGED) -> None:
        """`chains`: the filters of prompts and the post-processors of answers.

        Raises: ModelNotFound, ModelCorrupt, ModelUnsupported.
        """
        self.chains, self.folder = chains, folder
        self.manifest = manifest.read(folder)
        self.name = self.manifest.name
        self.tokenizer = Tokenizer.from_file(folder / TOKENIZER)
        self.stop_ids = frozenset(self.manifest.stop_ids)
        self.context = self.manifest.context

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that answers depend on: the files, the architecture, the stop ids, how prompts are put."""
        told = self.manifest
        files = sorted((name, entry.sha256) for name, entry in told.files.items())
        parts = [files, sorted(told.arch.items()), told.stop_ids, told.prompt.template, told.prompt.normalise]
        return hashlib.sha256(json.dumps([*parts, told.numerics_version]).encode()).hexdigest()

    @property
    def vocab(self) -> int:
        """Tokens that the model knows."""
        return int(self.manifest.arch["vocab"])

    def prepared(self, text: str | bytes, params: Params) -> list[int]:
        """Token ids of a prompt: filtered, normalised, in the model's template, truncated as `params` say.

        Raises: PromptError, PromptRefused among them.
        """
        reserve = min(params.max_tokens or self.context, self.context // ANSWER_SHARE)
        for change in self.chains.filters:
            text = change(prompt.check_text(text))
        return self.encode(text, params.truncate, reserve)

    def encode(self, text: str | bytes, policy: str = "error", reserve: int = 1) -> list[int]:
        """Token ids of a prompt in the model's template; arguments and errors as of `prompt.prepare`."""
        return prompt.prepare(text, self.tokenizer, self.manifest.prompt, self.context, policy, reserve)

    def writing(self, params: Params) -> Writing:
        """Writes one answer down."""
        return Writing(self.name, self.tokenizer, params, self.chains.post)
