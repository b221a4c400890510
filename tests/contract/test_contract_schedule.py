"""Rolling windows: their bounds, their fits, and the absence of lookahead."""

import json
import math
import shutil
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Run
from outside import Market, json_of, rows_of, text_of
from test_contract_points import counted, exposed, sweeps

LATENCY_US = 50_000


def segments_of(run: Run) -> list[dict[str, Any]]:
    segments: list[dict[str, Any]] = json_of(run.file("poisson_schedule.json"))["segments"]
    return segments


def quiet(lab: Lab) -> Path:
    """Return the data root of a long day with few trades, so that some windows cannot be fitted."""
    return lab.sim("quiet", "--hours", "14", "--A", "0.001", "--sigma-ticks-per-sqrt-s", "0.1")


def whole_day(lab: Lab, policy: str) -> Run:
    where = {"DATA_ROOT": str(quiet(lab)), "FALLBACK_POLICY": policy}
    if policy == "global_default":
        where["FILL_PARAMS_JSON"] = '{"A": 0.25, "k": 0.5}'
    done = lab.command(f"schedule/quiet-{policy}", "schedule", "--json", SYMBOL="SIMUSDT", DAY="20260105", **where)
    return Run(done)


def test_segments_are_contiguous_and_train_on_earlier_data(lab: Lab) -> None:
    """Contract §6: segments never overlap; training ends one order latency before the segment begins."""
    segments = segments_of(lab.over_time("schedule", "plain"))
    market = lab.market(lab.sim("plain"))
    assert len(segments) == 10
    for before, after in pairwise(segments):
        assert before["end_us"] == after["start_us"]
    for segment in segments:
        assert segment["end_us"] > segment["start_us"]
        assert segment["train_end_us"] == segment["start_us"] - LATENCY_US
        assert segment["train_end_us"] - segment["train_start_us"] == 600_000_000
        assert segment["source"] == "fitted"
        assert segment["age_s"] == 0
    assert segments[0]["start_us"] - market.first_us <= 600_000_000 + LATENCY_US
    assert segments[-1]["end_us"] >= market.end_us


def test_order_latency_moves_end_of_training(lab: Lab) -> None:
    """`train_end_us = start_us − ORDER_LATENCY_MS` for another latency."""
    for segment in segments_of(lab.over_time("schedule", "late", ORDER_LATENCY_MS="1234.5")):
        assert segment["train_end_us"] == segment["start_us"] - 1_234_500


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["carry_forward", "skip_segment", "global_default"])
def test_fourteen_hours_have_48_segments_under_each_fallback_policy(lab: Lab, policy: str) -> None:
    """120/15 over 14 hours; a window without a fit is carried, defaulted or none, with the reason."""
    segments = segments_of(whole_day(lab, policy))
    assert len(segments) == 48
    assert {segment["source"] for segment in segments} <= {"fitted", "carried", "default", "none"}
    assert [s for s in segments if s["source"] != "fitted"], "the quiet day must make windows fail"
    fitted: dict[str, Any] | None = None
    for segment in segments:
        assert (segment["A"] is None) == (segment["k"] is None) == (not segment["usable"])
        if segment["source"] == "fitted":
            fitted = segment
            continue
        assert segment["reason"]
        if policy == "skip_segment":
            assert segment["source"] == "none"
        if segment["source"] == "carried":
            assert policy == "carry_forward"
            assert fitted is not None
            assert (segment["A"], segment["k"]) == (fitted["A"], fitted["k"])
            assert segment["age_s"] == Decimal(segment["start_us"] - fitted["start_us"]) / 10**6
        if segment["source"] == "default":
            assert policy == "global_default"
            assert (segment["A"], segment["k"]) == (Decimal("0.25"), Decimal("0.5"))
        if segment["source"] == "none":
            assert not segment["usable"]


@pytest.mark.parametrize("number", [0, 4, 9])
def test_window_fit_uses_only_its_own_data(lab: Lab, number: int) -> None:
    """A and k maximise the disjoint-cell likelihood of the raw messages within the window."""
    segment = segments_of(lab.over_time("schedule", "near", "--max-delta-ticks", "50"))[number]
    cut = window(lab.market(lab.sim("plain")), segment["train_start_us"], segment["train_end_us"])
    counts, seconds = counted(cut, strict=False, farthest=50), exposed(cut, 50)
    assert segment["n_fills"] == sum(counts[2, side] for side in ("bid", "ask"))
    log_a, k = maximum(
        [
            (cell / 2, *(sum(float(table.get((at, side), 0)) for side in ("bid", "ask")) for table, at in where))
            for cell in sorted({cell for cell, _ in seconds})
            for where in [((counts, cell), (counts, cell + 2), (seconds, cell))]
        ]
    )
    assert math.isclose(float(segment["A"]), math.exp(log_a), rel_tol=1e-5)
    assert math.isclose(float(segment["k"]), k, rel_tol=1e-5)


def window(market: Market, begin: int, end: int) -> Market:
    """Return the part of a market between two times: the book at the start, then the events."""
    first = market.after(begin) if begin >= market.first_us else market.tops[0]
    start = max(begin, market.first_us)
    tops = [type(first)(start, first.seq, first.bid, first.ask), *(top for top in market.tops if start < top.us < end)]
    begun = {id(trade) for prints in sweeps(market) if start <= prints[0].us < end for trade in prints}
    prints = [trade for trade in market.prints if id(trade) in begun]
    message = market.messages[0]
    return Market([type(message)(end, 0, "gap", {})], market.tick, market.step, tops, prints)


