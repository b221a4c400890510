"""Fits and imports of a backtest, and its peak memory while a day is read first and while tables are written."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.dayfolder.layout import existing
from strategies import START_US, Story, price, qty

SYMBOL = "LETGOUSDT"


@pytest.mark.slow
def test_backtest_logs_its_fit_and_warns_if_fit_includes_the_day(tmp_path):
    """A fit of the traded day has seen the future; a fit of the day before has not."""
    where = ["--symbol", SYMBOL, "--data-root", str(tmp_path / "data")]
    for day in ("20260105", "20260106"):
        made = CliRunner().invoke(main, ["sim", "day", *where, "--day", day, "--hours", "0.5"])
        assert made.exit_code == 0, made.output
    out = ["--out-root", str(tmp_path / "out")]
    fitted = CliRunner().invoke(main, ["calibrate", *where, *out, "--day", "20260105", "--run-id", "early"])
    assert fitted.exit_code == 0, fitted.output
    logs = {}
    for day in ("20260105", "20260106"):
        words = [*where, *out, "--day", day, "--fit", "last", "--run-id", day, "--sensitivity", "0"]
        done = CliRunner().invoke(main, ["backtest", *words])
        assert done.exit_code == 0, done.output
        (log,) = (tmp_path / "out" / "logs" / "backtest").rglob(f"{day}/run.log")
        logs[day] = {line["event"]: line for line in map(json.loads, log.read_text().splitlines())}
    for events in logs.values():
        assert events["fit_taken"]["path"].endswith("20260105_early/poisson_fit.json")
        assert events["fit_taken"]["day"] == "20260105"
    assert logs["20260105"]["fit_in_sample"]["level"] == "warning"
    assert "fit_in_sample" not in logs["20260106"]
    runs = tmp_path / "out" / "backtest" / SYMBOL
    for day, in_sample in (("20260105", True), ("20260106", False)):
        summary = json.loads((runs / f"{day}_{day}" / "summary.json").read_text())
        assert (summary["fit"]["day"], summary["fit"]["in_sample"]) == ("20260105", in_sample)
        heads = [line for line in summary["warnings"] if "fit_in_sample: the fit uses data of 20260105" in line]
        assert len(heads) == in_sample
        assert ("fit_in_sample" in (runs / f"{day}_{day}" / "report.html").read_text()) == in_sample
    words = [*where, *out, "--fit", "last", "--grid", "GAMMA=0.01,0.1", "--jobs", "1"]
    for day, in_sample in (("20260105", True), ("20260106", False)):
        swept = CliRunner().invoke(main, ["sweep", *words, "--day", day, "--run-id", f"s{day}"])
        assert swept.exit_code == 0, swept.output
        (folder,) = (tmp_path / "out" / "sweep").rglob(f"*_s{day}")
        assert ("note: 2 of 2 points: fit_in_sample: the fit uses data of 20260105" in swept.output) == in_sample
        assert ("2 of 2 points: fit_in_sample" in (folder / "report.html").read_text()) == in_sample
        assert (
            any("fit_in_sample" in warning for warning in json.loads((folder / "sweep.json").read_text())["warnings"])
            == in_sample
        )


MEASURE = """
import sys
from pathlib import Path
from mm.tape.load import load_day

tape = load_day(Path(sys.argv[1]), cache=Path(sys.argv[2]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(tape.meta.cache, len(tape.row_side), status["VmHWM"].split()[0])
"""


def day_of(messages, root):
    """Return a day folder with *messages* depth messages of a thousand levels each."""
    diff = ("diff", START_US + 1, 1, 11, 11, [[price(1 + n), qty(1 + n)] for n in range(1000)], [])
    book = ([[price(1500), qty(1)]], [[price(1501), qty(1)]])
    start = ("event", START_US, "run_start", 0, {"version": "1", "knobs": {}})
    folder = Story([[start, ("snapshot", START_US, "initial", 10, *book, 1), diff]]).write(root, seal=False)
    written = existing(folder.diffs)
    line = gzip.decompress(written.read_bytes()).decode()
    head, levels = line[: line.index('"b":')], line[line.index('"b":') :]
    message = json.loads(head.rstrip(", ") + "}")
    written.unlink()
    with folder.diffs.with_suffix("").open("w") as plain:
        for n in range(messages):
            moved = {"recv_seq": message["recv_seq"] + n, "U": 11 + n, "u": 11 + n}
            plain.write(json.dumps(message | moved)[:-1] + "," + levels)
    return folder.path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory of a process from Linux")
def test_first_read_of_a_day_keeps_a_bounded_window_of_rows(tmp_path):
    """Rows are read, sorted and written in pieces and wait in files, where a row takes 17 bytes.

    Two days in separate processes, so that the memory which every process needs cancels out.
    """
    peaks, rows = [], []
    for messages in (2000, 6000):
        day = day_of(messages, tmp_path / str(messages))
        words = [sys.executable, "-c", MEASURE, str(day), str(tmp_path / "tapes")]
        printed = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout.split()
        assert printed[0] == "miss"
        rows.append(int(printed[1]))
        peaks.append(int(printed[2]) * 1024)
    assert rows[1] - rows[0] == 4_000_000
    assert (peaks[1] - peaks[0]) / (rows[1] - rows[0]) < 2


WRITE = """
import sys
from pathlib import Path
from mm.backtest.models import fixed_spread, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.result import Result
from mm.backtest.rules import Rules
from mm.instrument import Instrument
from mm.tape.tape import Tape

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

grid = Instrument("SIM", 1_000_000, 1_000)
moves = [(2_000 + 100 * n, "depth", [(90 + n % 7, n % 3)], []) for n in range(int(sys.argv[1]))]
tape = Tape.of(grid, [(1_000, "snapshot", [(80, 5)], [(101, 5)]), *moves])
rules = Rules(grid.tick_e8, grid.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
played = backtest(tape, fixed_spread(delta_ticks=1.0), trade_cross(), rules)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
rows = Result(played.journal, played.terms).write_tables(Path(sys.argv[2]))
print(rows["orders_SIM.csv"], peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory of a process from Linux")
def test_orders_table_is_written_in_pieces(tmp_path):
    """A row takes 112 bytes in a table; the log of a run is converted into rows one piece at a time."""
    rows, growth = [], []
    for moves in (20_000, 60_000):
        words = [sys.executable, "-c", WRITE, str(moves), str(tmp_path / str(moves))]
        printed = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout.split()
        rows.append(int(printed[0]))
        growth.append(int(printed[1]))
    assert rows[1] - rows[0] > 100_000
    assert (growth[1] - growth[0]) / (rows[1] - rows[0]) < 16
