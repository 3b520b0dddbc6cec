"""Bundles: a model, its accelerator and what describes them in one file that can be checked. docs/bundles.md"""

from edgellm.bundle.manifest import Manifest
from edgellm.bundle.reader import SUFFIX, Bundle, open  # noqa: A004

__all__ = ["SUFFIX", "Bundle", "Manifest", "open"]
