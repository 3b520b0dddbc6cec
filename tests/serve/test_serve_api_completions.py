"""/v1/completions: what each parameter asks of the source, choices, streams that say what whole answers say."""

import json
import threading
from dataclasses import replace

import pytest
from fakes import DIGEST, END, NAME, FakeService, Scripted, client, info, said, serve, values
from fakes import Client as Requests
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import BackendFailed
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.api.schemas.replies import CompletionChunk, CompletionReply
from edgellm.serve.app import create_app
from edgellm.serve.orders import Portion
from edgellm.serve.settings import LimitSettings, QueueSettings


@pytest.fixture
def source():
    return Scripted(said("hello", 2))


@pytest.fixture
def ask(tmp_path, source):
    return client(tmp_path / "toy", source)


def events(response) -> list:
    """The data of a stream, which ends as it should."""
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *parts, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    found = [json.loads(part.removeprefix("data: ")) for part in parts]
    for one in found:
        CompletionChunk.model_validate(one, strict=True)
    return found


def written(chunks, index=0) -> str:
    """The text of one choice of a stream."""
    return "".join(
        choice["text"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index
    )


def test_the_answer(ask, source):
    response = ask.complete()
    body = response.json()
    CompletionReply.model_validate(body, strict=True)
    assert response.headers["content-type"] == "application/json"
    assert (body["object"], body["model"], body["system_fingerprint"]) == (
        "text_completion",
        NAME,
        DIGEST[:16],
    )
    [choice] = body["choices"]
    assert (choice["index"], choice["text"], choice["finish_reason"]) == (0, "hello", "stop")
    own = choice["edgellm"]
    assert (own["finish_reason"], own["backend"], own["origin"]) == ("stop", "fake", "generated")
    assert (own["timings"]["queued"], own["timings"]["device"]) == (0.25, {"cycles": 7.0})
    assert 0 < own["timings"]["first_token"] <= own["timings"]["total"]
    prompt = len(source.orders[0].prompt)
    assert body["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 5,
        "total_tokens": prompt + 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"max_tokens": 3}, {"max_tokens": 3}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["x", "yz"]}, {"stop": ("x", "yz")}),
        ({"temperature": 0.5, "seed": 7}, {"temperature": 0.5, "seed": 7}),
        ({"temperature": 1, "seed": 2**64 - 1}, {"temperature": 1, "seed": 2**64 - 1}),
        ({"temperature": 1, "seed": 0, "top_p": 0.5}, {"temperature": 1, "top_p": 0.5}),
        ({"temperature": 1, "seed": 0, "top_k": 5}, {"temperature": 1, "top_k": 5}),
        ({"temperature": 1, "seed": 0, "min_p": 0.1}, {"temperature": 1, "min_p": 0.1}),
        ({"seed": 7}, {}),  # nothing is drawn
        ({"presence_penalty": -1.5}, {"presence_penalty": -1.5}),
        ({"frequency_penalty": 2}, {"frequency_penalty": 2}),
        ({"logit_bias": {"65": -100, "0": 1.5}}, {"logit_bias": {65: -100, 0: 1.5}}),
        ({"logprobs": 0}, {"logprobs": 0}),
        ({"logprobs": 5}, {"logprobs": 5}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"json_schema": '{"type": "object"}'}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "null"}},
                }
            },
            {"json_schema": '{"type": "null"}'},
        ),
        ({"regex": "a+"}, {"regex": "a+"}),
        ({"grammar": 'start: "a"'}, {"grammar": 'start: "a"'}),
        ({"choices": ["a", "b"]}, {"choices": ("a", "b")}),
        ({"truncate": "left"}, {"truncate": "left"}),
        ({"least_confidence": 0.2}, {"least_confidence": 0.2}),
        ({"repeats": 3}, {"repeats": 3}),
        ({"speculate": False}, {"speculate": False}),
        ({"priority": -2}, {"priority": -2}),
        ({"deadline": 1.5}, {"deadline": 1.5}),
        ({"user": "somebody", "n": 1, "stream": False, "echo": False, "best_of": 1, "suffix": ""}, {}),
        (dict.fromkeys(("max_tokens", "stop", "n", "logprobs", "temperature", "user", "echo")), {}),
    ],
)
def test_parameters_reach_the_source(ask, source, asked, wanted):
    assert ask.complete(**asked).status_code == 200
    assert [order.params for order in source.orders] == [Params(**wanted)]


