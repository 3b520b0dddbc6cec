"""`edgellm serve` and `edgellm keys` as a user runs them, up to where the service starts."""

import json
import subprocess
import sys
from datetime import date

import pytest

from edgellm.cli import main, serve
from edgellm.errors import ToolMissing
from edgellm.serve import check, keys, loading

BAD = "edgellm: error: "


def cli(capsys, *arguments) -> tuple[int, str, str]:
    code = main.main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def flags(*arguments) -> dict:
    return serve.flags(main.parser().parse_args(["serve", *arguments]))


def test_flags_that_are_not_given_are_left_out():
    assert flags() == {}
    assert flags("a", "b", "--port", "0", "--no-page", "--isolated") == {
        "models": ["a", "b"],
        "port": 0,
        "page": False,
        "models.isolated": True,
    }


@pytest.mark.parametrize(
    ("arguments", "backends"),
    [
        (["--backend", "native,cpu"], ["native", "cpu"]),
        (["--workers", "2"], ["auto", "auto"]),
        (["--backend", "native,cpu", "--workers", "2"], ["native", "native", "cpu", "cpu"]),
    ],
)
def test_workers(arguments, backends):
    assert flags(*arguments) == {"models.backends": backends}


def test_any_setting_by_name():
    given = flags(
        "--set", "queue.most_requests=3", "--set", "cache.store=off", "--set", 'security.hosts=["a"]'
    )
    assert given == {"queue.most_requests": 3, "cache.store": "off", "security.hosts": ["a"]}


def test_every_flag_is_of_a_setting(capsys):
    assert set(loading.FLAGS) <= {".".join(path) for path in loading.fields()}
    with pytest.raises(SystemExit):
        main.main(["serve", "--help"])
    told = capsys.readouterr().out
    assert [flag for flag in loading.FLAGS.values() if f" {flag}" not in told] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers 0: must be at least 1"),
        (["--set", "x"], "--set x: write NAME=VALUE, such as queue.most_requests=64"),
        (["--set", "=1"], "--set =1: write NAME=VALUE, such as queue.most_requests=64"),
        (["home-260k", "--port", "-1"], "--port is -1: must be greater than or equal to 0"),
        (
            ["home-260k", "--log-level", "loud"],
            "--log-level is 'loud': must be 'debug', 'info', 'warning' or 'error'",
        ),
    ],
)
def test_wrong_flags(capsys, arguments, message):
    assert cli(capsys, "serve", *arguments) == (2, "", f"{BAD}{message}\n")


def test_print_config_shows_what_would_be_used(capsys, monkeypatch):
    monkeypatch.setenv("EDGELLM_SERVE_CACHE__URL", "redis://:secret@127.0.0.1")
    code, out, _ = cli(capsys, "serve", "home-260k", "--port", "1", "--print-config")
    shown = json.loads(out)
    assert (code, shown["port"], shown["models"][0]["path"], shown["queue"]["most_requests"]) == (
        0,
        1,
        "home-260k",
        256,
    )
    assert "secret" not in out


def rows(out: str) -> dict[str, tuple[str, str]]:
    lines = [line.split(maxsplit=0) and line for line in out.splitlines()[2:]]
    starts = [out.splitlines()[0].index(word) for word in ("well", "why")]
    return {
        line[: starts[0]].strip(): (line[starts[0] : starts[1]].strip(), line[starts[1] :]) for line in lines
    }


