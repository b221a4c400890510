"""The measurements of a calibration, recomputed from the raw day: sweeps, distances, exposure, and the fit."""

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import hand
import pytest
from lab import Lab, Run
from outside import Market, Print, json_of, rows_of

pytestmark = pytest.mark.slow  # a process for each case

#: Half ticks from the mid and side of the hit order -> measured value.
Cells = dict[tuple[int, str], Decimal]
DAYS = ("plain", "odd", "four", "wild")
every_day = pytest.mark.parametrize("day", DAYS)
SPREADS = {"odd": "3", "four": "4"}


def root_of(lab: Lab, day: str) -> dict[str, str]:
    """Return the variables that select a day: simulated days with several spreads, or the wild capture."""
    if day == "wild":
        return {"DATA_ROOT": str(lab.wild()), "SYMBOL": hand.SYMBOL}
    flags = () if day == "plain" else ("--spread-ticks", SPREADS[day], "--hours", "0.2")
    return {"DATA_ROOT": str(lab.sim(day, *flags)), "SYMBOL": "SIMUSDT"}


def market_of(lab: Lab, day: str) -> Market:
    where = root_of(lab, day)
    return lab.market(Path(where["DATA_ROOT"]), where["SYMBOL"])


def marks(lab: Lab, day: str, hit: str = "touch") -> Run:
    name = f"marks-near-{day}-{hit}"
    return lab.calibration(
        name, "--calib-reference", "mid", "--calib-hit", hit, "--max-delta-ticks", "50", **root_of(lab, day)
    )


def half_ticks(market: Market, price: Decimal) -> int:
    """Return a price, or a mid, as a whole number of half ticks."""
    exact = price / market.tick * 2
    assert exact == int(exact)
    return int(exact)


def sweeps(market: Market) -> Iterator[list[Print]]:
    """Yield the prints of each aggressive order: one side, one trade time."""
    open_sweeps: dict[bool, list[Print]] = {}
    for trade in market.prints:
        current = open_sweeps.get(trade.buyer)
        if current and current[0].trade_ms == trade.trade_ms:
            current.append(trade)
        else:
            if current:
                yield current
            open_sweeps[trade.buyer] = [trade]
    yield from open_sweeps.values()


def counted(market: Market, *, strict: bool, farthest: int) -> Cells:
    """Return the number of sweeps that reach each cell, for the cells exposed at their start."""
    counts: Cells = defaultdict(Decimal)
    for prints in sweeps(market):
        top = market.after(prints[0].us, prints[0].seq)
        if top.mid is None or top.bid is None or top.ask is None:
            continue
        sign, side = (1, "ask") if prints[0].buyer else (-1, "bid")
        mid = half_ticks(market, top.mid)
        nearest = half_ticks(market, top.ask) - mid
        deepest = max(sign * (half_ticks(market, trade.price) - mid) for trade in prints) - 2 * strict
        for cell in range(nearest, min(deepest, 2 * farthest) + 1, 2):
            counts[cell, side] += 1
    return counts


def exposed(market: Market, farthest: int) -> Cells:
    """Return the seconds in which an order could have rested in each cell."""
    seconds: Cells = defaultdict(Decimal)
    ends = [top.us for top in market.tops[1:]] + [market.end_us]
    for top, end in zip(market.tops, ends, strict=True):
        if top.mid is None or top.ask is None:
            continue
        nearest = half_ticks(market, top.ask) - half_ticks(market, top.mid)
        for cell in range(nearest, 2 * farthest + 1, 2):
            for side in ("bid", "ask"):
                seconds[cell, side] += Decimal(end - top.us) / 10**6
    return seconds


def points_of(run: Run) -> dict[tuple[int, str], dict[str, str]]:
    """Return the points file by cell."""
    rows = rows_of(run.file("calibration_points.csv"))
    points = {(int(Decimal(row["delta_ticks"]) * 2), row["side"]): row for row in rows}
    assert len(points) == len(rows)
    return points


