"""The rest is in setup.cfg; here the kernels in C are compiled into the wheel, where there is a compiler.

Without one the wheel is pure Python, and back end native compiles them when first used, or does without.
"""

import importlib.util
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

# by its path: the package itself needs what is not installed while it is built
SPEC = importlib.util.spec_from_file_location(
    "compilation", Path(__file__).resolve().parent / "edgellm" / "native" / "compilation.py"
)
compilation = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compilation)
COMPILER = compilation.find_compiler()


class BuildWithKernels(build_py):
    """Puts the library beside its Python modules; an editable install has none and compiles when first used."""

    def run(self) -> None:
        super().run()
        if COMPILER and not self.editable_mode:
            try:
                compilation.package_into(Path(self.build_lib) / "edgellm" / "native", COMPILER)
            except compilation.CannotCompile as error:
                self.warn(f"{error}\nback end native is left out of this wheel")


class WheelOfAnyPython(bdist_wheel):
    """The library knows nothing of Python: a wheel for every version of it, on one platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


class Binary(Distribution):
    """Has a platform where the kernels are compiled."""

    def has_ext_modules(self) -> bool:
        return COMPILER is not None


setup(distclass=Binary, cmdclass={"build_py": BuildWithKernels, "bdist_wheel": WheelOfAnyPython})
