"""What the repository says of its models is what was measured."""

import json
import re
from pathlib import Path

import pytest
import tomllib

from edgellm import manifest

ROOT = Path(__file__).parent.parent
MODELS = {path.parent.name: path.parent for path in (ROOT / "models").glob("*/manifest.json")}
HOME = [name for name in MODELS if name.startswith("home-")]
LARGEST = 8 << 20  # bytes of all models
SETS = ("heldout", "templates", "values", "phrasings", "free")  # columns of docs/models.md


def test_all_are_here_and_small():
    assert {"home-260k", "home-1m", "home-1m-ternary", "household-260k"} <= MODELS.keys()
    assert sum(path.stat().st_size for path in (ROOT / "models").rglob("*") if path.is_file()) < LARGEST


@pytest.mark.parametrize("name", MODELS)
def test_recipe_card_and_metrics_belong_together(name):
    folder = MODELS[name]
    recipe = tomllib.loads((folder / "config.toml").read_text())
    described = manifest.read(folder)
    assert recipe["name"] == described.name == name
    assert described.arch.items() >= recipe["student"].items()
    assert described.provenance["bits"].items() >= recipe["bits"].items()
    assert described.provenance["seed"] == recipe["seed"]
    assert described.provenance["tokens"]["student"] >= recipe["student_plan"]["tokens"]
    card = (folder / "README.md").read_text()
    assert card.startswith(f"# {name}\n")
    assert json.loads((folder / "metrics.json").read_text())["integer"] == described.metrics["integer"]
    assert described.licence


@pytest.mark.parametrize("name", HOME)
def test_the_documents_figures_are_the_metrics(name):
    integer = json.loads((MODELS[name] / "metrics.json").read_text())["integer"]
    said = [f"{integer[key]['intent']['percent']} / {integer[key]['exact']['percent']}" for key in SETS]
    text = (ROOT / "docs" / "models.md").read_text()
    row = re.search(rf"^\| {name} \| (.*) \|$", text, re.MULTILINE)
    assert row, name
    assert row[1].split(" | ") == said
