"""Every error in OpenAI's shape, before an answer and in the middle of one; every parameter that is not supported by its name."""

import json
import logging

import pytest
from fakes import END, NAME, FakeService, Scripted, client, replace, said, serve
from fakes import Client as Requests
from fastapi import APIRouter
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as Chat
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as Completion

from edgellm import errors
from edgellm.serve.api.errors import of_status
from edgellm.serve.api.schemas.replies import ErrorBody
from edgellm.serve.api.schemas.requests import ChatRequest, CompletionRequest
from edgellm.serve.api.schemas.unsupported import REASONS
from edgellm.serve.app import create_app

TABLE = [
    (
        errors.UsageError("logit_bias names token 9; there are 2"),
        400,
        "invalid_request_error",
        "logit_bias",
        "invalid_value",
    ),
    (
        errors.UsageError("json_schema cannot be followed: x"),
        400,
        "invalid_request_error",
        "response_format",
        "invalid_value",
    ),
    (errors.UsageError("something else"), 400, "invalid_request_error", None, "invalid_value"),
    (
        errors.PromptTooLong("it is too long"),
        400,
        "invalid_request_error",
        "prompt",
        "context_length_exceeded",
    ),
    (
        errors.ToolMissing("regex needs llguidance"),
        400,
        "invalid_request_error",
        None,
        "unsupported_parameter",
    ),
    (
        errors.BackendUnavailable("it gives tokens only"),
        400,
        "invalid_request_error",
        None,
        "unsupported_parameter",
    ),
    (errors.ModelUnsupported("its step is odd"), 400, "invalid_request_error", None, "unsupported_parameter"),
    (errors.ModelNotFound("it went away"), 404, "invalid_request_error", "model", "model_not_found"),
    (errors.Overloaded("the queue is full", 1.2), 429, "rate_limit_error", None, "overloaded"),
    (errors.BackendFailed("no worker could go on"), 503, "server_error", None, "backend_failed"),
    (errors.ServiceError("it is being stopped"), 503, "server_error", None, "unavailable"),
    (errors.DeadlinePassed("no token in time"), 504, "timeout_error", None, "deadline_passed"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status", "kind", "param", "code"), TABLE)
def test_each_error_has_its_status(tmp_path, error, status, kind, param, code, stream):
    response = client(tmp_path / "toy", Scripted((), error)).complete(stream=stream)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    told = {"message": str(error), "type": kind, "param": param, "code": code}
    assert response.json() == {"error": told}


@pytest.mark.parametrize(("error", "status", "kind", "param", "code"), TABLE)
def test_an_error_in_a_stream_is_its_last_event(tmp_path, error, status, kind, param, code):
    ask = client(tmp_path / "toy", Scripted(said("ab")[:-1], error))
    response = ask.complete(stream=True)
    *_, last, rest = response.text.split("\n\n")
    assert (response.status_code, rest) == (200, "")
    event, data = last.split("\n")
    assert event == "event: error"
    told = {"message": str(error), "type": kind, "param": param, "code": code}
    assert json.loads(data.removeprefix("data: ")) == {"error": told}


def test_overload_says_when_to_come_again(tmp_path):
    response = client(tmp_path / "toy", Scripted((), errors.Overloaded("full", 1.2))).complete()
    assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("2", "1200")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unexpected_error_tells_nothing_and_is_logged(tmp_path, stream, caplog):
    ask = client(tmp_path / "toy", Scripted(said("ab")[: 2 * stream], KeyError("the secret")))
    with caplog.at_level(logging.ERROR):
        response = ask(
            "POST",
            "/v1/completions",
            json={"model": NAME, "prompt": "x", "stream": stream},
            headers={"x-request-id": "abc"},
        )
    assert "secret" not in response.text
    assert "internal error: the service's log has it under request id abc" in response.text
    assert response.status_code == (200 if stream else 500)
    [record] = [one for one in caplog.records if one.name == "edgellm.serve.api.errors"]
    assert (record.request_id, record.exc_info[0]) == ("abc", KeyError)


def test_a_source_that_breaks_off_is_an_error(tmp_path):
    response = client(tmp_path / "toy", Scripted(said("ab")[:-1])).complete()
    assert (response.status_code, response.json()["error"]["message"]) == (
        503,
        "the answer broke off after 2 tokens: ask again",
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_without_a_token_is_a_timeout(tmp_path, stream):
    source = Scripted(said("", end=replace(END, finish_reason="deadline")))
    response = client(tmp_path / "toy", source).complete(deadline=0.5, stream=stream)
    assert (response.status_code, response.json()["error"]["message"]) == (
        504,
        "no token came within the deadline of 0.5 seconds: allow more, or come again later",
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/v1/nothing", 404, "not_found", "there is no /v1/nothing: see /openapi.json"),
        ("GET", "/v1/models/", 404, "model_not_found", "there is no model '': this service has toy"),
        ("GET", "/v1/models/x/y", 404, "model_not_found", "there is no model 'x/y': this service has toy"),
        (
            "GET",
            "/v1/completions",
            405,
            "method_not_allowed",
            "/v1/completions does not take GET: see /openapi.json",
        ),
        ("POST", "/health", 405, "method_not_allowed", "/health does not take POST: see /openapi.json"),
        ("GET", "/docs", 404, "not_found", "there is no /docs: see /openapi.json"),
    ],
)
def test_paths_and_methods(tmp_path, method, path, status, code, message):
    response = client(tmp_path / "toy", Scripted(()))(method, path)
    assert response.status_code == status
    assert (response.json()["error"]["code"], response.json()["error"]["message"]) == (code, message)
    assert "x-request-id" in response.headers


def test_routes_of_others_have_the_same_shape(tmp_path):
    router = APIRouter()

    @router.get("/other/{number}")
    async def other(number: int) -> int:
        if number == 1:
            raise errors.Overloaded("wait", 3)
        if number == 2:
            raise ValueError("the secret")
        return number

    app = create_app(FakeService([serve(tmp_path / "toy", Scripted(()))]), routers=[router])
    ask = Requests(app)
    wrong, full, broken = (ask("GET", f"/other/{number}") for number in ("x", "1", "2"))
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "number")
    assert (full.status_code, full.headers["retry-after"]) == (429, "3")
    assert broken.status_code == 500
    assert broken.json()["error"]["message"].endswith(broken.headers["x-request-id"])
    for response in (wrong, full, broken):
        ErrorBody.model_validate(response.json(), strict=True)
    assert "422" not in app.openapi()["paths"]["/other/{number}"]["get"]["responses"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 431, 500, 503, 418])
