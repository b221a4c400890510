"""``FILL_MODEL=queue_orders`` from the command line, on simulated days with an order log."""

import json
import shutil
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from audit_logs import open_log, path_of
from mm.__main__ import main
from mm.clock import iso
from mm.dayfolder.layout import ROW_CANCEL, ROW_LEVEL, ROW_REST, ROW_TRADE, DayFolder
from mm.dayfolder.order_log import OrderLog, OrderLogWriter
from mm.probes import lookahead
from support import ROOT

SYMBOL = "ZIUSDT"
DAYS = ("20260105", "20260106")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Two days of three simulated minutes."""
    folder = tmp_path_factory.mktemp("desk")
    for day in DAYS:
        words = ["--symbol", SYMBOL, "--day", day, "--data-root", str(folder / "data"), "--hours", "0.05"]
        made = CliRunner().invoke(main, ["sim", "day", *words, "--scenario", "zero_intelligence"])
        assert made.exit_code == 0, made.output
    return folder


def call(desk, *words, day=DAYS[0]):
    where = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out")]
    return CliRunner().invoke(main, [*words, "--symbol", SYMBOL, "--day", day, *where])


def played(desk, *words, day=DAYS[0]):
    done = call(desk, "backtest", "--json", *words, day=day)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def log_of(root, day):
    return DayFolder(root / "data", SYMBOL, day).order_log


@pytest.mark.slow
def test_run_plays_every_order_and_is_reproduced(desk):
    """The log is an input, its consistency is told, and the sensitivity of another model has the row."""
    own = played(desk, "--fill-model", "queue_orders", "--run-id", "true")
    assert own["fifo_consistency"] == 1
    other = played(desk, "--run-id", "model")
    rows = {row["fills"]: row["pnl_quoting"] for row in other["sensitivity"]["rows"] if row["latency"] == 1}
    assert rows["queue_orders"] == own["pnl_quoting"]
    manifest = json.loads((desk / "out" / "backtest" / SYMBOL / "20260105_true" / "run_manifest.json").read_text())
    assert any(log_of(desk, DAYS[0]).name in one["path"] for one in manifest["inputs"])
    again = CliRunner().invoke(main, ["runs", "reproduce", "true", "--out-root", str(desk / "out")])
    assert again.exit_code == 0, again.output


@pytest.mark.slow
def test_a_day_without_a_log_is_refused_and_names_days_that_have_one(desk, tmp_path):
    """Nothing is played, not even the days before it."""
    shutil.copytree(desk / "data", tmp_path / "data")
    log_of(tmp_path, DAYS[1]).unlink()
    next(log_of(tmp_path, DAYS[1]).parent.glob("manifest_*.json")).unlink()
    answer = call(tmp_path, "backtest", "--fill-model", "queue_orders", day=",".join(DAYS))
    assert answer.exit_code == 3
    assert f"{SYMBOL} {DAYS[1]} has no order log" in answer.stderr
    assert f"days of {SYMBOL} with one: {DAYS[0]}" in answer.stderr


@pytest.mark.slow
def test_time_without_a_log_has_no_market(desk, tmp_path):
    """The middle minute is not covered: nothing rests or fills there, and the summary says so."""
    shutil.copytree(desk / "data", tmp_path / "data")
    path = log_of(tmp_path, DAYS[0])
    columns = OrderLog.open(path).columns
    first, last = int(columns["us"][0]), int(columns["us"][-1])
    begin, end = (first + part * (last - first) // 3 for part in (1, 2))
    path.unlink()
    next(path.parent.glob("manifest_*.json")).unlink()
    with OrderLogWriter(path, [(first, begin), (end, last + 1)]) as log:
        log.add_columns(columns)
    summary = played(tmp_path, "--fill-model", "queue_orders", "--feed-latency", "none", "--run-id", "dark")
    dark = [line for line in summary["excluded"] if "no order log" in line]
    assert len(dark) == 1
    assert iso(begin)[:16] in dark[0]
    run = tmp_path / "out" / "backtest" / SYMBOL / "20260105_dark"
    fills = (run / next(one.name for one in run.glob("*fills*.csv*"))).read_text().splitlines()
    at = fills[0].split(",").index("recv_us") if "recv_us" in fills[0] else 0
    instants = [int(line.split(",")[at]) for line in fills[1:]]
    assert instants
    assert not any(begin + 50_000 < us < end for us in instants)


def test_a_log_that_ends_early_has_no_market_after_its_end(desk, tmp_path):
    """Nothing says so in the file: its rows end while the market goes on. Nothing fills there, and the summary says
    so.
    """
    shutil.copytree(desk / "data", tmp_path / "data")
    path = log_of(tmp_path, DAYS[0])
    columns = OrderLog.open(path).columns
    half = len(columns["us"]) // 2
    ended = int(columns["us"][half - 1])
    path.unlink()
    next(path.parent.glob("manifest_*.json")).unlink()
    with OrderLogWriter(path) as log:
        log.add_columns({name: column[:half] for name, column in columns.items()})
    summary = played(tmp_path, "--fill-model", "queue_orders", "--feed-latency", "none", "--run-id", "half")
    (dark,) = [line for line in summary["excluded"] if "no order log" in line]
    assert iso(ended)[:16] in dark
    run = tmp_path / "out" / "backtest" / SYMBOL / "20260105_half"
    fills = pl.read_csv(next(run.glob("*fills*.csv*")))["recv_us"].to_list()
    assert fills
    assert max(fills) < ended + 1_000_000


def test_a_log_that_contradicts_the_depth_is_played_up_to_there(desk, tmp_path):
    """One order is twice as large as the depth shows, in a day that no manifest seals: the row is named."""
    shutil.copytree(desk / "data", tmp_path / "data")
    path = log_of(tmp_path, DAYS[0])
    columns = {name: column.copy() for name, column in OrderLog.open(path).columns.items()}
    rests = np.flatnonzero(columns["kind"] == ROW_REST)
    wrong = int(rests[len(rests) // 2])
    added = int(columns["lots"][wrong])
    # Consistent in itself: the order's whole life has the lots, and so have the levels behind it.
    of_order = columns["order_id"] == columns["order_id"][wrong]
    same_level = (columns["side"] == columns["side"][wrong]) & (columns["ticks"] == columns["ticks"][wrong])
    ends = np.flatnonzero(of_order & (columns["kind"] == ROW_CANCEL))
    end = int(ends[0]) if len(ends) else len(of_order)
    inside = np.arange(len(of_order)) > wrong
    inside &= np.arange(len(of_order)) <= end
    columns["lots"][inside & same_level & (columns["kind"] == ROW_LEVEL)] += added
    columns["lots"][wrong] += added
    if end < len(of_order):
        columns["lots"][end] += added
    path.unlink()
    next(path.parent.glob("manifest_*.json")).unlink()
    with OrderLogWriter(path) as log:
        log.add_columns(columns)
    summary = played(tmp_path, "--fill-model", "queue_orders", "--feed-latency", "none", "--run-id", "doubled")
    assert any("order_log" in line and path.name in line for line in summary["warnings"])
    begun = int(columns["us"][wrong])
    (dark,) = [line for line in summary["excluded"] if "no order log" in line]
    assert iso(begun)[:16] in dark
    run = tmp_path / "out" / "backtest" / SYMBOL / "20260105_doubled"
    fills = pl.read_csv(next(run.glob("*fills*.csv*")))["recv_us"].to_list()
    assert fills
    assert max(fills) < begun + 1_000_000


PEEKING = """
from bisect import bisect_right

