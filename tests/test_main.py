import json

import pytest
from click.testing import CliRunner

import mm
from mm.__main__ import main
from mm.cli.commands import COMMANDS
from support import run_python

HEAVY = ("numpy", "polars", "pyarrow", "scipy", "httpx", "websockets", "msgspec", "plotly", "structlog")
IMPORTS = """
import json, sys
from click.testing import CliRunner
from mm.__main__ import main

result = CliRunner().invoke(main, sys.argv[1:])
assert result.exit_code == 0, result.output
print(json.dumps(sorted(sys.modules)))
"""


def imported(folder, *words):
    """Return the modules that a command imports."""
    done = run_python("-c", IMPORTS, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def commands(entries, *before):
    """Yield the words of every command."""
    for name, (_, target) in entries.items():
        words = (*before, name) if name else before
        yield from commands(target, *words) if not isinstance(target, str) else [words]


HELPS = """
import sys
import mm.__main__
from click.testing import CliRunner

for line in sys.argv[1].split("\\n"):
    result = CliRunner().invoke(mm.__main__.main, [*line.split(), "--help"])
    assert result.exit_code == 0, (line, result.output)
    heavy = set(sys.argv[2:]) & set(sys.modules) - ({"msgspec"} if line else set())
    assert not heavy, (line, heavy)
    print(line)
"""


def test_no_help_imports_what_only_commands_need(tmp_path):
    """``mm --help`` takes .15 s at most, also for a completion; that of a command, which loads its module, .4 s."""
    lines = [" ".join(words) for words in [(), *commands(COMMANDS)]]
    done = run_python("-c", HELPS, "\n".join(lines), *HEAVY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == lines


@pytest.mark.parametrize("command", ["record", "data check", "data repair", "data coverage", "data import"])
def test_commands_of_a_recorder_host_need_no_research_packages(command, tmp_path):
    """Only the recorder's packages are installed there."""
    assert not imported(tmp_path, *command.split(), "--help") & {"numpy", "polars", "pyarrow", "scipy"}


def test_python_m_mm_runs_the_program_from_any_folder(tmp_path):
    """``mm`` and ``python -m mm`` run the same function."""
    done = run_python("-m", "mm", "runs", "list", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no runs below out\n", "")


def test_program_limits_blas_to_one_thread_by_default(tmp_path):
    """BLAS threads slow down small matrices; a value set by the caller is kept."""
    name = "OPENBLAS_NUM_THREADS"
    code = f"import os, sys; {{}}import mm.__main__; print('numpy' in sys.modules, os.environ[{name!r}])"
    left_out = code.format(f"os.environ.pop({name!r}, None); ")
    assert run_python("-c", left_out, cwd=tmp_path).stdout.split() == ["False", "1"]
    assert run_python("-c", code.format(""), cwd=tmp_path, **{name: "4"}).stdout.split() == ["False", "4"]


def test_version_option_prints_version():
    """The output is the program's name and version."""
    assert CliRunner().invoke(main, ["--version"]).stdout == f"mm, version {mm.__version__}\n"


def test_every_command_has_a_short_help_line():
    """Help lines end with a full stop and have fewer than 70 characters."""
    assert all(text.endswith(".") and len(text) < 70 for text, _ in COMMANDS.values())
