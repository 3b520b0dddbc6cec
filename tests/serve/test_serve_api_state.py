"""Alive, ready, what is served, and the ids of requests."""

import re

import pytest
from fakes import DIGEST, NAME, Client, FakeService, Scripted, replace, serve

from edgellm import __version__
from edgellm.serve.api.schemas.replies import ModelReply, ModelsReply, Ready, Version
from edgellm.serve.app import create_app
from edgellm.serve.served import Readiness


@pytest.fixture
def service(tmp_path):
    return FakeService([serve(tmp_path / "toy", Scripted(()))])


@pytest.fixture
def ask(service):
    return Client(create_app(service))


def test_health_asks_nobody(service, ask):
    service.readiness = service.models = None  # calling them would fail
    response = ask("GET", "/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready(service, ask):
    assert (ask("GET", "/ready").status_code, ask("GET", "/ready").json()) == (
        200,
        {"ready": True, "reasons": []},
    )
    service.state = Readiness(False, ["worker native-0: the device hangs"])
    response = ask("GET", "/ready")
    Ready.model_validate(response.json(), strict=True)
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reasons": ["worker native-0: the device hangs"]}


def test_version(ask):
    body = ask("GET", "/version").json()
    Version.model_validate(body, strict=True)
    assert body == {"name": "edgellm", "version": __version__}


def test_models(ask):
    body = ask("GET", "/v1/models").json()
    ModelsReply.model_validate(body, strict=True)
    [card] = body["data"]
    ModelReply.model_validate(card, strict=True)
    assert ask("GET", f"/v1/models/{NAME}").json() == card
    assert (card["id"], card["created"], card["owned_by"]) == (NAME, 1_700_000_000, "edgellm")
    assert card["edgellm"] == {
        "description": "says what it is told",
        "digest": DIGEST,
        "context": 48,
        "vocab": 259,
        "intents": False,
        "backends": [],
    }


def test_a_name_may_have_a_slash(tmp_path):
    served = replace(serve(tmp_path / "toy", Scripted(())), name="home/small")
    ask = Client(create_app(FakeService([served])))
    assert ask("GET", "/v1/models/home/small").json()["id"] == "home/small"
    assert ask("GET", "/v1/models/home%2Fsmall").json()["id"] == "home/small"


@pytest.mark.parametrize("given", ["abc-123", "x" * 128, "a~!b"])
def test_a_decent_id_comes_back(ask, given):
    assert ask("GET", "/health", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é", "a\tb"])
def test_another_is_made_otherwise(ask, given):
    headers = {"x-request-id": given.encode()}
    made = [ask("GET", "/health", headers=headers).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch(r"req-[0-9a-f]{24}", one) for one in made)
    assert made[0] != made[1]


def test_the_user_is_noted_for_the_log(tmp_path):
    states = []

    async def looked_at(scope, receive, send):
        await app(scope, receive, send)
        states.append(scope["state"])

    app = create_app(FakeService([serve(tmp_path / "toy", Scripted(()))]))
    Client(looked_at).complete(user="anna")
    Client(looked_at).chat(user="bert")
    Client(looked_at).chat()
    assert [state.get("user") for state in states] == ["anna", "bert", None]
