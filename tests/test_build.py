"""Cython kernels: setup.py finds each of them, and all are compiled in the development environment."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from support import ROOT

KERNELS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(path for folder in ("mm", "benchmarks") for path in (ROOT / folder).rglob("*.pyx"))
}
TINY = "def answer() -> int:\n    return 42\n"


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_compiled(name: str) -> None:
    """Kernels are optional, so a compile failure would otherwise go unnoticed."""
    assert import_module(name).__file__.endswith((".so", ".pyd"))


def test_every_compiled_module_has_its_source() -> None:
    """Stale binaries of moved kernels must not be imported by mistake."""
    binaries = [path.relative_to(ROOT) for path in (ROOT / "mm").rglob("*.so")]
    sources = {
        path: ROOT / path.parent / f"{path.name.split('.')[0]}.pyx" for path in binaries if "_cyutil" not in path.name
    }
    assert not [path for path, source in sources.items() if not source.exists()], (
        "remove them: find mm -name '*.so' -delete; make build"
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a package with the project's build files and one small kernel in a subpackage."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    subpackage = tmp_path / "mm" / "room"
    subpackage.mkdir(parents=True)
    (tmp_path / "mm" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (subpackage / "__init__.py").touch()
    (subpackage / "_tiny.pyx").write_text(TINY)
    (subpackage / "_tiny.pxd").touch()
    return tmp_path


def setup(project: Path, *args: str, **variables: str) -> str:
    """Run setup.py with *args*, assert that it succeeds, and return its stdout."""
    command = [sys.executable, "setup.py", "--quiet", *args]
    done = subprocess.run(
        command, cwd=project, env={**os.environ, **variables}, text=True, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_setup_discovers_kernels_by_location(project: Path) -> None:
    """Kernels are not listed: a new or moved .pyx file is built as the module of its path."""
    setup(project, "build_ext", "--inplace")
    code = "from mm.room._tiny import answer; print(answer())"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, text=True, capture_output=True, check=True)
    assert done.stdout == "42\n"


@pytest.mark.slow
def test_build_prints_progress_and_compiles_only_changed_kernels(project: Path) -> None:
    """The build prints one line per compiled kernel and none for a kernel that is up to date."""
    first = setup(project, "build_ext", "--inplace")
    assert sorted(line.split(",")[0] for line in first.splitlines()) == [
        "compiled mm._cyutil",  # what the kernels share
        "compiled mm.room._tiny",
    ]
    assert setup(project, "build_ext", "--inplace") == ""
    shutil.rmtree(project / "build")  # pip builds in an empty folder
    assert setup(project, "build_ext", "--inplace") == ""
    source = project / "mm" / "room" / "_tiny.pyx"
    source.write_text(TINY.replace("42", "43"))
    new_mtime = (source.parent / "_tiny.c").stat().st_mtime + 10
    os.utime(source, (new_mtime, new_mtime))
    assert setup(project, "build_ext", "--inplace") == "compiled mm.room._tiny, 2 of 2\n"


@pytest.mark.slow
def test_build_without_compiler_skips_kernels(project: Path) -> None:
    """The recorder host has no compiler and needs no kernels."""
    setup(project, "build_ext", "--inplace", CC="no-such-compiler")
    assert not list(project.rglob("*.so"))


@pytest.mark.slow
def test_a_recorder_is_installed_without_kernels_on_request(project: Path) -> None:
    """A machine that only records waits for no compiler; the wheel then fits every Python."""
    setup(project, "bdist_wheel", MM_KERNELS="0")
    (wheel,) = (project / "dist").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert "mm/room/__init__.py" in names
    assert not [name for name in names if name.endswith((".so", ".c"))]


def test_sdist_contains_kernel_sources(project: Path) -> None:
    """A wheel built from the archive has the same kernels as one built from the source tree."""
    setup(project, "sdist")
    (archive,) = (project / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"setup.py", "mm/room/_tiny.pyx", "mm/room/_tiny.pxd"} <= names
