"""A day with faults: recording and truth report what is missing."""

import itertools
import json
from pathlib import Path

import pytest
from recorded import diffs, rows

import mm
from day_files import check
from mm import Rules, load_day
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import FixedSpread
from mm.errors import UsageError
from simulation import simulate_day, truth_of

DAY = "20260105"
SCENARIO = {"lost_depth": 2, "lost_trades": 2, "disconnects": 2, "crashes": 2, "sigma_ticks_per_sqrt_s": 1.0}


def make(root: Path, seed: int, scenario: dict = SCENARIO, hours: float = 0.35) -> tuple[Path, dict]:
    folder = simulate_day(root, "gaps", hours=hours, seed=seed, **scenario)
    return folder.path, truth_of(folder)


@pytest.fixture(scope="module", params=[1, 2, 3])
def day(request, tmp_path_factory) -> tuple[Path, dict]:
    """Eight faults in twenty minutes."""
    return make(tmp_path_factory.mktemp("data"), request.param)


def gaps(path: Path, kind: str) -> list[tuple[int, int]]:
    details = (json.loads(row["details_json"]) for row in rows(path, "events") if row["type"] == kind)
    return [(one["from_id"], one["to_id"]) for one in details]


@pytest.mark.slow
def test_check_day_finds_no_defects_in_faulty_day(day):
    """The ledger contains everything that is missing, and no torn file is left."""
    report = check(day[0])
    assert (report.ok, list(report.defects)) == (True, [])


@pytest.mark.slow
def test_every_requested_fault_is_in_the_truth(day):
    """In order of time, without overlap."""
    faults = day[1]["faults"]
    kinds = [fault["kind"] for fault in faults]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "lost_depth": 2,
        "lost_trades": 2,
        "disconnect": 2,
        "crash": 2,
    }
    spans = [instant for fault in faults for instant in (fault["start_us"], fault["end_us"])]
    assert spans == sorted(spans)
    assert json.loads((day[0] / "truth.json").read_text())["faults"] == json.loads(json.dumps(faults))


def test_truth_lists_exactly_the_ids_missing_in_the_files(day):
    """From the files alone: jumps of ids in diffs and trades; the ledger declares the same."""
    path, truth = day
    last_id, missing = None, []
    for diff in diffs(path):
        if last_id is not None and diff["U"] > last_id + 1:
            missing.append((last_id + 1, diff["U"] - 1))
        last_id = diff["u"]
    listed = [tuple(fault["lost_update_ids"]) for fault in truth["faults"] if fault["lost_update_ids"]]
    assert missing == listed == gaps(path, "gap")
    ids = [int(row["trade_id"]) for row in rows(path, "trades_ws")]
    jumps = [(one + 1, other - 1) for one, other in itertools.pairwise(ids) if other > one + 1]
    listed = [tuple(fault["lost_trade_ids"]) for fault in truth["faults"] if fault["lost_trade_ids"]]
    assert jumps == listed == gaps(path, "trade_gap")
    assert (truth["trades"], truth["depth_messages"]) == (len(ids), sum(1 for _ in diffs(path)))


def union(spans: list[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    return joined


def test_backtest_excludes_exactly_the_periods_of_the_truth(day):
    """Without a book, and between the trades around those that are missing while the connection stood; nothing else."""
    path, truth = day
    tape = load_day(path)
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, quote_lots=100, enforce_balances=False)
    result = mm.backtest(tape, FixedSpread(delta_ticks=2), TradeCross(), rules)
    listed = [list(fault["no_book_us"]) for fault in truth["faults"] if fault["no_book_us"]]
    declared = [json.loads(row["details_json"]) for row in rows(path, "events") if row["type"] == "trade_gap"]
    lost = {gap["from_id"] for gap in declared if gap.get("cause") not in ("restart", "disconnected", "ids_skipped")}
    came = [(int(row["trade_id"]), int(row["recv_time_us"])) for row in rows(path, "trades_ws")]
    between = [[before[1], after[1]] for before, after in itertools.pairwise(came) if before[0] + 1 in lost]
    assert len(between) == len(lost)
    assert result.excluded().tolist() == union([*listed, *between])
    seconds = sum(end - begin for begin, end in union([*listed, *between])) / 1e6
    assert result.summary["seconds_excluded"] == pytest.approx(seconds)


def test_crashed_run_is_recovered_by_the_next_run(day):
    """Three runs; each crash is recovered, and most tear a file."""
    events = rows(day[0], "events")
    kinds = [row["type"] for row in events]
    assert kinds.count("run_start") == 3
    assert kinds.count("crash_recovered") == 2
    assert kinds.count("tail_recovered") >= 1
    assert kinds[-2:] == ["window_end", "run_stop"]


@pytest.mark.slow
def test_order_log_matches_poisson_scenario(tmp_path):
    """Faults affect only the recording: the order log is the same to the byte."""
    path, _ = make(tmp_path / "gaps", 5)
    plain = simulate_day(tmp_path / "plain", hours=0.35, seed=5, day=DAY, sigma_ticks_per_sqrt_s=1.0)
    name = f"order_log_SIMUSDT_{DAY}.parquet"
    assert (path / name).read_bytes() == (plain.path / name).read_bytes()


def test_without_faults_nothing_is_missing(tmp_path):
    """Every count may be 0."""
    none = SCENARIO | dict.fromkeys(("lost_depth", "lost_trades", "disconnects", "crashes"), 0)
    path, truth = make(tmp_path, 1, none, hours=0.02)
    assert "faults" not in truth
    assert gaps(path, "gap") == gaps(path, "trade_gap") == []


def test_equal_flags_give_equal_bytes_with_faults(day, tmp_path):
    """Also where a process was killed."""
    again, _ = make(tmp_path, day[1]["seed"])
    names = sorted(file.relative_to(day[0]) for file in day[0].rglob("*") if file.is_file())
    assert names == sorted(file.relative_to(again) for file in again.rglob("*") if file.is_file())
    assert all((day[0] / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_session_too_short_for_its_faults_raises_usage_error(tmp_path):
    """Overlapping faults would have no truth of their own."""
    with pytest.raises(UsageError, match=r"hours 0.2 is too short for 8 faults"):
        make(tmp_path, 1, hours=0.2)
    assert not list(tmp_path.iterdir())
