"""Sampling and scoring agree with the plain forward pass of the same model, and are reproducible."""

import pytest
import tiny_llama
import torch

from edgellm.errors import UsageError
from edgellm.train.sampling import Sampling, Writer
from edgellm.train.teachers import load_teacher

pytestmark = pytest.mark.train

PROMPT = "- one\n- two\n-"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return load_teacher(tiny_llama.save_folder(tmp_path_factory.mktemp("teacher") / "tiny"))


def plain_score(teacher, prompt: str, text: str) -> float:
    """Log-likelihood by one pass over the whole text, without any cache."""
    start, ids = teacher.encode(prompt), teacher.encode(text)
    with torch.inference_mode():
        logits = teacher.model(torch.tensor([start + ids])).logits[0].log_softmax(-1)
    return sum(float(logits[len(start) + place - 1, token]) for place, token in enumerate(ids))


def test_scores_are_those_of_a_plain_pass(teacher):
    texts = [" three\n", " a much longer line than the other\n", "x"]
    scores = Writer(teacher, Sampling()).score(PROMPT, texts)
    assert scores == pytest.approx([plain_score(teacher, PROMPT, text) for text in texts], abs=1e-4)


def test_samples_carry_their_likelihood(teacher):
    for drawn in Writer(teacher, Sampling(max_tokens=6, stop="\0")).sample(PROMPT, 5, seed=1):
        ids = teacher.encode(drawn.text)
        if len(ids) == 6 and not drawn.finished:  # text that encodes back to what was drawn
            assert drawn.log_likelihood * 6 == pytest.approx(
                plain_score(teacher, PROMPT, drawn.text), abs=1e-3
            )


def test_texts_that_end_leave_and_the_others_go_on(teacher):
    """With stop characters that are half of all symbols, rows end at different steps; each is cut at its stop."""
    stop = "".join(map(chr, range(32, 80))) + "\ufffd"
    drawn = Writer(teacher, Sampling(max_tokens=8, stop=stop)).sample(PROMPT, 40, seed=3)
    assert len({len(text.text) for text in drawn}) > 2
    assert not any(character in text.text for text in drawn for character in stop)
    assert any(text.finished for text in drawn)


def test_greedy_limit_equals_the_models_own_generation(teacher):
    ids = torch.tensor([teacher.encode(PROMPT)])
    own = teacher.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, pad_token_id=0
    )[0, ids.shape[1] :]
    how = Sampling(max_tokens=8, temperature=1e-4, stop="\0")
    drawn = Writer(teacher, how).sample(PROMPT, 3, seed=0)
    assert {text.text for text in drawn} == {teacher.decode(own.tolist())}


def test_same_seed_same_texts(teacher):
    writer = Writer(teacher, Sampling(max_tokens=8))
    first = writer.sample(PROMPT, 6, seed=5)
    writer.sample("- something else\n-", 2, seed=1)
    assert writer.sample(PROMPT, 6, seed=5) == first
    assert writer.sample(PROMPT, 6, seed=6) != first


def test_the_nucleus_excludes_the_tail(teacher):
    narrow = Writer(teacher, Sampling(max_tokens=4, top_p=1e-6, stop="\0")).sample(PROMPT, 8, seed=2)
    wide = Writer(teacher, Sampling(max_tokens=4, top_p=1.0, temperature=2.0, stop="\0")).sample(
        PROMPT, 8, seed=2
    )
    assert len({text.text for text in narrow}) == 1
    assert len({text.text for text in wide}) == 8


def test_provenance(teacher):
    about = Writer(teacher, Sampling(max_tokens=3)).describe()
    assert about["teacher"] == {"name": "tiny", "sha256": teacher.sha256}
    assert about["sampling"] == {"max_tokens": 3, "temperature": 0.8, "top_p": 0.95, "stop": "\n"}
    assert set(about["versions"]) == {"torch", "transformers"}


def test_nothing_to_do(teacher):
    writer = Writer(teacher, Sampling())
    assert writer.sample(PROMPT, 0, seed=1) == []
    assert writer.score(PROMPT, []) == []


def test_bad_arguments(teacher):
    writer = Writer(teacher, Sampling())
    with pytest.raises(UsageError, match="the prompt is empty: give the teacher something to go on with"):
        writer.sample("", 1, seed=1)
    with pytest.raises(UsageError, match="cannot score an empty text"):
        writer.score(PROMPT, ["a", ""])
    with pytest.raises(UsageError, match=r"need max_tokens >= 1, temperature > 0 and 0 < top_p <= 1"):
        Sampling(temperature=0)
