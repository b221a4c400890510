"""The kernels: setup.py declares each one, and all are compiled where research runs."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib import import_module
from pathlib import Path

import pytest

from support import ROOT

KERNELS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(path for room in ("mm", "benchmarks") for path in (ROOT / room).rglob("*.pyx"))
}
TINY = "def answer() -> int:\n    return 42\n"


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_compiled_here(name: str) -> None:
    """A kernel is optional, so that one that does not compile would otherwise pass unseen."""
    assert import_module(name).__file__.endswith((".so", ".pyd"))


def test_every_module_of_a_kernel_has_its_source() -> None:
    """What an earlier build left of a kernel that has moved is not imported by mistake."""
    left = [path.relative_to(ROOT) for path in (ROOT / "mm").rglob("*.so")]
    assert not [path for path in left if not (ROOT / path.parent / f"{path.name.split('.')[0]}.pyx").exists()], (
        "remove them: find mm -name '*.so' -delete; make build"
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package with the project's own build files and one small kernel in a room of its own."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    room = tmp_path / "mm" / "room"
    room.mkdir(parents=True)
    (tmp_path / "mm" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (room / "__init__.py").touch()
    (room / "_tiny.pyx").write_text(TINY)
    (room / "_tiny.pxd").touch()
    return tmp_path


def setup(project: Path, *args: str, **variables: str) -> str:
    """Run setup.py with *args*, fail where it fails, and return its stdout."""
    command = [sys.executable, "setup.py", "--quiet", *args]
    done = subprocess.run(
        command, cwd=project, env={**os.environ, **variables}, text=True, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kernel_is_found_where_it_lies(project: Path) -> None:
    """Nobody lists a kernel: a new or a moved .pyx is built by its place."""
    setup(project, "build_ext", "--inplace")
    code = "from mm.room._tiny import answer; print(answer())"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, text=True, capture_output=True, check=True)
    assert done.stdout == "42\n"


def test_a_build_shows_its_progress_and_compiles_only_what_changed(project: Path) -> None:
    """Seventy kernels take minutes: each one is a line, and one that is up to date is none."""
    assert setup(project, "build_ext", "--inplace") == "compiled mm.room._tiny, 1 of 1\n"
    assert setup(project, "build_ext", "--inplace") == ""
    shutil.rmtree(project / "build")  # pip builds in an empty folder
    assert setup(project, "build_ext", "--inplace") == ""
    source = project / "mm" / "room" / "_tiny.pyx"
    source.write_text(TINY.replace("42", "43"))
    later = (source.parent / "_tiny.c").stat().st_mtime + 10
    os.utime(source, (later, later))
    assert setup(project, "build_ext", "--inplace") == "compiled mm.room._tiny, 1 of 1\n"


def test_a_box_without_a_compiler_builds_without_the_kernels(project: Path) -> None:
    """The recorder box has none, and needs none."""
    setup(project, "build_ext", "--inplace", CC="no-such-compiler")
    assert not list(project.rglob("*.so"))


def test_a_source_archive_holds_what_a_kernel_is_built_from(project: Path) -> None:
    """A wheel that is made from the archive has the same kernels as one made from the tree."""
    setup(project, "sdist")
    (archive,) = (project / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"setup.py", "mm/room/_tiny.pyx", "mm/room/_tiny.pxd"} <= names
