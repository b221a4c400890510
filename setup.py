"""Declare the kernels; pyproject.toml holds the rest.

Every ``.pyx`` below ``mm/`` is an extension. All are optional, because a recorder box has no compiler;
where one is missing, the commands that need it report it.
"""

from pathlib import Path

from setuptools import Extension, setup

FLAGS = ["-O3", "-fno-math-errno", "-g0"]

setup(
    options={"build_ext": {"parallel": True}},
    ext_modules=[
        Extension(".".join(path.with_suffix("").parts), [path.as_posix()], extra_compile_args=FLAGS, optional=True)
        for path in sorted(Path("mm").rglob("*.pyx"))
    ],
)
