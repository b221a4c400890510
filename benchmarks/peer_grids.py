"""Two grids played with hftbacktest, for `benchmarks.grids`: run by the Python of an environment that has it.

``python peer_grids.py '{"events": …, "plays": [{"strategy": "grid" | "glft", …}, …]}'`` prints one JSON object: the
results of each play, and its seconds; with ``fills`` its fills are saved to a file: instant, side, ticks, lots, and
send time of the order.

The strategies implement the descriptions in hftbacktest's notebooks "High-Frequency Grid Trading" and "GLFT Market
Making Model and Grid Trading" with its public functions. With ``notebook`` prices are floats and depths half ticks, as
in the notebooks; without it both are whole ticks, as in mm.
"""

# ruff: noqa: PLR0913, PLR0917 - compiled functions take numbers, no objects

import json
import math
import resource
import sys
import time

import numpy as np
from hftbacktest import BUY, BUY_EVENT, FILLED, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit, uint64
from numba.typed import Dict

BINS = 500  # maximum counted distance of a print from the mid, in half ticks


@njit
def add_prices(wanted, price, step, levels, sign, tick):
    """Add the prices of a side to *wanted*, by tick, which is the id of an order."""
    for _ in range(levels):
        wanted[uint64(round(price / tick))] = price
        price -= sign * step


@njit
def update(hbt, bid, ask, step, levels, qty, with_bids, with_asks, counts):
    """Cancel orders off the grid, and send missing orders."""
    orders, tick = hbt.orders(0), hbt.depth(0).tick_size
    bids = Dict.empty(np.uint64, np.float64)
    asks = Dict.empty(np.uint64, np.float64)
    if with_bids and np.isfinite(bid):
        add_prices(bids, bid, step, levels, 1, tick)
    if with_asks and np.isfinite(ask):
        add_prices(asks, ask, step, levels, -1, tick)
    values = orders.values()
    while values.has_next():
        order = values.get()
        if order.cancellable and order.order_id not in (bids if order.side == BUY else asks):
            hbt.cancel(0, order.order_id, False)
            counts[1] += 1
    for order_id, price in bids.items():
        if order_id not in orders:
            hbt.submit_buy_order(0, order_id, price, qty, GTX, LIMIT, False)
            counts[0] += 1
    for order_id, price in asks.items():
        if order_id not in orders:
            hbt.submit_sell_order(0, order_id, price, qty, GTX, LIMIT, False)
            counts[0] += 1


@njit
def append_fills(hbt, fills, count):
    """Append the fills of orders that were filled since orders were last cleared."""
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get()
        if order.status == FILLED and count < len(fills):
            fills[count, 0], fills[count, 1] = order.exch_timestamp, 1 if order.side == BUY else -1
            fills[count, 2], fills[count, 3] = order.price_tick, round(order.exec_qty / hbt.depth(0).lot_size)
            fills[count, 4] = order.local_timestamp
            count += 1
    return count


@njit
def play_grid(hbt, every_ns, levels, step_ticks, delta_ticks, outside, qty, most, notebook, fills, counts):
    """Quote a grid at fixed distances around the mid; with *outside* no price is inside the spread."""
    tick = hbt.depth(0).tick_size
    more = hbt.elapse(0)
    while more == 0:
        counts[2] += 1
        counts[3] = append_fills(hbt, fills, counts[3])
        hbt.clear_inactive_orders(0)
        depth, position = hbt.depth(0), hbt.position(0)
        if notebook:
            mid, step = 0.5 * (depth.best_bid + depth.best_ask), step_ticks * tick
            bid = math.floor((mid - delta_ticks * tick) / step) * step
            ask = math.ceil((mid + delta_ticks * tick) / step) * step
        else:
            mid, step = 0.5 * (depth.best_bid_tick + depth.best_ask_tick), step_ticks * tick
            bid, ask = mid - delta_ticks, mid + delta_ticks
            if outside:
                bid, ask = min(bid, depth.best_bid_tick), max(ask, depth.best_ask_tick)
            bid, ask = math.floor(bid / step_ticks) * step_ticks * tick, math.ceil(ask / step_ticks) * step_ticks * tick
        update(hbt, bid, ask, step, levels, qty, position < most - 0.5 * qty, position > 0.5 * qty - most, counts)
        more = hbt.elapse(every_ns)
    counts[3] = append_fills(hbt, fills, counts[3])


@njit
def fit(reaches, seconds, bins, notebook):
    """Return A and k of the rate at which prints reach a depth, or nothing for fewer than three depths."""
    counted = np.zeros(BINS)
    deepest = 0
    for reach in reaches:
        if not np.isfinite(reach):
            continue
        place = round(reach / 0.5) - 1
        if notebook and place >= BINS:
            continue
        place = min(place, BINS)
        if place > 0:
            counted[:place] += 1
            deepest = max(deepest, place)
    deepest = min(deepest, bins)
    if deepest < 3:
        return np.nan, np.nan
    y = np.log(counted[:deepest] / seconds)
    x = np.arange(deepest) + 0.5 if notebook else 0.5 * (np.arange(deepest) + 1)
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    return math.exp(y.mean() - slope * x.mean()), -slope


