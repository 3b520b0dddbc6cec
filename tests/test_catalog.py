"""Models by path and by name."""

import pytest

from edgellm import catalog
from edgellm.errors import ModelNotFound


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    for name in ("alpha", "beta"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("EDGELLM_MODELS", str(tmp_path))
    monkeypatch.setattr(catalog.resources, "models", lambda: tmp_path / "none")
    return tmp_path


def test_by_name_and_by_path(shelf):
    assert catalog.find("alpha") == shelf / "alpha"
    assert catalog.find(shelf / "beta") == shelf / "beta"
    assert list(catalog.available()) == ["alpha", "beta"]


def test_earlier_folders_win(shelf, monkeypatch):
    other = shelf / "other"
    (other / "alpha").mkdir(parents=True)
    (other / "alpha" / "manifest.json").write_text("{}")
    monkeypatch.setenv("EDGELLM_MODELS", f"{other}:{shelf}")
    assert catalog.find("alpha") == other / "alpha"


def test_unknown_models(shelf):
    with pytest.raises(
        ModelNotFound,
        match=r"alhpa: no such folder and no model of that name\. did you mean alpha\? Known models: alpha, beta",
    ):
        catalog.find("alhpa")
    with pytest.raises(
        ModelNotFound,
        match=r"empty: no manifest\.json in it, so it is not a model folder: run `edgellm export` to make one",
    ):
        catalog.find(shelf / "empty")
