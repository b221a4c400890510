"""``mm bench`` is an entry point: the measurements are next to the package, in the repository only."""

import pytest
from click.testing import CliRunner

from mm import bench
from support import ROOT, run_python


@pytest.mark.slow
def test_bench_command_works_in_a_checkout(tmp_path):
    """By both module names, from any folder."""
    for words in (("-m", "mm", "bench", "--help"), ("-m", "mm.bench", "--help")):
        process = run_python(*words, cwd=tmp_path)
        assert (process.returncode, process.stderr) == (0, "")
        assert "recorder" in process.stdout


def test_bench_command_without_folder_prints_where_to_get_it(tmp_path):
    """The message is one line, and the exit code is 2."""
    process = CliRunner().invoke(bench.command(tmp_path / "benchmarks"), ["engine", "--turns", "3"])
    assert process.exit_code == 2
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith(f"error: there is no folder {tmp_path}/benchmarks; ")
    assert "checkout" in process.stderr


def test_help_without_folder_is_no_error(tmp_path):
    """A wheel's help says where the measurements are."""
    process = CliRunner().invoke(bench.command(tmp_path / "benchmarks"), ["--help"])
    assert (process.exit_code, process.stderr) == (0, "")
    assert "checkout" in process.stdout


def test_wheel_contains_no_benchmarks():
    """A wheel contains neither modules nor kernels of the benchmarks."""
    code = (
        "import sys, setuptools, runpy; sys.argv = ['setup.py', 'bdist_wheel'];"
        "found = []; setuptools.setup = lambda **given: found.append(given);"
        "runpy.run_path('setup.py');"
        "names = [one.name for one in found[0]['ext_modules']];"
        "assert names and all(name.startswith('mm.') for name in names), names;"
        "packages = setuptools.find_packages(include=['mm', 'mm.*']);"
        "assert packages and not [name for name in packages if 'bench' in name], packages"
    )
    process = run_python("-c", code, cwd=ROOT)
    assert process.returncode == 0, process.stderr
