"""Two grids compared with hftbacktest: its examples of a plain grid and of one around optimal quotes.

``mm bench grids`` compares seconds, orders, fills and PnL; ``mm bench fills`` compares the fills of both one by one,
and removes one difference of rules after another until none is left. Each turn runs ``python -m benchmarks.grids
DAY_FOLDER CACHE JSON``: it plays the entries of JSON, and prints one JSON object.
"""

import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.turns import PYTHON, Aim, Bench, Measured, ProcessResult, Row, run
from benchmarks.yardstick import by_order
from mm.backtest.rules import Account, Execution
from mm.errors import UsageError
from mm.instrument import E8
from mm.play.knobs import Models

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

PEER = "hftbacktest"
PEER_SCRIPT = Path(__file__).with_name("peer_grids.py")
EVERY_MS, LATENCY_MS = 100.0, 50.0
EXECUTION = Execution(
    order_latency_ms=LATENCY_MS,
    cancel_latency_ms=LATENCY_MS,
    requote_interval_ms=EVERY_MS,
    requote_on_fill=False,
    feed_latency="none",  # the peer's copy of the yardstick day has the exchange's time at our receive time, too
    order_limit_10s=0,
    order_limit_day=0,
)
EXPONENT, REPEATS = 3.0, 3
SHARED: dict[str, Any] = {"levels": 20, "q_max": 50.0}
GRID: dict[str, Any] = {"delta_ticks": 20.0, "step_ticks": 10, **SHARED}
GLFT: dict[str, Any] = {"gamma": 0.05, "skew_factor": 0.05, **SHARED}
# The same settings in the peer's terms.
PEER_PLAY: dict[str, Any] = {
    "latency_ns": round(1e6 * LATENCY_MS),
    "response_ns": 0,
    "every_ns": round(1e6 * EVERY_MS),
    "fee_rate": 0.0,
    "levels": SHARED["levels"],
    "most_clips": SHARED["q_max"],
    "step_ticks": GRID["step_ticks"],
    "delta_ticks": GRID["delta_ticks"],
    "gamma": GLFT["gamma"],
    "queue": "power",
    "spread_factor": 1.0,
    "skew_factor": GLFT["skew_factor"],
    "window": 6000,
    "refit": 50,
    "bins": 70,
    "notebook": False,
    "outside": False,
    "scale": 1,
    "fills": "",
    "most_fills": 2_000_000,
    "ahead": False,
    "begin_ns": 0,
}
STRATEGIES = {"grid": "grid", "glft": "GLFT grid"}
WRITTEN = {"Orders": ("in Python, which sends its orders itself", 0.33)}
BY_ORDER = {"grid": ("compiled", 12.0), "Grid": ("in Python", 3.0)}
ORDERS_QTY = "0.06"  # of the simulated hour
TIGHT = {"delta_ticks": 1.0, "step_ticks": 1}
SCALE = 1_000  # factor of the market's quantities, so that one lot of ours is never more than a print


def main(folder: str, cache: str, settings: str) -> None:
    """Play the entries of *settings* on a day, and print the results."""
    from mm.tape.load import load_day

    tape = load_day(Path(folder), cache=Path(cache))
    results = []
    for play in json.loads(settings):
        market = scaled(tape, play.get("scale", 1))
        rules = rules_of(market, play.get("qty"), play.get("feed", "none"))
        seconds = []
        for _ in range(play.get("repeats", 1)):
            began = _user_s()
            journal = played(market, play["model"], play.get("queue", "ours"), rules, play.get("grid", {}))
            seconds.append(_user_s() - began)
        if play.get("fills"):
            save_fills(journal, play["fills"])
        results.append({**outcome(journal, rules), "run_user_s": statistics.median(seconds)})
    print(json.dumps({"plays": results}))


def scaled(tape: "Tape", scale: int) -> "Tape":
    """Return *tape* with all quantities of the market multiplied by *scale*."""
    lots = ("row_lots", "top_bid_lots", "top_ask_lots")
    return tape if scale == 1 else replace(tape, **{name: getattr(tape, name) * scale for name in lots})


def rules_of(tape: "Tape", qty: str | None, feed: str) -> "Rules":
    """Return the rules of both sides: orders of *qty*, or else of one step; no fees, balances or minimum notional."""
    from mm.play import engine_rules

    models = Models(quote_model="grid", quote_params_json=json.dumps(GRID), fill_model="queue_prob_power")
    execution = replace(EXECUTION, feed_latency=feed)
    rules = engine_rules.rules_of(tape, execution, Account(maker_fee_rate="0", initial_inventory="0"), models)
    lots = round(float(qty) * 1e8) // rules.lot_e8 if qty else rules.step_lots
    return replace(rules, quote_lots=lots, min_notional_e8=0, enforce_balances=False, start_cash_e8=0)


