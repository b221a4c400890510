"""Release files: reproducible source archives, and wheels that contain all kernels."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from support import ROOT
from tools import wheels


def make_archive(names, *, mtime, reverse):
    """Return a .tar.gz of files called *names*, in either order, with a given mtime and owner."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in sorted(names, reverse=reverse):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.uname = len(name), mtime, mtime % 7, str(mtime)
            archive.addfile(member, io.BytesIO(name.encode()))
    return out.getvalue()


def test_normalised_archive_depends_only_on_names_and_contents():
    names = ("mm/a.py", "mm/b.py", "README.md")
    first, second = (
        wheels.normalised(make_archive(names, mtime=at, reverse=reverse), epoch=1_000)
        for at, reverse in ((1, False), (2, True))
    )
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert {one.name: archive.extractfile(one).read() for one in archive} == {one: one.encode() for one in names}


def test_without_kernels_lists_uncompiled_kernels_of_wheel(tmp_path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("mm/a.pyx", "mm/a.cpython-311.so", "mm/b.pyx", "mm/c.py"):
            archive.writestr(name, "")
    assert wheels.without_kernels(wheel) == ["mm/b.pyx"]


def test_without_stubs_lists_what_type_checkers_lack(tmp_path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("mm/__init__.pyi", "mm/a.pyx", "mm/a.pyi", "mm/b.pyx"):
            archive.writestr(name, "")
    assert wheels.without_stubs(wheel) == ["mm/b.pyi", "mm/py.typed"]


@pytest.mark.slow
def test_package_that_is_built_has_every_stub(tmp_path):
    """A build copies the stubs that it wrote into what becomes the wheel."""
    built = tmp_path / "lib"
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", built],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in (built / "mm").rglob("*.py*"):
            archive.write(path, path.relative_to(built))
        archive.write(built / "mm/py.typed", "mm/py.typed")
    assert wheels.without_stubs(wheel) == []


def test_missing_python_version_is_reported(monkeypatch, tmp_path, capsys):
    (tmp_path / "python3.12").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert wheels.pythons_found() == [str(tmp_path / "python3.12")]
    assert "no Python 3.14" in capsys.readouterr().err


def test_failed_build_step_prints_its_output(capsys):
    with pytest.raises(SystemExit, match="ended with 2"):
        wheels._run("python3", "-c", "import sys; print('why'); sys.exit(2)")
    assert "why" in capsys.readouterr().err


def test_build_requirements_are_pinned():
    pins = wheels._pinned(ROOT / "mm/ops/deploy/requirements-build.txt")
    assert {pin.partition("==")[0] for pin in pins} == {"cython", "setuptools"}


def test_steps_of_the_readme_are_those_that_need_no_checkout():
    """In order: a day is made before it is calibrated, and the script is valid Python."""
    steps = wheels.readme_steps((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = [step for kind, step in steps if kind == "console"]
    assert [next(word for word in ("sim day", "calibrate", "backtest") if word in one) for one in commands] == [
        *("sim day", "calibrate", "backtest")
    ]
    assert wheels.readme_steps("```console\n$ a \\\n  --b\nout\n```") == [("console", "a \\\n  --b")]
    (script,) = (step for kind, step in steps if kind == "python")
    compile(script, "README.md", "exec")
    assert not any(command.startswith("make") for command in commands)
