"""What a worker is to serve, and how that is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import ModelCorrupt
from edgellm.runtime import llm as llms
from edgellm.runtime.llm import LLM


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that has been read before, on a back end."""

    folder: Path
    backend: str
    digest: str  # that the model must have still

    def load(self) -> LLM:
        """Takes a while. Raises: as `runtime.llm.load`; ModelCorrupt when the files are others by now."""
        llm = llms.load(self.folder, self.backend)
        if llm.digest != self.digest:
            llm.close()
            raise ModelCorrupt(
                f"{self.folder}: its files are not those that the service has read: reload the model"
            )
        return llm