def test_errors_of_middlewares(status):
    response = of_status(status, "why", {"retry-after": "1"}).response()
    body = json.loads(response.body)
    ErrorBody.model_validate(body, strict=True)
    assert response.status_code == status
    assert (b"retry-after", b"1") in response.raw_headers


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the body is no JSON: Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", "the body is no JSON: Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (b"[1]", "the body is no JSON object"),
        (b'"\xff"', None),
        (b'{"model": "toy", "prompt": "\\ud800"}', None),
        (b"[" * 100_000, None),
    ],
)
def test_bodies_that_are_no_json(tmp_path, raw, message):
    response = client(tmp_path / "toy", Scripted(()))("POST", "/v1/completions", content=raw)
    told = response.json()["error"]
    assert (response.status_code, told["code"], told["param"]) == (400, "invalid_json", None)
    assert message is None or told["message"] == message


REFUSED = [
    ({"temperature": "1"}, "temperature", "temperature is '1': input should be a valid number"),
    (
        {"temperature": 16},
        "temperature",
        "temperature is 16: input should be less than or equal to 15.999755859375",
    ),
    ({"temperature": -1}, "temperature", "temperature is -1: input should be greater than or equal to 0"),
    ({"top_p": 0}, "top_p", "top_p is 0: input should be greater than 0"),
    (
        {"top_k": 1.5},
        "top_k",
        "top_k is 1.5: input should be a valid integer",
    ),
    ({"min_p": 2}, "min_p", "min_p is 2: input should be less than or equal to 1"),
    ({"seed": -1}, "seed", "seed is -1: input should be greater than or equal to 0"),
    ({"seed": 2**64}, "seed", "seed is 18446744073709551616: input should be less than 18446744073709551616"),
    ({"n": True}, "n", "n is True: input should be a valid integer"),
    ({"max_tokens": 0}, "max_tokens", "max_tokens is 0: input should be greater than or equal to 1"),
    ({"stop": ""}, "stop", None),
    ({"stop": ["a"] * 17}, "stop", None),
    ({"stop": ["a", ""]}, "stop[1]", None),
    ({"logprobs": 21}, "logprobs", "logprobs is 21: input should be less than or equal to 20"),
    (
        {"logit_bias": {"1": 101}},
        "logit_bias.1",
        "logit_bias.1 is 101: input should be less than or equal to 100",
    ),
    ({"logit_bias": {"-1": 1}}, "logit_bias.-1", None),
    ({"logit_bias": [1]}, "logit_bias", None),
    ({"presence_penalty": 33}, "presence_penalty", None),
    ({"frequency_penalty": "x"}, "frequency_penalty", None),
    ({"response_format": {"type": "yaml"}}, "response_format", None),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", None),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {}, "description": "x"},
            }
        },
        "response_format.json_schema.description",
        None,
    ),
    ({"regex": ""}, "regex", None),
    (
        {"regex": "a", "choices": ["a"]},
        "regex",
        "regex and choices are given: an answer has one form, so give one of them",
    ),
    ({"choices": []}, "choices", None),
    ({"truncate": "right"}, "truncate", "truncate is 'right': input should be 'error', 'left' or 'middle'"),
    ({"least_confidence": -0.1}, "least_confidence", None),
    ({"repeats": 1}, "repeats", "repeats is 1: must be 0 (never) or at least 2"),
    ({"speculate": 1}, "speculate", "speculate is 1: input should be a valid boolean"),
    ({"priority": 101}, "priority", None),
    ({"deadline": 0}, "deadline", "deadline is 0: input should be greater than 0"),
    ({"user": 5}, "user", "user is 5: input should be a valid string"),
    ({"stream": "yes"}, "stream", "stream is 'yes': input should be a valid boolean"),
    (
        {"stream_options": {"include_usage": True}},
        "stream_options",
        "stream_options is given: needs stream to be true",
    ),
    ({"model": None}, "model", "model is None: input should be a valid string"),
    ({"temprature": 1}, "temprature", "there is no parameter temprature: see /openapi.json"),
    ({"guided_json": {}}, "guided_json", "guided_json is not supported: use response_format"),
]


