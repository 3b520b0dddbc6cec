"""The scan of what each part may lose: which points there are, that they are kept, and the picture."""

import pytest
from tiny_run import finished_run

from edgellm.errors import UsageError
from edgellm.train import sensitivity
from edgellm.train.bits import Bits, problems
from edgellm.train.float_source import open_source
from edgellm.train.quality import Quality
from edgellm.train.quantise import Quantiser
from edgellm.train.sensitivity import Point

pytestmark = pytest.mark.train


class Pretended:
    """A quantiser whose loss is known: what each part alone costs, by weights of its width."""

    def __init__(self):
        self.source = type("Source", (), {"arch": type("Arch", (), {"layers": 2})()})()
        self.asked = []

    def quality(self, bits: Bits) -> Quality:
        self.asked.append(bits)
        narrow = sum(8 - width for width in bits.overrides.values())
        narrow += (
            16 - bits.head - bits.kv + 10 * (8 - bits.activation) + 8 - bits.embedding + 3 * (8 - bits.glu)
        )
        return Quality(1 + narrow / 100, 1 - narrow / 100)


def test_every_part_at_every_width():
    found = list(sensitivity.parts(2))
    names = {name for name, _, _ in found}
    assert len(names) == 4 + 2 * 4 + 2 + 3
    assert len(found) == len({(name, width) for name, width, _ in found}) == 3 * (4 + 8 + 2) + 3
    for name, width, bits in found:
        assert list(problems(bits, 2)) == [], name
        assert width in (2, 3, 4)


def test_points_are_measured_once(tmp_path):
    quantiser = Pretended()
    points = sensitivity.scan(quantiser, tmp_path)
    assert len(quantiser.asked) == len(points) + 1
    worst = max(points, key=lambda point: point.increase)
    assert (worst.part, worst.bits, worst.increase) == ("activation", 4, pytest.approx(0.4))
    table = (tmp_path / sensitivity.TABLE).read_text()
    assert table.splitlines()[:2] == [
        "part,bits,loss,increase,exact",
        "everything,8,1.00000,0.00000,1.0000",
    ]
    assert "layers.1.down,3,1.05000,0.05000,0.9500" in table

    lines = table.splitlines(keepends=True)
    (tmp_path / sensitivity.TABLE).write_text("".join(lines[:-4]))
    again = Pretended()
    sensitivity.scan(again, tmp_path)
    assert len(again.asked) == 5
    assert (tmp_path / sensitivity.TABLE).read_text() == table


def test_a_table_of_another_model(tmp_path):
    (tmp_path / sensitivity.TABLE).write_text(
        "part,bits,loss,increase,exact\neverything,8,0.50000,0.00000,1.0000\n"
    )
    with pytest.raises(
        UsageError, match=r"its model loses 0\.50000 nats a token with 8 bits, this one 1\.0000"
    ):
        sensitivity.scan(Pretended(), tmp_path)


def test_the_picture(tmp_path):
    points = [Point("qkv", 4, 1.0, 0.0, 1.0), Point("qkv", 2, 3.0, 2.0, 0.1), Point("kv", 4, 0.9, -0.1, 1.0)]
    sensitivity.draw(points, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_on_a_model():
    source = open_source(finished_run())
    quantiser = Quantiser(source, source.valid(6))
    losses = {}
    for name, width, bits in sensitivity.parts(source.arch.layers):
        if name in ("qkv", "down"):
            losses[name, width] = quantiser.quality(bits).loss
    assert losses["qkv", 2] > losses["qkv", 4]
    assert losses["down", 2] > losses["down", 4]
