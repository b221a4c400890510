"""Orders, round trips, returns and exposure recomputed from the written files, with Fraction and plain loops."""

import math
import statistics
from collections import defaultdict, deque
from fractions import Fraction
from itertools import pairwise

from plain_summary import SECOND, SIGN, minutes, rows_of, year

ENDS = ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT")
HOUR = 3_600 * SECOND


def read(folder, symbol):
    """Return orders by id, and fills and state rows, with exact numbers."""
    orders, fills, state = (rows_of(folder / f"{name}_{symbol}.csv") for name in ("orders", "fills", "state"))
    for row in [*fills, *state]:
        row["us"] = int(row["recv_us"])
    for row in fills:
        row |= {key: Fraction(row[key]) if row[key] else None for key in ("price", "qty", "fee", "mid")}
        row["sign"] = SIGN[row["side"]]
    for row in state:
        row |= {key: Fraction(row[key]) if row[key] else None for key in ("inventory", "equity", "cash", "mid")}
    placed = {}
    for row in orders:
        if row["action"] == "PLACE":
            placed[row["order_id"]] = {
                "sent": int(row["recv_us"]),
                "active": int(row["active_recv_us"]),
                "end": None,
                "rejected": False,
                "sign": SIGN[row["side"]],
                "price": Fraction(row["price"]),
            }
        elif row["action"] in ENDS and row["order_id"] in placed:
            placed[row["order_id"]] |= {"end": int(row["recv_us"]), "rejected": row["action"] == "REJECT"}
    return placed, fills, state


def round_trips(fills):
    """Match fills with a queue of open lots, oldest first; a trade for each fill that closes lots."""
    open_lots, trades, gross = deque(), [], Fraction(0)
    for fill in fills:
        left, result, spent, weighted = fill["qty"], Fraction(0), Fraction(0), Fraction(0)
        while left and open_lots and open_lots[0]["sign"] != fill["sign"]:
            lot = open_lots[0]
            part = min(left, lot["qty"])
            earned = part * lot["sign"] * (fill["price"] - lot["price"])
            gross += earned
            result += earned - part * (lot["fee"] + fill["fee"] / fill["qty"])
            spent, weighted = spent + part, weighted + part * lot["us"]
            left, lot["qty"] = left - part, lot["qty"] - part
            if not lot["qty"]:
                open_lots.popleft()
        if spent:
            trades.append((result, fill["us"] - weighted / spent))
        if left:
            open_lots.append({**fill, "qty": left, "fee": fill["fee"] / fill["qty"]})
    if not trades:
        nothing = dict.fromkeys(("win_rate", "mean", "median", "best", "worst", "holding_s"))
        return {"pnl_realised": 0.0, "round_trips": {"n": 0, **nothing}}
    results = [result for result, _ in trades]
    return {
        "pnl_realised": float(gross),
        "round_trips": {
            "n": len(trades),
            "win_rate": sum(result > 0 for result in results) / len(results),
            "mean": float(sum(results) / len(results)),
            "median": float(statistics.median(results)),
            "best": float(max(results)),
            "worst": float(min(results)),
            "holding_s": float(statistics.median(held for _, held in trades)) / SECOND,
        },
    }


def spread_of(times):
    """Return quantiles, interpolated, and the mean, in s."""
    if not times:
        return {"n": 0, **dict.fromkeys(("mean", "p50", "p99", "p999", "max"))}
    inside = sorted(times)

    def at(share):
        low, part = divmod(Fraction(share) * (len(inside) - 1), 1)
        return float(inside[low] + (inside[min(low + 1, len(inside) - 1)] - inside[low]) * part) / SECOND

    mean, most = sum(times) / len(times) / SECOND, inside[-1] / SECOND
    return {"n": len(times), "mean": mean, "p50": at("0.5"), "p99": at("0.99"), "p999": at("0.999"), "max": most}


def order_times(placed, fills, last_us):
    """Return the times of single orders."""
    first_fill = {}
    for fill in fills:
        first_fill.setdefault(fill["order_id"], fill["us"])
    known = {key: us for key, us in first_fill.items() if key in placed}
    arrived = [order for order in placed.values() if order["active"] <= last_us or order["end"] is not None]
    rested = [order for order in arrived if not order["rejected"]]
    return {
        "hit_rate": len(known) / len(placed) if placed else None,
        "quote_lifetime_s": spread_of([order["end"] - order["active"] for order in rested if order["end"] is not None]),
        "order_to_ack_s": spread_of([order["active"] - order["sent"] for order in arrived]),
        "live_to_fill_s": spread_of([us - placed[key]["active"] for key, us in known.items()]),
        "order_to_fill_s": spread_of([us - placed[key]["sent"] for key, us in known.items()]),
    }


