"""Two quotes around the mid played with hftbacktest, for `mm bench`: run by the Python of an environment that has it.

``python peer_engine.py EVENTS.npy`` prints one JSON object with ``runs``, one for each repeat in one process: seconds
to load the day (the first load reads the file into memory, later ones find it cached), and to play it, in wall and user
time. Compilation comes first, on the first rows alone, and is not included.
"""

import argparse
import json
import math
import resource
import time

import numpy as np
from hftbacktest import BUY, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit

HEAD = 6_000  # number of rows for the compilation


@njit
def play(hbt, every_ns, half_ticks, at_touch, qty, counts):
    """Hold one bid and one ask, *half_ticks* from the mid or at the best prices; replace orders at other prices."""
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


def backtest(data, args):
    """Return hftbacktest on *data*: whole orders, constant latencies, fees of a tenth of a percent."""
    latency_ns = round(1e6 * args.latency_ms)
    asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(latency_ns, 0)
    queues = {
        "power": lambda: asset.power_prob_queue_model(args.exponent),
        "log": asset.log_prob_queue_model,
        "risk": asset.risk_adverse_queue_model,
        "l3": asset.l3_fifo_queue_model,
    }
    asset = queues[args.queue]().no_partial_fill_exchange().trading_value_fee_model(0.001, 0.001)
    asset = asset.tick_size(args.tick_size).lot_size(args.lot_size).last_trades_capacity(0)
    return ROIVectorMarketDepthBacktest([asset.roi_lb(args.lowest).roi_ub(args.highest)])


def timed(load, args):
    """Load and play once; return the seconds and the work done."""
    began = time.perf_counter()
    data = load()  # it must outlive the backtest, which keeps no reference
    hbt = backtest(data, args)
    hbt.elapse(0)  # reads the data on first use
    loaded, user_s = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    counts = np.zeros(3, np.int64)
    play(hbt, round(1e6 * args.every_ms), args.half_ticks, args.touch, args.qty, counts)
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
    """Compile, then load and play as often as requested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", help="uncompressed events of the day, from mm data export --format hftbacktest")
    parser.add_argument("--repeat", type=int, default=1, help="number of loads and plays in this process (default 1)")
    queues = ("power", "log", "risk", "l3")
    parser.add_argument("--queue", choices=queues, default="power", help="queue model; l3 needs single orders")
    parser.add_argument("--exponent", type=float, default=3.0, help="exponent of the power law (default 3)")
    parser.add_argument("--touch", action="store_true", help="quote the best prices instead of a distance from the mid")
    parser.add_argument(
        "--half-ticks", type=float, default=64.5385, help="distance of quotes from the mid (default 64.5385)"
    )
    parser.add_argument("--qty", type=float, default=0.001, help="quantity of a quote (default 0.001)")
    parser.add_argument("--every-ms", type=float, default=250.0, help="interval between requotes (default 250)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="latency of orders and cancels (default 50)")
    parser.add_argument("--tick-size", type=float, default=0.01)
    parser.add_argument("--lot-size", type=float, default=0.00001)
    parser.add_argument("--lowest", type=float, default=50_000.0, help="lowest price of the dense book")
    parser.add_argument("--highest", type=float, default=70_000.0, help="highest price of the dense book")
    args = parser.parse_args()
    head = np.array(np.load(args.events, mmap_mode="r")[:HEAD])
    timed(lambda: head, args)
    runs = [timed(lambda: np.load(args.events), args) for _ in range(args.repeat)]
    print(json.dumps({"runs": runs, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
