"""docs/service.md and docs/service/: every setting is explained, every promise has its test, every link leads somewhere."""

import json
import re
from pathlib import Path

import pytest

from edgellm.serve import loading
from edgellm.serve.settings import ModelSettings, Values

ROOT = Path(__file__).parents[2]
OVERVIEW = ROOT / "docs" / "service.md"
DOCUMENTS = [OVERVIEW, *sorted((ROOT / "docs" / "service").glob("*.md"))]
TESTS = set(
    re.findall(
        r"^(?:async )?def (test_\w+)",
        "".join(p.read_text() for p in Path(__file__).parent.glob("*.py")),
        re.M,
    )
)


def shown(value: object) -> str:
    return "none" if value is None else f"`{json.dumps(value)}`"


def defaults() -> dict[str, str]:
    """Each setting and its default, as the table shows them."""
    values = Values(models=("m",)).model_dump(mode="json")
    found = {"models": "", "models.path": ""}
    for path in loading.fields():
        value = values
        for name in path:
            value = value[name]
        found.setdefault(".".join(path), shown(value))
    model = ModelSettings(path="m").model_dump(mode="json")
    return {**found, **{f"models.{name}": shown(model[name]) for name in model if name != "path"}}


def test_the_table_has_every_setting_with_its_default():
    rows = re.findall(r"^\| `([a-z_.]+)` \| ?(.*?) \|", OVERVIEW.read_text(), re.M)
    assert dict(rows) == defaults()
    assert len(rows) == len(defaults())


def promises(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if re.match(r"(- )?Promise: ", line)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_promise_names_its_tests(path):
    for line in promises(path):
        names = re.search(r"((?: `test_\w+`)+)$", line)
        assert names, f"{path}: no test at the end of: {line}"
        assert [name for name in re.findall(r"`(test_\w+)`", names[1]) if name not in TESTS] == [], line


def test_the_overview_promises_something():
    assert len(promises(OVERVIEW)) > 30


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_paths_of_files_are_there(path):
    named = re.findall(r"(?<![/\w])((?:deploy|constraints|edgellm|tools)/[\w./-]+\w)", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_overview_leads_to_all_of_it():
    linked = set(re.findall(r"\]\((service/\w+\.md)\)", OVERVIEW.read_text()))
    assert {f"service/{path.name}" for path in DOCUMENTS[1:]} <= linked
