"""Every reason for which a written text is rejected."""

import pytest

from edgellm.data.text_checks import Rules, TextChecks, rare_words

SUBJECTS = ("Tom",)
GOOD = "Tom had a red ball. It fell into the river. Ben brought it back."


@pytest.fixture
def checks():
    return TextChecks(Rules(frozenset(["Tom", "Ben", "Mia"]), shortest=3, longest=8))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ('Tom said, "Look, a ball!" Then he ran. He was glad.', None),
        ("Tom's ball was red. I like it. It is Tom's.", None),
        ("Tom had a b\u00e4ll. It fell down. He cried.", "not plain ASCII"),
        ("Tom had a ball. It fell down. He", "incomplete sentences"),
        ("and Tom had a ball. It fell down. He cried.", "incomplete sentences"),
        ('Tom said, "Look. It fell down. He cried.', "incomplete sentences"),
        ("Tom had a ball. It fell down.", "too short or too long"),
        ("Tom ran. " + "He ran on and on there. " * 8, "incomplete sentences"),
        ("Tom ran. He sat. " + "He ran " + "on " * 300 + ".", "too short or too long"),
        ("Tom ran. He sat. he sat.", "repeats itself"),
        ("Tom ran to the big tree. Ben ran to the big tree too. All were glad.", "repeats itself"),
        ("Ben had a ball. It fell down. He cried.", "not about the subject"),
        ("Tom had a ball. He gave it to Anna. He smiled.", "other names"),
        ('Tom saw Anna. "Hello," he said. They ran.', "other names"),
    ],
)
def test_reasons(checks, text, reason):
    assert checks.reason(text.strip() if reason != "incomplete sentences" else text, SUBJECTS) == reason


def test_a_text_made_of_old_sentences_is_rejected(checks):
    assert checks.reason(GOOD, SUBJECTS) is None
    half_new = "Tom had a red ball. The sun was warm. They sat down. Ben brought it back."
    assert checks.reason(half_new, SUBJECTS) is None
    assert (
        checks.reason("Tom had a red ball. It fell into the river. Ben was happy.", SUBJECTS)
        == "like a text before"
    )


def test_rejected_texts_are_not_remembered(checks):
    stranger = "Tom had a red ball. It fell into the river. Anna brought it back to Anna."
    assert checks.reason(stranger, SUBJECTS) == "other names"
    assert checks.reason(GOOD, SUBJECTS) is None


def test_rare_words():
    assert rare_words(["A cat ran", "the cat sat", "The dog, the dog!"], 2) == {"a", "ran", "sat", "dog"}
    assert rare_words(["a a a"], 1) == set()
