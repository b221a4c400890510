"""``mm record``: one symbol's depth and trades, from the exchange into day folders, until the window closes."""

import asyncio
import json
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from time import time_ns
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from mm.base.atomic_file import process_exists
from mm.base.common_knobs import Name
from mm.base.knobs import knobs, shown
from mm.cli.task_knobs import SPOT_REST, SPOT_STREAMS, BinanceMarket, Recorder, Sources
from mm.clock import now_us, run_stamp
from mm.errors import DataError, MissingDay, MMError, UsageError, parameter
from mm.market_data.contract_feed import ContractStreams, addresses
from mm.market_data.days import Days, WindowRule
from mm.market_data.health import Health, health_text, is_running, read_health, trouble_of
from mm.market_data.monitor import Monitor
from mm.market_data.rate_budget import Backoff, RateBudget, shared_path
from mm.market_data.recording import Parts, Recording
from mm.market_data.snapshot import RestClient, RestParts
from mm.market_data.stalls import StallDetector
from mm.market_data.supervisor import InProcessRecordings, Supervisor, shares, worst
from mm.market_data.ws_link import GATHER_S
from mm.market_data.ws_stream import WsStream
from mm.markets.feed import feed_of
from mm.markets.messages import WrongMarket
from mm.markets.registry import DEFAULT, MARKETS
from mm.play.knobs import Source
from mm.terminal.console import Console
from mm.terminal.exits import named
from mm.terminal.interrupts import at_ending_signals

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger


_CONNECT_DELAY_S = 0.25
_REST_DELAY_S = 0.5
_MOST_REST_DELAY_S = 30.0
_SPREAD_S = 1.0
_Ended = TypeVar("_Ended")