@pytest.mark.slow
@every_day
@pytest.mark.parametrize("hit", ["touch", "strict"])
def test_marks_counts_each_sweep_once_per_reached_distance(lab: Lab, day: str, hit: str) -> None:
    """The points file holds cumulative counts and the seconds in which each distance was on the grid and exposed."""
    if hit == "strict" and day not in {"plain", "wild"}:
        pytest.skip("two days are enough")
    market, points = market_of(lab, day), points_of(marks(lab, day, hit))
    counts, seconds = counted(market, strict=hit == "strict", farthest=50), exposed(market, 50)
    assert set(points) == set(seconds)
    assert {cell: Decimal(row["fills"]) for cell, row in points.items() if Decimal(row["fills"])} == counts
    for cell, row in points.items():
        assert math.isclose(float(row["exposure_s"]), float(seconds[cell]), rel_tol=1e-9), cell
        assert math.isclose(float(row["lambda_per_s"]), float(counts.get(cell, 0) / seconds[cell]), rel_tol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("day", ["plain", "odd", "four"])
def test_default_reference_is_chosen_out_of_sample(lab: Lab, day: str) -> None:
    """The mid is chosen, as in the simulator; the fit contains the gains of all four references and k by max delta."""
    run = lab.calibration(f"auto-{day}", **root_of(lab, day))
    fit = json_of(run.file("poisson_fit.json"))
    choice = fit["reference_choice"]
    assert set(choice) >= {"chosen", "gain_nats_per_fill", "se", "why"}
    assert set(choice["gain_nats_per_fill"]) == {"mid", "best", "micro", "sweep"}
    assert fit["reference"] == choice["chosen"] == "mid"
    assert fit["k_by_max_delta"][-1] == {"max_delta_ticks": fit["max_delta_ticks"], "k": fit["k"]}
    assert all(row["k"] > 0 for row in fit["k_by_max_delta"])


@pytest.mark.parametrize("day", ["plain", "odd", "four"])
def test_fit_recovers_simulator_parameters(lab: Lab, day: str) -> None:
    """The true A and k of the simulator are within five standard errors of the fit."""
    fit = json_of(marks(lab, day).file("poisson_fit.json"))
    truth = json_of(next(Path(root_of(lab, day)["DATA_ROOT"]).rglob("truth.json")))
    assert abs(float(fit["logA"]) - math.log(truth["A"])) < 5 * fit["se_logA"]
    assert abs(fit["k"] - truth["k"]) < 5 * fit["se_k"]
    assert fit["ci95_k"][0] < fit["k"] < fit["ci95_k"][1]
    assert fit["ci95_A"][0] < fit["A"] < fit["ci95_A"][1]


def test_marks_fit_maximizes_disjoint_cell_likelihood(lab: Lab) -> None:
    """The score of the counts per cell, with mean T·A·(e^−kδ − e^−k(δ+1)) and an open last cell, is zero at the fit."""
    points = points_of(marks(lab, "plain"))
    fit = json_of(marks(lab, "plain").file("poisson_fit.json"))
    used = {cell: row for cell, row in points.items() if cell[0] <= 100}
    steps = sorted({cell for cell, _ in used})
    ends = []
    for near, far in pairwise([*steps, None]):
        reached = sum(int(used[near, side]["fills"]) for side in ("bid", "ask"))
        beyond = sum(int(used[far, side]["fills"]) for side in ("bid", "ask")) if far else 0
        seconds = sum(float(used[near, side]["exposure_s"]) for side in ("bid", "ask"))
        ends.append((near / 2, (far or near) / 2, far is None, reached - beyond, seconds))

    def likelihood(log_a: float, k: float) -> float:
        total = 0.0
        for near, far, last, count, seconds in ends:
            mean = seconds * math.exp(log_a) * (math.exp(-k * near) - (0.0 if last else math.exp(-k * far)))
            total += count * math.log(mean) - mean
        return total

    log_a, k, small = float(fit["logA"]), float(fit["k"]), 1e-5
    for lower, upper in (((log_a - small, k), (log_a + small, k)), ((log_a, k - small), (log_a, k + small))):
        slope = (likelihood(*upper) - likelihood(*lower)) / (2 * small)
        assert abs(slope) < 0.01, slope


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ladder", "fixed"])
@pytest.mark.parametrize("day", ["plain", "wild"])
def test_points_of_simulated_orders_match_fills_files(lab: Lab, method: str, day: str) -> None:
    """Fills are counted by each order's distance from the mid, except where it is nearer than the best price."""
    name = method if day == "plain" else f"{method}-{day}"
    run = lab.calibration(name, "--method", method, "--calib-reference", "mid", **root_of(lab, day))
    market = market_of(lab, day)
    fills: dict[tuple[int, str], int] = defaultdict(int)
    seqs: dict[int, list[int]] = defaultdict(list)
    for trade in market.prints:
        seqs[trade.us].append(trade.seq)
    for path in run.folder.rglob("fills_*.csv"):
        for row in rows_of(path):
            sign, side = (1, "bid") if row["side"] == "BUY" else (-1, "ask")
            us, mid = int(row["recv_us"]), Decimal(row["mid"])
            # The book after the print itself; where messages share an instant, the mid in the file identifies it.
            top = next(top for seq in (*seqs[us], 2**62) if (top := market.after(us, seq)).mid == mid)
            assert top.ask is not None
            assert top.mid is not None
            cell = half_ticks(market, top.mid) * sign - half_ticks(market, Decimal(row["price"])) * sign
            if cell >= half_ticks(market, top.ask) - half_ticks(market, top.mid):
                fills[cell, side] += 1
    reported = {cell: int(row["fills"]) for cell, row in points_of(run).items() if int(row["fills"])}
    assert reported == fills


def test_exposure_is_counted_in_order_seconds(lab: Lab) -> None:
    """Exposure is in order-seconds: at most one order per side in each of the ladder's eight runs."""
    for method, most in (("ladder", 8), ("fixed", 6)):
        points = points_of(lab.calibration(method, "--method", method))
        market = market_of(lab, "plain")
        for side in ("bid", "ask"):
            total = sum(float(row["exposure_s"]) for (_, of), row in points.items() if of == side)
            assert total <= most * (market.end_us - market.first_us) / 1e6
            assert total > 0.8 * most * (market.end_us - market.first_us) / 1e6


@pytest.mark.parametrize("method", ["marks", "ladder", "fixed"])
def test_mm_fit_on_points_of_run_reproduces_its_estimates(lab: Lab, method: str) -> None:
    """Independent points give the run's A and k; the cumulative points of marks are not independent, but close."""
    run = lab.calibration(method, "--method", method)
    fit = json_of(run.file("poisson_fit.json"))
    limits = ("--min-exposure-s", "5", "--max-delta-ticks", "50")
    again = lab.command(f"refit/{method}", "fit", str(run.file("calibration_points.csv")), "--json", *limits)
    assert again.code == 0
    tolerance = 0.05 if method == "marks" else 1e-7
    for key in ("A", "k"):
        assert math.isclose(again.last[key], fit[key], rel_tol=tolerance), key


@pytest.mark.slow
def test_day_without_trades_gives_unusable_fit_with_null_estimates(lab: Lab) -> None:
    """Exit 4; the outputs are written, the estimates are null, and the status is set."""
    book_only = [text for text in hand.small() if "@trade" not in text]
    day = lab.imported("no-trades", book_only, "--symbol", "TINYUSDT", "--qty-step", "0.001")
    for method in ("marks", "ladder", "fixed"):
        done = lab.command(
            f"calibration/empty-{method}",
            "calibrate",
            "--json",
            "--method",
            method,
            SYMBOL="TINYUSDT",
            DAY="20260105",
            DATA_ROOT=str(day.cwd / "data"),
        )
        assert done.code == 4, done.err
        assert len(done.err.splitlines()) == 1
        fit = done.last
        assert (fit["usable"], fit["status"]) == (False, "no_fills")
        assert unusable_is_null(fit)
        (path,) = done.cwd.rglob("poisson_fit.json")
        assert str(path) == fit["path"]
        assert (path.parent / "calibration_points.csv").exists()
        assert json_of(path.parent / "run_manifest.json")["status"] != "ok"


def unusable_is_null(fit: dict[str, Any]) -> bool:
    """Whether every estimate at the top level is null."""
    names = "A k logA se_logA se_k cov_logA_k ci95_A ci95_k ci95_A_block ci95_k_block lambda_at_pivot"
    return all(fit[name] is None for name in names.split())
