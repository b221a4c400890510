"""Declare the kernels; pyproject.toml holds the rest.

Every ``.pyx`` below ``mm/`` is an extension, in a checkout also those of ``benchmarks/``. All are optional, because a
recorder box has no compiler; where one is missing, the commands that need it report it.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

# No -march and no -ffast-math, and a product is rounded before it is added: kernels count alike on every machine.
FLAGS = ["-O3", "-fno-math-errno", "-ffp-contract=off", "-g0"]
# The measurements have a kernel too; it is built in a checkout alone, because a wheel does not hold them.
ROOMS = ["mm", "benchmarks"] if {"build_ext", "editable_wheel", "develop"} & set(sys.argv) else ["mm"]

setup(
    options={"build_ext": {"parallel": True}},
    ext_modules=[
        Extension(".".join(path.with_suffix("").parts), [path.as_posix()], extra_compile_args=FLAGS, optional=True)
        for room in ROOMS
        for path in sorted(Path(room).rglob("*.pyx"))
    ],
)
