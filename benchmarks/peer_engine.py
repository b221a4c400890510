"""Two quotes around the mid played with hftbacktest, for `mm bench`: run by the Python of an environment that has it.

``python peer_engine.py EVENTS.npy`` prints one JSON object with ``runs``, one for each repeat in one process: seconds
to load the day (the first reads the file into memory, later ones find it there), and to play it, by the clock and of
user time. Compiling is done before, on the first rows alone, and is in none of them.
"""

import argparse
import json
import math
import resource
import time

import numpy as np
from hftbacktest import BUY, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit

HEAD = 6_000  # rows on which all is compiled


@njit
def play(hbt, every_ns, half_ticks, at_touch, qty, counts):
    """Hold one bid and one ask, *half_ticks* from the mid or at the best prices; replace what is at another price."""
    tick, last_id = hbt.depth(0).tick_size, 0
    while hbt.elapse(every_ns) == 0:
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        mid = 0.5 * (depth.best_bid_tick + depth.best_ask_tick)
        wanted_bid, wanted_ask = math.floor(mid - half_ticks), math.ceil(mid + half_ticks)
        if at_touch:
            wanted_bid, wanted_ask = depth.best_bid_tick, depth.best_ask_tick
        bids = asks = 0
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            is_bid = order.side == BUY
            if order.price_tick == (wanted_bid if is_bid else wanted_ask):
                bids, asks = bids + is_bid, asks + (not is_bid)
            elif order.cancellable:
                hbt.cancel(0, order.order_id, False)
                counts[2] += 1
        if bids == 0:
            last_id += 1
            hbt.submit_buy_order(0, last_id, wanted_bid * tick, qty, GTX, LIMIT, False)
        if asks == 0:
            last_id += 1
            hbt.submit_sell_order(0, last_id, wanted_ask * tick, qty, GTX, LIMIT, False)
        counts[0] += 1
    counts[1] = last_id


def backtest(data, given):
    """Return hftbacktest on *data*: whole orders, constant latencies, fees of a tenth of a percent."""
    latency_ns = round(1e6 * given.latency_ms)
    asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(latency_ns, 0)
    queues = {
        "power": lambda: asset.power_prob_queue_model(given.exponent),
        "log": asset.log_prob_queue_model,
        "risk": asset.risk_adverse_queue_model,
    }
    asset = queues[given.queue]().no_partial_fill_exchange().trading_value_fee_model(0.001, 0.001)
    asset = asset.tick_size(given.tick_size).lot_size(given.lot_size).last_trades_capacity(0)
    return ROIVectorMarketDepthBacktest([asset.roi_lb(given.lowest).roi_ub(given.highest)])


def timed(data_of, given):
    """Load and play once; return the seconds and the work done."""
    began = time.perf_counter()
    data = data_of()  # it must outlive the backtest, which keeps no reference
    hbt = backtest(data, given)
    hbt.elapse(0)  # it reads the data when it is first used
    loaded, user_s = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    counts = np.zeros(3, np.int64)
    play(hbt, round(1e6 * given.every_ms), given.half_ticks, given.touch, given.qty, counts)
    played, user_end_s = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    state = hbt.state_values(0)
    found = {
        "load_s": loaded - began,
        "run_s": played - loaded,
        "run_user_s": user_end_s - user_s,
        "checks": int(counts[0]),
        "sent": int(counts[1]),
        "cancels": int(counts[2]),
        "fills": int(state.num_trades),
        "position": float(state.position),
    }
    hbt.close()
    return found


def main():
    """Compile, then load and play as often as is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", help="the day, as mm data export --format hftbacktest has it, unpacked")
    parser.add_argument("--repeat", type=int, default=1, help="loads and plays in this process (default 1)")
    parser.add_argument("--queue", choices=("power", "log", "risk"), default="power", help="queue model")
    parser.add_argument("--exponent", type=float, default=3.0, help="of the power law (default 3)")
    parser.add_argument("--touch", action="store_true", help="quote the best prices, not a distance from the mid")
    parser.add_argument("--half-ticks", type=float, default=64.5385, help="that distance (default 64.5385)")
    parser.add_argument("--qty", type=float, default=0.001, help="of a quote (default 0.001)")
    parser.add_argument("--every-ms", type=float, default=250.0, help="between two looks at the quotes (default 250)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="of orders and cancels (default 50)")
    parser.add_argument("--tick-size", type=float, default=0.01)
    parser.add_argument("--lot-size", type=float, default=0.00001)
    parser.add_argument("--lowest", type=float, default=50_000.0, help="price of the dense book")
    parser.add_argument("--highest", type=float, default=70_000.0, help="price of the dense book")
    given = parser.parse_args()
    head = np.array(np.load(given.events, mmap_mode="r")[:HEAD])
    timed(lambda: head, given)
    runs = [timed(lambda: np.load(given.events), given) for _ in range(given.repeat)]
    print(json.dumps({"runs": runs, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
