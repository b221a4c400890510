"""summary.json recomputed from the other files and the recorded market, by the definitions of contract §7."""

import math
from bisect import bisect_left, bisect_right
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from contract_runs import RUNS, every_drawn_run, every_run, handmade, knob, market_of, params_of, run_of, sign
from lab import Lab
from outside import Market, Order, json_of, read_orders, rows_of

HORIZONS = (1, 5, 30, 60)


def summary_of(lab: Lab, name: str) -> Any:
    return json_of(run_of(lab, name).file("summary.json"))


def fills_of(lab: Lab, name: str) -> list[dict[str, str]]:
    return rows_of(run_of(lab, name).file("fills_*.csv"))


def states_of(lab: Lab, name: str) -> list[dict[str, str]]:
    return rows_of(run_of(lab, name).file("state_*.csv"))


def quoting(name: str, row: dict[str, str]) -> Decimal:
    """Return a state row's X: its equity without the value of the target inventory."""
    return Decimal(row["equity"]) - knob(name, "INITIAL_INVENTORY", "0") * Decimal(row["mid"])


def close(value: Decimal | None, expected: float | Decimal) -> bool:
    return value is not None and math.isclose(float(value), float(expected), rel_tol=1e-9, abs_tol=1e-12)


@every_run
def test_orders_and_fills_are_counted_as_defined(lab: Lab, name: str) -> None:
    """Counts and ratios follow from the orders and fills files alone."""
    summary, fills = summary_of(lab, name), fills_of(lab, name)
    orders = read_orders(run_of(lab, name).file("orders_*.csv"))
    requests = sum(row["action"] == "CANCEL_REQ" for order in orders.values() for row in order.rows)
    in_parts = {row["order_id"] for row in fills if Decimal(row["qty"]) < orders[int(row["order_id"])].qty}
    filled = sum(Decimal(row["qty"]) for row in fills)
    assert summary["n_orders"] == len(orders)
    assert summary["n_fills"] == summary["observed_fills"] == len(fills)
    assert summary["n_partial"] == len(in_parts)
    assert close(summary["fill_ratio"], filled / sum(order.qty for order in orders.values()))
    assert close(summary["quote_to_trade"], (len(orders) + requests) / len(fills))


@every_run
def test_spreads_and_adverse_selection_match_recorded_market(lab: Lab, name: str) -> None:
    """Weighted by quantity, signed, marked at the mid h seconds later; fills without such a mid are left out."""
    summary, fills, market = summary_of(lab, name), fills_of(lab, name), market_of(lab, name)
    weights = sum(Decimal(row["qty"]) for row in fills)
    effective = sum(Decimal(r["qty"]) * sign(r) * (Decimal(r["mid"]) - Decimal(r["price"])) for r in fills) / weights
    assert close(summary["effective_half_spread"], effective)
    for horizon in HORIZONS:
        total = weight = Decimal(0)
        for row in fills:
            then = int(row["recv_us"]) + horizon * 1_000_000
            later = market.after(then).mid
            if then <= market.end_us and later is not None:
                weight += Decimal(row["qty"])
                total += Decimal(row["qty"]) * sign(row) * (later - Decimal(row["mid"]))
        adverse = summary["adverse_selection"][str(horizon)]
        assert close(adverse, total / weight), horizon
        assert close(summary["realised_half_spread"][str(horizon)], effective + total / weight), horizon


@every_run
def test_seconds_covered_are_time_with_valid_book(lab: Lab, name: str) -> None:
    """Covers the first snapshot to the last message; the time without a valid book is excluded."""
    summary, market = summary_of(lab, name), market_of(lab, name)
    invalid_us = sum(after.us - top.us for top, after in pairwise(market.tops) if top.mid is None)
    whole = market.end_us - market.first_us
    assert close(summary["seconds_excluded"], Decimal(invalid_us) / 10**6)
    assert close(summary["seconds_covered"], Decimal(whole - invalid_us) / 10**6)
    assert (invalid_us > 0) == handmade(name)


@every_run
def test_inventory_is_weighted_by_time(lab: Lab, name: str) -> None:
    """A position is weighted by its holding time, not by its number of fills."""
    states = states_of(lab, name)
    if handmade(name):
        pytest.skip("whether the void counts is not defined")
    held = [(int(row["recv_us"]), float(row["inventory"])) for row in states]
    spans = [(after - us, lots) for (us, lots), (after, _) in pairwise(held)]
    whole = sum(span for span, _ in spans)
    inventory = summary_of(lab, name)["inventory"]
    assert close(inventory["mean"], sum(span * lots for span, lots in spans) / whole)
    assert close(inventory["abs_mean"], sum(span * abs(lots) for span, lots in spans) / whole)
    assert close(inventory["rms"], math.sqrt(sum(span * lots**2 for span, lots in spans) / whole))
    assert close(inventory["max"], max(abs(lots) for _, lots in spans))


@every_run
def test_sharpe_and_sortino_use_whole_minutes(lab: Lab, name: str) -> None:
    """Changes of the quoting's equity over 60 s periods, ddof 1, times the square root of 525600."""
    if handmade(name):
        pytest.skip("a minute with a void in it is not defined")
    states, market = states_of(lab, name), market_of(lab, name)
    instants = [int(row["recv_us"]) for row in states]
    minutes = range(market.first_us, market.end_us + 1, 60_000_000)
    equity = [float(quoting(name, states[bisect_right(instants, us) - 1])) for us in minutes]
    changes = [after - before for before, after in pairwise(equity)]
    mean = sum(changes) / len(changes)
    spread = math.sqrt(sum((change - mean) ** 2 for change in changes) / (len(changes) - 1))
    summary = summary_of(lab, name)
    assert close(summary["sharpe"], mean / spread * math.sqrt(525600))
    downs = math.sqrt(sum(min(change, 0.0) ** 2 for change in changes) / (len(changes) - 1))
    downs_of_all = math.sqrt(sum(min(change, 0.0) ** 2 for change in changes) / len(changes))
    assert any(close(summary["sortino"], mean / down * math.sqrt(525600)) for down in (downs, downs_of_all))


