"""``mm record``: one symbol's depth and trades, from the exchange into day folders, until the window closes.

``SYMBOL=ETHUSDT python -m mm.market_data.recorder`` is the same command. Several symbols are recorded by a process
each, which is started again when it dies. They do not hang on this one: were it killed, they would go on.
"""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from time import time_ns
from typing import TYPE_CHECKING, Any

import click

from mm.cli.config import SPOT_REST, SPOT_STREAMS, BinanceMarket, Name, Recorder, Source, Sources
from mm.cli.console import Console, Logger
from mm.cli.frame import command
from mm.cli.knobs import knobs, shown
from mm.clock import now_us, run_stamp
from mm.errors import DataError, MissingDay, MMError, UsageError

FIRST_DELAY_S, MOST_DELAY_S = 1.0, 60.0
GRACE_S = 20.0
# Ends that another start would only repeat: done, a wrong knob, a damaged day.
FINAL = (0, 2, 3)
# Worst last. A process that a signal killed counts as 1.
_SEVERITY = (0, 75, 3, 2, 1)


class Supervisor:
    """Run one process for each symbol until all have ended for good.

    Args:
        symbols: Upper case.
        command: Returns the words of the process of a symbol, for its first start (1), its second …
        log: Takes what happens.
        due: Returns whether there is still something to record, so that a dead process is started again.
        spread_s: Time between the starts, so that they do not all connect at once.
        capture: Whether to keep what the processes write on stdout.

    Attributes:
        answers: What each symbol's last process wrote on its stdout, where that was captured.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        command: Callable[[str, int], Sequence[str]],
        log: Logger,
        due: Callable[[], bool],
        *,
        spread_s: float = 0.0,
        capture: bool = False,
    ) -> None:
        self.answers: dict[str, str] = {}
        self._symbols = symbols
        self._command = command
        self._log = log
        self._due = due
        self._spread_s = spread_s
        self._capture = capture
        self._processes: dict[str, Process] = {}
        self._stopping = asyncio.Event()

    def stop(self, number: signal.Signals) -> None:
        """Pass a signal on to every process, and start none any more."""
        self._log.info("supervisor_stopping", signal=number.name, processes=len(self._processes))
        self._stopping.set()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def run(self) -> dict[str, int]:
        """Return the last exit code of each symbol, when all have ended."""
        codes = await asyncio.gather(
            *(self._keep(symbol, at * self._spread_s) for at, symbol in enumerate(self._symbols))
        )
        return dict(zip(self._symbols, codes, strict=True))

    async def _keep(self, symbol: str, wait_s: float) -> int:
        """Keep one symbol's process going; return the exit code that stands."""
        from mm.market_data.rate_budget import Backoff

        backoff, loop = Backoff(FIRST_DELAY_S, MOST_DELAY_S), asyncio.get_running_loop()
        start, code = 0, 0
        while not await self._stopped_within(wait_s + backoff.delay(loop.time())):
            wait_s, start = 0.0, start + 1
            code = await self._once(symbol, start)
            if self._stopping.is_set() or code in FINAL or not self._due():
                break
            self._log.warning("recorder_died", symbol=symbol, code=code, starts=start)
        return code

    async def _once(self, symbol: str, start: int) -> int:
        """Run one process to its end."""
        words = self._command(symbol, start)
        stdout = PIPE if self._capture else None
        process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=stdout, process_group=0)
        self._processes[symbol] = process
        self._log.info("recorder_started", symbol=symbol, pid=process.pid, starts=start)
        try:
            if self._stopping.is_set():
                process.terminate()
            self.answers[symbol] = await self._ended(process)
        finally:
            del self._processes[symbol]
        return process.returncode or 0

    async def _ended(self, process: Process) -> str:
        """Return what *process* wrote, when it has ended; one that outlives a signal by `GRACE_S` is killed."""
        ended = asyncio.create_task(process.communicate())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not (await asyncio.wait({ended}, timeout=GRACE_S))[0]:
            self._log.warning("recorder_killed", pid=process.pid, after_s=GRACE_S)
            process.kill()
        text, _ = await ended
        return (text or b"").decode()

    async def _stopped_within(self, wait_s: float) -> bool:
        """Wait, and return whether the end was requested before the time was over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)
        return self._stopping.is_set()


def worst(codes: dict[str, int]) -> int:
    """Return the exit code that stands for all: the gravest of them."""
    known = (code if code in _SEVERITY else 1 for code in codes.values())
    return max(known, key=_SEVERITY.index, default=0)


if TYPE_CHECKING:
    from mm.market_data.rate_budget import RateBudget
    from mm.market_data.recording import Parts

_CONNECT_DELAY_S = 0.25
_REST_DELAY_S = 0.5
_MOST_REST_DELAY_S = 30.0
_SPREAD_S = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class RecordersFailed(MMError):
    """Of several recorders some did not end well; the exit code is that of the worst."""

    def __init__(self, message: str, code: int) -> None:
        """Say which, and how each ended."""
        super().__init__(message)
        self.exit_code = code


_STATUS = click.Option(["--status"], is_flag=True, help="Print how the recording is, and record nothing.")


@command(Sources, BinanceMarket, Recorder, Name, arguments=[_STATUS])
def main(
    console: Console, source: Sources, market: BinanceMarket, recorder: Recorder, name: Name, status: bool
) -> None:
    """Record one symbol or several until the window closes; SIGTERM and Ctrl-C end it in order."""
    if status:
        _print_status(console, source)
    elif "," in source.symbol:
        _supervise(console, source, market, recorder, name)
    else:
        _record(console, source, market, recorder, name)


def _record(console: Console, source: Source, market: BinanceMarket, recorder: Recorder, name: Name) -> None:
    """Record the one symbol."""
    recorder = of_market(recorder, market.market)
    from mm.market_data.health import Health
    from mm.market_data.monitor import Monitor
    from mm.market_data.recording import Recording

    parts = parts_of(source, recorder, name, console.log, market=market.market)
    recording = Recording(parts, console.log)
    monitor = Monitor(Health(source.symbol, parts.days.run_id, parts.rest.rest), parts.rest.rest)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, recording.stop, number.name)
        async with monitor.beside(recording, recorder.metrics_host, recorder.metrics_port):
            await recording.run()

    try:
        asyncio.run(run())
    finally:
        for report in recording.reports:
            console.say(report.line())
            console.say(report.path)
        days = [report.to_json() for report in recording.reports]
        console.answer({"symbol": source.symbol, "days": days, "path": days[-1]["path"] if days else None})


def _print_status(console: Console, source: Source) -> None:
    """Print the last health of each symbol's recording; raises DataError where one is in trouble."""
    import msgspec

    from mm.market_data.health import health_text, lives, read_health, trouble_of
    from mm.whole_file import process_exists

    answers, troubles, at_us = {}, [], now_us()
    for symbol in source.symbol.split(","):
        report = read_health(source.data_root, symbol)
        if report is None:
            raise MissingDay(f"no recording of {symbol} has a health file below {source.data_root}; set --data-root")
        alive = lives(report, socket.gethostname(), process_exists)
        trouble = trouble_of(report, at_us, alive=alive)
        answers[symbol] = {**msgspec.to_builtins(report), "alive": alive, "trouble": trouble}
        console.say(health_text(report, at_us, trouble))
        troubles += [f"{symbol}: {trouble}"] if trouble else []
    console.answer(answers.get(source.symbol, {"symbols": answers}))
    if troubles:
        raise DataError("; ".join(troubles))


