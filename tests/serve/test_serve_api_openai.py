"""The openai client, as it is, against a real server: answers, streams, errors."""

import asyncio

import openai
import pytest
from fakes import DIGEST, NAME, FakeService, Scripted, Server, said, serve
from pydantic import BaseModel

from edgellm.errors import BackendFailed, Overloaded
from edgellm.runtime import llm as llms
from edgellm.serve.app import create_app
from edgellm.serve.orders import Portion
from edgellm.serve.served import Served
from edgellm.serve.settings import ModelSettings
from edgellm.serve.workers.local import LocalWorker

TEXT = "turn on the kitchen light"


@pytest.fixture(scope="module")
def home():
    """A server of home-260k on the native back end: (its model, client)."""
    llm = llms.load("home-260k", "native")
    worker = LocalWorker("native-0", llm)
    served = Served(llm.name, llm, DIGEST, worker, ModelSettings(path=llm.name), [worker])
    with Server(create_app(FakeService([served]))) as server:
        yield llm, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    llm.close()


@pytest.fixture
def toy(tmp_path):
    """Starts servers of the toy model, and makes a client of each."""
    servers = []

    def start(source, **options):
        servers.append(Server(create_app(FakeService([serve(tmp_path / "toy", source)]))).__enter__())
        given = {"api_key": "none", "max_retries": 0, **options}
        return openai.OpenAI(base_url=f"{servers[-1].url}/v1", **given)

    yield start
    for server in servers:
        server.__exit__()


def test_completions(home):
    llm, client = home
    want = llm.generate(TEXT)
    got = client.completions.create(model=llm.name, prompt=TEXT)
    assert (got.choices[0].text, got.choices[0].finish_reason) == (want.text, "stop")
    assert got.usage.prompt_tokens == len(want.prompt_tokens)
    assert got.usage.completion_tokens == len(want.tokens)
    assert got.usage.total_tokens == len(want.prompt_tokens) + len(want.tokens)
    assert got.usage.prompt_tokens_details.cached_tokens >= 0
    assert got.choices[0].edgellm["backend"] == "native"
    assert got.system_fingerprint == DIGEST[:16]


def test_token_ids_are_used_as_they_are(home):
    llm, client = home
    ids = llm.prepared(TEXT, llms.Params())
    got = client.completions.create(model=llm.name, prompt=[ids, ids])
    assert [choice.text for choice in got.choices] == [llm.generate(TEXT).text] * 2


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3, "top_p": 0.9}])
def test_chat_streams(home, options):
    llm, client = home
    chunks = list(
        client.chat.completions.create(
            model=llm.name,
            messages=[{"role": "user", "content": TEXT}],
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == llm.generate(TEXT, **options).text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert not chunks[-1].choices
    assert chunks[-1].usage.completion_tokens == len(llm.generate(TEXT, **options).tokens)
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_asynchronous_client(home):
    llm, client = home

    async def main():
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key="none") as other:
            stream = await other.completions.create(model=llm.name, prompt=TEXT, stream=True)
            return "".join([chunk.choices[0].text async for chunk in stream])

    assert asyncio.run(main()) == llm.generate(TEXT).text


def test_parsed_answers_have_the_form_of_the_class(home):
    llm, client = home

    class Lamp(BaseModel):
        on: bool

    got = client.chat.completions.parse(
        model=llm.name,
        messages=[{"role": "user", "content": TEXT}],
        response_format=Lamp,
        max_completion_tokens=100,
    )
    assert isinstance(got.choices[0].message.parsed, Lamp)


def test_models(home):
    llm, client = home
    assert [model.id for model in client.models.list()] == [llm.name]
    card = client.models.retrieve(llm.name)
    assert card.edgellm["context"] == llm.context
    assert card.edgellm["intents"] is True


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("own", "param", "message"),
    [
        ({"regex": "("}, "regex", "regex cannot be followed: "),
        ({"grammar": "start: nothing"}, "grammar", "grammar cannot be followed: "),
        (
            {"logit_bias": {"512": 1}},
            "logit_bias",
            "logit_bias names token 512; the vocabulary has tokens 0..511",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}}},
            "response_format",
            "json_schema cannot be followed: ",
        ),
    ],
)
def test_what_the_model_cannot_follow_is_named(home, own, param, message, stream):
    llm, client = home
    with pytest.raises(openai.BadRequestError) as found:
        client.completions.create(model=llm.name, prompt=TEXT, stream=stream, extra_body=own)
    assert found.value.param == param
    assert found.value.body["message"].startswith(message)


@pytest.mark.parametrize(
    "options", [{"n": 3, "temperature": 1.5, "seed": 7}, {"stop": " area="}, {"logprobs": 3}]
)
def test_a_real_stream_says_what_the_whole_answer_says(home, options):
    llm, client = home
    whole = client.completions.create(model=llm.name, prompt=TEXT, **options)
    texts = [""] * len(whole.choices)
    for chunk in client.completions.create(model=llm.name, prompt=TEXT, stream=True, **options):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


def test_own_parameters_go_through_extra_body(home):
    llm, client = home
    got = client.completions.create(model=llm.name, prompt=TEXT, extra_body={"choices": ["yes", "no"]})
    assert got.choices[0].text in ("yes", "no")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Overloaded("the queue is full", 0.5), openai.RateLimitError, "overloaded"),
        (BackendFailed("no worker could go on"), openai.InternalServerError, "backend_failed"),
    ],
)
def test_errors_are_openai_s_exceptions(toy, error, kind, code):
    client = toy(Scripted((), error))
    for stream in (False, True):
        with pytest.raises(kind, match=str(error)) as found:
            client.completions.create(model=NAME, prompt="hi", stream=stream)
        assert found.value.code == code


def test_wrong_requests_are_openai_s_exceptions(toy):
    client = toy(Scripted(said("x")))
    with pytest.raises(openai.BadRequestError) as found:
        client.completions.create(model=NAME, prompt="hi", temperature=99)
    assert (found.value.param, found.value.code) == ("temperature", "invalid_value")
    with pytest.raises(openai.NotFoundError) as found:
        client.completions.create(model="other", prompt="hi")
    assert (found.value.param, found.value.code) == ("model", "model_not_found")


def test_the_client_tries_again_when_it_is_told_to_wait(toy):
    class Once(Scripted):
        async def stream(self, order):
            self.orders.append(order)
            if len(self.orders) == 1:
                raise Overloaded("the queue is full", 0.01)
            yield Portion((ord("k"),), (), said("")[0].end)

    source = Once(())
    got = toy(source, max_retries=1).completions.create(model=NAME, prompt="hi")
    assert (got.choices[0].text, len(source.orders)) == ("k", 2)


def test_an_error_in_a_stream_ends_it(toy):
    client = toy(Scripted(said("abc")[:-1], BackendFailed("no worker could go on")))
    text = ""
    with pytest.raises(openai.APIError, match=r"^no worker could go on$") as found:
        for chunk in client.completions.create(model=NAME, prompt="hi", stream=True):
            text += chunk.choices[0].text
    assert (text, found.value.code) == ("abc", "backend_failed")
