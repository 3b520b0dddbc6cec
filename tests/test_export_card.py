"""The model card: every fact from manifest and checkpoint, nothing said that was not measured."""

import pytest

from edgellm.export import card
from edgellm.manifest import Manifest

ARCH = {
    "vocab": 512,
    "width": 64,
    "layers": 5,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "ffn": 192,
    "context": 256,
}
SHARE = {"percent": 97.2, "low": 95.3, "high": 98.3}


def manifest(**changes):
    fields = {
        "name": "m",
        "description": "Answers",
        "files": {},
        "stop_ids": (2,),
        "arch": ARCH,
        "licence": "Apache-2.0",
        "provenance": {
            "seed": 1,
            "tokens": {"student": 20_000_000, "qat": 2_500_000},
            "bits": {"weight": 4, "head": 4},
        },
    }
    return Manifest(**{**fields, **changes})


def test_shape_parameters_and_training():
    text = card.render(manifest(), {})
    assert "| parameters | 0.28 M: 0.246 M in the layers, 0.033 M in the tied embedding and head |" in text
    assert "| training | student 20.0 M tokens, qat 2.5 M tokens |" in text
    assert (
        "| integers | weights int4, head int4, embedding int8, activations int8, KV cache int8, residual and logits int16 |"
        in text
    )
    assert "Quality" not in text


def test_ternary_and_mixed_widths():
    bits = {"weight": 2, "head": 4, "activation": 4, "overrides": {"down": 3}}
    text = card.render(manifest(provenance={"seed": 1, "bits": bits}), {})
    assert "weights ternary, down int3, head int4, embedding int8, activations int4" in text


def test_scores_of_the_integer_model_and_its_float_twin():
    scores = {
        "heldout": {
            "lines": 500,
            "exact": SHARE,
            "intent": SHARE,
            "slots": {"f1": 98.1},
            "bits_per_byte": 0.0123,
        }
    }
    text = card.render(manifest(metrics={"integer": scores, "float": scores}), {})
    assert "| set | lines | intent | exact | slot F1 | bits/byte |" in text
    assert "| held-out expansions | 500 | 97.2 (95.3-98.3) | 97.2 (95.3-98.3) | 98.1 | 0.012 |" in text
    assert "The float student's exact match on the same sets: 97.2 (held-out expansions)." in text


def test_a_text_model_is_compared_by_its_bits():
    integer, twin = ({"valid": {"lines": 5, "bits_per_byte": bits}} for bits in (0.9, 0.875))
    text = card.render(manifest(metrics={"integer": integer, "float": twin}), {})
    assert "| valid | 5 | 0.900 |" in text
    assert "The float student's bits/byte on the same sets: 0.875 (valid)." in text


def test_sets_may_measure_different_things():
    scores = {"heldout": {"lines": 5, "exact": SHARE, "reply": SHARE}, "free": {"lines": 4, "exact": SHARE}}
    text = card.render(manifest(metrics={"integer": scores}), {})
    assert "| free phrasing | 4 | 97.2 (95.3-98.3) |  |" in text
    assert "float" not in text.split("## Quality")[1].replace("the float student and", "")


@pytest.mark.parametrize(
    ("key", "wanted"), [("example", '-p "hi"'), ("corpus", "| corpus | hi |"), ("notes", "## Limits\n\nhi")]
)
def test_what_the_recipe_adds(key, wanted):
    assert wanted in card.render(manifest(), {"card": {key: "hi"}})
    assert wanted not in card.render(manifest(), {"card": {key: ""}})
