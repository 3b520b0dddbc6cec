"""The log of a run: rows as written, and forgotten as the checkpoint goes back."""

import pytest

from edgellm.train import logs
from edgellm.train.logs import Row, StageLog

pytestmark = pytest.mark.train

HEADER = "stage,step,tokens,loss,valid_loss,batch_loss,lr\n"


def row(stage, step, valid=None):
    return Row(stage, step, 100 * step, 1.5, valid, 1.25, 0.02)


def log(folder, stage, steps, begin=0):
    some = StageLog(folder, stage, begin)
    for step in steps:
        some.add(row(stage, step), 1000.0)
    some.close()


def steps(folder):
    return [(entry["stage"], int(entry["step"])) for entry in logs.read(folder)]


def test_rows_as_written(tmp_path):
    some = StageLog(tmp_path, "student", 0)
    some.add(row("student", 1), 900.0)
    some.add(row("student", 2, valid=0.5), 900.0)
    some.close()
    assert (tmp_path / "log.csv").read_text() == (
        HEADER + "student,1,100,1.50000,,1.2500000,0.02\nstudent,2,200,1.50000,0.50000,1.2500000,0.02\n"
    )


def test_tensorboard_reads_the_values_and_forgets_with_the_log(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log(tmp_path, "student", [1, 2, 3])
    log(tmp_path, "student", [3, 4], begin=2)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "student")).Reload()
    assert {"loss", "batch_loss", "lr", "tokens_per_second"} == set(events.Tags()["scalars"])
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(step, 1.5) for step in (1, 2, 3, 4)]


def test_a_stage_that_goes_on_forgets_its_own_later_rows_alone(tmp_path):
    log(tmp_path, "teacher", [10, 20, 30])
    log(tmp_path, "student", [10, 20, 30])
    logs.forget(tmp_path, "student", 20)
    assert steps(tmp_path) == [("teacher", s) for s in (10, 20, 30)] + [("student", s) for s in (10, 20)]


@pytest.mark.parametrize(
    "tail", ["student,40,40", "student,40,4000,1.5,,1.25,0.0", "x,y,z\n", "a,5,b,c,d,e,f,g,h\n"]
)
def test_what_a_killed_process_left_unfinished_is_dropped(tmp_path, tail):
    log(tmp_path, "student", [10])
    with (tmp_path / "log.csv").open("a") as file:
        file.write(tail)
    logs.forget(tmp_path, "teacher", 0)
    assert (tmp_path / "log.csv").read_text().count("\n") == 2
    assert steps(tmp_path) == [("student", 10)]


def test_logs_of_the_first_version_get_the_new_columns(tmp_path):
    (tmp_path / "log.csv").write_text("stage,step,tokens,loss,valid_loss\r\nteacher,5,500,2.0,1.9\r\n")
    logs.forget(tmp_path, "student", 0)
    assert (tmp_path / "log.csv").read_text() == HEADER + "teacher,5,500,2.0,1.9,,\n"


def test_no_log(tmp_path):
    assert logs.read(tmp_path) == []
    logs.forget(tmp_path / "new", "student", 0)
    assert (tmp_path / "new" / "log.csv").read_text() == HEADER
