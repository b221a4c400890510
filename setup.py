"""Declare the kernels; pyproject.toml holds the rest.

Every ``.pyx`` below ``mm/`` is an extension, and in a checkout also those of ``benchmarks/``. All are optional, because
a machine that only records has no compiler; commands that need a missing one report it. ``MM_KERNELS=0 pip install .``
builds none of them, and needs seconds in place of minutes.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import ClassVar

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# No -march, no -ffast-math, and products are rounded before they are added: results are the same on every machine.
# The C code is generated: Cython's warnings are about the source, the compiler's are not.
FLAGS = ["-O2", "-fno-math-errno", "-ffp-contract=off", "-g0", "-w"]
# Named, as otherwise exp and log of the oldest glibc are linked: wrappers that set errno, 19 more instructions than 36.
LIBRARIES = ["m"] if os.name == "posix" else []
# Benchmarks have kernels, too; they are built only in a checkout, because wheels do not contain benchmarks.
ROOMS = ["mm", "benchmarks"] if {"build_ext", "editable_wheel", "develop"} & set(sys.argv) else ["mm"]
# Cython's own code for memoryviews and functions stands once in this extension, not in each kernel.
SHARED = "mm._cyutil"
kernels = [path for room in ROOMS for path in sorted(Path(room).rglob("*.pyx"))]
if os.environ.get("MM_KERNELS") == "0":
    kernels = []


def write_stubs() -> None:
    """Write the ``.pyi`` of the kernels; mypy and editors read them in a checkout and in an installed package."""
    stubs = [path.with_suffix(".pyi") for path in kernels]
    sources = [Path("tools/stubs.py"), *kernels, *(path for room in ROOMS for path in Path(room).rglob("*.pxd"))]
    if not kernels or not sources[0].exists():  # a part of the tree is built, as under the sanitizer
        return
    if all(path.exists() for path in stubs) and _changed(stubs, min) > _changed(sources, max):
        return
    subprocess.run([sys.executable, "tools/stubs.py"], check=True)


def _changed(paths: list[Path], which: Callable[[Iterable[float]], float]) -> float:
    return which(path.stat().st_mtime for path in paths)


class Package(build_py):
    """Copy the package with its stubs, and the pages that ``mm docs`` reads."""

    def run(self) -> None:
        """Write the stubs first."""
        write_stubs()
        super().run()
        if not self.editable_mode:
            for page in Path("docs").rglob("*.md"):
                copy = Path(self.build_lib, "mm", "pages", page.relative_to("docs"))
                copy.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(page), str(copy))


class Kernels(build_ext):
    """Compile the kernels, and print a line for each one that changed."""

    done: ClassVar = count(1)

    def run(self) -> None:
        """Write the stubs too: an edit of a kernel changes both."""
        write_stubs()
        super().run()

    def build_extensions(self) -> None:
        """Translate all kernels that changed to C, in a process per core; then compile."""
        Options.emit_code_comments = False  # half of the C code
        if os.name == "posix":  # the processes share the options above, and do not import this file again
            multiprocessing.set_start_method("fork", force=True)
        translated = cythonize(
            self.extensions,
            nthreads=os.cpu_count() or 1,
            quiet=True,
            force=self.force,
            shared_utility_qualified_name=SHARED,
        )
        sources = {each.name: each.sources for each in translated}
        for each in self.extensions:
            each.sources = sources[each.name]
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        """Compile *extension*, unless it is up to date."""
        binary = Path(self.get_ext_fullpath(extension.name))
        in_place = Path(self.get_ext_filename(extension.name))
        if in_place.exists() and not binary.exists():  # pip builds in an empty folder: reuse what make compiled
            binary.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(in_place, binary)
        before = binary.stat().st_mtime_ns if binary.exists() else None
        super().build_extension(extension)
        place = f"{next(self.done)} of {len(self.extensions)}"
        if binary.stat().st_mtime_ns != before:
            print(f"compiled {extension.name}, {place}", flush=True)


def extension(name: str, source: str) -> Extension:
    """Return the extension *name*, whose source is the file *source*."""
    return Extension(name, [source], extra_compile_args=FLAGS, libraries=LIBRARIES, optional=True)


setup(
    cmdclass={"build_ext": Kernels, "build_py": Package},
    options={"build_ext": {"parallel": True}},
    ext_modules=kernels
    and [
        extension(SHARED, SHARED.replace(".", "/") + ".c"),
        *(extension(".".join(path.with_suffix("").parts), path.as_posix()) for path in kernels),
    ],
)
