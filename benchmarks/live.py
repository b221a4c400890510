"""The latency of a trader from a depth message on the socket to the order's bytes on the wire; and of its parts.

Each turn runs ``python -m benchmarks.live KIND``, which prints one JSON object. ``trade LOAD`` (JSON of a `Load`) runs
the complete ``mm trade`` against an exchange in another process (`benchmarks.live_venue`) that sends 1,000 depth
messages per second, and for the goal as many, of as many symbols and to an account of as many assets, as is asked for.
A stopwatch is attached to the sockets: it starts when a message that moves the best prices of a symbol is read from the
market's socket, before parsing, and stops when the other socket has passed the symbol's requests to the system.
``parts`` measures a risk check and a signature; `benchmarks.live_state` measures the audit log and the state store.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks import live_state
from benchmarks.live_venue import MID_TICKS, MOVE_EVERY, SYMBOL, SYMBOLS, Load, head, moved_us
from benchmarks.turns import PYTHON, Aim, Measured, Row, at_least, at_most, run
from mm.backtest.engine._risk import check
from mm.backtest.engine.live_feed import FeedEvent
from mm.backtest.quotes.view import Quotes
from mm.backtest.risk import LIVE_DEFAULTS, Risk, RiskLimits, RiskOrder, RiskStanding, limits_of
from mm.backtest.rules import Rules
from mm.clock import US_PER_S, now_us
from mm.errors import MMError
from mm.live._live_engine import LiveEngine
from mm.live.venues.binance import Signer
from mm.live.venues.keys import Credentials
from mm.live.venues.requests import ExchangeClock
from mm.market_data.ws_link import Link
from mm.tape.tape import SNAPSHOT

WARM_S = 3.0
LOADS = (Load(levels=10), Load(levels=46))
GOAL = Load(symbols=4, assets=700, rate=2_000)
CHECKS, SIGNATURES, _PER_RUN = 20_000, 5_000, 100
WITHIN = "a part of a row that is watched"
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99}
_AIMS: dict[str, Aim | str] = {"p10": "", "p50": at_most(500), "p90": "", "p99": at_most(1_000)}
KNOBS = {
    "VENUE": "box",
    "WINDOW_START": "always",
    "BINANCE_API_KEY": "bench",
    "BINANCE_API_SECRET": "bench",
    "QUOTE_QTY": "0.001",
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 3}',
    "REQUOTE_INTERVAL_MS": "0.001",
    "ORDER_LIMIT_10S": "0",
    "MAX_ORDERS_PER_S": "100000",
    "LATENCY_THRESHOLD_MS": "10000",
    "LOG_LEVEL": "ERROR",
}
"""Settings of the trader: it requotes on each message without a rate limit; other settings have their defaults."""


def measure(turns: int, goal: Load = GOAL) -> Measured:
    """Measure it in *turns* fresh processes of each kind, among them one under the load of the *goal*."""
    rows: list[Row] = []
    loads = (*LOADS, goal)
    trades = [
        [run([*PYTHON, "benchmarks.live", "trade", json.dumps(asdict(load))]).output for load in loads]
        for _ in range(turns)
    ]
    for load, level_outputs in zip(loads, zip(*trades, strict=True), strict=True):
        rows += _rows(load, level_outputs, is_goal=load is goal)
    outputs = [run([*PYTHON, "benchmarks.live_steps", json.dumps(asdict(LOADS[0]))]).output for _ in range(turns)]
    rows += [Row(f"step, p50: {name}", "us", _column(outputs, name), aim=WITHIN) for name in outputs[0]]
    outputs = [run([*PYTHON, "benchmarks.live", "parts"]).output for _ in range(turns)]
    names = {
        "risk_us": "limits in a requote",
        "check_us": "a risk check, called from Python",
        "hmac_us": "HMAC signature",
        "ed25519_us": "Ed25519 signature",
    }
    aims = {"risk_us": at_most(5), "check_us": at_most(5)}
    for key, name in names.items():
        if all(key in output for output in outputs):
            rows.append(
                Row(name, "us", [output[key] for output in outputs], aim=aims.get(key, "the library's own time"))
            )
    state = live_state.measure(turns)
    facts = {
        "messages per second": LOADS[0].rate,
        "moves per second": LOADS[0].rate // MOVE_EVERY,
        "seconds": LOADS[0].seconds,
    }
    notes = [*(output["note"] for output in outputs[-1:] if "note" in output), *state.notes]
    return Measured([*rows, *state.rows], facts, notes)


def _rows(load: Load, outputs: Sequence[dict[str, Any]], *, is_goal: bool) -> list[Row]:
    """Return the rows of a trader under a load; those of the goal are named by it, and are not judged by the aims."""
    what = f"message of {load.levels} levels"
    if is_goal:
        what = f"{load.symbols} symbols, {load.assets} assets, {load.rate:,}/s"
    names = {
        "first": "to first order",
        "last": "to last order",
        "worked": "processor time",
        "sent": "since it was sent",
    }
    return [
        *(
            Row(
                f"{what}, {name}, {quantile}",
                "us",
                _column(outputs, f"{key}_{quantile}"),
                aim=(_AIMS[quantile] if key == "first" and not is_goal else "") or WITHIN,
            )
            for key, name in names.items()
            for quantile in _QUANTILES
        ),
        Row("  moves followed by orders", "%", _column(outputs, "followed"), aim=at_least(99)),
        Row("  share of one core", "%", _column(outputs, "core"), aim=WITHIN),
        Row("  messages per second reached", "1/s", _column(outputs, "reached"), aim=at_least(0.95 * load.rate)),
    ]


def _column(outputs: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [output[key] for output in outputs]


@dataclass(slots=True)
class Move:
    """A message that moves the best prices, and the latencies of the resulting requests, in s.

    Attributes:
        stamp_us: Send time of the exchange, µs.
        at_s: Time of the read from the socket.
        busy_s: Processor time of the loop at the read.
        first_s: Time from the read to the first request; 0 if there was none.
        last_s: Time from the read to the last request before the next arrival.
        worked_s: Processor time of the loop from the read to the first request.
        sent_s: Time from the exchange's send to the first request: including transmission and the wait for the loop.
    """

    stamp_us: int
    at_s: float
    busy_s: float
    first_s: float = 0.0
    last_s: float = 0.0
    worked_s: float = 0.0
    sent_s: float = 0.0


class Stopwatch:
    """Measures from a message that moves the best prices to the requests that follow.

    Attributes:
        moves: Messages that move the best prices.
        arrivals: Time of each read from a market's socket, and the number of messages that it began.
        on_move: Called with the time when such a message has been read from the socket.
        on_first: Called before the first of them.
        used_s: Processor time of the process before the first of them.
    """

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self.arrivals: list[tuple[float, int]] = []
        self.on_move: Callable[[float], None] = lambda _: None
        self.on_first: Callable[[], None] = lambda: None
        self.used_s = 0.0
        self._pending: dict[str, Move] = {}  # by symbol: moves without a request so far
        self._current: dict[str, Move] = {}

    def wrap_market(self, take: Callable[[bytes], None], symbol: str) -> Callable[[bytes], None]:
        """Return a replacement of *take*, called with the bytes of the socket of a symbol's market."""
        begins = head(symbol)

        def timed(data: bytes) -> None:
            stamp_us = moved_us(begins, data)
            self.arrivals.append((time.perf_counter(), data.count(begins)))
            self._current.pop(symbol, None)
            if stamp_us:
                if not self.moves:
                    self.used_s = time.process_time()
                    self.on_first()
                busy_s = time.thread_time()
                self.moves.append(Move(stamp_us, time.perf_counter(), busy_s))
                self._pending.setdefault(symbol, self.moves[-1])
                self.on_move(self.moves[-1].at_s)
            take(data)

        return timed

    def wrap_responses(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a replacement of *take*, called with responses; later requests are attributed to the response."""

        def timed(data: bytes) -> None:
            self._current.clear()
            take(data)

        return timed

    def wrap_send(self, send: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a function that sends a request, and has passed it to the system when it returns."""

        def timed(text: bytes) -> None:
            send(text)
            now_s, busy_s = time.perf_counter(), time.thread_time()
            if b'"order.' not in text:
                return
            symbol = text.partition(b'"symbol":"')[2].partition(b'"')[0].decode()
            if symbol in self._pending:
                move = self._current[symbol] = self._pending.pop(symbol)
                move.first_s, move.worked_s = now_s - move.at_s, busy_s - move.busy_s
                move.sent_s = (now_us() - move.stamp_us) / US_PER_S
            if symbol in self._current:
                self._current[symbol].last_s = now_s - self._current[symbol].at_s

        return timed


class StopwatchLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections to an exchange are timed."""

    watch = Stopwatch()

    async def create_connection(self, factory: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Connect, and attach the stopwatch to the socket."""
        connection = await super().create_connection(factory, *args, **kwargs)
        made: Any = connection[1]
        link: Any = getattr(made, "link", None)
        timed = isinstance(link, Link)
        if timed and "/ws-api" in link.url:
            made.data_received = self.watch.wrap_responses(made.data_received)
            link.send = self.watch.wrap_send(link.send)
        elif timed:
            symbol = next(name for name in SYMBOLS if name in link.url.upper())
            made.data_received = self.watch.wrap_market(made.data_received, symbol)
        return connection


def trade(load: Load) -> dict[str, float]:
    """Trade under a load for `WARM_S` and then its seconds; return quantiles of the latter, in µs.

    The time counts from the first move: on a busy machine a start takes longer than all of it.
    """
    from mm.commands.trade import trade as command

    pipe = subprocess.PIPE
    venue = subprocess.Popen([*PYTHON, "benchmarks.live_venue"], stdin=pipe, stdout=pipe)
    assert venue.stdin
    venue.stdin.write(f"{json.dumps(asdict(load))}\n".encode())
    venue.stdin.flush()
    _pin_processors(venue.pid)
    asyncio.set_event_loop_policy(_Policy())
    try:
        assert venue.stdout
        os.environ.update({**KNOBS, "SYMBOL": ",".join(load.traded), **json.loads(venue.stdout.readline())})
        end = threading.Timer(
            WARM_S + load.seconds, os.kill, (os.getpid(), signal.SIGTERM)
        )  # a trader uses alarms itself
        end.daemon = True
        StopwatchLoop.watch.on_first = end.start
        with contextlib.chdir(_FOLDER.name), contextlib.redirect_stdout(io.StringIO()):
            command.main([], standalone_mode=False)
    except SystemExit as ended:
        if ended.code:
            raise MMError(f"the trader ended with {ended.code}") from None
    finally:
        venue.kill()
        venue.communicate()
    return _figures(StopwatchLoop.watch, load.seconds)


_FOLDER = tempfile.TemporaryDirectory(prefix="mm-bench-")


def _pin_processors(venue: int) -> None:
    """Pin trader and exchange to different processors: loopback wakes the exchange while the trader sends."""
    own, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(venue, others)
        os.sched_setaffinity(0, {own})


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Creates loops with a stopwatch."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new loop."""
        return StopwatchLoop()


def _figures(watch: Stopwatch, seconds: float) -> dict[str, float]:
    """Return quantiles of the last *seconds* in µs, the share of moves with orders, and the share of a core."""
    moves = [move for move in watch.moves if move.at_s >= watch.moves[-1].at_s - seconds]
    followed, found = [move for move in moves if move.first_s], dict[str, float]()
    for which in ("first", "last", "worked", "sent"):
        taken = sorted(1e6 * getattr(move, f"{which}_s") for move in followed)
        found |= {f"{which}_{name}": taken[int(share * len(taken))] for name, share in _QUANTILES.items()}
    core = 100 * (time.process_time() - watch.used_s) / (WARM_S + seconds)
    last_s = watch.arrivals[-1][0]
    reached = sum(count for at_s, count in watch.arrivals if at_s >= last_s - seconds) / seconds
    return {**found, "followed": 100 * len(followed) / len(moves), "core": core, "reached": reached}


_LIMITS = Risk(**LIVE_DEFAULTS, max_order_notional="1000000")


class _Touch:
    """Quotes at the best prices."""

    def quote(self, view: Any) -> Quotes:
        return Quotes(view.bid_ticks, view.ask_ticks)


def _requotes_us(limits: RiskLimits | None) -> float:
    """Return the time of a requote without changes, in µs: the median of several runs."""
    rules = Rules(1_000_000, 1_000, requote_us=1, quote_lots=100, start_cash_e8=10**15, risk=limits)
    engine, us, taken_us = LiveEngine(_Touch(), replace(rules, enforce_balances=False)), 1_000_000, list[float]()
    rows = ((1, MID_TICKS - 1, 10**6), (-1, MID_TICKS + 1, 10**6))
    engine.feed([FeedEvent(SNAPSHOT, us, 1, 1, rows)])
    for _, order_id, *_ in engine.advance(us):
        engine.accepted(order_id, us)
    for _ in range(CHECKS // _PER_RUN):
        begun_s = time.perf_counter()
        for _ in range(_PER_RUN):
            us += 10
            engine.advance(us)
        taken_us.append(1e6 * (time.perf_counter() - begun_s) / _PER_RUN)
    return statistics.median(taken_us)


def _check_us() -> float:
    """Return the time of the pure check of all limits for an order, in µs, including the conversion of arguments."""
    limits, rules = limits_of(_LIMITS), Rules(1_000_000, 1_000)
    assert limits
    mid2, equity_e8 = 2 * MID_TICKS, 10**15
    market = {"us": 1, "market_us": 1, "mid2_ticks": mid2, "low2_ticks": mid2, "high2_ticks": mid2}
    equity = {"equity_e8": equity_e8, "day_equity_e8": equity_e8, "peak_equity_e8": equity_e8}
    standing, order = RiskStanding(**market, **equity), RiskOrder(side=1, ticks=MID_TICKS, lots=100)
    assert check(limits, rules, standing, order) is None
    taken_us = []
    for _ in range(CHECKS):
        begun_s = time.perf_counter()
        check(limits, rules, standing, order)
        taken_us.append(1e6 * (time.perf_counter() - begun_s))
    return statistics.median(taken_us)


def _signature_us(credentials: Credentials) -> float:
    """Return the time to sign the parameters of an order, in µs, the median."""
    signer = Signer(credentials, ExchangeClock(), 1_000)
    terms: dict[str, str | int] = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.00100000"}
    taken_us = []
    for number in range(SIGNATURES):
        named = {**terms, "newClientOrderId": f"mm-bench-{number}b", "price": "60000.01"}
        begun_s = time.perf_counter()
        signer.signed(named)
        taken_us.append(1e6 * (time.perf_counter() - begun_s))
    return statistics.median(taken_us)


def parts() -> dict[str, Any]:
    """Return the times of limits and signatures, in µs."""
    found: dict[str, Any] = {
        "risk_us": _requotes_us(limits_of(_LIMITS)) - _requotes_us(None),
        "check_us": _check_us(),
        "hmac_us": _signature_us(Credentials("key", secret="secret")),
    }
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ModuleNotFoundError:
        return {**found, "note": "no Ed25519: cryptography is not installed, see pip install '.[live]'"}
    private = Ed25519PrivateKey.generate()
    return {**found, "ed25519_us": _signature_us(Credentials("key", private=private))}


def main(kind: str, load: str = "{}") -> None:
    """Print the measurement as one JSON object."""
    print(json.dumps(trade(Load(**json.loads(load))) if kind == "trade" else parts()))


if __name__ == "__main__":
    main(*sys.argv[1:])
