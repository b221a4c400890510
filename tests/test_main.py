import json

from click.testing import CliRunner

import mm
from mm.__main__ import COMMANDS, main
from support import run_python

HEAVY = ("numpy", "polars", "pyarrow", "scipy", "httpx", "websockets", "msgspec", "plotly")
IMPORTS = f"""
import json, sys
from click.testing import CliRunner
from mm.__main__ import main

def show(program, path):
    assert CliRunner().invoke(main, [*path, "--help"]).exit_code == 0, path
    loaded[" ".join(path)] = sorted(set({HEAVY}) & set(sys.modules))
    for name in getattr(program, "list_commands", lambda _: [])(None):
        show(program.get_command(None, name), [*path, name])

loaded = {{}}
show(main, [])
print(json.dumps(loaded))
"""


def test_no_help_imports_anything_heavy(tmp_path):
    """Help answers at once, on a recorder box too, where most of these are not installed."""
    done = run_python("-c", IMPORTS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {path: found for path, found in loaded.items() if found} == {}
    assert "runs list" in loaded


def test_the_program_and_the_module_are_one_door(tmp_path):
    """``mm`` and ``python -m mm`` run the same function, from any folder."""
    done = run_python("-m", "mm", "runs", "list", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no runs below out\n", "")


def test_the_program_sums_in_one_thread(tmp_path):
    """Threads of BLAS wait for each other on small matrices; a number that the caller gives stays."""
    name = "OPENBLAS_NUM_THREADS"
    code = f"import os, sys; {{}}import mm.__main__; print('numpy' in sys.modules, os.environ[{name!r}])"
    left_out = code.format(f"os.environ.pop({name!r}, None); ")
    assert run_python("-c", left_out, cwd=tmp_path).stdout.split() == ["False", "1"]
    assert run_python("-c", code.format(""), cwd=tmp_path, **{name: "4"}).stdout.split() == ["False", "4"]


def test_the_version_is_told():
    """A bug report begins with it."""
    assert CliRunner().invoke(main, ["--version"]).stdout == f"mm, version {mm.__version__}\n"


def test_every_command_has_a_line_of_help():
    """The first look at the program says what it can do."""
    assert all(text.endswith(".") and len(text) < 70 for text, _ in COMMANDS.values())
