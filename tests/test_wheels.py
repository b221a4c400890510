"""What a release is made of: bytes that follow from the source alone, and no wheel without its kernels."""

import io
import os
import sys
import tarfile
import zipfile

import pytest

from support import ROOT
from tools import wheels


def packed(names, *, mtime, reverse):
    """Return a .tar.gz of files called *names*, written in either order at an instant by some user."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in sorted(names, reverse=reverse):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.uname = len(name), mtime, mtime % 7, str(mtime)
            archive.addfile(member, io.BytesIO(name.encode()))
    return out.getvalue()


def test_an_archive_follows_from_names_and_contents_alone():
    names = ("mm/a.py", "mm/b.py", "README.md")
    first, second = (
        wheels.normalised(packed(names, mtime=at, reverse=reverse), epoch=1_000)
        for at, reverse in ((1, False), (2, True))
    )
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert {one.name: archive.extractfile(one).read() for one in archive} == {one: one.encode() for one in names}


def test_a_wheel_without_a_kernel_is_found(tmp_path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("mm/a.pyx", "mm/a.cpython-311.so", "mm/b.pyx", "mm/c.py"):
            archive.writestr(name, "")
    assert wheels.without_kernels(wheel) == ["mm/b.pyx"]


def test_a_missing_python_is_named(monkeypatch, tmp_path, capsys):
    (tmp_path / "python3.12").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert wheels.pythons_found() == [str(tmp_path / "python3.12")]
    assert "no Python 3.14" in capsys.readouterr().err


def test_a_failed_step_ends_with_what_it_printed(capsys):
    with pytest.raises(SystemExit, match="ended with 2"):
        wheels._run("python3", "-c", "import sys; print('why'); sys.exit(2)")
    assert "why" in capsys.readouterr().err


def test_the_build_packages_are_pinned():
    pins = wheels._pinned(ROOT / "mm/ops/deploy/requirements-build.txt")
    assert {pin.partition("==")[0] for pin in pins} == {"cython", "setuptools"}