@every_run
def test_drawdown_matches_state_file(lab: Lab, name: str) -> None:
    """Depth below the running maximum, of the quoting and of the account; duration from a peak to its recovery."""
    states, summary = states_of(lab, name), summary_of(lab, name)
    instants = [int(row["recv_us"]) for row in states]
    quoted = [quoting(name, row) for row in states]
    owned = [Decimal(row["equity"]) for row in states]
    for part, equities in ((summary, quoted), (summary["account"], owned)):
        depth, longest = drawdown(instants, equities)
        assert close(part["max_drawdown"], depth)
        assert abs(float(part["drawdown_duration_s"]) - longest / 1e6) <= 1.0


def drawdown(instants: list[int], equities: list[Decimal]) -> tuple[Decimal, int]:
    """Return the greatest depth, and the longest time in µs from a peak to its recovery or the end."""
    peak, peak_us, depth, longest, below = Decimal("-Infinity"), 0, Decimal(0), 0, False
    for us, equity in zip(instants, equities, strict=True):
        if below or equity < peak:
            longest = max(longest, us - peak_us)
        below = equity < peak
        if not below:
            peak, peak_us = equity, us
        depth = max(depth, peak - equity)
    return depth, longest


@every_run
def test_two_sided_uptime_is_share_with_resting_orders_on_both_sides(lab: Lab, name: str) -> None:
    """Time with LIVE or CANCELLING orders on both sides and a valid book, divided by the time with a valid book."""
    market = market_of(lab, name)
    changes = [(top.us, 2, (0 if top.mid is None else 1)) for top in market.tops]
    for order in read_orders(run_of(lab, name).file("orders_*.csv")).values():
        if order.reject or order.active_us > market.end_us:
            continue
        changes += [(order.active_us, order.sign, 1), (gone_us(order, market), order.sign, -1)]
    resting, valid, both, covered, at = {1: 0, -1: 0}, 0, 0, 0, market.first_us
    in_order = sorted(
        changes, key=lambda change: change[:2]
    )  # the last of the changes of the book at one instant holds
    for us, kind, change in [*in_order, (market.end_us, 2, 0)]:
        step = min(us, market.end_us) - at
        both += step * (valid and resting[1] > 0 and resting[-1] > 0)
        covered += step * valid
        at += step
        if kind == 2:
            valid = change
        else:
            resting[kind] += change
    assert close(summary_of(lab, name)["two_sided_uptime"], both / covered)


@every_drawn_run
def test_predicted_fills_equal_integrated_hazard(lab: Lab, name: str) -> None:
    """λ(δ) integrated over the resting time of each order; the observed fills are close to it."""
    market, params = market_of(lab, name), params_of(name)
    total = 0.0
    for order in read_orders(run_of(lab, name).file("orders_*.csv")).values():
        if not order.reject:
            total += hazard_of(order, market, params.get("bid" if order.sign > 0 else "ask", params))
    summary = summary_of(lab, name)
    assert math.isclose(float(summary["predicted_fills"]), total, rel_tol=1e-6)
    assert abs(summary["n_fills"] - total) < 4 * math.sqrt(total)


def gone_us(order: Order, market: Market) -> int:
    """Return the time at which an order left the book, or the end of the market data."""
    gone = [int(row["recv_us"]) for row in order.rows if row["action"] in {"CANCEL_ACK", "CLOSE_FILLED", "EXPIRE"}]
    return min([*gone, market.end_us])


def hazard_of(order: Order, market: Market, rates: dict[str, float]) -> float:
    """Return one order's λ, integrated from its arrival to its end."""
    end = gone_us(order, market)
    first = bisect_left(market.tops, order.active_us, key=lambda top: top.us)
    cuts = [order.active_us]
    mids = [market.before(order.active_us).mid]
    for top in market.tops[first:]:
        if top.us >= end:
            break
        cuts.append(top.us)
        mids.append(top.mid)
    total = 0.0
    for (begin, after), mid in zip(pairwise([*cuts, max(end, order.active_us)]), mids, strict=True):
        if mid is not None:
            distance = float(order.sign * (mid - order.price) / market.tick)
            total += rates["A"] * math.exp(-rates["k"] * max(distance, 0.0)) * (after - begin) / 1e6
    return total


def test_null_values_have_reason_in_warnings(lab: Lab) -> None:
    """Contract §7: an undefined value is null, with the reason in `warnings`."""
    for name in RUNS:
        summary = summary_of(lab, name)
        for key, value in summary.items():
            if value is None:
                assert any(key in warning for warning in summary["warnings"]), (name, key)


def test_summary_contains_symbol_days_and_models(lab: Lab) -> None:
    """The summary identifies symbol, days and models."""
    summary = summary_of(lab, "hazard")
    assert summary["symbol"] == "SIMUSDT"
    assert summary["days"] == ["20260105"]
    assert summary["models"] == {"quote": "fixed_spread", "fill": "poisson"}
