"""The summary recomputed from the written files, with Decimal, statistics and plain loops."""

import csv
import json
import math
import statistics
from decimal import Decimal
from itertools import pairwise

MINUTE, SECOND = 60_000_000, 1_000_000
SIGN = {"BUY": 1, "SELL": -1}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text):
    return Decimal(text) if text else None


def at_or_before(rows, us):
    return [row for row in rows if row["us"] <= us][-1]


def recompute(folder, symbol, mids, last_us):
    """Return the numbers that follow from a run folder and the path of the mid."""
    orders, fills, state = (rows_of(folder / f"{name}_{symbol}.csv") for name in ("orders", "fills", "state"))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    tick_size, spans = Decimal(str(summary["tick_size"])), summary["spans"]
    for row in state:
        row |= {key: number(row[key]) for key in ("inventory", "cash", "mid", "mtm_value", "equity")}
        row["us"] = int(row["recv_us"])
    for row in fills:
        row |= {key: number(row[key]) for key in ("price", "qty", "fee", "mid", "inventory_after")}
        row |= {"us": int(row["recv_us"]), "sign": SIGN[row["side"]]}
    path = [(us, mid2 * tick_size / 2) for us, mid2 in mids]
    state = on_clock(state, spans, path)
    found = pnl(fills, state) | activity(orders, fills) | spreads(fills, path, last_us)
    return found | risk(state, spans) | held(state)


def on_clock(state, spans, path):
    """Return the rows with their covered time, mark and worth; and one where a span begins with another mid."""
    rows = list(state)
    for begin, _ in spans:
        before = [row for row in rows if row["us"] <= begin]
        mid = [mid for us, mid in path if us <= begin][-1]
        if before and mid and (before[-1]["us"], before[-1]["mid"]) != (begin, mid):
            added = before[-1] | {"us": begin, "mid": mid, "equity": before[-1]["cash"] + before[-1]["inventory"] * mid}
            rows.insert(len(before), added)
    mark = next((row["mid"] for row in rows if row["mid"]), 0)
    for row in rows:
        mark = row["mark"] = row["mid"] or mark
        row["worth"] = row["cash"] + row["inventory"] * mark
        row["clock"] = sum(max(min(row["us"], end) - begin, 0) for begin, end in spans)
    return rows


def minutes(state, spans):
    """Return the change of worth in each whole minute of the spans, from their begins on."""
    changes = []
    for begin, end in spans:
        known = [at_or_before(state, us)["worth"] for us in range(begin, end + 1, MINUTE)]
        changes += [after - before for before, after in pairwise(known)]
    return changes


def year(spans):
    """Return the minutes of a year of such days."""
    return sum(end - begin for begin, end in spans) / MINUTE * 365


def pnl(fills, state):
    """Return the account over the rows that have a mark, None without any."""
    marks = [row["mid"] for row in state if row["mid"]]
    if not marks:
        return {"pnl_total": None, "pnl_spread_capture": None, "pnl_inventory": None, "fees": None}
    mark = marks[0]
    for row in state:
        mark = row["mark"] = row["mid"] or mark
    spread = Decimal(0)
    for fill in fills:
        mid = fill["mid"] or at_or_before(state, fill["us"])["mark"]
        spread += fill["sign"] * fill["qty"] * (mid - fill["price"])
    first, last = state[0], state[-1]
    total = last["cash"] + last["inventory"] * last["mark"] - first["cash"] - first["inventory"] * first["mark"]
    fees = sum((fill["fee"] for fill in fills), Decimal(0))
    carried = sum((a["inventory"] * (b["mark"] - a["mark"]) for a, b in pairwise(state)), Decimal(0))
    parts = {"pnl_spread_capture": spread, "pnl_inventory": carried, "fees": fees}
    return {"pnl_total": float(total)} | {key: float(value) for key, value in parts.items()}


