"""/v1/chat/completions: which message is answered, and the shape of answers."""

import json

import pytest
from fakes import END, Scripted, client, said

from edgellm.serve.api.schemas.replies import ChatChunk, ChatReply
from edgellm.serve.orders import Portion


@pytest.fixture
def source():
    return Scripted(said("hé!", 2))


@pytest.fixture
def ask(tmp_path, source):
    return client(tmp_path / "toy", source)


def chunks(response) -> list:
    """The choices of a stream's chunks."""
    *parts, last, _ = response.text.split("\n\n")
    assert last == "data: [DONE]"
    found = [json.loads(part.removeprefix("data: ")) for part in parts]
    for one in found:
        ChatChunk.model_validate(one, strict=True)
    return [one["choices"][0] for one in found]


def prompt_of(source) -> bytes:
    """What was asked, without the template."""
    return bytes(source.orders[-1].prompt[2:-1])


def test_the_answer(ask, source):
    body = ask.chat().json()
    ChatReply.model_validate(body, strict=True)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hé!", "refusal": None}
    assert prompt_of(source) == b"hi"


def test_a_stream(ask):
    found = chunks(ask.chat(stream=True))
    assert [one["delta"] for one in found] == [
        {"role": "assistant", "content": "h"},
        {"content": "é!"},
        {"content": ""},
    ]
    assert [one["finish_reason"] for one in found] == [None, None, "stop"]


def test_a_stream_begins_with_the_role_even_without_text(tmp_path):
    ask = client(tmp_path / "toy", Scripted([Portion((0xC3,)), Portion((0xA9,), (), END)]))
    assert [one["delta"] for one in chunks(ask.chat(stream=True))] == [
        {"role": "assistant", "content": ""},
        {"content": "é"},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(tmp_path, stream):
    ask = client(tmp_path / "toy", Scripted(said("é!", 2, logprobs=2)))
    response = ask.chat(logprobs=True, top_logprobs=2, stream=stream)
    choices = chunks(response) if stream else response.json()["choices"]
    content = [token for one in choices for token in one["logprobs"]["content"]]
    assert [(one["token"], one["bytes"]) for one in content] == [
        ("\ufffd", [0xC3]),
        ("\ufffd", [0xA9]),
        ("!", [33]),
    ]
    assert content[2]["top_logprobs"] == [
        {"token": "!", "logprob": -1.0, "bytes": [33]},
        {"token": '"', "logprob": -2.0, "bytes": [34]},
    ]
    assert all(one["logprobs"]["refusal"] is None for one in choices)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [({"logprobs": True}, 0), ({"logprobs": False}, None), ({"logprobs": True, "top_logprobs": 3}, 3)],
)
def test_logprobs_reach_the_source(ask, source, asked, wanted):
    ask.chat(**asked)
    assert source.orders[0].params.logprobs == wanted


@pytest.mark.parametrize(
    "asked", [{"max_tokens": 3}, {"max_completion_tokens": 3}, {"max_tokens": 3, "max_completion_tokens": 3}]
)
def test_both_names_of_the_limit(ask, source, asked):
    assert ask.chat(**asked).status_code == 200
    assert source.orders[0].params.max_tokens == 3


def test_text_parts_are_lines(ask, source):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert ask.chat(messages=[{"role": "user", "content": parts}]).status_code == 200
    assert prompt_of(source) == b"a b"  # the model's own rule puts spaces in the place of line ends


USER, SYSTEM = {"role": "user", "content": "second"}, {"role": "system", "content": "be kind"}
ANSWER = {
    "role": "assistant",
    "content": "x",
    "refusal": None,
    "annotations": [],
    "tool_calls": None,
    "audio": None,
}


@pytest.mark.parametrize(
    ("messages", "number"), [([SYSTEM, USER], 0), ([USER, ANSWER, USER], 1), ([USER, USER], 1), ([ANSWER], 0)]
)
def test_more_than_one_user_message_is_refused_by_its_number(ask, source, messages, number):
    response = ask.chat(messages=messages)
    assert response.status_code == 400
    role = messages[number]["role"]
    assert response.json()["error"] == {
        "message": f"messages[{number}] has the role {role}: this model answers one user message, so send that alone",
        "type": "invalid_request_error",
        "param": f"messages[{number}]",
        "code": "unsupported_history",
    }
    assert not source.orders


@pytest.mark.parametrize(
    "messages", [[SYSTEM, USER], [ANSWER, USER, ANSWER], [{**USER, "content": "first"}, USER]]
)
def test_the_last_user_message_is_answered_where_the_settings_say_so(tmp_path, source, messages):
    ask = client(tmp_path / "toy", source, history="last")
    assert ask.chat(messages=messages).status_code == 200
    assert prompt_of(source) == b"second"


def test_without_a_user_message_there_is_nothing_to_answer(tmp_path, source):
    error = client(tmp_path / "toy", source, history="last").chat(messages=[SYSTEM]).json()["error"]
    assert (error["param"], error["message"]) == ("messages", "messages has no user message: send one")


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content", "empty_prompt"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{**USER, "name": "bob"}]}, "messages[0].name", "unsupported_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": 2}, "logprobs", "invalid_value"),
        ({"max_tokens": 2, "max_completion_tokens": 3}, "max_completion_tokens", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
        ({"prompt": "x"}, "prompt", "unknown_parameter"),
    ],
)
def test_what_is_refused(ask, source, asked, param, code):
    response = ask.chat(**asked)
    assert response.status_code == 400
    assert (response.json()["error"]["param"], response.json()["error"]["code"]) == (param, code)
    assert not source.orders
