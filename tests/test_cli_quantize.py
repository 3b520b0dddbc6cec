"""`edgellm quantize` as a user types it."""

import json

import pytest
from tiny_run import finished_run

from edgellm.cli.main import main
from edgellm.cli.quantize import parse_bits
from edgellm.errors import UsageError
from edgellm.numerics import onnxfile
from edgellm.train import config
from edgellm.train.bits import Bits

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run():
    return finished_run()


def failure(capsys, *arguments):
    assert main(["quantize", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("4", Bits()),
        ("ternary", Bits(weight=2, head=2)),
        ("8,kv=4,embedding=6", Bits(8, 8, embedding=6, kv=4)),
        ("4, head=8 ,down=ternary,layers.1.qkv=8", Bits(4, 8, overrides={"down": 2, "layers.1.qkv": 8})),
        ("activation=4,glu=4,weight=3", Bits(3, activation=4, glu=4)),
    ],
)
def test_bits(text, bits):
    assert parse_bits(text, 2) == bits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("four", r"^--bits four: 'four' is not a width: give N or PART=N$"),
        ("4,,3", r"'' is not a width"),
        ("4,down=", r"'down=' is not a width"),
        ("9", r"^--bits 9: weight must be 2 to 8, not 9$"),
        ("4,kv=6", r"kv must be 4 or 8, not 6$"),
        ("4,layers.2.qkv=4", r"layers\.2\.qkv is no linear layer: .* layers\.0\.KIND to layers\.1\.KIND$"),
    ],
)
def test_wrong_bits(text, message):
    with pytest.raises(UsageError, match=message):
        parse_bits(text, 2)


def test_calibrate_only(capsys, run, tmp_path):
    out = tmp_path / "model"
    bits = "4,down=8,kv=4"
    assert (
        main(["quantize", str(run), "--calibrate-only", "--bits", bits, "--lines", "8", "-o", str(out)]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["float", "integer"]
    assert lines[-1] == f"wrote {out}"
    model = onnxfile.load(out / "model.onnx")
    assert (model.widths.kv, model.blocks[0].down.weight_bits, model.blocks[0].qkv.weight_bits) == (4, 8, 4)
    assert (
        main(["generate", str(out), "-p", "turn on the lamp", "--max-tokens", "3", "--backend", "golden"])
        == 0
    )


def test_search_writes_the_winner_as_a_recipe(capsys, run, tmp_path):
    recipe = run.parent / "tiny.toml"
    search = ["--budget", "60%", "--metric", "loss", "--trials", "7", "--lines", "6"]
    assert main(["quantize", str(run), *search, "--config", str(recipe), "-o", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"wrote {tmp_path / 'recipe.toml'}" in out
    best = json.loads((tmp_path / "search.json").read_text())["mixes"][0]
    proposed = config.load(tmp_path / "recipe.toml")
    assert proposed.bits == Bits(**best["bits"])
    assert proposed.name == "tiny-mixed"


def test_search_without_a_recipe(capsys, run, tmp_path):
    search = ["--budget", "90 %", "--metric", "loss", "--trials", "2", "--lines", "6"]
    assert main(["quantize", str(run), *search, "-o", str(tmp_path)]) == 0
    assert (tmp_path / "bits.toml").read_text().startswith("[bits]\nweight = ")


def test_a_budget_that_is_none(capsys, run, tmp_path):
    error = failure(capsys, run, "--budget", "little", "-o", tmp_path)
    assert error == "edgellm: error: --budget little: give a percentage such as 1%\n"


def test_no_lines(capsys, run, tmp_path):
    error = failure(capsys, run, "--calibrate-only", "--lines", "0", "-o", tmp_path)
    assert error == "edgellm: error: --lines must be at least 1, not 0\n"


def test_no_run(capsys, tmp_path):
    error = failure(capsys, tmp_path, "--calibrate-only", "-o", tmp_path / "out")
    assert "no float model there: give a folder of `edgellm distill` with prune or student in it" in error


def test_one_thing_at_a_time(capsys, run, tmp_path):
    with pytest.raises(SystemExit):
        main(["quantize", str(run), "--calibrate-only", "--sensitivity", "-o", str(tmp_path)])
    assert "not allowed with argument" in capsys.readouterr().err