def test_the_order_has_what_the_layers_below_count_by(tmp_path, source):
    async def secured(scope, receive, send):
        scope.setdefault("state", {})["client"] = "kitchen"
        await app(scope, receive, send)

    app = create_app(
        FakeService([serve(tmp_path / "toy", source)], values(queue=QueueSettings(deadline=9.0)))
    )
    ask = Requests(secured)
    ask("POST", "/v1/completions", json={"model": NAME, "prompt": "hi"}, headers={"x-request-id": "abc"})
    ask.complete(stream=True)
    ask.complete(stop="x")
    first, streamed, stopped = source.orders
    assert (first.client, first.request_id, first.deadline) == ("kitchen", "abc", 9.0)
    assert first.prompt == (256, 32, *b"hi", 258)
    assert (first.whole, streamed.whole, stopped.whole) == (True, False, False)


def test_a_seed_is_drawn_and_told(ask, source):
    bodies = [ask.complete(temperature=1).json() for _ in range(2)]
    seeds = [body["choices"][0]["edgellm"]["seed"] for body in bodies]
    assert seeds == [order.params.seed for order in source.orders]
    assert seeds[0] != seeds[1]
    assert not any(order.keep for order in source.orders)
    assert ask.complete(temperature=1, seed=5).json()["choices"][0]["edgellm"]["seed"] == 5
    assert ask.complete().json()["choices"][0]["edgellm"]["seed"] is None
    assert all(order.keep for order in source.orders[2:])


def test_choices_are_drawn_with_seeds_one_apart(ask, source):
    body = ask.complete(temperature=1, seed=2**64 - 2, n=3).json()
    assert [choice["edgellm"]["seed"] for choice in body["choices"]] == [2**64 - 2, 2**64 - 1, 0]
    assert sorted(order.params.seed for order in source.orders) == [0, 2**64 - 2, 2**64 - 1]
    assert body["usage"]["completion_tokens"] == 15
    assert body["usage"]["prompt_tokens"] == len(source.orders[0].prompt)


def test_cached_tokens_are_those_that_the_first_choice_found(tmp_path):
    source = Scripted(lambda order: said("x", end=replace(END, cached=10 + order.params.seed)))
    usage = client(tmp_path / "toy", source).complete(temperature=1, seed=2, n=3).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 12}


@pytest.mark.parametrize("stream", [False, True])
def test_greedy_choices_are_made_once(ask, source, stream):
    response = ask.complete(
        n=3, stream=stream, **({"stream_options": {"include_usage": True}} if stream else {})
    )
    assert len(source.orders) == 1
    if stream:
        found = events(response)
        assert [written(found, index) for index in range(3)] == ["hello"] * 3
        usage = found[-1]["usage"]
    else:
        choices = response.json()["choices"]
        assert [(one["index"], one["text"]) for one in choices] == [(0, "hello"), (1, "hello"), (2, "hello")]
        usage = response.json()["usage"]
    assert usage["completion_tokens"] == 15


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts(tmp_path, stream):
    source = Scripted(lambda order: said(bytes(order.prompt[2:-1])[::-1]))
    ask = client(tmp_path / "toy", source)
    response = ask.complete(prompt=["abc", "de"], n=2, temperature=1, seed=1, stream=stream)
    if stream:
        found = events(response)
        assert [written(found, index) for index in range(4)] == ["cba", "cba", "ed", "ed"]
        return
    body = response.json()
    assert [(one["index"], one["text"]) for one in body["choices"]] == [
        (0, "cba"),
        (1, "cba"),
        (2, "ed"),
        (3, "ed"),
    ]
    assert body["usage"]["prompt_tokens"] == 6 + 5
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert [order.params.seed for order in source.orders] == [1, 2, 1, 2]


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_used_as_they_are(ask, source, prompt):
    assert ask.complete(prompt=prompt).status_code == 200
    assert [list(order.prompt) for order in source.orders] == (prompt if prompt[0] == [1, 2] else [prompt])