def _supervise(console: Console, source: Source, market: BinanceMarket, recorder: Recorder, name: Name) -> None:
    """Keep a recorder for each symbol; end as the worst of them did."""
    from mm.market_data.days import WindowRule
    from mm.market_data.recorder import Supervisor, worst

    symbols = source.symbol.split(",")
    rule = WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz)
    window = rule.at(now_us())

    def command_of(symbol: str, start: int) -> list[str]:
        port = recorder.metrics_port + symbols.index(symbol) if recorder.metrics_port else 0
        run_id = f"{name.run_id}_{start}" if name.run_id and start > 1 else name.run_id
        one = (
            *(replace(source, symbol=symbol), market),
            *(replace(recorder, metrics_port=port), replace(name, run_id=run_id)),
        )
        return _words(one, console)

    supervisor = Supervisor(
        symbols,
        command_of,
        console.log,
        lambda: rule.endless or now_us() < window.end_us,
        spread_s=min(recorder.start_jitter_s, _SPREAD_S),
        capture=console.as_json,
    )

    async def run() -> dict[str, int]:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, supervisor.stop, number)
        return await supervisor.run()

    codes = asyncio.run(run())
    ended = {symbol: json.loads(text) for symbol, text in supervisor.answers.items() if text}
    console.answer({"symbols": ended, "codes": codes})
    if worst(codes):
        failed = ", ".join(f"{symbol} (exit {code})" for symbol, code in codes.items() if code)
        raise RecordersFailed(f"{failed} did not end well; each one's line is above", worst(codes))