@pytest.mark.parametrize(("asked", "param", "message"), REFUSED)
def test_values_that_cannot_be_meant(tmp_path, asked, param, message):
    source = Scripted(said("x"))
    response = client(tmp_path / "toy", source).complete(**asked)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"] == (message or error["message"])
    assert param in error["message"]
    assert not source.orders


@pytest.mark.parametrize("name", ["model", "prompt"])
def test_what_must_be_given(tmp_path, name):
    ask = client(tmp_path / "toy", Scripted(()))
    body = {"model": NAME, "prompt": "x"}
    del body[name]
    assert ask.post("/v1/completions", **body).json()["error"] == {
        "message": f"{name} is missing",
        "type": "invalid_request_error",
        "param": name,
        "code": "missing_required_parameter",
    }


NOT_SUPPORTED = {
    "complete": {"best_of": 2, "echo": True, "suffix": "x"},
    "chat": {
        "tools": [{"type": "function"}],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "functions": [{}],
        "function_call": {"name": "f"},
        "modalities": ["text", "audio"],
        "audio": {"voice": "x"},
        "prediction": {"type": "content", "content": "x"},
        "reasoning_effort": "high",
        "verbosity": "low",
        "service_tier": "flex",
        "store": True,
        "metadata": {"a": "b"},
        "web_search_options": {},
        "safety_identifier": "x",
        "prompt_cache_key": "x",
        "prompt_cache_retention": "24h",
    },
}


@pytest.mark.parametrize(
    ("route", "name", "value"),
    [(route, name, value) for route, fields in NOT_SUPPORTED.items() for name, value in fields.items()],
)
def test_unsupported_parameters_are_named_with_the_reason(tmp_path, route, name, value):
    source = Scripted(said("x"))
    response = getattr(client(tmp_path / "toy", source), route)(**{name: value})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, name)
    assert error["code"] in ("unsupported_parameter", "unknown_parameter")
    assert error["message"].endswith(REASONS[name])
    assert not source.orders


def test_every_parameter_of_openai_is_known_or_has_a_reason():
    for theirs, ours in ((Chat, ChatRequest), (Completion, CompletionRequest)):
        names = {name for kind in theirs.__mro__ for name in getattr(kind, "__annotations__", {})}
        assert names
        assert names <= set(ours.model_fields) | set(REASONS)