def test_when_one_fails_the_others_are_cancelled(tmp_path):
    good = Scripted(said("a" * 40), delay=0.01)
    bad = Scripted(said("b")[:-1], BackendFailed("no worker could go on"), delay=0.01)

    class Either:
        def stream(self, order):
            return (bad if order.params.seed == 2 else good).stream(order)

    ask = client(tmp_path / "toy", Either())
    response = ask.complete(n=4, temperature=1, seed=0)
    assert (response.status_code, response.json()["error"]["message"]) == (503, "no worker could go on")
    assert (good.running, good.cancelled, good.ended) == (0, 3, 0)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("context", "length"),
        ("deadline", "length"),
        ("confidence", "stop"),
    ],
)
def test_finish_reasons(tmp_path, reason, wanted):
    ask = client(tmp_path / "toy", Scripted(said("hello", end=replace(END, finish_reason=reason))))
    choice = ask.complete().json()["choices"][0]
    assert (choice["finish_reason"], choice["edgellm"]["finish_reason"]) == (wanted, reason)


def test_an_answer_in_circles_stops(tmp_path):
    source = Scripted(said("abcabcabcabc"))
    choice = client(tmp_path / "toy", source).complete(repeats=3).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("abcabcabc", "stop")
    assert choice["edgellm"]["finish_reason"] == "repetition"
    assert source.cancelled == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_source(tmp_path, stream):
    source = Scripted(said("hello world", 3))
    response = client(tmp_path / "toy", source).complete(stop=["lo w"], stream=stream)
    if stream:
        found = events(response)
        assert written(found) == "hel"
        choice = found[-1]["choices"][0]
    else:
        choice = response.json()["choices"][0]
        assert choice["text"] == "hel"
    assert choice["finish_reason"] == "stop"
    assert (choice["edgellm"]["backend"], choice["edgellm"]["origin"]) == (None, None)
    assert (source.cancelled, source.ended, source.running) == (1, 0, 0)


def test_a_stream_has_one_chunk_a_portion(ask):
    found = events(ask.complete(stream=True))
    assert [chunk["choices"][0]["text"] for chunk in found] == ["he", "ll", "o", ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None, None, None, "stop"]
    assert [one["choices"][0].get("edgellm", {}).get("backend") for one in found] == [
        None,
        None,
        None,
        "fake",
    ]
    assert not any("usage" in chunk for chunk in found)


def test_a_stream_tells_its_usage(ask, source):
    found = events(ask.complete(stream=True, stream_options={"include_usage": True}))
    assert [chunk["usage"] for chunk in found[:-1]] == [None] * 4
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == ask.complete().json()["usage"]


