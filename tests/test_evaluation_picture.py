"""The confusion picture: what is in it, and that it can be drawn with none and with many."""

import pytest

from edgellm.evaluation.picture import OTHER, draw, matrix

pytestmark = pytest.mark.train  # matplotlib

PAIRS = {("A", "A"): 9, ("A", "B"): 2, ("B", "B"): 5, ("C", "what"): 1, ("C", "ever"): 3, ("D", "D"): 7}


def test_only_intents_with_confusions_are_in_it():
    rows, columns, counts = matrix(PAIRS)
    assert rows == ["A", "C"]
    assert columns == ["A", "C", "B", OTHER]
    assert counts.tolist() == [[9, 0, 2, 0], [0, 0, 0, 4]]


def test_without_confusions_nothing_is_in_it():
    rows, columns, counts = matrix({("A", "A"): 3})
    assert (rows, columns, counts.shape) == ([], [], (0, 0))


def size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_it_grows_with_the_intents(tmp_path):
    names = [f"HassIntentNumber{i:02}" for i in range(42)]
    draw(dict.fromkeys(zip(names, names[1:] + names[:1], strict=True), 1), "many", tmp_path / "many.png")
    draw(PAIRS, "few", tmp_path / "few.png")
    draw({("A", "A"): 3}, "none", tmp_path / "none.png")
    many, few = size(tmp_path / "many.png"), size(tmp_path / "few.png")
    assert many[0] > 42 * 0.25 * 130  # a quarter of an inch each
    assert many[1] > 42 * 0.25 * 130
    assert few[0] < 1000
    size(tmp_path / "none.png")


def test_long_names_are_cut(tmp_path):
    draw({("A" * 400, "B"): 1}, "long", tmp_path / "long.png")
    assert size(tmp_path / "long.png")[0] < 1200
