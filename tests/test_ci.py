"""What continuous integration takes for a failure, for a flake, and draws of the slow tests."""

import ast
import os
import shutil
import subprocess
import sys

import pytest

from crashes import CRASHED
from often import OFTEN
from support import ROOT

FAILED, CRASHES = ".pytest_cache/v/cache/lastfailed", f".pytest_cache/v/{CRASHED}"


def ci(folder, *, failed=(), crashed="", again=0):
    """Run ``.ci/run`` where the tests have failed, with what they leave; *again* is the exit code of the second run."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    tools, python = folder / "tools", folder / ".venv" / "bin" / "python"
    tools.mkdir()
    python.parent.mkdir(parents=True)
    left = {FAILED: "".join(f'  "{name}": true\n' for name in failed), CRASHES: crashed}
    writes = "\n".join(f"printf '%s' '{text}' > {path}" for path, text in left.items() if text)
    make = f'[ "$1" = demo ] && exit 0\nmkdir -p .pytest_cache/v/cache .pytest_cache/v/mm\n{writes}\nexit 2\n'
    for path, script in ((tools / "make", make), (python, f"exit {again}\n")):
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", folder / ".ci" / "run"], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def test_a_test_that_passes_alone_is_named_as_a_flake(tmp_path):
    done = ci(tmp_path, failed=["tests/a.py::test_b"])
    assert done.returncode == 0, done.stderr
    assert "tests/a.py::test_b" in done.stdout


def test_a_test_that_fails_twice_fails(tmp_path):
    assert ci(tmp_path, failed=["tests/a.py::test_b"], again=1).returncode != 0


def test_a_worker_that_has_crashed_is_no_flake(tmp_path):
    """What it ran passes alone, as it died of something else: of memory, or of a kernel."""
    done = ci(tmp_path, failed=["tests/a.py::test_b"], crashed='["gw0: Not properly terminated"]')
    assert done.returncode != 0
    assert "gw0" in done.stdout


def test_failures_in_many_files_are_no_flakes(tmp_path):
    assert ci(tmp_path, failed=[f"tests/{name}.py::test" for name in "abcdef"]).returncode != 0


def pytest_run(folder, *words, **variables):
    """Run pytest in a folder, with the plugin that notes crashes."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "crashes", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(("body", "crashed"), [("os._exit(139)", True), ("assert False", False)])
def test_the_crash_of_a_worker_is_kept(tmp_path, body, crashed):
    pytest.importorskip("xdist")
    (tmp_path / "test_one.py").write_text(f"import os\n\ndef test_a():\n    {body}\n")
    assert pytest_run(tmp_path, "-n", "1", "-q").returncode != 0
    assert (tmp_path / CRASHES).exists() is crashed


def test_pytest_needs_no_git(tmp_path):
    """Without it, and outside of a checkout, the same slow tests are drawn each time."""
    path = tmp_path / "bin"
    path.mkdir()
    words = ("--collect-only", "-q", "--slow", "some", "-p", "no:cacheprovider", "tests/test_ci.py")
    done = pytest_run(ROOT, *words, PATH=str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_drawn_more_often_is_there_and_slow():
    """A test that was renamed would be drawn as seldom as any other."""
    for name in sorted(OFTEN):
        path, _, function = name.partition("::")
        found = [
            node
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        assert found, name
        assert any("slow" in ast.unparse(one) for one in found[0].decorator_list), name
