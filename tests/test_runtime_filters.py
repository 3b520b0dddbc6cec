"""Filters of prompts and chains of them: one by one, from tables, in front of a model."""

import sys

import pytest
import toy

import edgellm
from edgellm.errors import ConfigError, PromptError, PromptRefused, ToolMissing
from edgellm.runtime import chains, filters


@pytest.fixture
def load(tmp_path):
    folder = toy.write_model(tmp_path / "toy")

    def opened(**table):
        device = toy.Parrot(b" ok ")
        return edgellm.LLM(folder, [lambda: device], chains=chains.of(table)), device

    return opened


def test_length():
    keep = filters.MaxCharacters(5)
    assert keep("12345") == "12345"
    with pytest.raises(PromptRefused) as caught:
        keep("123456")
    assert caught.value.filter == "max_characters"
    assert isinstance(caught.value, PromptError)
    message = (
        "filter max_characters refuses the prompt: it has 6 characters, at most 5 are allowed: shorten it"
    )
    assert str(caught.value) == message


def test_control_characters():
    assert filters.RemoveControls()("a\x00b\x1b[31m\tc\r\nd\x7f\x9f é") == "ab[31m\tc\r\nd é"


def test_unicode_normalisation():
    assert filters.Normalise()("e\u0301 \ufb01") == "\u00e9 \ufb01"
    assert filters.Normalise("NFKC")("\ufb01 \u2460 \uff21") == "fi 1 A"


@pytest.mark.grammar
def test_patterns_that_must_not_and_must_be_there():
    deny, allow = filters.Deny(["(?i)secret", "x{5}"]), filters.Allow(["[a-z ]+", r"\d+"])
    assert deny("a secre t") == "a secre t"
    with pytest.raises(PromptRefused, match=r"^filter deny refuses the prompt: it matches '\(\?i\)secret'$"):
        deny("my SECRET")
    assert allow("turn on") == "turn on"
    with pytest.raises(
        PromptRefused, match=r"^filter allow refuses the prompt: it matches none of 2 patterns$"
    ):
        allow("turn on 5")


@pytest.mark.grammar
def test_a_catastrophic_pattern_is_none_here():
    """Python's own `re` would take longer than the universe exists."""
    assert filters.Deny(["(a+)+b", "(x*)*y"])("a" * 5000 + "x" * 5000)


@pytest.mark.grammar
@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["("], "^deny: pattern '\\(' cannot be used: missing \\): \\($"),
        (["(?=a)"], "^deny: pattern .* cannot be used: invalid perl operator"),
        (["((a{100}){10}){9}" * 20], "^deny: pattern .* cannot be used: "),
        ([5], "^deny: pattern 5 cannot be used: "),
        ([], r"^deny: patterns is \[\]: must be a list of regular expressions$"),
        ("ab", "^deny: patterns is 'ab': must be a list of regular expressions$"),
    ],
)
def test_patterns_that_cannot_be_used(patterns, message):
    with pytest.raises(ConfigError, match=message):
        filters.Deny(patterns)


def test_without_re2_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(
        ToolMissing, match=r"^filter deny needs google-re2: pip install 'edgellm\[filters\]'$"
    ):
        filters.Deny(["a"])


def test_personal_data_is_masked_by_label_or_by_a_function():
    assert filters.MaskPersonal()("mail a@b.org") == "mail [email]"
    assert filters.MaskPersonal(["phone"])("mail a@b.org") == "mail a@b.org"
    assert filters.MaskPersonal(mask=lambda kind, found: found[0] + "...")("mail a@b.org") == "mail a..."


def test_a_chain_from_a_table_runs_in_its_order(load):
    llm, device = load(
        filters=[
            "remove_controls",
            {"kind": "normalise", "form": "NFKC"},
            {"kind": "mask_personal", "kinds": ["email"]},
            {"kind": "max_characters", "most": 12},
            lambda text: text.replace("on", "off"),
        ]
    )
    llm.generate("\x07mail \uff41@b.org")
    assert bytes(device.seen[0].prompt[2:-1]) == b"mail [email]"
    llm.generate(b"turn on")
    assert bytes(device.seen[1].prompt[2:-1]) == b"turn off"


def test_a_refused_prompt_does_not_reach_the_device(load):
    llm, device = load(filters=[{"kind": "max_characters", "most": 3}])
    with pytest.raises(PromptRefused):
        llm.stream("four")
    assert (device.seen, llm.engine.queued) == ([], 0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"filter": []}, "^there is no 'filter' here: a chain file has filters and post$"),
        ({"filters": [{"kind": "none"}]}, r"^filters\[0\]: kind is 'none': must be one of max_characters, "),
        ({"filters": ["remove_controls", {}]}, r"^filters\[1\]: kind is None: must be one of "),
        ({"filters": [5]}, r"^filters\[0\]: kind is 5: must be one of "),
        ({"filters": ["max_characters"]}, r"^filters\[0\]: .*missing.*most"),
        (
            {"filters": [{"kind": "max_characters", "most": 0}]},
            r"^filters\[0\]: max_characters: most is 0: must be",
        ),
        (
            {"filters": [{"kind": "max_characters", "most": "9"}]},
            r"^filters\[0\]: max_characters: most is '9'",
        ),
        (
            {"filters": [{"kind": "max_characters", "max": 9}]},
            r"^filters\[0\]: max_characters has no field 'max': it has most$",
        ),
        (
            {"filters": [{"kind": "normalise", "form": "X"}]},
            r"^filters\[0\]: normalise: form is 'X': must be one",
        ),
        ({"filters": [{"kind": "mask_personal", "kinds": ["name"]}]}, r"mask_personal: kinds has \['name'\]"),
        ({"post": ["fix"]}, r"^post\[0\]: kind is 'fix': must be one of strip, repair_json, intent$"),
        ({"post": [{"kind": "strip", "x": 1}]}, r"^post\[0\]: strip has no field 'x': it has none$"),
    ],
)
def test_tables_that_cannot_be_meant(table, message):
    with pytest.raises(ConfigError, match=message):
        chains.of(table)


def test_a_toml_file(tmp_path):
    path = tmp_path / "chains.toml"
    path.write_text('post = ["strip"]\n[[filters]]\nkind = "max_characters"\nmost = 3\n')
    made = chains.read(path)
    assert made.filters == (filters.MaxCharacters(3),)
    assert len(made.post) == 1
    path.write_text("[[filters]]\nkind = 3")
    with pytest.raises(ConfigError, match=r"chains\.toml: filters\[0\]: kind is 3: "):
        chains.read(path)
    path.write_text("[[")
    with pytest.raises(ConfigError, match=r"chains\.toml: "):
        chains.read(path)
    with pytest.raises(ConfigError, match=r"none\.toml: "):
        chains.read(tmp_path / "none.toml")
