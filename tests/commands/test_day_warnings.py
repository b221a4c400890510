"""What is wrong with a day is said everywhere: in the log, the summary, on the terminal and on the page."""

import gzip
import json

import pytest

from mm.dayfolder.manifest import unseal
from simulation import simulate_day
from support import run_mm

SYMBOL, DAY = "SIMUSDT", "20260105"


@pytest.fixture
def desk(tmp_path):
    """Return a folder with a day whose trades have the side of the maker for that of the taker."""
    folder = simulate_day(tmp_path / "data", hours=0.2, seed=3, symbol=SYMBOL, day=DAY)
    unseal(folder)
    packed = folder.trades.suffix == ".gz"
    data = folder.trades.read_bytes()
    text = (gzip.decompress(data) if packed else data).decode()
    swapped = text.replace(",true,", ",TRUE,").replace(",false,", ",true,").replace(",TRUE,", ",false,")
    folder.trades.write_bytes(gzip.compress(swapped.encode()) if packed else swapped.encode())
    return tmp_path


def test_swapped_sides_reach_log_summary_terminal_and_page(desk):
    done = run_mm("backtest", "--symbol", SYMBOL, "--day", DAY, "--run-id", "R", "--sensitivity", "0", cwd=desk)
    assert done.returncode == 0, done.stderr
    folder = desk / "out" / "backtest" / SYMBOL / f"{DAY}_R"
    said = [one for one in json.loads((folder / "summary.json").read_text())["warnings"] if "aggressor" in one]
    assert len(said) == 1
    assert said[0].startswith(f"{SYMBOL} {DAY}: ")
    assert "/" not in said[0].split(": ")[1]  # where the day lies changes no result
    assert said[0] in done.stdout
    assert "aggressor" in done.stderr
    assert "aggressor" in (folder / "report.html").read_text()


def test_swapped_sides_reach_a_fit(desk):
    """Trades of the wrong side reach no distance: a fit without them is told why."""
    done = run_mm("calibrate", "--symbol", SYMBOL, "--day", DAY, "--run-id", "C", cwd=desk, LOG_LEVEL="ERROR")
    folder = desk / "out" / "calibration" / "marks" / SYMBOL / f"{DAY}_C"
    (said,) = [one for one in json.loads((folder / "poisson_fit.json").read_text())["warnings"] if "contrary" in one]
    assert said.startswith(f"{SYMBOL} {DAY}: ")
    assert f"note: {said}" in done.stdout
    assert "contrary" in (folder / "report.html").read_text()


def test_swapped_sides_reach_sweep_and_evaluation(desk):
    for words in (("sweep", "--grid", "FILL_MODEL=trade_cross"), ("evaluate",)):
        done = run_mm(*words, "--symbol", SYMBOL, "--day", DAY, "--json", cwd=desk, LOG_LEVEL="ERROR")
        assert done.returncode == 0, done.stderr
        assert any("aggressor" in one for one in json.loads(done.stdout)["warnings"]), words


@pytest.mark.parametrize(
    "words",
    [
        ("schedule", "--wf-train-window-min", "4", "--wf-step-min", "4"),
        ("fills", "fit"),
        ("signals", "score"),
        ("signals", "compute"),
        ("predict", "fit", "--target", "return", "--model", "logistic", "--horizon-s", "1"),
    ],
    ids=" ".join,
)
def test_swapped_sides_reach_the_terminal_of_every_task(desk, words):
    """A task without a summary of its own says the same sentence as a backtest, whatever the level of the log."""
    done = run_mm(*words, "--symbol", SYMBOL, "--day", DAY, cwd=desk, LOG_LEVEL="ERROR", RUN_ID="R")
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("note: ") and "contrary" in line]
    assert said.startswith(f"note: {SYMBOL} {DAY}: ")
    if words[0] == "schedule":
        folder = desk / "out" / "calibration" / "schedules" / SYMBOL / f"{DAY}_R"
        assert "contrary" in (folder / "report.html").read_text()
