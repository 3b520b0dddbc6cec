"""The C library: found, compiled, stale, and where it cannot be had."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgellm import cache
from edgellm.errors import ToolMissing
from edgellm.native import build, compilation

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache, and a package without a library."""
    compilation.digest.cache_clear()
    monkeypatch.setenv("EDGELLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setattr(compilation, "PACKAGE", package)
    return package


def test_it_is_compiled_once(monkeypatch):
    first = build.library()
    assert first.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(compilation, "compile_into", lambda *_: pytest.fail("compiled again"))
    assert build.library() == first
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    build.check()


def test_the_packages_own_library_is_taken_if_it_is_of_these_sources(place):
    compilation.package_into(place, compilation.find_compiler())
    assert build.library() == place / compilation.LIBRARY
    (place / compilation.STAMP).write_text("0" * 64)
    assert build.library() != place / compilation.LIBRARY


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    for ask in (build.library, build.check):
        with pytest.raises(ToolMissing) as caught:
            ask()
        assert str(caught.value) == (
            "back end native was not built with the package and there is no C compiler to build it now: "
            "apt-get install gcc"
        )


def test_a_compiler_that_does_not_start(monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc -m64")
    assert compilation.find_compiler() == ["/nowhere/cc", "-m64"]
    with pytest.raises(ToolMissing, match=r"^the C compiler /nowhere/cc does not start: "):
        build.library()


def test_a_compiler_that_fails_says_why_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(
        compilation, "FLAGS", (*compilation.FLAGS, "-Werror", "-DTILE=none", "-include", "nowhere.h")
    )
    with pytest.raises(ToolMissing, match=r"(?s)failed on back end native:\n.*nowhere\.h"):
        build.library()
    assert not list((tmp_path / "cache").glob("native/*"))


def test_the_sources_compile_without_a_warning(tmp_path, monkeypatch):
    strict = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror")
    monkeypatch.setattr(compilation, "FLAGS", (*compilation.FLAGS, *strict))
    compilation.compile_into(tmp_path / "lib.so", compilation.find_compiler())


def test_a_library_that_is_loaded_is_held():
    """In a process of its own: it is loaded once in each."""
    code = (
        "from edgellm import cache; from edgellm.native import binding, compilation; from pathlib import Path\n"
        "compilation.PACKAGE = Path('/nowhere'); binding.load(); print(cache.clear(), len(cache.entries()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 1\n"
    assert cache.clear() > 0


@pytest.mark.sim  # setuptools as new as the build wants is in the workstation's environment
@pytest.mark.parametrize("compiler", ["there", "missing"])
def test_a_wheel_with_and_without_a_compiler(tmp_path, compiler):
    """Built from a copy of the sources, as pip does it."""
    copy = tmp_path / "sources"
    names = subprocess.run(
        [
            "git",
            "ls-files",
            "-co",
            "--exclude-standard",
            "edgellm",
            "hw",
            "bitstreams",
            "notebooks",
            "setup.*",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    (copy / "models").mkdir()
    path = {"there": "/usr/bin:/bin", "missing": str(tmp_path)}[compiler]
    code = "import sys; sys.modules['numpy'] = None; from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    command = [sys.executable, "-c", code]  # nothing but setuptools is there when pip builds
    done = subprocess.run(command, cwd=copy, env={"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wheel = copy / done.stdout.split("\n")[-2]
    packed = zipfile.ZipFile(wheel).namelist()
    assert "edgellm/native/src/session.c" in packed
    assert ("edgellm/native/libedgellm.so" in packed) == (compiler == "there")
    assert wheel.name.endswith("-py3-none-any.whl") == (compiler == "missing")
    assert "-py3-none-" in wheel.name