def returns(state, spans):
    changes = [float(change) for change in minutes(state, spans)]
    names = ("mean", "std", "median", "worst", "best", "gained", "lost", "skew", "kurtosis", "sharpe_per_period")
    names += ("autocorr_inflation",)
    left_out = float(state[-1]["worth"] - state[0]["worth"]) - sum(changes)
    terms = {"periods_per_year": year(spans), "pnl_left_out": left_out}
    result = {"periods": len(changes), "period_s": 60, **terms, **dict.fromkeys(names)}
    if not changes:
        return result
    count = len(changes)
    result |= {"mean": statistics.fmean(changes), "median": statistics.median(changes)}
    result |= {"worst": min(changes), "best": max(changes)}
    result |= {"gained": sum(c > 0 for c in changes) / count, "lost": sum(c < 0 for c in changes) / count}
    if count > 1:
        result["std"] = statistics.stdev(changes)
    if len(set(changes)) > 1:
        mean, variance = statistics.fmean(changes), statistics.pvariance(changes)
        result["skew"] = statistics.fmean((c - mean) ** 3 for c in changes) / variance**1.5
        result["kurtosis"] = statistics.fmean((c - mean) ** 4 for c in changes) / variance**2
        result["sharpe_per_period"] = mean / statistics.stdev(changes)
        lags = min(count - 1, int(4 * (count / 100) ** (2 / 9)))
        products = [sum((a - mean) * (b - mean) for a, b in zip(changes, changes[j:])) for j in range(lags + 1)]  # noqa: B905
        result["autocorr_inflation"] = 1 + 2 * sum(
            (1 - j / (lags + 1)) * products[j] / products[0] for j in range(1, lags + 1)
        )
    return result


def under_water(state):
    marked = [row for row in state if row["equity"] is not None]
    if not marked:
        return {"s": None, "share": None, "unrecovered": None}
    highest, below, time = marked[0]["equity"], False, 0
    for row, following in pairwise([*marked, None]):
        highest = max(highest, row["equity"])
        below = row["equity"] < highest
        time += following["clock"] - row["clock"] if following and below else 0
    total = marked[-1]["clock"] - marked[0]["clock"]
    return {"s": time / SECOND, "share": time / total if total else None, "unrecovered": below}


def exposure(placed, path, last_us, tick_size, rate):
    """Return order-seconds and predicted fills by distance in half ticks and by hour; *rate* is λ(us, sign, ticks)."""
    by_distance, by_hour = defaultdict(lambda: [0.0, 0.0]), defaultdict(lambda: [0.0, 0.0])
    for order in placed.values():
        end = last_us if order["end"] is None else order["end"]
        if order["rejected"] or order["active"] >= end:
            continue
        hours = range(order["active"] // HOUR * HOUR, end, HOUR)
        cuts = sorted({order["active"], end, *(us for us, _ in path), *hours, *rate.cuts})
        for start, stop in pairwise([us for us in cuts if order["active"] <= us <= end]):
            mid = [mid for us, mid in path if us <= start][-1:] or [0]
            if not mid[0]:
                continue
            half_ticks = order["sign"] * (mid[0] - order["price"]) / tick_size * 2
            seconds = (stop - start) / SECOND
            for sums, key in ((by_distance, int(half_ticks)), (by_hour, start // HOUR * HOUR)):
                sums[key][0] += seconds
                sums[key][1] += seconds * rate(start, order["sign"], float(half_ticks) / 2)
    return by_distance, by_hour


class Rate:
    """λ(δ) = A·exp(−k·δ), A below δ = 0, of pieces (start, end, A bid, k bid, A ask, k ask, k); 0 outside them."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.cuts = [us for piece in pieces for us in piece[:2]]

    def __call__(self, us, sign, ticks):
        for start, end, *rates in self.pieces:
            if start <= us < end:
                A, k = rates[:2] if sign > 0 else rates[2:4]
                return A * math.exp(-k * max(ticks, 0.0))
        return 0.0
