"""Settings: who says what comes before whom, and messages that name the source, the value and the way out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import ConfigError
from edgellm.serve import loading
from edgellm.serve.settings import ModelSettings, Values

MODEL = {"models": ["home-260k"]}


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "edgellm.toml"
        path.write_text(text)
        return path

    return write


def refused(*arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        loading.load(*arguments)
    return str(caught.value)


def test_defaults_listen_on_this_machine_alone():
    values = loading.load(MODEL)
    assert (values.host, values.port, values.security.keys) == ("127.0.0.1", 8000, None)
    assert values == Values(models=(ModelSettings(path="home-260k"),))


def test_flags_over_environment_over_file_over_defaults(toml, monkeypatch):
    file = toml(
        """
        models = ["a"]
        port = 1
        host = "127.0.0.2"
        drain_seconds = 3
        [queue]
        most_requests = 10
        most_tokens = 20
        deadline = 30
        """
    )
    monkeypatch.setenv("EDGELLM_SERVE_PORT", "2")
    monkeypatch.setenv("EDGELLM_SERVE_HOST", "127.0.0.3")
    monkeypatch.setenv("EDGELLM_SERVE_QUEUE__MOST_REQUESTS", "11")
    monkeypatch.setenv("EDGELLM_SERVE_QUEUE__MOST_TOKENS", "21")
    values = loading.load({"port": 3, "queue.most_requests": 12}, file)
    assert (values.port, values.host, values.drain_seconds) == (3, "127.0.0.3", 3)
    assert (values.queue.most_requests, values.queue.most_tokens, values.queue.deadline) == (12, 21, 30)
    assert values.queue.cool_down == 5
    assert [model.path for model in values.models] == ["a"]


def test_the_file_is_a_flag_or_a_variable(toml, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELLM_SERVE_CONFIG", str(toml('models = ["a"]\nport = 1')))
    assert loading.load({}).port == 1
    other = tmp_path / "other.toml"
    other.write_text('models = ["b"]')
    assert loading.load({}, other).models[0].path == "b"


def test_models_of_the_command_line_replace_the_files(toml):
    file = toml('[[models]]\npath = "a"\nisolated = true\n[[models]]\npath = "b"')
    assert [model.path for model in loading.load({"models": ["c"]}, file).models] == ["c"]
    values = loading.load({"models.backends": ["native", "cpu"]}, file)
    assert [(m.path, m.isolated, m.backends) for m in values.models] == [
        ("a", True, ("native", "cpu")),
        ("b", False, ("native", "cpu")),
    ]


def test_models_from_the_environment(monkeypatch):
    monkeypatch.setenv("EDGELLM_SERVE_MODELS", '["a", {"path": "b", "name": "c"}]')
    assert [(model.path, model.name) for model in loading.load({}).models] == [("a", ""), ("b", "c")]


def test_no_model():
    assert refused({}) == (
        "there is no model to serve: name one (edgellm serve MODEL), or give models in a TOML file or EDGELLM_SERVE_MODELS"
    )


def test_a_wrong_flag():
    assert refused({**MODEL, "port": 70_000}) == "--port is 70000: must be less than or equal to 65535"
    assert refused({**MODEL, "queue.most_requests": "many"}) == (
        "--set queue.most_requests is 'many': must be a valid integer, unable to parse string as an integer"
    )
    assert refused({**MODEL, "queue.mots_requests": 1}) == (
        "--set queue.mots_requests: there is no such setting: did you mean most_requests?"
    )
    assert refused({**MODEL, "port": 1, "port.x": 1}) == "--set port.x: port has no settings of its own"


def test_a_wrong_variable(monkeypatch):
    monkeypatch.setenv("EDGELLM_SERVE_CACHE__STORE", "disk")
    assert refused(MODEL) == "EDGELLM_SERVE_CACHE__STORE is 'disk': must be 'sqlite', 'redis' or 'off'"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EDGELLM_SERVE_PROT", "EDGELLM_SERVE_PORT"),
        ("EDGELLM_SERVE_QUEUE__DEADLIN", "EDGELLM_SERVE_QUEUE__DEADLINE"),
    ],
)
def test_an_unknown_variable(monkeypatch, name, meant):
    monkeypatch.setenv(name, "1")
    assert refused(MODEL) == f"{name}: there is no such setting: did you mean {meant}?"


def test_a_variable_that_is_no_json(monkeypatch):
    monkeypatch.setenv("EDGELLM_SERVE_MODELS", "home-260k")
    assert refused({}).startswith("EDGELLM_SERVE_MODELS cannot be read as JSON: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[queue]\nmost_requests = 0", "queue.most_requests is 0: must be greater than or equal to 1"),
        ("[[models]]\npath = 'a'\npth = 'a'", "models[0].pth: there is no such setting: did you mean path?"),
        ("[[models]]\nname = 'a'", "models[0].path is missing"),
        ("models = [3]", "models[0] is 3: must be a valid dictionary or instance of ModelSettings"),
        ("[limit]\nbody_kb = 3", "limit: there is no such setting: did you mean limits?"),
        ("drain_seconds = -1", "drain_seconds is -1: must be greater than 0"),
    ],
)
def test_a_wrong_file(toml, text, message):
    if "models" not in text:
        text = f'models = ["a"]\n{text}'
    path = toml(text)
    assert refused({}, path) == f"{path}: {message}"


def test_all_mistakes_at_once(toml):
    path = toml('models = ["a"]\nport = -1\nhosts = 3')
    assert refused({}, path) == (
        f"{path}: port is -1: must be greater than or equal to 0; {path}: hosts: there is no such setting: did you mean host?"
    )


def test_a_file_that_is_none(toml, tmp_path):
    path = toml("port = ")
    assert refused({}, path).startswith(f"{path} cannot be read as TOML: Invalid value")
    assert refused({}, tmp_path / "none.toml") == (
        f"{tmp_path}/none.toml cannot be read as TOML: No such file or directory"
    )


TEXTS = {
    "host",
    "cache.path",
    "cache.url",
    "security.keys",
    "security.tls_certificate",
    "security.tls_key",
} | {
    "log.traces",
    "ray.address",
}


@given(st.sampled_from([path for path in loading.fields() if ".".join(path) not in {"models", *TEXTS}]))
def test_every_setting_has_a_variable_that_names_it_when_wrong(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(loading.variable(path), '{"not": "this"}')
        assert loading.variable(path) in refused(MODEL)


def test_passwords_are_not_shown():
    values = loading.load(
        {**MODEL, "cache.url": "redis://me:secret@127.0.0.1/0", "log.traces": "http://a:b@127.0.0.1"}
    )
    shown = loading.shown(values)
    assert shown["cache"]["url"] == "redis://me:***@127.0.0.1/0"
    assert "secret" not in str(shown)
    assert shown["log"]["traces"] == "http://a:***@127.0.0.1"


def test_the_file_of_keys_without_any_model(toml, monkeypatch):
    assert loading.keys_file(toml("[security]\nkeys = '/k.json'")) == Path("/k.json")
    monkeypatch.setenv("EDGELLM_SERVE_SECURITY__KEYS", "/e.json")
    assert loading.keys_file(toml("[security]\nkeys = '/k.json'")) == Path("/e.json")
    monkeypatch.delenv("EDGELLM_SERVE_SECURITY__KEYS")
    assert loading.keys_file() is None