@njit
def play_glft(
    hbt, every_ns, levels, gamma, spread_factor, skew_factor, window, refit, bins, qty, most, notebook, fills, counts
):
    """Quote a grid around the quotes of Guéant, Lehalle and Fernandez-Tapia, calibrated periodically."""
    tick = hbt.depth(0).tick_size
    reaches, changes = np.full(10_000_000, np.nan), np.full(10_000_000, np.nan)
    mid = A = k = sigma = np.nan
    t = 0
    more = hbt.elapse(0)
    while more == 0:
        if np.isfinite(mid):
            reach = -np.inf
            for trade in hbt.last_trades(0):
                away = trade.px / tick - mid
                reach = max(reach, away if trade.ev & BUY_EVENT == BUY_EVENT else -away)
            reaches[t] = reach
        hbt.clear_last_trades(0)
        counts[2] += 1
        counts[3] = append_fills(hbt, fills, counts[3])
        hbt.clear_inactive_orders(0)
        depth, held = hbt.depth(0), hbt.position(0) / qty
        before, mid = mid, 0.5 * (depth.best_bid_tick + depth.best_ask_tick)
        changes[t] = mid - before
        if t % refit == 0 and t >= window - 1:
            rate, decay = fit(reaches[t + 1 - window : t + 1], window * every_ns * 1e-9, bins, notebook)
            if decay > 0:
                A, k = rate, decay
            sigma = np.nanstd(changes[t + 1 - window : t + 1]) * math.sqrt(1e9 / every_ns)
        c1 = math.log(1 + gamma / k) / gamma
        c2 = math.sqrt(gamma / (2 * A * k) * (1 + gamma / k) ** (k / gamma + 1))
        half, skew = (c1 + 0.5 * c2 * sigma) * spread_factor, c2 * sigma * skew_factor
        centre, step = mid - skew * held, max(np.round(half), 1.0)
        bid = min(np.round(centre - half), depth.best_bid_tick)
        ask = max(np.round(centre + half), depth.best_ask_tick)
        if notebook:
            step *= tick
            bid, ask = np.floor(bid * tick / step) * step, np.ceil(ask * tick / step) * step
        else:
            bid, ask, step = np.floor(bid / step) * step * tick, np.ceil(ask / step) * step * tick, step * tick
        update(hbt, bid, ask, step, levels, qty, held < most / qty - 0.5, held > 0.5 - most / qty, counts)
        t += 1
        more = hbt.elapse(every_ns)
    counts[3] = append_fills(hbt, fills, counts[3])


def played(settings, data):
    """Play the day once; return its results, including the seconds, and its fills."""
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(settings["latency_ns"], settings["response_ns"])
    )
    queued = asset.l3_fifo_queue_model() if settings["queue"] == "l3" else asset.power_prob_queue_model(3.0)
    asset = queued.no_partial_fill_exchange()
    asset = asset.trading_value_fee_model(settings["fee_rate"], settings["fee_rate"])
    asset = asset.tick_size(settings["tick_size"]).lot_size(settings["lot_size"]).last_trades_capacity(10_000)
    hbt = ROIVectorMarketDepthBacktest([asset.roi_lb(settings["lowest"]).roi_ub(settings["highest"])])
    fills, counts = np.zeros((settings["most_fills"], 5), np.int64), np.zeros(4, np.int64)
    hbt.elapse(settings["begin_ns"])  # reads the data
    began, began_user = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    shared = (settings["qty"], settings["most_clips"] * settings["qty"], settings["notebook"], fills, counts)
    if settings["strategy"] == "grid":
        names = ("every_ns", "levels", "step_ticks", "delta_ticks", "outside")
        play_grid(hbt, *(settings[name] for name in names), *shared)
    else:
        names = ("gamma", "spread_factor", "skew_factor", "window", "refit", "bins")
        play_glft(hbt, settings["every_ns"], settings["levels"], *(settings[name] for name in names), *shared)
    seconds = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_utime - began_user
    state = hbt.state_values(0)
    mid = 0.5 * (hbt.depth(0).best_bid + hbt.depth(0).best_ask)
    found = {
        "checks": int(counts[2]),
        "orders": int(counts[0]),
        "cancels": int(counts[1]),
        "fills": int(state.num_trades),
        "volume": float(state.trading_volume),
        "position": float(state.position),
        "pnl": float(state.balance + state.position * mid - state.fee),
        "run_s": seconds[0],
        "run_user_s": seconds[1],
    }
    hbt.close()
    return found, fills[: counts[3]]


def main(text):
    """Compile on the first rows alone, then play the day."""
    settings = json.loads(text)
    data = np.load(settings["events"])
    if not settings["ahead"]:
        data["exch_ts"] = data["local_ts"]  # the exchange's time is our receive time, as in mm's replay
    compiled, found, scaled = set(), [], 1
    for change in settings["plays"]:
        play = settings | change
        if play["strategy"] not in compiled:
            compiled.add(play["strategy"])
            played(play | {"most_fills": 1}, data[:6000].copy())
        if play["scale"] != scaled:
            data["qty"] *= play["scale"] / scaled
            scaled = play["scale"]
        result, fills = played(play, data)
        found.append(result)
        if play["fills"]:
            np.save(play["fills"], fills)
    print(json.dumps({"plays": found}))


if __name__ == "__main__":
    main(sys.argv[1])