def maximum(cells: list[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Return ln A and k at the maximum of the disjoint-cell likelihood, by a search in k with A profiled out."""

    def profile(k: float) -> tuple[float, float]:
        shares = [
            math.exp(-k * near) - (math.exp(-k * (near + 1)) if number + 1 < len(cells) else 0.0)
            for number, (near, _, _, _) in enumerate(cells)
        ]
        counts = [reached - beyond for _, reached, beyond, _ in cells]
        total = sum(counts)
        log_a = math.log(total / sum(cell[3] * share for cell, share in zip(cells, shares, strict=True)))
        score = sum(count * math.log(share) for count, share in zip(counts, shares, strict=True) if count)
        return score + total * log_a, log_a

    low, high = 0.01, 2.0
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (left, high) if profile(left)[0] < profile(right)[0] else (low, right)
    k = (low + high) / 2
    return profile(k)[1], k


def altered_day(lab: Lab, name: str, from_us: int, to_us: int = 2**62) -> Path:
    """Return a copy of the day in which every trade between these times is replaced."""

    def make(folder: Path) -> None:
        data = shutil.copytree(lab.sim("plain"), folder / "data")
        next(data.rglob("manifest_*")).unlink()
        path = next(data.rglob("trades_ws_*"))
        lines = text_of(path).splitlines()
        for number, line in enumerate(lines[1:], 1):
            cells = line.split(",")
            if from_us <= int(cells[9]) < to_us:
                cells[6], cells[7] = str(Decimal(cells[6]) + Decimal("0.04")), "9.00000000"
                cells[8] = "false"
                lines[number] = ",".join(cells)
        path.write_text("\n".join(lines) + "\n")

    return lab.once(f"spoiled/{name}", make) / "data"


@pytest.mark.slow
def test_later_trades_do_not_change_segment(lab: Lab) -> None:
    """With all trades from a segment's start on replaced, the segments up to it are identical, later ones differ."""
    original = segments_of(lab.over_time("schedule", "plain"))
    start = original[4]["start_us"]
    changed = segments_of(lab.over_time("schedule", "spoiled", DATA_ROOT=str(altered_day(lab, "late", start))))
    assert changed[:5] == original[:5]
    assert changed[5]["A"] != original[5]["A"]


@pytest.mark.slow
def test_trades_during_latency_are_not_trained_on(lab: Lab) -> None:
    """Trades during the latency before a segment do not change its fit."""
    latency = {"ORDER_LATENCY_MS": "20000"}
    original = segments_of(lab.over_time("schedule", "slow", **latency))
    segment = original[4]
    data = str(altered_day(lab, "travel", segment["train_end_us"], segment["start_us"]))
    changed = segments_of(lab.over_time("schedule", "slow-spoiled", DATA_ROOT=data, **latency))
    assert changed[:5] == original[:5]
    assert changed[5] != original[5]


def test_walk_forward_has_no_lookahead(lab: Lab) -> None:
    """With later trades replaced, all earlier rows of orders, fills and states are identical."""
    original = lab.over_time("walkforward", "plain")
    start = segments_of(original)[4]["start_us"]
    changed = lab.over_time("walkforward", "spoiled", DATA_ROOT=str(altered_day(lab, "late", start)))
    for name in ("orders_*.csv", "fills_*.csv", "state_*.csv"):
        before = [
            [row for row in rows_of(run.file(name)) if int(row["recv_us"]) < start] for run in (original, changed)
        ]
        assert before[0] == before[1]
        assert len(before[0]) > 50


@pytest.mark.slow
def test_walk_forward_sends_no_order_before_first_segment(lab: Lab) -> None:
    """No order is sent before the first segment."""
    run = lab.over_time("walkforward", "plain")
    segments = segments_of(run)
    placed = [int(row["recv_us"]) for row in rows_of(run.file("orders_*.csv"))]
    assert placed[0] >= segments[0]["start_us"]
    assert placed[0] < segments[0]["start_us"] + 10_000_000
    queue = {
        "CALIB_METHOD": "fixed",
        "CALIB_FILLS": "queue_prob_power",
    }  # the walk-forward measures under its fill model
    assert segments == segments_of(lab.over_time("schedule", "queue", **queue))
    summary = json_of(run.file("summary.json"))
    assert summary["models"]["fill"] == "queue_prob_power"
    assert run.artefact.parent.name == "backtest"


def test_fill_params_file_accepts_schedule(lab: Lab) -> None:
    """FILL_PARAMS_FILE accepts a schedule; there are no fills before its first segment."""
    schedule = lab.over_time("schedule", "plain").artefact
    run = lab.backtest(
        "by-schedule",
        FILL_MODEL="poisson",
        FILL_PARAMS_FILE=str(schedule),
        QUOTE_MODEL="fixed_spread",
        QUOTE_PARAMS_JSON=json.dumps({"delta_ticks": 1}),
        INITIAL_INVENTORY="10",
    )
    fills = [int(row["recv_us"]) for row in rows_of(run.file("fills_*.csv"))]
    assert len(fills) > 100
    assert fills[0] >= segments_of(lab.over_time("schedule", "plain"))[0]["start_us"]


def test_window_metrics_match_schedule(lab: Lab) -> None:
    """One row per segment with the same numbers."""
    run = lab.over_time("schedule", "plain")
    metrics = rows_of(run.file("window_metrics.csv"))
    for segment, row in zip(segments_of(run), metrics, strict=True):
        assert int(row["start_us"]) == segment["start_us"]
        assert Decimal(row["A"]) == segment["A"]
        assert Decimal(row["k"]) == segment["k"]