class RecordersFailed(MMError):
    """Some recorders failed; the exit code is the worst."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


def main(
    console: Console, source: Sources, market: BinanceMarket, recorder: Recorder, name: Name, status: bool
) -> None:
    """Record one symbol or several until the window closes; SIGTERM and Ctrl-C end it in order."""
    if status:
        _print_status(console, source)
        return
    recorder = of_market(recorder, market.market)
    symbols = source.symbol.split(",")
    if len(symbols) > recorder.symbols_per_process:
        _supervise(console, source, market, recorder, name)
    elif len(symbols) > 1:
        _record_several(console, source, market, recorder, name)
    else:
        _record(console, source, market, recorder, name)


class _Monitored:
    def __init__(self, source: Source, market: BinanceMarket, recorder: Recorder, name: Name, log: "Logger") -> None:

        parts = parts_of(source, recorder, name, log, market=market.market)
        if MARKETS[market.market].best_prices and recorder.contract_data:
            parts = replace(parts, contract=contract_streams(source.symbol, recorder, parts.rest.rest, log))
        self._recording = Recording(parts, log)
        self._monitor = Monitor(Health(source.symbol, parts.days.run_id, parts.rest.rest), parts.rest.rest)
        door = recorder.metrics_door(log.warning) if recorder.metrics_port else None
        self._served = recorder.metrics_host, recorder.metrics_port, door
        self._symbol = source.symbol

    async def run(self) -> None:
        async with self._monitor.watching(self._recording, *self._served):
            await self._recording.run()

    def stop(self, reason: str) -> None:
        self._recording.stop(reason)

    def report(self, console: Console) -> dict[str, Any]:
        for report in self._recording.reports:
            console.print(report.line())
            console.print(report.path)
        days = [report.to_json() for report in self._recording.reports]
        return {"symbol": self._symbol, "days": days, "path": days[-1]["path"] if days else None}


def _until_signal(work: Coroutine[Any, Any, _Ended], stop: Callable[[str], object]) -> _Ended:
    async def run() -> _Ended:
        at_ending_signals(stop)
        return await work

    return asyncio.run(run())


def _record(console: Console, source: Source, market: BinanceMarket, recorder: Recorder, name: Name) -> None:
    watched = _Monitored(source, market, recorder, name, console.log)
    try:
        _until_signal(watched.run(), watched.stop)
    finally:
        console.set_json(watched.report(console))


def _record_several(console: Console, source: Source, market: BinanceMarket, recorder: Recorder, name: Name) -> None:
    symbols, started = source.symbol.split(","), dict[str, _Monitored]()

    def begin(symbol: str, start: int) -> _Monitored:
        if symbol in started:
            started[symbol].report(console)
        own = _of_symbols(recorder, name, symbols.index(symbol), start)
        started[symbol] = _Monitored(replace(source, symbol=symbol), market, *own, console.log.bind(symbol=symbol))
        return started[symbol]

    recordings = InProcessRecordings(symbols, begin, named, console.log, _due(recorder))
    codes = _until_signal(recordings.run(), recordings.stop)
    _end(console, {symbol: watched.report(console) for symbol, watched in started.items()}, codes)


def _print_status(console: Console, source: Source) -> None:
    """Raise DataError if a recording is in trouble."""

    answers, troubles, at_us = {}, [], now_us()
    for symbol in source.symbol.split(","):
        report = read_health(source.data_root, symbol)
        if report is None:
            raise MissingDay("no recording of {} has a health file below {}; set {data_root}", symbol, source.data_root)
        alive = is_running(report, socket.gethostname(), process_exists)
        trouble = trouble_of(report, at_us, alive=alive)
        answers[symbol] = {**msgspec.to_builtins(report), "alive": alive, "trouble": trouble}
        console.print(health_text(report, at_us, trouble))
        troubles += [f"{symbol}: {trouble}"] if trouble else []
    console.set_json(answers.get(source.symbol, {"symbols": answers}))
    if troubles:
        raise DataError("; ".join(troubles))


def _supervise(console: Console, source: Source, market: BinanceMarket, recorder: Recorder, name: Name) -> None:
    symbols = source.symbol.split(",")
    lists = {",".join(share): share for share in shares(symbols, recorder.symbols_per_process)}

    def command_of(listed: str, start: int) -> list[str]:
        own = _of_symbols(recorder, name, symbols.index(lists[listed][0]), start)
        return _words((replace(source, symbol=listed), market, *own), console)

    spread_s = min(recorder.start_jitter_s, _SPREAD_S)
    processes = Supervisor(
        list(lists), command_of, console.log, _due(recorder), spread_s=spread_s, capture=console.as_json
    )
    codes = _until_signal(processes.run(), processes.stop)
    ended, of_symbols = dict[str, Any](), dict[str, int]()
    for listed, share in lists.items():
        answer = json.loads(processes.answers.get(listed) or "{}")
        ended |= answer.get("symbols") or ({share[0]: answer} if answer else {})
        of_symbols |= dict.fromkeys(share, codes[listed]) | answer.get("codes", {})
    _end(console, ended, of_symbols)


def _of_symbols(recorder: Recorder, name: Name, at: int, start: int) -> tuple[Recorder, Name]:
    """The knobs of the recorder that starts at symbol *at* of a list, for start number *start*."""
    port = recorder.metrics_port + at if recorder.metrics_port else 0
    run_id = f"{name.run_id}_{start}" if name.run_id and start > 1 else name.run_id
    return replace(recorder, metrics_port=port), replace(name, run_id=run_id)


def _due(recorder: Recorder) -> Callable[[], bool]:
    rule = WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz)
    window = rule.at(now_us())
    return lambda: rule.endless or now_us() < window.end_us


def _end(console: Console, ended: dict[str, Any], codes: dict[str, int]) -> None:
    console.set_json({"symbols": ended, "codes": codes})
    if worst(codes):
        failed = ", ".join(f"{symbol} (exit {code})" for symbol, code in codes.items() if code)
        raise RecordersFailed(f"{failed} failed; see the error line of each above", worst(codes))


def _words(groups: Sequence[Any], console: Console) -> list[str]:
    words = [sys.executable, "-m", "mm.market_data.recorder", "--log-level", console.level]
    for group in groups:
        for knob in knobs(type(group)):
            value = getattr(group, knob.name)
            words += [] if value is None else [knob.flag, shown(value)]
    return [*words, *(["--json"] if console.as_json else [])]


def of_market(recorder: Recorder, market: str = DEFAULT.name) -> Recorder:
    """Fill in *market*'s default bases and snapshot levels; UsageError if a base belongs to another market."""

    feed = feed_of(MARKETS[market])
    named = ((recorder.ws_url, SPOT_STREAMS), (recorder.rest_url, SPOT_REST))
    urls = [own if url == spot else url for (url, spot), own in zip(named, feed.bases, strict=True)]
    for label, url in zip(map(parameter, ("ws_url", "rest_url")), urls, strict=True):
        try:
            feed.check_address(url)
        except WrongMarket as error:
            raise UsageError(f"{label} was {url!r}: {error} serves another market; {_way_to(url, market)}") from error
    return replace(recorder, ws_url=urls[0], rest_url=urls[1], snapshot_limit=feed.levels(recorder.snapshot_limit))


