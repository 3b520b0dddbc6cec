"""/v1/intent: home-260k from the text to intent, slots and reply, in the shape of a conversation agent."""

import asyncio
import json

import httpx
import pytest
from fakes import DIGEST, NAME, Client, FakeService, Scripted, client, said, serve

from edgellm.evaluation import answers
from edgellm.runtime import chains
from edgellm.runtime import llm as llms
from edgellm.runtime.model import Model
from edgellm.serve.api.schemas.replies import IntentReply
from edgellm.serve.app import create_app
from edgellm.serve.served import Served
from edgellm.serve.settings import ModelSettings
from edgellm.serve.workers.local import LocalWorker

TEXT = "turn on the kitchen light"
HOME = "home-260k"


@pytest.fixture(scope="module")
def llm():
    with llms.load(HOME, "native") as found:
        yield found


@pytest.fixture
def home(llm):
    """Makes a service of the home model, with tokens of the native back end, behind others."""

    def make(*others, post=()):
        worker = LocalWorker("native-0", llm)
        model = Model(llm.folder, chains.of({"post": post}))
        served = Served(HOME, model, DIGEST, worker, ModelSettings(path=HOME), [worker])
        return Client(create_app(FakeService([*others, served])))

    return make


def fake(folder, text) -> Client:
    """A service of the home model, whose answer is this text."""
    model = Model(folder)
    tokens = model.tokenizer.encode(text, specials=True)
    source = Scripted(said(bytes(0)))
    source.portions = [source.portions[0]._replace(tokens=tokens)]
    return Client(create_app(FakeService([Served(HOME, model, DIGEST, source, ModelSettings(path=HOME))])))


def test_a_command(home, llm):
    want = answers.parse(llm.generate(TEXT).text)
    response = home().post("/v1/intent", text=TEXT)
    body = response.json()
    IntentReply.model_validate(body, strict=True)
    assert response.status_code == 200
    assert (body["intent"], body["slots"], body["reply"]) == (want.intent, dict(want.slots), want.reply)
    assert (body["intent"], body["slots"]) == ("HassTurnOn", {"area": "kitchen", "domain": "light"})
    assert (body["model"], body["edgellm"]["backend"]) == (HOME, "native")
    assert body["response"] == {
        "response_type": "action_done",
        "language": "en",
        "speech": {"plain": {"speech": want.reply, "extra_data": None}},
        "card": {},
        "data": {"targets": [], "success": [], "failed": []},
    }


def test_a_conversation_goes_on_under_its_id(home):
    body = home().post("/v1/intent", text=TEXT, conversation_id="abc", language="en-GB", model=HOME).json()
    assert (body["conversation_id"], body["continue_conversation"]) == ("abc", False)
    assert (body["language"], body["response"]["language"]) == ("en-GB", "en-GB")
    assert home().post("/v1/intent", text=TEXT).json()["conversation_id"] is None


def test_post_processors_do_not_matter(home):
    ask = home(post=["intent"])
    assert json.loads(ask.post("/v1/completions", model=HOME, prompt=TEXT).json()["choices"][0]["text"])
    assert ask.post("/v1/intent", text=TEXT).json()["intent"] == "HassTurnOn"


def test_the_first_model_with_intents_answers(home, tmp_path):
    other = serve(tmp_path / "toy", Scripted(()))
    assert home(other).post("/v1/intent", text=TEXT).json()["model"] == HOME


def test_an_answer_without_an_intent_is_an_error_to_speak(llm):
    body = fake(llm.folder, "\tSorry, I did not get that").post("/v1/intent", text="x").json()
    IntentReply.model_validate(body, strict=True)
    assert (body["intent"], body["slots"], body["reply"]) == ("", {}, "Sorry, I did not get that")
    assert body["response"]["response_type"] == "error"
    assert body["response"]["data"] == {"code": "no_intent_match"}


def test_a_model_without_intents_is_refused(tmp_path):
    ask = client(tmp_path / "toy", Scripted(()))
    named = ask.post("/v1/intent", text="x", model=NAME)
    assert (named.status_code, named.json()["error"]["param"]) == (400, "model")
    assert named.json()["error"]["message"] == (
        "model is 'toy', whose answers are no intents: /v1/models tells which ones' are"
    )
    some = ask.post("/v1/intent", text="x").json()["error"]
    assert some["message"] == "no served model's answers are intents: serve one of the home models"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": " "}, "text"),
        ({"text": 1}, "text"),
        ({}, "text"),
        ({"text": "x", "language": "so english"}, "language"),
        ({"text": "x", "temperature": 1}, "temperature"),
        ({"text": "a" * 5000}, "text"),
    ],
)
def test_what_is_refused(home, body, param):
    response = home().post("/v1/intent", **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_many_at_once_are_not_mixed(home, llm):
    texts = [f"set a timer for {minutes} minutes" for minutes in range(2, 30)]
    want = [dict(answers.parse(llm.generate(text).text).slots) for text in texts]
    worker = LocalWorker("native-0", llm)
    served = Served(HOME, llm, DIGEST, worker, ModelSettings(path=HOME), [worker])
    app = create_app(FakeService([served]))

    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://toy") as http:
            found = await asyncio.gather(*(http.post("/v1/intent", json={"text": text}) for text in texts))
        return [one.json()["slots"] for one in found]

    assert asyncio.run(main()) == want