def _words(groups: Sequence[Any], console: Console) -> list[str]:
    """Return the words of a recorder with the knobs of *groups*."""
    words = [sys.executable, "-m", "mm.market_data.recorder", "--log-level", console.level]
    for group in groups:
        for one in knobs(type(group)):
            value = getattr(group, one.name)
            words += [] if value is None else [one.flag, shown(value)]
    return [*words, *(["--json"] if console.as_json else [])]


def of_market(recorder: Recorder, market: str = "spot") -> Recorder:
    """Return the knobs with the bases of *market*, where none are named, and the levels that its snapshots have.

    Raises:
        UsageError: If a base is that of another market.
    """
    from mm.market_data.binance_usdm import MARKETS
    from mm.market_data.venue import OtherMarket

    venue = MARKETS[market]
    named = ((recorder.ws_url, SPOT_STREAMS), (recorder.rest_url, SPOT_REST))
    urls = [own if url == spot else url for (url, spot), own in zip(named, venue.bases, strict=True)]
    for label, url in zip(("--ws-url (WS_URL)", "--rest-url (REST_URL)"), urls, strict=True):
        try:
            venue.check_address(url)
        except OtherMarket as error:
            served = "futures; it takes mm record --market usdm" if market == "spot" else "another market than USD-M"
            raise UsageError(f"{label} was {url!r}: {error} serves {served}") from error
    return replace(recorder, ws_url=urls[0], rest_url=urls[1], snapshot_limit=venue.levels(recorder.snapshot_limit))


def parts_of(  # noqa: PLR0913 - what a recording is made of
    source: Source,
    recorder: Recorder,
    name: Name,
    log: Logger,
    clock: Callable[[], int] = now_us,
    *,
    gathers: bool = True,
    market: str = "spot",
) -> "Parts":
    """Return what a recording is made of; *clock*, in µs, stamps what arrives; *gathers* saves time on each message."""
    from mm.market_data.binance_usdm import MARKETS
    from mm.market_data.days import Days, WindowRule
    from mm.market_data.rate_budget import Backoff
    from mm.market_data.recording import Parts
    from mm.market_data.snapshot import RestClient, RestParts, Snapshots
    from mm.market_data.stalls import StallDetector
    from mm.market_data.ws_link import GATHER_S
    from mm.market_data.ws_stream import WsStream

    trade_stream, venue = recorder.trade_stream or "trade", MARKETS[market]
    connections, limits = 2 if recorder.ws_pair else 1, venue.limits
    weight = _budget("weight", recorder.rest_url, (limits.weight, limits.weight_window_s), log)
    attempts = _budget("connections", recorder.ws_url, (limits.connections, limits.connections_window_s), log)
    rest = RestClient(recorder.rest_url, weight, clock, venue)
    pause = Backoff(_REST_DELAY_S, _MOST_REST_DELAY_S)
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
            venue=venue.name,
        ),
        window=WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz),
        rest=RestParts(
            symbol=source.symbol,
            rest=rest,
            snapshots=Snapshots(rest, source.symbol, recorder.snapshot_limit, pause, clock),
            info_backoff=Backoff(_REST_DELAY_S, _MOST_REST_DELAY_S),
        ),
        stream=WsStream(
            venue.stream_url(recorder.ws_url, source.symbol, trade_stream),
            [Backoff(_CONNECT_DELAY_S, recorder.backoff_max_s) for _ in range(connections)],
            recorder.ws_max_age_s,
            attempts,
            time_ns if clock is now_us else lambda: 1_000 * clock(),
            GATHER_S if gathers else 0.0,
        ),
        silences=[StallDetector(recorder.depth_silence_s) for _ in range(connections)],
        start_jitter_s=recorder.start_jitter_s,
    )


def _budget(kind: str, url: str, limit: tuple[float, float], log: Logger) -> "RateBudget":
    """Return the budget of an address; *limit* is the most of a kind, and its window in s; a long wait is a line."""
    from urllib.parse import urlsplit

    from mm.market_data.rate_budget import RateBudget, shared_path

    def waits(wait_s: float) -> None:
        log.warning(f"{kind}_awaited", wait_s=round(wait_s, 1), limit=limit[0], window_s=limit[1])

    return RateBudget(*limit, shared_path(kind, urlsplit(url).netloc), waits=waits)


if __name__ == "__main__":
    main()
