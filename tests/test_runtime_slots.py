"""The slot table: where prompts go, what is reused, what is kept."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.runtime.slots import BLOCK, Placement, SlotTable

LONG = list(range(3 * BLOCK + 5))


def filled(slots=4, copies=True, *prompts):
    """A table whose first slots were fed these prompts and are free again."""
    table = SlotTable(slots, copies)
    places = [table.place(prompt) for prompt in prompts]
    for place, prompt in zip(places, prompts, strict=True):
        table.fed(place.slot, prompt[place.start :])
    for place in places:
        table.release(place.slot)
    return table


def test_an_empty_table_starts_at_the_beginning():
    table = SlotTable(2, True)
    assert table.place(LONG).start == 0
    assert table.place(LONG) == Placement(1)  # nothing is known to be in slot 0 yet
    assert table.free == 0


def test_a_conversation_goes_on_in_its_slot():
    table = filled(4, True, LONG)
    assert table.place([*LONG, 7, 8]) == Placement(0, len(LONG))


def test_the_last_token_is_always_fed_again():
    table = filled(4, True, LONG)
    assert table.place(LONG) == Placement(0, len(LONG) - 1)


def test_a_shared_prefix_is_copied_and_the_original_kept():
    table = filled(4, True, [*LONG, 100, 101, 102])
    assert table.place([*LONG, 200]) == Placement(1, len(LONG), source=0)
    assert table.place([*LONG, 100, 101, 102, 103]) == Placement(0, len(LONG) + 3)


def test_a_busy_slot_gives_its_prefix():
    table = SlotTable(3, True)
    first = table.place(LONG)
    table.fed(first.slot, LONG)
    assert table.place([*LONG, 5]) == Placement(1, len(LONG), source=0)


def test_a_device_that_cannot_copy_reuses_free_slots_only():
    table = filled(3, False, [*LONG, 100, 101, 102])
    assert table.place([*LONG, 9]) == Placement(0, len(LONG))
    assert table.place([*LONG, 9]) == Placement(1)


def test_less_than_a_block_is_not_worth_a_copy():
    table = filled(3, True, LONG)
    assert table.place([*LONG[: BLOCK - 1], 99, 98]).start == 0


def test_the_last_free_slot_is_taken_from_its_prefix():
    table = filled(1, True, [*LONG, 100, 101, 102])
    assert table.place([*LONG, 9]) == Placement(0, len(LONG))


def test_the_least_recently_used_prefix_goes_first():
    table = filled(2, True, [1] * 40, [2] * 40)
    assert table.place([1] * 41) == Placement(0, 40)
    table.release(0)
    assert table.place([3] * 40) == Placement(1)
    assert table.place([2] * 41) == Placement(0)  # slot 1 had it


def test_what_was_overwritten_is_not_found_again():
    table = filled(1, True, LONG)
    table.place([99] * 30)
    table.release(0)
    assert table.place(LONG).start == 0


def test_generated_tokens_belong_to_the_prefix():
    table = SlotTable(2, True)
    table.place(LONG)
    table.fed(0, LONG)
    table.fed(0, [500, 501])
    table.release(0)
    assert table.cached() == len(LONG) + 2
    assert table.place([*LONG, 500, 501, 502]) == Placement(0, len(LONG) + 2)


def test_clear_forgets_everything():
    table = filled(2, True, LONG)
    table.clear()
    assert table.cached() == 0
    assert table.place(LONG).start == 0


def test_equal_hashes_are_compared(monkeypatch):
    """Were every hash the same, nothing wrong would be reused."""
    monkeypatch.setattr("edgellm.runtime.slots.hash", lambda _: 1, raising=False)
    table = filled(3, True, [1] * 40, [*[2] * 39, 3])
    assert table.place([2] * 45) == Placement(1, 39)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 5))
def test_what_is_reused_was_fed(seed, copies, slots):
    """Random jobs on a model of the caches: a placement's prefix is always there."""
    rng = random.Random(seed)
    table, caches, busy = SlotTable(slots, copies), [[] for _ in range(slots)], {}
    stems = [[rng.randrange(3) for _ in range(60)] for _ in range(2)]
    for _ in range(60):
        if busy and (not table.free or rng.random() < 0.5):
            slot = rng.choice(sorted(busy))
            caches[slot] += (new := [rng.randrange(3) for _ in range(rng.randrange(3))])
            table.fed(slot, new)
            if rng.random() < 0.7:
                table.release(slot)
                del busy[slot]
            continue
        prompt = rng.choice(stems)[: rng.randrange(1, 60)] + [
            rng.randrange(3) for _ in range(rng.randrange(1, 9))
        ]
        place = table.place(prompt)
        assert place.slot not in busy
        assert place.start < len(prompt)
        held = caches[place.slot if place.source is None else place.source]
        assert held[: place.start] == prompt[: place.start]
        busy[place.slot], caches[place.slot] = True, prompt[: place.start]
        if rng.random() < 0.8:
            caches[place.slot] = list(prompt)
            table.fed(place.slot, prompt[place.start :])
        assert table.free == slots - len(busy)
