"""Quantisation by calibration alone: float student -> scales -> integer model, no training (the quick path)."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.train import calibrate, checkpoint, corpus_stage, quality
from edgellm.train.batches import Encoded
from edgellm.train.bits import Bits
from edgellm.train.float_source import FloatSource
from edgellm.train.quality import Quality
from edgellm.train.quant import QuantDecoder
from edgellm.train.ranges import Ranges

METHOD = "calibration only"


@dataclass(frozen=True)
class Quantiser:
    """Quantises one float model in many ways: its ranges are observed once."""

    source: FloatSource
    valid: Sequence[Encoded]

    @cached_property
    def seen(self) -> Ranges:
        """What the float model's tensors hold on calibration lines."""
        return calibrate.observe(self.source.model, self.source.calibration())

    @cached_property
    def unquantised(self) -> Quality:
        """Quality of the float model on the validation lines."""
        return quality.measure(self.source.model, self.valid)

    def model(self, bits: Bits) -> QuantDecoder:
        """The float model's weights on the grid of those widths."""
        scheme = calibrate.from_ranges(self.source.model, self.seen, bits)
        model = QuantDecoder(self.source.arch, scheme, bits)
        model.load_float(self.source.model)
        return model.eval()

    def quality(self, bits: Bits) -> Quality:
        """Quality of the model with those widths on the validation lines."""
        return quality.measure(self.model(bits), self.valid)


def save(model: QuantDecoder, bits: Bits, source: FloatSource, folder: Path) -> None:
    """Write the checkpoint folder that `edgellm export` reads."""
    about: dict[str, Any] = {
        **source.about(),
        "arch": dataclasses.asdict(model.arch),
        "scheme": dataclasses.asdict(model.scheme),
        "bits": dataclasses.asdict(bits),
        "quantised": METHOD,
    }
    folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(folder / corpus_stage.TOKENIZER, source.tokenizer.read_bytes())
    checkpoint.save(folder, model.state_dict(), about)


def export(model: QuantDecoder, bits: Bits, source: FloatSource, out: Path) -> None:
    """Write the model folder `out`: integer ONNX, QONNX, tokenizer, manifest.

    Raises: ExportError, ModelUnsupported.
    """
    from edgellm.export.integer import export_model

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".quantise.", dir=out) as work:
        place = Path(work) / "checkpoint"
        save(model, bits, source, place)
        export_model(place, out)
