"""A clean environment for every test; helpers that tests import are in support.py."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import durations
from browser import Chrome, browser, started
from crashes import pytest_testnodedown
from invariants import assert_run_is_sound, assert_summary_is_sound
from mm.backtest.journal import Journal
from mm.backtest.metrics.summary import summarise
from mm.backtest.replay import Replay
from mm.backtest.result import Result
from mm.backtest.run_terms import RunTerms
from mm.base.knobs import knobs
from mm.cli.docs import every_group
from often import OFTEN
from repeatable import pytest_terminal_summary
from support import ROOT, SHARED

__all__ = ["ROOT", "SHARED", "pytest_terminal_summary", "pytest_testnodedown"]

# Shells start background jobs with SIGINT ignored, and child processes inherit that, so the default is restored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loop without an end fails where it is, with a MemoryError, instead of taking the memory of the machine and with it
# the tests beside it. On macOS the limit has no effect.
MAX_DATA_BYTES = 8 << 30
resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))

SHARE = 20  # one of so many slow tests runs in `make test`
SHARE_OFTEN = 4  # the same of those in `OFTEN`, and of packages that have changed
VARIABLES = [one.variable for group in every_group() for one in knobs(group)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of ``-n auto``: 1.5 per core, since many tests wait for clocks and ports."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the choice among the tests that are marked slow."""
    parser.addoption("--slow", choices=["all", "some", "none"], default="all", help="which slow tests to run")
    parser.addoption("--quick", action="store_true", help="only tests that took no longer than .25 s the last time")
    parser.addoption("--some-of", metavar="COMMIT", help="the slow tests that this commit chooses (default: HEAD)")


def _commit(config: pytest.Config) -> str:
    """Return the commit that chooses some slow tests; it is empty outside of a git checkout, and without git."""
    given, git = config.getoption("--some-of"), shutil.which("git")
    if given or git is None:
        return given or ""
    head = [git, "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _changed(config: pytest.Config) -> set[str]:
    """Return the folders of `mm` that differ from the merge base with the main branch of the first remote.

    It is empty without such a branch, and where nothing differs: then the commit alone chooses.
    """
    git = shutil.which("git")
    if git is None or config.getoption("--some-of"):
        return set()
    base = subprocess.run(
        [git, "merge-base", "HEAD", "origin/main"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not base:
        return set()
    names = [git, "diff", "--name-only", base, "--", "mm", "tests"]
    files = subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    return {file.split("/")[1] for file in files if file.count("/") > 1}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Print how the same slow tests are run again; -q leaves out the header."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and session.config.getoption("--slow") == "some":
        commit = _commit(session.config)
        more = (
            f", one of {SHARE_OFTEN} of {', '.join(sorted(changed))}" if (changed := _changed(session.config)) else ""
        )
        again = "" if more else f"; the same again with --slow some --some-of '{commit}'"
        reporter.write_line(f"slow tests: one of {SHARE}{more}{again}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests that were not asked for; functions are chosen whole, as their cases are alike.

    A browser takes seconds a page, so tests that open one are slow.
    """
    choice = config.getoption("--slow")
    commit = _commit(config) if choice == "some" else ""
    changed = _changed(config) if choice == "some" else set()
    for item in items:
        if "chrome" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")

    def chosen(item: pytest.Item) -> bool:
        if choice == "all" or item.get_closest_marker("slow") is None:
            return True
        function = item.nodeid.partition("[")[0]
        often = function in OFTEN or function.split("/")[1] in changed
        share = SHARE_OFTEN if often else SHARE
        return choice == "some" and zlib.crc32(f"{commit} {function}".encode()) % share == 0

    quick = durations.quick_names(config) if config.getoption("--quick") else None
    left_out = [item for item in items if not chosen(item) or (quick is not None and not quick(item.nodeid))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if chosen(item)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Sum the seconds of each test."""
    durations.add(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the seconds of each test for `--quick`."""
    durations.keep(session.config)


@pytest.fixture(autouse=True, scope="session")
def _no_knobs_from_outside() -> Iterator[None]:
    """Remove knob variables, so that no test depends on the shell's environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*VARIABLES, "NO_COLOR"]:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the processes of this session a TMPDIR of their own: a kill finds every trader of the user in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("host")))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _sound_runs() -> Iterator[None]:
    """Ask each replay and each summary of this process what holds of every run."""
    made, summarised = Replay.result, summarise

    def result(replay: Replay, *given: Any) -> Result:
        played = made(replay, *given)
        if replay.exchange.rules.as_traded is None:  # else its account has what was moved by hand, too
            assert_run_is_sound(played)
        return played

    def summary(journal: Journal, terms: RunTerms) -> dict[str, Any]:
        numbers = summarised(journal, terms)
        assert_summary_is_sound(numbers, journal)
        return numbers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replay, "result", result)
        patch.setattr("mm.backtest.result.summarise", summary)
        yield


@pytest.fixture(scope="session")
def chrome() -> Iterator[Chrome]:
    """Return a headless browser for all tests; tests are skipped if there is none."""
    program = browser()
    if program is None:
        pytest.skip("no browser on PATH (chromium, chromium-browser or google-chrome): pages are not looked at")
    with started(program) as chrome:
        yield chrome
