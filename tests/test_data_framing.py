"""Training ids are the runtime's ids: prompt for prompt, and no text turns into a control token."""

import pytest

from edgellm import prompt
from edgellm.data.framing import Framer, cut_specials, texts
from edgellm.data.records import JsonlCorpus, Record, TextCorpus
from edgellm.data.tokenizer import END_ID, START_ID, TAB_ID, train_on_texts
from edgellm.errors import TrainingError
from edgellm.evaluation.examples import Codec
from edgellm.evaluation.sets import Case, CaseSet
from edgellm.manifest import Manifest, Prompt
from edgellm.tokenizer import Tokenizer

pytestmark = pytest.mark.train

SPECIALS = ("<step>", "<step>!")
ODD = ["turn it", "  two  spaces ", "a<s>\tb</s>", "<step> one", "grüße 東京 12", "'tis we're\nnew", "?"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("framing") / "tokenizer.json"
    train_on_texts([" turn it on", "turn the wheel 12 times"], SPECIALS, 275, path)
    return path


@pytest.mark.parametrize("kind", [JsonlCorpus, TextCorpus])
@pytest.mark.parametrize("specials", [(), SPECIALS])
def test_prompts_are_framed_as_at_run_time(file, kind, specials):
    corpus = kind((), special_tokens=specials)
    runtime = Tokenizer.from_file(file)
    for text, ids in zip(ODD, Framer(file, corpus).prompts([Record(t, "x") for t in ODD]), strict=True):
        assert ids == prompt.encode(runtime, corpus.template, text)


def test_an_answer_follows_the_tab_and_ends(file):
    corpus = JsonlCorpus((), special_tokens=SPECIALS)
    (ids, length), (open_ids, _) = Framer(file, corpus).encode(
        [Record("turn", "it"), Record("turn", "it", False)]
    )
    assert (ids[0], ids[length - 1], ids[-1]) == (START_ID, TAB_ID, END_ID)
    assert ids[length:-1] == Tokenizer.from_file(file).encode("it")
    assert open_ids == ids[:-1]


def test_a_text_is_all_answer_and_its_prompt_is_a_beginning_of_it(file):
    framer, runtime = Framer(file, TextCorpus(())), Tokenizer.from_file(file)
    ((ids, length),) = framer.encode([Record("", "turn the wheel 12 times")])
    assert (ids[:length], ids[-1]) == ([START_ID], END_ID)
    begun = prompt.prepare("turn the wheel\n", runtime, Prompt("<s>{prompt}", ("strip_spaces",)), 64)
    assert ids[: len(begun)] == begun


@pytest.mark.parametrize("kind", [JsonlCorpus, TextCorpus])
def test_evaluation_encodes_as_training_does(file, kind):
    corpus = kind((), special_tokens=SPECIALS)
    answers = [*ODD, "one<step>two", "</s><pad>"]
    records = [
        Record("ask it" if kind is JsonlCorpus else "", text, n % 2 == 0) for n, text in enumerate(answers)
    ]
    described = Manifest("n", "d", {}, (END_ID,), {"context": 64}, corpus.framing)
    cases = tuple(
        Case(n, record.prompt, record.completion, ends=record.ends) for n, record in enumerate(records)
    )
    examples = Codec(described, Tokenizer.from_file(file)).examples(CaseSet("valid", file, "", cases, False))
    for example, (ids, length) in zip(examples, Framer(file, corpus).encode(records), strict=True):
        assert (example.prompt, example.expected) == (ids[:length], ids[length:])


def test_control_tokens_never_come_from_text(file):
    framer = Framer(file, JsonlCorpus((), special_tokens=SPECIALS))
    ((ids, _),) = framer.encode([Record("<s>\t</s>", "<pad></s>\t<s>")])
    assert [i for i in ids if i < 4] == [START_ID, TAB_ID, END_ID]


def test_special_tokens_count_in_answers_only(file):
    framer = Framer(file, JsonlCorpus((), special_tokens=SPECIALS))
    runtime = Tokenizer.from_file(file)
    ((ids, length),) = framer.encode([Record("<step> a", "<step>!turn<step> it")])
    step, loud = runtime.token_id("<step>"), runtime.token_id("<step>!")
    assert ids[length:-1] == [loud, *runtime.encode("turn"), step, *runtime.encode(" it")]
    assert step not in ids[:length]


def test_starts_follow_the_tokens(file):
    framer = Framer(file, TextCorpus((), special_tokens=SPECIALS))
    text = "turn 東<step>it"
    starts = framer.starts(text)
    assert len(starts) == len(framer.encode([Record("", text, False)])[0][0]) - 1
    assert starts == sorted(starts)
    assert starts[-2:] == [6, 12]
    assert starts.count(5) == 3  # three bytes of one character


def test_examples_of_many_records(file, monkeypatch):
    from edgellm.data import framing

    monkeypatch.setattr(framing, "BATCH", 2)
    framer = Framer(file, JsonlCorpus(()))
    records = [Record("turn", str(n)) for n in range(5)]
    assert list(framer.examples(iter(records))) == framer.encode(records)


def test_what_the_tokenizer_learns_from():
    record = Record("ask", "one<step>two")
    assert list(texts(JsonlCorpus((), special_tokens=SPECIALS), record)) == [" ask", "one", "two"]
    assert list(texts(TextCorpus(()), Record("", "one<step>"))) == ["one<step>"]
    assert list(cut_specials("", {"<step>": 1})) == []


def test_a_tokenizer_without_the_special_token(file):
    with pytest.raises(
        TrainingError, match=r"tokenizer.json: has no token '<stop>' of corpus.special_tokens: train it"
    ):
        Framer(file, JsonlCorpus((), special_tokens=("<stop>",)))