import pyarrow.parquet as pq
from mm import Quotes


class Honest:
    def quote(self, view):
        lean = view.us // 10_000_000 % 3 - 1
        return Quotes(view.bid_ticks + (lean > 0), view.ask_ticks - (lean < 0))


class ReadsLog:
    \"\"\"Knows which side the next executions of the order log will take.\"\"\"

    def __init__(self):
        rows = pq.read_table("data/ZIUSDT/20260105/order_log_ZIUSDT_20260105.parquet").to_pydict()
        trades = [at for at, kind in enumerate(rows["kind"]) if kind == ROW_TRADE]
        self.us, self.side = ([rows[name][at] for at in trades] for name in ("us", "side"))

    def quote(self, view):
        at = bisect_right(self.us, view.us + 2_000_000)
        lean = sum(self.side[at : at + 5])
        return Quotes(view.bid_ticks + (lean > 0), view.ask_ticks - (lean < 0))


class LoadsOrders(ReadsLog):
    \"\"\"Has them from the package's own index.\"\"\"

    def __init__(self):
        import mm

        orders = mm.load_day("data/ZIUSDT/20260105").orders
        executed = orders.meet["kind"] == 0
        self.us, self.side = orders.meet_us[executed].tolist(), orders.meet["side"][executed].tolist()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "skip", "found"),
    [
        ("Honest", "fresh,files", set()),
        ("ReadsLog", "fresh,files", {"shifted", "opened"}),
        ("LoadsOrders", "fresh,files", {"shifted", "opened"}),
        ("Honest", "fresh,shifted,opened", set()),
        ("ReadsLog", "fresh,shifted,opened", {"files"}),
    ],
)
def test_a_model_that_reads_on_in_the_order_log_is_detected(desk, tmp_path, monkeypatch, name, skip, found):
    """By a market of another time and by what it opens, or by a day that ends with its log."""
    shutil.copytree(desk / "data", tmp_path / "data")
    (tmp_path / "log_peeking.py").write_text(PEEKING.replace("ROW_TRADE", str(ROW_TRADE)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "log_peeking", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(lookahead, "FILE_HORIZONS_S", (10,))
    words = ["check", "lookahead", f"log_peeking:{name}", "--fill-model", "queue_orders", "--cuts", "3", "--json"]
    where = ["--symbol", SYMBOL, "--day", DAYS[0], "--initial-inventory", "5", "--skip", skip]
    answer = CliRunner().invoke(main, [*words, *where])
    assert answer.exit_code == (5 if found else 0), answer.output
    failed = {test for test, counts in json.loads(answer.stdout)["tests"].items() if counts["failed"]}
    assert failed >= found


@pytest.mark.slow
def test_other_commands_take_it(desk):
    """Calibration, the look-ahead check, a sweep and a walk-forward."""
    model = ["--fill-model", "queue_orders"]
    assert call(desk, "calibrate", "--calib-fills", "queue_orders").exit_code in (0, 4)
    assert call(desk, "check", "lookahead", *model, "--cuts", "3").exit_code == 0
    swept = call(desk, "sweep", *model, "--grid", "GAMMA=0.01,0.1", "--jobs", "1")
    assert swept.exit_code == 0, swept.output


def test_a_day_without_our_orders_says_why_it_has_no_log(desk, tmp_path):
    """They are taken off the tape and not off the log, which is refused with the way out; kept, it is played."""
    log = open_log(tmp_path, SYMBOL)
    log.append("stop")
    log.close()
    path = path_of(tmp_path, SYMBOL)
    model = ["--fill-model", "queue_orders"]
    answer = call(desk, "backtest", *model, "--own-orders", str(path))
    assert answer.exit_code == 3
    assert "our own orders are taken off this day" in answer.stderr
    assert played(desk, *model, "--own-orders", "keep", "--run-id", "kept")["fifo_consistency"] == 1