def test_check_says_what_works_and_listens_nowhere(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELLM_SERVE_CACHE__PATH", str(tmp_path / "answers.sqlite"))
    arguments = ["serve", "home-260k", "--backend", "native,golden", "--port", "0", "--isolated", "--check"]
    code, out, _ = cli(capsys, *arguments)
    assert code == 0, out
    assert rows(out) == {
        "home-260k on native": ("yes", "home-260k answers on native (asked for), in a process of its own"),
        "home-260k on golden": ("yes", "home-260k answers on golden (asked for), in a process of its own"),
        "address": ("yes", "would listen on http://127.0.0.1:0 (a free port)"),
        "API keys": ("yes", "none: whoever works on this machine may use the service"),
        "TLS": ("yes", "none: plain HTTP"),
        "cache": ("yes", f"SQLite in {tmp_path}, at most 256 MB"),
    }


def test_check_says_all_that_does_not_work(capsys, tmp_path):
    arguments = [
        "serve",
        "home-260k",
        "no-such",
        "--backend",
        "xla,nonsense",
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    more = ["--keys", str(tmp_path / "none.json"), "--tls-key", "x", "--check"]
    settings = ["--set", "cache.store=redis", "--set", "cache.url=redis://127.0.0.1:1"]
    code, out, _ = cli(capsys, *arguments, *more, *settings)
    told = rows(out)
    assert code == 2
    assert {subject for subject, (well, _) in told.items() if well == "yes"} <= {"address"}
    assert told["home-260k on nonsense"][1].startswith(
        "back end 'nonsense' does not exist: choose from auto, "
    )
    assert told["no-such on nonsense"][1].startswith("no-such: no such folder and no model of that name.")
    assert told["API keys"][1].endswith("No such file or directory: make it with `edgellm keys add NAME`")
    assert told["TLS"][1] == "security.tls_key is given without security.tls_certificate: TLS needs both"
    assert told["cache"][1].startswith("the Redis server of cache.url does not answer: ")


def test_check_of_filters_keys_and_a_cache_folder(capsys, tmp_path):
    keys.add(tmp_path / "keys.json", "a")
    config = tmp_path / "edgellm.toml"
    config.write_text(
        f'port = 0\nsecurity.keys = "{tmp_path}/keys.json"\ncache.store = "off"\n'
        '[[models]]\npath = "home-260k"\nbackends = ["native"]\nfilters = [{kind = "no-such"}]\n'
    )
    code, out, _ = cli(capsys, "serve", "--config", str(config), "--check")
    told = rows(out)
    assert code == 2
    assert told["home-260k on native"] == (
        "no",
        "filters[0]: kind is 'no-such': must be one of max_characters, remove_controls, normalise, deny, allow, mask_personal",
    )
    assert told["API keys"] == ("yes", f"1 in {tmp_path}/keys.json")
    assert told["cache"] == ("yes", "off")


def test_a_cache_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(check.os, "access", lambda *_: False)
    finding = check.examine(
        loading.load({"models": ["no-such"], "cache.path": "/proc/x/answers.sqlite", "port": 0})
    )[-1]
    assert not finding.well
    assert finding.text == "the cache cannot be kept in /proc/x: /proc is not writable: set cache.path"


def test_a_missing_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    monkeypatch.delitem(sys.modules, "edgellm.serve.loading")
    monkeypatch.delattr("edgellm.serve.loading", raising=False)
    code, _, err = cli(capsys, "serve", "home-260k")
    assert code == 2
    assert err == (
        f"{BAD}the service needs packages that are not installed (no module pydantic_settings): pip install 'edgellm[serve]'\n"
    )


def test_a_module_of_edgellm_that_is_missing_is_no_missing_extra():
    error = ModuleNotFoundError("x", name="edgellm.nonsense")
    assert serve._missing(error, "serve") is error
    assert isinstance(serve._missing(ModuleNotFoundError("x", name="ray"), "serve,ray"), ToolMissing)


def test_the_command_line_loads_no_service():
    code = "import sys, edgellm.cli.main; print([m for m in ('fastapi', 'pydantic', 'uvicorn', 'ray') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_keys(capsys, tmp_path):
    file = str(tmp_path / "keys.json")
    code, made, told = cli(capsys, "keys", "add", "kitchen", "--limit", "60", "--file", file)
    assert code == 0
    assert keys.FORM.fullmatch(made.strip())
    assert told == f"shown this once; its hash is in {file}: edgellm serve --keys {file}\n"
    cli(capsys, "keys", "add", "boss", "--admin", "--file", file)
    _, listed, _ = cli(capsys, "keys", "list", "--file", file)
    lines = [line.split() for line in listed.splitlines()]
    assert [lines[2][0], *lines[2][2:]] == ["kitchen", date.today().isoformat(), "60", "no"]
    assert [lines[3][0], *lines[3][2:]] == ["boss", date.today().isoformat(), "-", "yes"]
    assert made.strip() not in listed
    assert cli(capsys, "keys", "remove", "kitchen", "--file", file)[0] == 0
    assert "kitchen" not in cli(capsys, "keys", "list", "--file", file)[1]


def test_the_file_of_keys_is_a_flag_else_of_the_settings_else_the_users(capsys, tmp_path, monkeypatch):
    config = tmp_path / "edgellm.toml"
    config.write_text(f'security.keys = "{tmp_path}/of-settings.json"')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    cli(capsys, "keys", "add", "a", "--config", str(config))
    cli(capsys, "keys", "add", "b")
    assert [key.name for key in keys.read(tmp_path / "of-settings.json")] == ["a"]
    assert [key.name for key in keys.read(tmp_path / "edgellm" / "keys.json")] == ["b"]


def test_keys_need_a_name(capsys):
    assert cli(capsys, "keys", "add") == (2, "", f"{BAD}edgellm keys add: give a NAME\n")