def played(tape: "Tape", model: str, queue: str, rules: "Rules", changes: Mapping[str, Any]) -> Any:
    """Return the journal of a play; models in Python have capitalised names, and *changes* are those of the grid."""
    from benchmarks.grid_models import GlftGrid, Grid, GridOrders
    from benchmarks.peer_queue import PeerQueue
    from mm.backtest.models import glft_grid, grid, queue_orders, queue_prob_power
    from mm.backtest.replay import backtest

    of_grid = {**GRID, **changes}
    quotes: dict[str, Callable[[], Any]] = {
        "grid": partial(grid, soft_bound=True, **of_grid),
        "glft": partial(glft_grid, soft_bound=True, **GLFT),
        "Grid": partial(Grid, **of_grid),
        "Orders": partial(GridOrders, **of_grid),
        "Glft": partial(GlftGrid, **GLFT),
    }
    fills: dict[str, Callable[[], Any]] = {
        "ours": partial(queue_prob_power, exponent=EXPONENT),
        "join": partial(PeerQueue, EXPONENT, behind=False),
        "peer": partial(PeerQueue, EXPONENT),
        "orders": queue_orders,
    }
    return backtest(tape, quotes[model](), fills[queue](), rules).journal


def outcome(journal: Any, rules: "Rules") -> dict[str, Any]:
    """Return counts, volume in the base asset, and PnL at the last mid in the quote asset."""

    fills = journal.fills
    side, ticks, lots = (column.astype(object) for column in (fills.side, fills.ticks, fills.lots))
    position, cash = int((side * lots).sum()), -int((side * ticks * lots).sum())
    mid2 = int(journal.mids.mid2[journal.mids.mid2 > 0][-1])
    return {
        "orders": int(journal.orders.order_id.max(initial=0)),
        "cancels": int((journal.orders.action == 1).sum()),
        "fills": len(journal.fills),
        "volume": int(lots.sum()) * rules.lot_e8 / 1e8,
        "position": position * rules.lot_e8 / 1e8,
        "pnl": (cash + position * mid2 / 2) * rules.tick_e8 * rules.lot_e8 / 1e16,
    }


def save_fills(journal: Any, path: str) -> None:
    """Save the fills as the peer does: instant, side, ticks, lots, instant of sending; instants in µs."""
    import numpy as np

    orders, fills = journal.orders, journal.fills
    places = orders[orders.action == 0]
    sent = dict(zip(places.order_id.tolist(), places.us.tolist(), strict=True))
    columns = (fills.us, fills.side, fills.ticks, fills.lots, fills.order_id)
    rows = [(*fill, sent[number]) for *fill, number in zip(*(column.tolist() for column in columns), strict=True)]
    np.save(path, np.asarray(rows, np.int64).reshape(-1, 5))


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


# ---------------------------------------------------------------------- comparison


def ours(bench: Bench, plays: Sequence[Mapping[str, Any]]) -> ProcessResult:
    """Play with mm, in a fresh process."""
    plays = [{"qty": bench.quote_qty, **play} for play in plays]
    return _own_plays(bench, bench.folder.path, plays)


def _own_plays(bench: Bench, day: Path, plays: Sequence[Mapping[str, Any]]) -> ProcessResult:
    return run([*PYTHON, "benchmarks.grids", str(day), str(bench.out / "tapes"), json.dumps(plays)])


def theirs(bench: Bench, plays: Sequence[Mapping[str, Any]]) -> ProcessResult:
    """Play with the peer, in a fresh process."""
    if bench.peer is None:
        raise UsageError(f"fills are compared with those of {PEER} alone: {bench.no_peer}")
    python, _, events, *_ = bench.peer
    day = {
        "tick_size": 0.01,
        "lot_size": 0.00001,
        "lowest": 50_000.0,
        "highest": 70_000.0,
        "qty": float(bench.quote_qty or 0),
    }
    return _peer_plays(python, {**day, "events": events}, plays)


def _peer_plays(python: str, day: Mapping[str, Any], plays: Sequence[Mapping[str, Any]]) -> ProcessResult:
    settings = {**PEER_PLAY, **day, "plays": [dict(play) for play in plays]}
    return run([python, str(PEER_SCRIPT), json.dumps(settings)])


