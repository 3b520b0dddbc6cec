"""Post-processors: by themselves, in pieces, and behind a model, streamed and not."""

import asyncio
import json
import sys

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

import edgellm
from edgellm.errors import ToolMissing
from edgellm.runtime import chains, post

ANSWER = b"  HassTurnOn area= den name= lamp\tTurned on "


@pytest.fixture
def load(tmp_path):
    folder = toy.write_model(tmp_path / "toy")

    def opened(answer, *kinds):
        return edgellm.LLM(folder, [lambda: toy.Parrot(answer)], chains=chains.of({"post": kinds}))

    return opened


@given(st.lists(st.text("ab \t\n", max_size=4)))
def test_strip_of_pieces_is_strip_of_the_whole(pieces):
    one = post.Strip()
    assert "".join(map(one.feed, pieces)) + one.close() == "".join(pieces).strip()


def test_strip_leaves_a_stream_a_stream(load):
    llm = load(b"  ab c  ", "strip")
    stream = llm.stream("x")
    chunks = [chunk.text for chunk in stream]
    assert chunks == ["", "", "a", "b", "", " c", "", ""]
    assert stream.completion.text == "ab c"
    assert bytes(stream.completion.tokens) == b"  ab c  "


def test_what_needs_the_whole_answer_comes_with_its_last_chunk(load):
    want = {"intent": "HassTurnOn", "slots": {"area": "den", "name": "lamp"}, "reply": "Turned on"}
    llm = load(ANSWER.strip(), "strip", "intent")
    *chunks, last = list(stream := llm.stream("x"))
    assert {chunk.text for chunk in chunks} == {""}
    assert last == edgellm.Chunk(None, stream.completion.text)
    assert json.loads(last.text) == want
    assert llm.generate("x").text == last.text
    assert asyncio.run(llm.agenerate("x")).text == last.text


def test_stop_strings_come_first(load):
    llm = load(ANSWER, "strip", post.whole(str.upper))
    done = llm.generate("x", stop="\t")
    assert (done.text, done.finish_reason) == ("HASSTURNON AREA= DEN NAME= LAMP", "stop")


def test_answers_do_not_see_each_other(load):
    llm = load(b" ab ", "strip", post.whole(str.title))
    first, second = llm.stream("x"), llm.stream("y")
    texts = [[next(first).text, next(second).text] for _ in range(4)]
    assert "".join(a + b for a, b in texts) == ""
    assert [chunk.text for stream in (first, second) for chunk in stream] == ["Ab", "Ab"]


def test_intents_of_any_text():
    one = post.intent()
    one.feed("no intent")
    assert json.loads(one.close()) == {"intent": "no intent", "slots": {}, "reply": ""}


@pytest.mark.grammar
@pytest.mark.parametrize(
    ("text", "want"),
    [('{"a": 1, "b": [2, 3', {"a": 1, "b": [2, 3]}), ("{'ä': True,}", {"ä": True}), ('{"a": 1}', {"a": 1})],
)
def test_json_is_repaired(load, text, want):
    done = load(text.encode(), "repair_json").generate("x")
    assert json.loads(done.text) == want


def test_without_json_repair_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "json_repair", None)
    with pytest.raises(
        ToolMissing, match=r"^repair_json needs json-repair: pip install 'edgellm\[filters\]'$"
    ):
        chains.of({"post": ["repair_json"]})