def test_an_answer_that_comes_at_once_is_one_chunk(tmp_path):
    ask = client(tmp_path / "toy", Scripted([Portion(tuple(b"hello"), (), END)]))
    [chunk] = events(ask.complete(stream=True))
    choice = chunk["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("hello", "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(tmp_path, stream):
    ask = client(tmp_path / "toy", Scripted(said("hé!", 2, logprobs=2)))
    response = ask.complete(logprobs=2, stream=stream)
    if stream:
        parts = [chunk["choices"][0]["logprobs"] for chunk in events(response)]
        found = {name: sum((part[name] for part in parts), type(parts[0][name])()) for name in parts[0]}
    else:
        found = response.json()["choices"][0]["logprobs"]
    assert found["tokens"] == ["h", "bytes:\\xc3", "bytes:\\xa9", "!"]
    assert found["token_logprobs"] == [-1.0] * 4
    assert found["top_logprobs"][0] == {"h": -1.0, "i": -2.0}
    assert found["top_logprobs"][1] == {"bytes:\\xc3": -1.0, "bytes:\\xc4": -2.0}
    assert found["text_offset"] == [0, 1, 1, 2]


def test_the_token_that_was_taken_is_among_the_top_ones(tmp_path):
    rare = replace(info(ord("a"), 0), logprob=-9.0, top=((ord("b"), -0.1),))
    ask = client(tmp_path / "toy", Scripted([Portion((ord("a"),), (rare,), END)]))
    assert ask.complete(logprobs=1).json()["choices"][0]["logprobs"]["top_logprobs"] == [
        {"b": -0.1, "a": -9.0}
    ]


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    cuts=st.lists(st.integers(1, 4), max_size=8),
    stop=st.lists(st.sampled_from(["a", "é", "\U0001f642b", "ab"]), max_size=2),
    repeats=st.sampled_from([0, 2]),
    logprobs=st.sampled_from([None, 1]),
    end_with_last=st.booleans(),
)
def test_a_stream_says_what_the_whole_answer_says(
    tmp_path_factory, text, cuts, stop, repeats, logprobs, end_with_last
):
    raw, portions = text.encode(), []
    while raw:
        size = cuts.pop() if cuts else 1
        infos = [info(token, 1) for token in raw[:size]] if logprobs else ()
        portions.append(Portion(tuple(raw[:size]), infos))
        raw = raw[size:]
    if end_with_last and portions:
        portions[-1] = portions[-1]._replace(end=END)
    else:
        portions.append(Portion((), (), END))
    folder = tmp_path_factory.getbasetemp() / "streams" / "toy"
    ask = client(folder, Scripted(portions))
    options = {"stop": stop, "repeats": repeats, "logprobs": logprobs}
    whole = ask.complete(**options).json()["choices"][0]
    found = events(ask.complete(stream=True, **options))
    last = found[-1]["choices"][0]
    assert written(found) == whole["text"]
    assert last["finish_reason"] == whole["finish_reason"]
    assert last["edgellm"]["finish_reason"] == whole["edgellm"]["finish_reason"]
    if logprobs:
        shown = [token for chunk in found for token in chunk["choices"][0]["logprobs"]["tokens"]]
        assert shown == whole["logprobs"]["tokens"]
    if not stop and not repeats:
        assert whole["text"] == text


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"n": 9}, "n", "n is 9: at most 8 choices are made of a prompt"),
        (
            {"prompt": ["a"] * 3},
            "prompt",
            "prompt has 3 prompts: at most 2 go into one request",
        ),
        ({"prompt": []}, "prompt", "prompt is []: give at least one text"),
        (
            {"prompt": [1] * 49},
            "prompt",
            "prompt has 49 tokens and the context holds 48: shorten it",
        ),
        ({"prompt": [1, 259]}, "prompt", "prompt has token 259; the vocabulary has tokens 0..258"),
        ({"prompt": [[1], [300]]}, "prompt[1]", "prompt[1] has token 300; the vocabulary has tokens 0..258"),
        (
            {"prompt": "  "},
            "prompt",
            "the prompt is empty: say what to answer, for example 'turn on the kitchen light'",
        ),
        (
            {"prompt": ["a", ""]},
            "prompt[1]",
            "the prompt is empty: say what to answer, for example 'turn on the kitchen light'",
        ),
        (
            {"prompt": [1, "a"]},
            "prompt",
            "prompt is [1, 'a']: must be a text, token ids, or a list of either",
        ),
    ],
)
def test_prompts_and_counts_that_are_refused(tmp_path, source, body, param, message):
    service = FakeService([serve(tmp_path / "toy", source)], values(limits=LimitSettings(prompts=2)))
    response = Requests(create_app(service)).complete(**body)
    assert response.status_code == 400
    assert (response.json()["error"]["param"], response.json()["error"]["message"]) == (param, message)
    assert not source.orders


def test_filters_see_texts_and_refuse_token_ids(tmp_path, source):
    ask = client(tmp_path / "toy", source, filters=({"kind": "max_characters", "most": 3},))
    assert ask.complete(prompt="abc").status_code == 200
    long = ask.complete(prompt="abcd").json()["error"]
    assert (long["param"], long["code"]) == ("prompt", "content_filter")
    assert ask.complete(prompt=[1]).json()["error"]["message"] == (
        "prompt has token ids, which this service's filters cannot read: send text"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_post_processors(tmp_path, stream):
    ask = client(tmp_path / "toy", Scripted(said("  hi there \n")), post=({"kind": "strip"},))
    response = ask.complete(stream=stream)
    assert (written(events(response)) if stream else response.json()["choices"][0]["text"]) == "hi there"


def test_a_long_prompt_is_truncated_as_the_settings_or_the_request_say(tmp_path, source):
    ask = client(tmp_path / "toy", source, truncate="left")
    assert ask.complete(prompt="a" * 100).status_code == 200
    error = ask.complete(prompt="a" * 100, truncate="error").json()["error"]
    assert (error["param"], error["code"]) == ("prompt", "context_length_exceeded")


def test_a_long_text_is_read_beside_the_event_loop(tmp_path, source, monkeypatch):
    threads, plain = [], Model.prepared
    monkeypatch.setattr(
        Model, "prepared", lambda *given: threads.append(threading.current_thread()) or plain(*given)
    )
    ask = client(tmp_path / "toy", source, truncate="left")
    assert ask.complete(prompt="a" * 10_000).status_code == 200
    assert ask.complete(prompt="a" * 10).status_code == 200
    assert [one is threading.main_thread() for one in threads] == [False, True]
