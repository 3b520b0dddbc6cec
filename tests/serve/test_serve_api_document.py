"""The OpenAPI document: complete, of this service alone, and true: schemathesis sends what it allows and what it forbids."""

import json

import pytest
import schemathesis
from fakes import DIGEST, Client, FakeService, Scripted, said, serve
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.middleware import Middleware

from edgellm import catalog
from edgellm.runtime.model import Model
from edgellm.serve.api.described import MEANINGS
from edgellm.serve.api.route import LeanRoute
from edgellm.serve.app import ROUTERS, create_app
from edgellm.serve.served import Served
from edgellm.serve.settings import ModelSettings

TEXTS = ["/v1/completions", "/v1/chat/completions", "/v1/intent"]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return create_app(FakeService([serve(tmp_path_factory.mktemp("models") / "toy", Scripted(()))]))


@pytest.fixture(scope="module")
def document(app):
    return app.openapi()


def test_nothing_in_it_is_of_another_host(document):
    assert "http" not in json.dumps(document).replace("https://json-schema.org", "")


def test_every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(document))
    assert "#/components/schemas/CompletionChunk" in found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_route_is_in_it_with_its_errors(app, document):
    for router in ROUTERS:
        for route in router.routes:
            for method in route.methods:
                told = document["paths"][route.path_format.replace(":path", "")][method.lower()]
                assert told["summary"]
                assert told["description"]
                assert "422" not in told["responses"]
                assert "default" in told["responses"]
                if isinstance(route, LeanRoute):
                    assert {str(status) for status in MEANINGS} <= set(told["responses"])


def test_every_parameter_of_a_request_is_described(document):
    for name in ("CompletionRequest", "ChatRequest"):
        schema = document["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        for field, told in schema["properties"].items():
            assert told.get("description"), field


@pytest.mark.parametrize("path", TEXTS[:2])
def test_streams_are_described(document, path):
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    done, told = content["text/event-stream"]["itemSchema"]["properties"]["data"]["anyOf"]
    chunk, error = (one["$ref"].rpartition("/")[2] for one in told["contentSchema"]["oneOf"])
    assert done == {"const": "[DONE]"}
    assert (chunk in ("CompletionChunk", "ChatChunk"), error) == (True, "ErrorBody")


def test_middlewares_are_inside_of_request_ids(tmp_path):
    seen = []

    class Looks:
        def __init__(self, app):
            self._app = app

        async def __call__(self, scope, receive, send):
            seen.append(scope["state"]["request_id"])
            await self._app(scope, receive, send)

    service = FakeService([serve(tmp_path / "toy", Scripted(()))])
    response = Client(create_app(service, [Middleware(Looks)]))("GET", "/health")
    assert seen == [response.headers["x-request-id"]]


class AnyName(FakeService):
    """Calls its model whatever it is called, so that requests made up get an answer."""

    def get(self, name):
        return self.served[0]


@pytest.fixture(scope="module")
def made_up():
    """The document of a service whose model, of intents, says the same to everybody."""
    model = Model(catalog.find("home-260k"))
    source = Scripted(lambda order: said("abc", 2, logprobs=order.params.logprobs))
    told = ModelSettings(path=model.name, truncate="left", history="last")
    service = AnyName([Served(model.name, model, DIGEST, source, told)])
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(service))


ROUTES = [
    (route.path_format, method) for router in ROUTERS for route in router.routes for method in route.methods
]
CASES = [
    *((path, method, GenerationMode.POSITIVE) for path, method in ROUTES),
    *((path, method, GenerationMode.NEGATIVE) for path, method in ROUTES if method == "POST"),
]


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_requests_made_up_get_answers_of_the_document(made_up, path, method, mode):
    statuses = set()

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(case=made_up[path][method].as_strategy(generation_mode=mode))
    def run(case):
        # a regex may be wrong in itself, of which no schema knows
        statuses.add(case.call_and_validate(excluded_checks=[positive_data_acceptance]).status_code)

    run()
    assert statuses == {400} if mode is GenerationMode.NEGATIVE else 200 in statuses


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ],
)
def test_a_stream_is_what_the_document_says(made_up, path, asked):
    body = {"model": "any", **asked, "stream": True, "stream_options": {"include_usage": True}}
    case = made_up[path]["POST"].Case(body=body, media_type="application/json")
    assert case.call_and_validate().status_code == 200