def measure(bench: Bench) -> Measured:
    """Measure both grids, compiled and in Python, compared with the peer if there is one."""
    models = [("grid", "grid"), ("Grid", "grid"), ("Orders", "grid"), ("glft", "glft"), ("Glft", "glft")]
    own, peers = [], []
    for _ in range(bench.turns):
        own.append(ours(bench, [{"model": model, "repeats": REPEATS} for model, _ in models]))
        if bench.peer:
            peers.append(theirs(bench, [{"strategy": name} for name in STRATEGIES]))
    rows, facts = [], {}
    for place, (model, name) in enumerate(models):
        at = list(STRATEGIES).index(name)
        written, aim = WRITTEN.get(model, ("in Python", 3.0) if model[0].isupper() else ("compiled", 12.0))
        taken = [result.output["plays"][place]["run_user_s"] for result in own]
        against = [result.output["plays"][at]["run_user_s"] for result in peers]
        rows.append(Row(f"{STRATEGIES[name]}, {written}, user time", "s", taken, PEER, against, Aim(aim)))
        facts[f"{STRATEGIES[name]}, {written}"] = counts(own[-1].output["plays"][place])
        if peers and not model[0].isupper():
            facts[f"{STRATEGIES[name]}, {PEER}"] = counts(peers[-1].output["plays"][at])
    rows += _by_order(bench, facts)
    return Measured(rows, facts, [] if peers else [bench.no_peer])


def _by_order(bench: Bench, facts: dict[str, Any]) -> list[Row]:
    """Return the rows of the plain grid played by every order of a simulated hour, beside the peer's L3."""
    folder, events = by_order(bench.out)
    day = {"events": str(events), "tick_size": 0.01, "lot_size": 0.001, "lowest": 90.0, "highest": 110.0}
    play = {"queue": "orders", "qty": ORDERS_QTY, "repeats": REPEATS, "grid": TIGHT}
    own, peers = [], []
    for _ in range(bench.turns):
        own.append(_own_plays(bench, folder.path, [{**play, "model": model} for model in BY_ORDER]))
        if bench.peer:
            theirs = {"strategy": "grid", "queue": "l3", "qty": float(ORDERS_QTY), **TIGHT}
            peers.append(_peer_plays(bench.peer[0], day, [theirs]))
    rows = []
    for place, (written, aim) in enumerate(BY_ORDER.values()):
        taken = [result.output["plays"][place]["run_user_s"] for result in own]
        against = [result.output["plays"][0]["run_user_s"] for result in peers]
        rows.append(Row(f"grid by every order, {written}, user time", "s", taken, PEER, against, Aim(aim)))
        facts[f"grid by every order, {written}"] = counts(own[-1].output["plays"][place])
    if peers:
        facts[f"grid by every order, {PEER}"] = counts(peers[-1].output["plays"][0])
    return rows


def counts(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a play, for printing."""
    counts = {key: result[key] for key in ("orders", "cancels", "fills")}
    return {**counts, "volume": f"{result['volume']:.5f}", "PnL": f"{result['pnl']:.4f}"}


STEPS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("as they are", {}, {}),
    ("messages of ours come before the market of their instant", {}, {"latency_ns": PEER_PLAY["latency_ns"] - 1}),
    ("no print is short of an order", {"scale": SCALE, "qty": None}, {"scale": SCALE}),
    ("earlier prints do not shorten the queue an order joins", {"queue": "join"}, {}),
    ("prints shorten the queue, and not what is displayed", {"queue": "peer"}, {}),
    ("no price of the grid lies inside the spread", {}, {"outside": True}),
)
"""Differences that are removed one after another: name, our change, the peer's change."""


VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("floats and half ticks, as in the notebook", {"notebook": True}),
    ("answers take 1 ms", {"response_ns": 1_000_000}),
)
"""Other settings of the peer, compared with itself."""


def differences(bench: Bench) -> Measured:
    """Compare the fills of both sides, with one difference of rules less in each line."""
    if bench.peer_python:
        return recorded_differences(bench, bench.peer_python)
    with tempfile.TemporaryDirectory() as folder:
        own: list[dict[str, Any]] = []
        peers: list[dict[str, Any]] = []
        for name in STRATEGIES:
            our_play: dict[str, Any] = {"model": name}
            peer_play: dict[str, Any] = {"strategy": name}
            for step, (_, change, peer_change) in enumerate(STEPS):
                our_play, peer_play = {**our_play, **change}, {**peer_play, **peer_change}
                if peer_play.get("scale"):
                    peer_play["qty"] = 0.00001
                own.append({**our_play, "fills": f"{folder}/own_{name}_{step}.npy"})
                peers.append({**peer_play, "fills": f"{folder}/peer_{name}_{step}.npy"})
            for number, (_, change) in enumerate(VARIANTS):
                peers.append({"strategy": name, **change, "fills": f"{folder}/variant_{name}_{number}.npy"})
        # the peer's day is scaled once: unscaled plays come first
        theirs(bench, sorted(peers, key=lambda play: play.get("scale", 1)))
        ours(bench, own)
        facts = {}
        for name, label in STRATEGIES.items():
            for step, (what, _, _) in enumerate(STEPS):
                files = f"{folder}/own_{name}_{step}.npy", f"{folder}/peer_{name}_{step}.npy"
                facts[f"{label}, {what}"] = compared(*files)
            base = f"{folder}/peer_{name}_0.npy"
            for number, (what, _) in enumerate(VARIANTS):
                changed = compared(f"{folder}/variant_{name}_{number}.npy", base, 1000)
                facts[f"{label} of {PEER}, {what}"] = changed
    return Measured([], facts, ["fills of an order sent at the same instant, of the same side and price"])


