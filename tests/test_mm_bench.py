"""``mm bench`` is a door: the measurements stand beside the package, in the repository alone."""

from click.testing import CliRunner

from mm import bench
from support import ROOT, run_python


def test_the_door_opens_where_the_folder_is(tmp_path):
    """By both names, from any folder."""
    for words in (("-m", "mm", "bench", "--help"), ("-m", "mm.bench", "--help")):
        done = run_python(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "recorder" in done.stdout


def test_an_installed_package_says_where_to_get_it(tmp_path):
    """One line, exit code 2."""
    done = CliRunner().invoke(bench.command(tmp_path / "benchmarks"), ["engine", "--turns", "3"])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: there is no folder {tmp_path}/benchmarks; ")
    assert "checkout" in done.stderr


def test_the_measurements_are_not_in_a_wheel():
    """What users install holds no benchmark, neither its modules nor its kernel."""
    code = (
        "import sys, setuptools, runpy; sys.argv = ['setup.py', 'bdist_wheel'];"
        "found = []; setuptools.setup = lambda **given: found.append(given);"
        "runpy.run_path('setup.py');"
        "names = [one.name for one in found[0]['ext_modules']];"
        "assert names and all(name.startswith('mm.') for name in names), names;"
        "packages = setuptools.find_packages(include=['mm', 'mm.*']);"
        "assert packages and not [name for name in packages if 'bench' in name], packages"
    )
    done = run_python("-c", code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