def _way_to(url: str, market: str) -> str:
    """Name the market that serves *url*."""
    for name, other in MARKETS.items():
        with suppress(WrongMarket):
            feed_of(other).check_address(url)
            if name != market:
                return f"use --market {name}"
    return f"give an address of {MARKETS[market].title}"


def parts_of(  # noqa: PLR0913 - the inputs of all parts
    source: Source,
    recorder: Recorder,
    name: Name,
    log: "Logger",
    clock: Callable[[], int] = now_us,
    *,
    gathers: bool = True,
    market: str = DEFAULT.name,
) -> "Parts":
    """*clock* (µs) stamps arrivals; *gathers* delivers messages in batches."""

    trade_stream, feed = recorder.trade_stream or "trade", feed_of(MARKETS[market])
    connections, limits = 2 if recorder.ws_pair else 1, feed.limits
    weight = _budget("weight", recorder.rest_url, (limits.weight, limits.weight_window_s), log)
    attempts = _budget("connections", recorder.ws_url, (limits.connections, limits.connections_window_s), log)
    rest = RestClient(recorder.rest_url, weight, clock, feed)
    return Parts(
        days=Days(
            data_root=source.data_root,
            symbol=source.symbol,
            run_id=name.run_id or run_stamp(now_us()),
            own_id=name.run_id is not None,
            top_n=recorder.top_n,
            trade_stream=trade_stream,
            flush_interval_s=recorder.flush_interval_s,
            write_diffs=recorder.write_diffs,
            write_gaps=recorder.write_gaps,
            min_free_mb=recorder.min_free_mb,
            knobs={"symbol": source.symbol, "market": market, **asdict(recorder)},
            market=feed.market,
        ),
        window=WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz),
        rest=RestParts(
            symbol=source.symbol,
            rest=rest,
            limit=recorder.snapshot_limit,
            snapshot_backoff=Backoff(_REST_DELAY_S, _MOST_REST_DELAY_S),
            info_backoff=Backoff(_REST_DELAY_S, _MOST_REST_DELAY_S),
        ),
        stream=WsStream(
            feed.stream_url(recorder.ws_url, source.symbol, trade_stream),
            [Backoff(_CONNECT_DELAY_S, recorder.backoff_max_s) for _ in range(connections)],
            recorder.ws_max_age_s,
            attempts,
            time_ns if clock is now_us else lambda: 1_000 * clock(),
            GATHER_S if gathers else 0.0,
            feed.speech(source.symbol, recorder.book_depth),
        ),
        silences=[StallDetector(recorder.depth_silence_s) for _ in range(connections)],
        start_jitter_s=recorder.start_jitter_s,
    )


def contract_streams(
    symbol: str, recorder: Recorder, rest: RestClient, log: "Logger", clock: Callable[[], int] | None = None
) -> ContractStreams:
    """*clock* belongs to a market that is played while it is recorded."""
    limits = rest.feed.limits
    attempts = _budget("connections", recorder.ws_url, (limits.connections, limits.connections_window_s), log)
    streams = [
        WsStream(url, [Backoff(_CONNECT_DELAY_S, recorder.backoff_max_s)], recorder.ws_max_age_s, attempts)
        for url in addresses(recorder.ws_url, symbol)
    ]
    return ContractStreams(symbol, streams, rest, clock)


def _budget(kind: str, url: str, limit: tuple[float, float], log: "Logger") -> "RateBudget":
    def waits(wait_s: float) -> None:
        log.warning(f"{kind}_awaited", wait_s=round(wait_s, 1), limit=limit[0], window_s=limit[1])

    return RateBudget(*limit, shared_path(kind, urlsplit(url).netloc), waits=waits)