def activity(orders, fills):
    placed = {row["order_id"]: Decimal(row["qty"]) for row in orders if row["action"] == "PLACE"}
    cancels = sum(row["action"] == "CANCEL_REQ" for row in orders)
    filled = sum((fill["qty"] for fill in fills), Decimal(0))
    return {
        "n_orders": len(placed),
        "n_fills": len(fills),
        "observed_fills": len(fills),
        "n_partial": len({fill["order_id"] for fill in fills if fill["qty"] < placed[fill["order_id"]]}),
        "fill_ratio": float(filled / sum(placed.values())) if placed else None,
        "quote_to_trade": (len(placed) + cancels) / len(fills) if fills else None,
    }


def weighted(pairs):
    weight = sum(qty for qty, _ in pairs)
    return float(sum(qty * value for qty, value in pairs) / weight) if pairs else None


def spreads(fills, path, last_us):
    marked_fills = [fill for fill in fills if fill["mid"]]
    effective = weighted([(fill["qty"], fill["sign"] * (fill["mid"] - fill["price"])) for fill in marked_fills])
    moved, left_out = {}, {}
    for horizon in (0, 1, 5, 30, 60):
        pairs = []
        for fill in marked_fills:
            at = fill["us"] + horizon * SECOND
            # These fills are by trades, which do not move the book themselves.
            later = [mid for us, mid in path if us <= at][-1] if horizon else fill["mid"]
            if at <= last_us and later:
                pairs.append((fill["qty"], fill["sign"] * (later - fill["mid"])))
        moved[str(horizon)] = weighted(pairs)
        left_out[str(horizon)] = len(fills) - len(pairs)
    kept = {horizon: None if value is None else effective + value for horizon, value in moved.items()}
    return {
        "effective_half_spread": effective,
        "adverse_selection": moved,
        "adverse_selection_left_out": left_out,
        "realised_half_spread": kept,
    }


def risk(state, spans):
    changes, per_year = minutes(state, spans), year(spans)
    sharpe = sortino = None
    if len(set(changes)) > 1:
        sharpe = float(statistics.mean(changes) / statistics.stdev(changes)) * math.sqrt(per_year)
    if len(changes) > 1 and min(changes) < 0:
        downside = math.sqrt(sum(min(change, 0) ** 2 for change in changes) / len(changes))
        sortino = float(statistics.mean(changes)) / downside * math.sqrt(per_year)
    return {"sharpe": sharpe, "sortino": sortino} | drawdown([row for row in state if row["equity"] is not None])


def drawdown(marked):
    if not marked:
        return {"max_drawdown": None, "drawdown_duration_s": None}
    peak, under, deepest, longest = marked[0], False, Decimal(0), 0
    for row in marked:
        was_under, under = under, row["equity"] < peak["equity"]
        if under or was_under:
            longest = max(longest, row["clock"] - peak["clock"])
        deepest = max(deepest, peak["equity"] - row["equity"])
        peak = peak if under else row
    return {"max_drawdown": float(deepest), "drawdown_duration_s": longest / SECOND}


def held(state):
    spans = [(b["clock"] - a["clock"], a["inventory"]) for a, b in pairwise(state)]
    total = sum(span for span, _ in spans)
    most = float(max(abs(row["inventory"]) for row in state))
    if not total:
        return {"inventory": {"mean": None, "abs_mean": None, "max": most, "rms": None, "half_life_s": None}}
    return {
        "inventory": {
            "mean": float(sum(span * qty for span, qty in spans) / total),
            "abs_mean": float(sum(span * abs(qty) for span, qty in spans) / total),
            "max": most,
            "rms": math.sqrt(sum(span * qty**2 for span, qty in spans) / total),
            "half_life_s": half_life(state),
        }
    }


def half_life(state):
    at = range(state[0]["clock"], state[-1]["clock"] + 1, SECOND)
    grid = [float([row for row in state if row["clock"] <= us][-1]["inventory"]) for us in at]
    if len(set(grid)) == 1:
        return None
    mean = statistics.mean(grid)
    centred = [value - mean for value in grid]
    whole = math.fsum(value * value for value in centred)
    for lag in range(len(centred)):
        if math.fsum(a * b for a, b in zip(centred, centred[lag:], strict=False)) < 0.5 * whole:
            return float(lag)
    return None
