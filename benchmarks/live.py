"""A trader from a depth message on the socket to the order's bytes on the wire, inside its process; and its parts.

``python -m benchmarks.live KIND`` is what a turn runs; it prints one JSON object. ``trade LEVELS`` is ``mm trade``
itself, whole, at an exchange of its own process (`benchmarks.live_venue`) that sends 1,000 depth messages per second; a
stopwatch stands at the two sockets: it starts when a message that moves the best prices comes off the one, before it is
looked at, and reads when the requests that follow were given to the system by the other. ``parts`` is a risk check and
a signature; the audit log and the state store are those of `benchmarks.live_state`.
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
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import live_state
from benchmarks.live_venue import MID_TICKS, MOVE_EVERY, SYMBOL, moved_us
from benchmarks.turns import PYTHON, Measured, Row, run
from mm.backtest._risk import check
from mm.backtest.live_feed import FeedEvent
from mm.backtest.quotes.view import Quotes
from mm.backtest.risk import LIVE_DEFAULTS, Risk, RiskLimits, RiskOrder, RiskStanding, limits_of
from mm.backtest.rules import Rules
from mm.clock import US_PER_S, now_us
from mm.dataclass import dataclass, replace
from mm.errors import MMError
from mm.live import promptness
from mm.live._live_engine import LiveEngine
from mm.live.api_requests import ExchangeClock, Signer
from mm.live.keys import Credentials
from mm.market_data.ws_link import Link
from mm.tape.tape import SNAPSHOT

RATE, SECONDS, WARM_S = 1_000, 8.0, 3.0
LEVELS = (10, 46)
CHECKS, SIGNATURES, _A_RUN = 20_000, 5_000, 100
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99}
_AIMS = {"p10": "", "p50": "under 200", "p90": "", "p99": "under 1,000"}
KNOBS = {
    "SYMBOL": SYMBOL,
    "VENUE": "box",
    "WINDOW_START": "always",
    "BINANCE_API_KEY": "bench",
    "BINANCE_API_SECRET": "bench",
    "QUOTE_QTY": "0.001",
    "REQUOTE_INTERVAL_MS": "0.001",
    "ORDER_LIMIT_10S": "0",
    "MAX_ORDERS_PER_S": "100000",
    "LATENCY_THRESHOLD_MS": "10000",
    "LOG_LEVEL": "ERROR",
}
"""Settings of the trader: it requotes with each message without a rate limit; all else is at its defaults."""
MODES = {"": {}, "KEEP_WARM=0": {"KEEP_WARM": "0"}, "BUSY_POLL=1": {"BUSY_POLL": "1"}}
"""Alternating modes: the default, without rehearsals, and with a polling loop."""


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh processes of each kind."""
    rows: list[Row] = []
    ways = [(levels, mode) for levels in LEVELS for mode in MODES if not mode or levels == LEVELS[0]]
    trades = [
        [run([*PYTHON, "benchmarks.live", "trade", str(way[0]), way[1]]).said for way in ways] for _ in range(turns)
    ]
    for way, found in zip(ways, zip(*trades, strict=True), strict=True):
        rows += _rows(*way, found)
    said = [run([*PYTHON, "benchmarks.live_steps", str(LEVELS[0])]).said for _ in range(turns)]
    rows += [Row(f"step of it, p50: {name}", "us", _column(said, name)) for name in said[0]]
    said = [run([*PYTHON, "benchmarks.live", "parts"]).said for _ in range(turns)]
    names = {
        "risk_us": "limits in a requote",
        "check_us": "a risk check, called from Python",
        "hmac_us": "HMAC signature",
        "ed25519_us": "Ed25519 signature",
    }
    aims = {"risk_us": "under 5", "check_us": "under 5"}
    for key, name in names.items():
        if all(key in one for one in said):
            rows.append(Row(name, "us", [one[key] for one in said], aim=aims.get(key, "")))
    state = live_state.measure(turns)
    facts = {"messages per second": RATE, "moves per second": RATE // MOVE_EVERY, "seconds": SECONDS}
    notes = [*(one["note"] for one in said[-1:] if "note" in one), *state.notes]
    return Measured([*rows, *state.rows], facts, notes)


def _rows(levels: int, mode: str, said: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows of a trader with *levels* levels per message, in one of `MODES`."""
    what = f"{levels} levels{mode and ', '}{mode}"
    names = {
        "first": "to first order",
        "last": "to last order",
        "worked": "processor time",
        "sent": "since it was sent",
    }
    return [
        *(
            Row(
                f"message of {what}, {name}, {quantile}",
                "us",
                _column(said, f"{key}_{quantile}"),
                aim=_AIMS[quantile] if key == "first" else "",
            )
            for key, name in names.items()
            for quantile in _QUANTILES
        ),
        Row("  moves that orders followed", "%", _column(said, "followed"), aim="100"),
        Row("  share of one core", "%", _column(said, "core")),
    ]


def _column(said: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [one[key] for one in said]


@dataclass(slots=True)
class Move:
    """A message that moves the best prices, and its consequences, in s.

    Attributes:
        stamp_us: When the exchange sent it, µs.
        at_s: When it was read from the socket.
        busy_s: Processor time of the loop by then.
        first_s: From then until the first request was sent; 0 if there was none.
        last_s: Until the last one that was sent before anything else arrived.
        worked_s: Processor time of the loop for the first.
        sent_s: Until the first, since the exchange sent the message: including its transmission and wait for the loop.
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
        moves: Those messages.
        begun: Called when one of them was read from the socket, with the time.
    """

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self.begun: Callable[[float], None] = lambda _: None
        self._waits: Move | None = None
        self._turn: Move | None = None

    def came(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a replacement of *take*, called with the bytes of the market's socket."""

        def timed(data: bytes) -> None:
            self._turn, stamp_us = None, moved_us(data)
            if stamp_us:
                busy_s = time.thread_time()
                self.moves.append(Move(stamp_us, time.perf_counter(), busy_s))
                self._waits = self._waits or self.moves[-1]
                self.begun(self.moves[-1].at_s)
            take(data)

        return timed

    def answered(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a replacement of *take*, called with responses: later requests belong to them."""

        def timed(data: bytes) -> None:
            self._turn = None
            take(data)

        return timed

    def sends(self, send: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a function that sends a request, and has passed it to the system when it returns."""

        def timed(text: bytes) -> None:
            send(text)
            now_s, busy_s = time.perf_counter(), time.thread_time()
            if b'"order.' not in text:
                return
            if self._waits:
                move = self._turn = self._waits
                self._waits = None
                move.first_s, move.worked_s = now_s - move.at_s, busy_s - move.busy_s
                move.sent_s = (now_us() - move.stamp_us) / US_PER_S
            if self._turn:
                self._turn.last_s = now_s - self._turn.at_s

        return timed


class StopwatchLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections to an exchange are timed."""

    watch = Stopwatch()

    async def create_connection(self, factory: Any, *given: Any, **named: Any) -> Any:  # type: ignore[override]
        """Connect, and attach the stopwatch to the socket."""
        found = await super().create_connection(factory, *given, **named)
        link: Any = found[1]
        timed = isinstance(found[1], Link)
        if timed and "/ws-api" in link.url:
            link.data_received = self.watch.answered(link.data_received)
            link.send = self.watch.sends(link.send)
        elif timed:
            link.data_received = self.watch.came(link.data_received)
        return found


def trade(levels: int, mode: str = "", seconds: float = SECONDS) -> dict[str, float]:
    """Trade for `WARM_S` and then some *seconds*; return quantiles of the latter, in µs."""
    promptness.busy_loop = lambda: StopwatchLoop(promptness.BusySelector())
    from mm.commands.trade import main as command  # takes it over

    venue = subprocess.Popen([*PYTHON, "benchmarks.live_venue", str(RATE), str(levels)], stdout=subprocess.PIPE)
    _part(venue.pid)
    asyncio.set_event_loop_policy(_Policy())
    try:
        assert venue.stdout
        os.environ.update({**KNOBS, **MODES[mode], **json.loads(venue.stdout.readline())})
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, WARM_S + seconds)
        with contextlib.chdir(_FOLDER.name), contextlib.redirect_stdout(io.StringIO()):
            command.main([], standalone_mode=False)
    except SystemExit as ended:
        if ended.code:
            raise MMError(f"the trader ended with {ended.code}") from None
    finally:
        venue.kill()
        venue.communicate()
    return _figures(StopwatchLoop.watch, seconds)


_FOLDER = tempfile.TemporaryDirectory(prefix="mm-bench-")


def _part(venue: int) -> None:
    """Pin trader and exchange to different processors: loopback wakes the exchange while the trader sends."""
    own, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(venue, others)
        os.sched_setaffinity(0, {own})


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Makes loops with a stopwatch."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a loop."""
        return StopwatchLoop()


def _figures(watch: Stopwatch, seconds: float) -> dict[str, float]:
    """Return quantiles of the last *seconds* in µs, the share of moves with orders, and the share of a core."""
    moves = [one for one in watch.moves if one.at_s >= watch.moves[-1].at_s - seconds]
    followed, found = [one for one in moves if one.first_s], dict[str, float]()
    for which in ("first", "last", "worked", "sent"):
        taken = sorted(1e6 * getattr(one, f"{which}_s") for one in followed)
        found |= {f"{which}_{name}": taken[int(share * len(taken))] for name, share in _QUANTILES.items()}
    core = 100 * time.process_time() / (WARM_S + seconds)
    return {**found, "followed": 100 * len(followed) / len(moves), "core": core}


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
    for _ in range(CHECKS // _A_RUN):
        begun_s = time.perf_counter()
        for _ in range(_A_RUN):
            us += 10
            engine.advance(us)
        taken_us.append(1e6 * (time.perf_counter() - begun_s) / _A_RUN)
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


def main(kind: str, levels: str = "10", mode: str = "") -> None:
    """Print the measurement as one JSON object."""
    print(json.dumps(trade(int(levels), mode) if kind == "trade" else parts()))


if __name__ == "__main__":
    main(*sys.argv[1:])
