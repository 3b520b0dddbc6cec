"""The `[prune]` table: what shapes it means, and what it refuses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import FULL_KV, HOME, SHARED_KV
from tiny_run import RECIPE

from edgellm.errors import ConfigError
from edgellm.train import config, prune_table
from edgellm.train.prune_table import Prune

pytestmark = pytest.mark.train


def changed(arch, end):
    """Fields of an architecture that pruning changed."""
    before, after = dataclasses.asdict(arch), dataclasses.asdict(end)
    return {name: after[name] for name in after if after[name] != before[name]}


@pytest.mark.parametrize(
    ("table", "left"),
    [
        (Prune(), {}),
        (Prune(ffn=0.3), {"ffn": 132}),
        (Prune(ffn=0.1), {"ffn": 168}),
        (Prune(ffn=0.1, multiple=1), {"ffn": 173}),
        (Prune(ffn=0.9), {"ffn": 24}),
        (Prune(keep_ffn=96), {"ffn": 96}),
        (Prune(keep_heads=2), {"heads": 2}),
        (Prune(keep_kv_heads=1), {"heads": 2, "kv_heads": 1}),
        (Prune(keep_heads=1, keep_kv_heads=1), {"heads": 1, "kv_heads": 1}),
        (Prune(keep_layers=3, ffn=0.5), {"layers": 3, "ffn": 96}),
    ],
)
def test_what_is_left_of_home_260k(table, left):
    assert list(prune_table.problems(HOME, table)) == []
    assert changed(HOME, prune_table.goal(HOME, table)) == left
    assert table.asked == bool(left)


@pytest.mark.parametrize(
    ("ffn", "wanted", "nearest"),
    [(192, 134.4, 132), (192, 138, 144), (192, 6, 12), (192, 5.9, 0), (40, 38, 40), (40, 37, 36), (8, 5, 8)],
)
def test_widths_are_multiples_or_the_width_there_was(ffn, wanted, nearest):
    assert prune_table.nearest(ffn, wanted, 12) == nearest


@pytest.mark.parametrize(
    ("arch", "table", "field", "problem"),
    [
        (HOME, Prune(keep_heads=6), "keep_heads", "is 6, but student.heads is 4: at most that many can stay"),
        (HOME, Prune(keep_layers=9), "keep_layers", "is 9, but student.layers is 5: at most that many can"),
        (HOME, Prune(keep_ffn=204), "keep_ffn", "is 204, but student.ffn is 192: at most that many can stay"),
        (HOME, Prune(keep_kv_heads=3), "keep_kv_heads", "is 3, but student.kv_heads is 2"),
        (
            HOME,
            Prune(keep_heads=3),
            "keep_heads",
            "3 is not a multiple of the KV heads that stay: with 2 KV heads, 2, 4 can stay",
        ),
        (
            SHARED_KV,
            Prune(keep_heads=4, keep_kv_heads=1),
            "keep_heads",
            "4 is more than the student's 3 query heads a KV head: with 1 KV heads, 1, 2, 3 can stay",
        ),
        (
            HOME,
            Prune(keep_ffn=130),
            "keep_ffn",
            "130 is not a multiple of prune.multiple 12: 120 or 132 is",
        ),
        (
            FULL_KV,
            Prune(keep_ffn=5),
            "keep_ffn",
            "5 is not a multiple of prune.multiple 12: 12 is",
        ),
        (
            HOME,
            Prune(ffn=0.5, keep_ffn=96),
            "keep_ffn",
            "96 and prune.ffn 0.5 say the same thing twice: give one",
        ),
        (HOME, Prune(ffn=1.0), "ffn", "is the share to remove, 0 to less than 1, not 1.0"),
        (
            HOME,
            Prune(ffn=0.98),
            "ffn",
            "0.98 of 192 channels in multiples of 12 leaves nothing: 0.938 is the most, or a smaller",
        ),
        (
            HOME,
            Prune(ffn=0.03),
            "ffn",
            "0.03 of 192 channels in multiples of 12 takes nothing away: 0.0625 removes 12",
        ),
        (HOME, Prune(ffn=0.5, multiple=0), "multiple", "must be at least 1, not 0"),
        (HOME, Prune(ffn=0.5, steps=0), "steps", "must be at least 1, not 0"),
        (HOME, Prune(ffn=0.5, lines=0), "lines", "must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_pruned_is_said_with_what_can(arch, table, field, problem):
    ((named, said),) = prune_table.problems(arch, table)
    assert named == field
    assert said.startswith(problem)


def test_a_multiple_wider_than_the_layer_keeps_it_or_nothing():
    ((_, said),) = prune_table.problems(dataclasses.replace(HOME, ffn=8), Prune(ffn=0.7))
    assert said.endswith("leaves nothing: 0 is the most, or a smaller prune.multiple")


def test_steps_lead_evenly_to_the_end():
    table = Prune(ffn=0.5, keep_layers=2, keep_heads=2, steps=3)
    shapes = prune_table.rounds(HOME, prune_table.goal(HOME, table), table)
    assert [(shape.ffn, shape.layers, shape.heads) for shape in shapes] == [
        (156, 4, 4),
        (132, 3, 2),
        (96, 2, 2),
    ]


def test_steps_that_would_change_nothing_are_left_out():
    table = Prune(keep_layers=4, steps=4)
    assert [shape.layers for shape in prune_table.rounds(HOME, prune_table.goal(HOME, table), table)] == [4]
    table = Prune(keep_layers=5)
    assert prune_table.rounds(HOME, HOME, table) == [HOME]


@given(
    st.sampled_from([HOME, SHARED_KV, FULL_KV]),
    st.builds(
        Prune,
        ffn=st.floats(0, 0.99),
        keep_heads=st.integers(0, 6),
        keep_kv_heads=st.integers(0, 3),
        keep_layers=st.integers(0, 5),
        multiple=st.integers(1, 20),
        steps=st.integers(1, 6),
    ),
)
def test_every_shape_on_the_way_is_smaller_and_whole(arch, table):
    if list(prune_table.problems(arch, table)):
        return
    end, before = prune_table.goal(arch, table), arch
    shapes = prune_table.rounds(arch, end, table)
    assert shapes[-1] == end
    for shape in shapes:
        for name in ("layers", "heads", "kv_heads", "ffn"):
            assert 1 <= getattr(shape, name) <= getattr(before, name)
        assert shape.heads % shape.kv_heads == 0
        assert shape.heads // shape.kv_heads <= before.heads // before.kv_heads
        assert shape.ffn % table.multiple == 0 or shape.ffn == arch.ffn
        before = shape


def load(folder, text):
    path = folder / "recipe.toml"
    path.write_text(RECIPE + text)
    return config.load(path)


def test_a_recipe_that_prunes(tmp_path):
    recipe = load(
        tmp_path, "[prune]\nffn = 0.3\nmultiple = 8\nsteps = 2\n[prune_plan]\ntokens = 5\ndistil = 1\n"
    )
    assert recipe.prune == Prune(ffn=0.3, multiple=8, steps=2)
    assert (recipe.prune_plan.tokens, recipe.prune_plan.distil) == (5, 1.0)
    assert not load(tmp_path, "").prune.asked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[prune]\nkeep_heads = 9\n",
            ":44: prune.keep_heads is 9, but student.heads is 4: at most that many can",
        ),
        (
            "[prune]\nffn = 0.9\n",
            ":44: prune.ffn 0.9 of 32 channels in multiples of 12 leaves nothing: 0.625 is the",
        ),
        (
            "[prune]\nkeep_layers = 1\n",
            ": prune_plan is missing: a pruned student has to recover, for `tokens` of it",
        ),
        ("[prune_plan]\ntokens = 0\n", ":44: prune_plan.tokens must be more than 0, not 0"),
        (
            "[prune]\nfraction = 0.5\n",
            ":44: prune.fraction is not a field; known here: ffn, keep_ffn, keep_heads",
        ),
    ],
)
def test_a_recipe_that_cannot_be_meant_names_file_line_and_field(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "recipe.toml") + message)
