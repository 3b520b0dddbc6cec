"""The `[corpus]` table: its kinds, paths, and a message for every field that cannot be meant."""

from pathlib import Path

import pytest

from edgellm.data.corpus import HomeCorpus
from edgellm.data.records import JsonlCorpus, TextCorpus
from edgellm.errors import ConfigError
from edgellm.train import config

pytestmark = pytest.mark.train

HELP = Path(__file__).parent.parent / "examples" / "help" / "config.toml"
HOUSEHOLD = HELP.parents[2] / "models" / "household-260k" / "config.toml"


@pytest.fixture
def load(tmp_path):
    """Loads the worked example's recipe with another `[corpus]` table."""

    def run(*lines):
        head, rest = HELP.read_text().split("[corpus]", 1)
        path = tmp_path / "r.toml"
        path.write_text(
            f"{head}[corpus]\n" + "\n".join(lines) + "\n\n[teacher]" + rest.split("[teacher]", 1)[1]
        )
        return config.load(path).corpus

    return run


def test_home_stays_the_default(load):
    assert load("train = 7", "valid = 2") == load('kind = "home"', "train = 7", "valid = 2")
    assert isinstance(load("train = 7"), HomeCorpus)


def test_paths_are_relative_to_the_recipe(load, tmp_path):
    corpus = load('kind = "jsonl"', 'train = ["a.jsonl", "../b.jsonl.gz"]', 'valid = "/data/v.jsonl"')
    assert corpus == JsonlCorpus((tmp_path / "a.jsonl", tmp_path / "../b.jsonl.gz"), (Path("/data/v.jsonl"),))


def test_text_with_everything(load, tmp_path):
    corpus = load(
        'kind = "text"',
        'train = "a.txt"',
        "valid_share = 0.1",
        "valid_bytes = 5000",
        "drop_bad_lines = true",
        'special_tokens = ["<scene>"]',
        "normalise = []",
        'licence = "CC0-1.0"',
        'separator = "blank_line"',
    )
    assert corpus == TextCorpus(
        (tmp_path / "a.txt",), (), 0.1, 5000, True, ("<scene>",), (), "CC0-1.0", "blank_line"
    )


@pytest.mark.parametrize("path", [HELP, HOUSEHOLD])
def test_the_examples_are_valid(path):
    assert config.load(path).corpus.licence


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (['kind = "csv"', 'train = "a"'], 7, "corpus.kind must be one of home, jsonl, text, not 'csv'"),
        (["kind = 3", 'train = "a"'], 7, "corpus.kind must be one of home, jsonl, text, not 3"),
        (['kind = "jsonl"'], 6, "corpus.train is missing"),
        (
            ['kind = "jsonl"', "train = 900"],
            8,
            "corpus.train must be a string or a list of strings, none empty, not 900",
        ),
        (
            ['kind = "jsonl"', 'train = ["a", 3]'],
            8,
            "corpus.train must be a string or a list of strings, none empty, not",
        ),
        (
            ['kind = "jsonl"', 'train = ""'],
            8,
            "corpus.train must be a string or a list of strings, none empty, not ''",
        ),
        (['kind = "jsonl"', "train = []"], 8, "corpus.train must name at least one file"),
        (
            ['kind = "jsonl"', 'train = "a"', 'separator = "line"'],
            9,
            "corpus.separator is not a field; known here: train",
        ),
        (
            ['kind = "text"', 'train = "a"', 'separator = "tab"'],
            9,
            "corpus.separator must be line or blank_line, not 'tab'",
        ),
        (
            ['kind = "text"', 'train = "a"', "valid_share = 0"],
            9,
            "corpus.valid_share must be more than 0 and at most 0.5",
        ),
        (
            ['kind = "text"', 'train = "a"', "valid_share = 0.6"],
            9,
            "corpus.valid_share must be more than 0 and at most 0.5",
        ),
        (
            ['kind = "text"', 'train = "a"', "valid_bytes = 0"],
            9,
            "corpus.valid_bytes must be at least 1, not 0",
        ),
        (
            ['kind = "text"', 'train = "a"', "drop_bad_lines = 1"],
            9,
            "corpus.drop_bad_lines must be bool, not 1",
        ),
        (
            ['kind = "text"', 'train = "a"', 'normalise = "rot13"'],
            9,
            "corpus.normalise has 'rot13'; known rules: lowercase,",
        ),
        (
            ['kind = "text"', 'train = "a"', 'special_tokens = " "'],
            9,
            "corpus.special_tokens has ' ', which must be 1 to 64",
        ),
        (
            ['kind = "text"', 'train = "a"', 'special_tokens = "<s>"'],
            9,
            "corpus.special_tokens has '<s>', which every",
        ),
        (
            ['kind = "text"', 'train = "a"', 'special_tokens = ["<a>", "<a>"]'],
            9,
            "corpus.special_tokens has '<a>', twice",
        ),
    ],
)
def test_wrong_fields_are_named(load, tmp_path, lines, line, message):
    with pytest.raises(ConfigError) as caught:
        load(*lines)
    assert str(caught.value).startswith(f"{tmp_path}/r.toml:{line}: {message}")