def recorded_differences(bench: Bench, python: str) -> Measured:
    """Compare the fills of a plain grid on a recorded day, whose exchange is ahead of its recorder.

    The peer's copy of the day has the instants at which the engine places its events (``FEED_LATENCY=recorded``), since
    the clocks of the peer differ by one constant. Orders are of one step, from the usual spread outwards, as far apart.
    """
    import numpy as np

    from benchmarks.yardstick import write_events
    from mm.tape.columns import SNAPSHOT
    from mm.tape.load import load_day

    tape = load_day(bench.folder.path, cache=bench.out / "tapes")
    valid = (tape.top_bid_ticks > 0) & (tape.top_ask_ticks > 0)
    bids, asks = tape.top_bid_ticks[valid], tape.top_ask_ticks[valid]
    away = max(1, int(np.median(asks - bids)))
    rules = rules_of(tape, None, "recorded")
    tick, lot = rules.tick_e8 / E8, rules.lot_e8 / E8
    grid = {"delta_ticks": float(away), "step_ticks": away}
    day = {
        "tick_size": tick,
        "lot_size": lot,
        "qty": rules.step_lots * lot,
        "lowest": float(bids.min() // 2) * tick,
        "highest": float(2 * asks.max()) * tick,
        "ahead": True,
        "begin_ns": 1000 * int(tape.event_us[np.flatnonzero(tape.kind == SNAPSHOT)[0]] - tape.event_us[0]),
        **grid,
    }
    steps = [
        (what, ours_change, peer_change) for what, ours_change, peer_change in STEPS if "latency_ns" not in peer_change
    ]
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.npy"
        write_events(replace(tape, event_exch_us=tape.feed.by_event), events)
        our_play: dict[str, Any] = {"model": "grid", "feed": "recorded", "grid": grid}
        peer_play: dict[str, Any] = {"strategy": "grid"}
        own, peers, facts = [], [], {}
        for number, (_, change, peer_change) in enumerate(steps):
            our_play, peer_play = {**our_play, **change, "qty": None}, {**peer_play, **peer_change}
            own.append({**our_play, "fills": f"{folder}/own_{number}.npy"})
            peers.append({**peer_play, "fills": f"{folder}/peer_{number}.npy"})
        _peer_plays(python, {**day, "events": str(events)}, peers)
        ours(bench, own)
        for number, (what, *_) in enumerate(steps):
            facts[f"grid, {what}"] = compared(f"{folder}/own_{number}.npy", f"{folder}/peer_{number}.npy")
    return Measured([], facts, [f"filled orders of one step, {away} ticks apart; equal in side, price and instant"])


def compared(one: str, other: str, per_us: int = 1) -> dict[str, int]:
    """Return the numbers of orders filled in both at the same instant, at different instants, and in one only.

    The peer records with a fill the time of the last request for its order: if a cancel was in flight, this is the
    cancel's instant. So fills are equal by side, price and instant, whenever their orders were sent.

    Args:
        one: Saved fills.
        other: Fills of the peer, in ns.
        per_us: Units of *one* per µs: 1000 if it is also the peer's.
    """
    first, second = _filled(one, per_us), _filled(other, 1000)
    same = first.keys() & second.keys()
    left = {first[key] for key in first.keys() - same}, {second[key] for key in second.keys() - same}
    moved = len(left[0] & left[1])
    return {
        "same": len(same),
        "later or earlier": moved,
        "only first": len(left[0]) - moved,
        "only second": len(left[1]) - moved,
    }


def _filled(path: str, per_us: int) -> dict[tuple[int, int, int], tuple[int, int, int]]:
    """Return side, price and instant of each order's last fill, with side, price and instant of sending."""
    import numpy as np

    last = {(side, ticks, sent // per_us): us // per_us for us, side, ticks, _, sent in np.load(path).tolist()}
    return {(side, ticks, us): (side, ticks, sent) for (side, ticks, sent), us in last.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
