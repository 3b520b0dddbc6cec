"""Pictures of the loss."""

import struct

import pytest

from edgellm.train import curves

pytestmark = pytest.mark.train

HEADER = "stage,step,tokens,loss,valid_loss,batch_loss,lr\n"


def size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_a_panel_for_each_stage(tmp_path):
    log = HEADER + "teacher,1,100,5.0,,5.0,0.1\nteacher,2,200,0.5,0.4,0.5,0.1\n"
    (tmp_path / "log.csv").write_text(log)
    curves.draw(tmp_path)
    width, height = size(tmp_path / "loss.png")
    (tmp_path / "log.csv").write_text(log + "student,1,100,5.0,4.9,5.0,0.1\n")
    curves.draw(tmp_path)
    assert size(tmp_path / "loss.png") == (2 * width, height)


def test_nothing_to_draw(tmp_path):
    curves.draw(tmp_path)
    (tmp_path / "log.csv").write_text(HEADER)
    curves.draw(tmp_path)
    assert not (tmp_path / "loss.png").exists()
