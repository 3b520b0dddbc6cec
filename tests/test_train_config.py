"""Recipes: every field checked, every message names file, field and value."""

from pathlib import Path

import pytest

from edgellm.errors import ConfigError
from edgellm.train import config

pytestmark = pytest.mark.train

SHIPPED = Path(__file__).parent.parent / "models"
FULL = """\
name = "home-260k"
description = "Home assistant commands to intent, slots and reply: 0.28 M parameters, int4 weights, int8 activations"
seed = 1
least_per_intent = 3000

[corpus]
train = 320000
valid = 300

[teacher]  # float, 0.59 M parameters
vocab = 512
width = 96
layers = 5
heads = 4
kv_heads = 2
head_dim = 24
ffn = 288
context = 256

[teacher_plan]
tokens = 5000000

[student]
vocab = 512
width = 64
layers = 5
heads = 4
kv_heads = 2
head_dim = 16
ffn = 192
context = 256

[student_plan]
tokens = 8000000

[qat_plan]  # the float student's weights go on in int4, distilled from the teacher
tokens = 2200000
lr = 0.002
embedding_lr = 0.001
distil = 0.5

[bits]
weight = 4
head = 4
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe of every table with one replacement; returns its path."""

    def write(old="", new=""):
        path = tmp_path / "r.toml"
        assert old in FULL
        path.write_text(FULL.replace(old, new, 1))
        return path

    return write


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/config.toml")), ids=lambda path: path.parent.name)
def test_shipped_recipes_are_valid(path):
    recipe = config.load(path)
    assert recipe.name == path.parent.name
    assert recipe.qat_plan.distil > 0


def test_a_recipe_may_have_no_teacher(recipe):
    start, end = FULL.index("[teacher]"), FULL.index("[student]")
    found = config.load(recipe(FULL[start:end]))
    assert found.teacher is None
    assert found.teacher_plan is None


def test_half_a_teacher_is_none(recipe):
    start, end = FULL.index("[teacher_plan]"), FULL.index("[student]")
    with pytest.raises(ConfigError, match=r"teacher_plan is missing: a teacher needs its shape and its plan"):
        config.load(recipe(FULL[start:end]))


def test_a_student_without_a_teacher_cannot_ask_it(recipe):
    start, end = FULL.index("[teacher]"), FULL.index("[student]")
    path = recipe(FULL[start:end])
    path.write_text(path.read_text().replace("[student_plan]", "[student_plan]\ndistil = 0.5"))
    with pytest.raises(ConfigError, match=r"student_plan.distil must be 0: this recipe has no teacher"):
        config.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 1\n", "seed = 1\ncolour = 2\n", "colour is not a field; known here: name, description"),
        ("seed = 1\n", 'seed = "x"\n', "seed must be int, not 'x'"),
        ("seed = 1\n", "seed = true\n", "seed must be int, not True"),
        ("seed = 1\n", "seed = -4\n", "seed must not be negative, not -4"),
        ('name = "home-260k"\n', "", "name is missing"),
        ("[bits]\nweight = 4", "[bits]\nweight = 9", "bits.weight must be 2 to 8, not 9"),
        (
            "heads = 4\nkv_heads = 2\nhead_dim = 16",
            "heads = 3\nkv_heads = 2\nhead_dim = 16",
            "student.heads 3 must be a multiple of student.kv_heads 2",
        ),
        ("head_dim = 16", "head_dim = 15", "student.head_dim 15 must be even: RoPE turns pairs"),
        ("[bits]", "[bits", "not valid TOML"),
        ("[bits]", "[[bits]]", "bits must be a table, not [{'weight': 4, 'head': 4}]"),
        ("vocab = 512", "vocab = 500", "teacher.vocab 500 and student.vocab 512 differ"),
        (
            "context = 256",
            "context = 128",
            "teacher.context 128 is shorter than student.context 256: the teacher",
        ),
        ("ffn = 288", "ffn = 0", "teacher.ffn must be at least 1, not 0"),
        ("distil = 0.5", "distil = 1.5", "qat_plan.distil is a share, 0 to 1, not 1.5"),
        ("distil = 0.5", "distil = nan", "qat_plan.distil must be a finite number, not nan"),
        ("tokens = 5000000", "tokens = 0", "teacher_plan.tokens must be more than 0, not 0"),
        (
            "tokens = 5000000",
            "tokens = 5000000\nhidden = 0.1",
            "teacher_plan.hidden must be 0: a teacher has no teacher",
        ),
        ("[bits]", "[saving]\nlog_steps = 0\n[bits]", "saving.log_steps must be at least 1, not 0"),
    ],
)
def test_wrong_fields_are_named(recipe, old, new, message):
    path = recipe(old, new)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[bits]\nweight = 4", "[bits]\nweight = 9", "weight = 9"),
        ("ffn = 192\n", "ffn = -1\n", "ffn = -1"),
        ("seed = 1\n", "seed = true\n", "seed = true"),
        ("[student]\nvocab = 512\n", "[student]\n", "[student]"),  # missing: the table that should hold it
    ],
)
def test_the_line_is_named(recipe, old, new, line):
    path = recipe(old, new)
    number = path.read_text().splitlines().index(line) + 1
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}:{number}: ")


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no such recipe: see models/home-260k/config.toml for one"):
        config.load(tmp_path / "none.toml")


def test_whole_numbers_are_accepted_where_floats_are_meant(recipe):
    assert config.load(recipe("distil = 0.5", "distil = 1")).qat_plan.distil == 1.0
