"""Health of a recording: the report beside the day, and its text for a terminal."""

import os
import shutil
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from mm.base.atomic_file import write_atomic
from mm.clock import US_PER_S, iso
from mm.dayfolder.layout import DayFolder, days_of
from mm.dayfolder.ledger import LedgerWriter
from mm.errors import BrokenFile
from mm.market_data.live_session import LiveSession
from mm.market_data.message_latency import RoundTrip, StreamLatencies
from mm.market_data.snapshot import RestClient
from mm.markets import local_orderbook

INTERVAL_S = 2.0
LATELY_US = 60 * US_PER_S
UNSYNCED_S = 60.0
MOST_REFUSALS = 5
MOST_QUARANTINED = 10
RATE_S = 1.0
ENDED = "ended"
CLOSED_IN_ORDER = 1000
TROUBLES = ("gap", "trade_gap", "resync_start", "stall", "ws_disconnected", "snapshot_failed", "anomaly", "disk_full")
"""Ledger events that count as trouble."""


class StreamHealth(msgspec.Struct, frozen=True):
    """The health of one stream.

    Attributes:
        latency_us: Arrival minus the exchange's stamp of the last message; None before the first.
    """

    messages: int = 0
    rate_per_s: float = 0.0
    latency_us: int | None = None
    median_us: int | None = None
    p99_us: int | None = None
    latency_sum_us: int = 0


class HealthReport(msgspec.Struct, frozen=True):
    symbol: str
    run_id: str
    pid: int
    host: str
    state: str
    at_us: int
    interval_s: float
    path: str | None = None
    last_error: str | None = None
    connections: int = 0
    last_message_us: int | None = None
    lag_s: float | None = None
    book_age_s: float | None = None
    streams: dict[str, StreamHealth] = {}
    events: dict[str, int] = {}
    anomalies: dict[str, int] = {}
    quarantined: int = 0
    epoch_id: int = 0
    levels: tuple[int, int] = (0, 0)
    compiled: bool | None = None
    used_weight: int | None = None
    free_mb: float | None = None
    offset_us: int | None = None
    offset_error_us: int | None = None
    clock_steps: int = 0
    unsynced_s: float = 0.0
    depth_late_s: float = 0.0
    refusals: int = 0
    quarantined_lately: int = 0


class WatchedRecording(Protocol):
    @property
    def session(self) -> LiveSession | None: ...

    @property
    def trouble(self) -> str: ...


class Health:
    def __init__(self, symbol: str, run_id: str, rest: RestClient) -> None:
        self.trip: RoundTrip | None = None
        self.ended = False
        self.free_mb: float | None = None
        self._symbol = symbol
        self._run_id = run_id
        self._rest = rest
        self._ledger: LedgerWriter | None = None
        self._open_before = 0
        self._counted: tuple[int, dict[str, int]] = (0, {})
        self._rates: dict[str, float] = {}
        self._book_us: int | None = None
        self._synced_us: int | None = None
        self._unfollowed_us: int | None = None
        self._loaded: tuple[int, int] = (0, 0)
        self._quarantined: deque[tuple[int, int]] = deque()

    def report(self, recording: WatchedRecording, at_us: int) -> HealthReport:
        trip, session = self.trip, recording.session
        connections = self._connections(session.writer.ledger) if session and not self.ended else 0
        report = HealthReport(
            symbol=self._symbol,
            run_id=session.writer.run_id if session else self._run_id,
            pid=os.getpid(),
            host=socket.gethostname(),
            state=ENDED if self.ended else _state(session, connections),
            at_us=at_us,
            interval_s=INTERVAL_S,
            compiled=local_orderbook.kernel is not None,
            last_error=recording.trouble or (_last_trouble(session.writer.ledger) if session else None),
            connections=connections,
            used_weight=self._rest.used_weight,
            offset_us=trip.offset_us if trip else None,
            offset_error_us=trip.took_us // 2 if trip else None,
        )
        return self._with(report, session) if session else report

    def _connections(self, ledger: LedgerWriter) -> int:
        """Includes connections opened on the previous day."""
        if self._ledger is not ledger:
            self._open_before = _opened(self._ledger) + self._open_before if self._ledger else 0
            self._ledger = ledger
        return self._open_before + _opened(ledger)

    def write(self, report: HealthReport) -> None:
        if report.path:
            self.free_mb = round(shutil.disk_usage(report.path).free / 1e6, 1)
        write_health(msgspec.structs.replace(report, free_mb=self.free_mb))

    def _with(self, base: HealthReport, session: LiveSession) -> HealthReport:
        report, market, folder = session.report, session.market, session.writer.folder
        last_us = report.last_us if report.lines else None
        streams = self._streams(session.latencies, base.at_us)
        if market.book_id is not None and "depth" in session.latencies.arrived:
            self._book_us = session.latencies.arrived["depth"] - max(session.late_us or 0, 0)
        return msgspec.structs.replace(
            base,
            path=str(folder.path),
            last_message_us=last_us,
            lag_s=None if last_us is None else max(base.at_us - last_us, 0) / US_PER_S,
            book_age_s=None if self._book_us is None else max(base.at_us - self._book_us, 0) / US_PER_S,
            streams=streams,
            events=dict(session.writer.ledger.counts),
            anomalies=dict(report.book.anomalies),
            quarantined=report.quarantined,
            epoch_id=session.epoch_id,
            levels=market.book.book.sizes() if market.book_id is not None else (0, 0),
            free_mb=self.free_mb,
            clock_steps=report.clock_steps,
            unsynced_s=self._unsynced_s(base),
            depth_late_s=self._depth_late_s(session.latencies.arrived, base.at_us),
            refusals=self._refusals(session.writer.ledger),
            quarantined_lately=self._recent(base.at_us, report.quarantined),
        )

    def _unsynced_s(self, base: HealthReport) -> float:
        if self._synced_us is None or base.state not in ("connecting", "syncing"):
            self._synced_us = base.at_us
        return max(base.at_us - self._synced_us, 0) / US_PER_S

    def _depth_late_s(self, arrived: dict[str, int], at_us: int) -> float:
        depth_us, trade_us = arrived.get("depth", 0), arrived.get("trade", 0)
        if self._unfollowed_us is None or depth_us >= self._unfollowed_us:
            self._unfollowed_us = trade_us if trade_us > depth_us else None
        return 0.0 if self._unfollowed_us is None else max(at_us - self._unfollowed_us, 0) / US_PER_S

    def _refusals(self, ledger: LedgerWriter) -> int:
        loaded, failed = ledger.counts["snapshot_loaded"], ledger.counts["snapshot_failed"]
        if loaded != self._loaded[0]:
            self._loaded = loaded, failed
        return max(failed - self._loaded[1], 0)

    def _recent(self, at_us: int, quarantined: int) -> int:
        samples = self._quarantined
        if samples and quarantined < samples[-1][1]:  # another day counts from 0
            samples.clear()
        samples.append((at_us, quarantined))
        while len(samples) > 1 and samples[1][0] <= at_us - LATELY_US:
            samples.popleft()
        return quarantined - samples[0][1]

    def _streams(self, latencies: StreamLatencies, at_us: int) -> dict[str, StreamHealth]:
        counts = {stream: latencies.totals(stream) for stream in sorted(latencies.recent.keys() | latencies.before)}
        self._count({stream: count for stream, (count, _) in counts.items()}, at_us)
        streams = {}
        for stream, (count, sum_us) in counts.items():
            histogram = latencies.recent.get(stream) or latencies.before[stream]
            median_us, p99_us = histogram.spread() or (None, None)
            rate = round(self._rates.get(stream, 0.0), 3)
            streams[stream] = StreamHealth(count, rate, histogram.last_us, median_us, p99_us, sum_us)
        return streams

    def _count(self, counts: dict[str, int], at_us: int) -> None:
        before_us, before = self._counted
        passed_s = (at_us - before_us) / US_PER_S
        if 0 <= passed_s < RATE_S:
            return
        if before_us and passed_s > 0:
            self._rates = {stream: (count - before.get(stream, 0)) / passed_s for stream, count in counts.items()}
        self._counted = at_us, counts


def _state(session: LiveSession | None, connections: int) -> str:
    if session is None:
        return "waiting"
    if not connections:
        return "connecting"
    return "syncing" if session.market.book_id is None else "synced"


def _opened(ledger: LedgerWriter) -> int:
    return ledger.counts["ws_connected"] - ledger.counts["ws_disconnected"]


def _last_trouble(ledger: LedgerWriter) -> str | None:
    troubles = [(*ledger.last[kind], kind) for kind in TROUBLES if kind in ledger.last]
    troubles = [trouble for trouble in troubles if trouble[1].get("code") != CLOSED_IN_ORDER]
    if not troubles:
        return None
    at_us, details, kind = max(troubles, key=lambda trouble: trouble[0])
    return f"{iso(at_us)} {kind} {msgspec.json.encode(details).decode()}"


def write_health(report: HealthReport) -> None:
    if report.path is None:
        return
    path = DayFolder.at(Path(report.path)).health
    write_atomic(path, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_health(data_root: Path, symbol: str) -> HealthReport | None:
    """The last report of the latest recording."""
    for day in reversed(days_of(data_root, symbol)):
        path = DayFolder(data_root, symbol, day).health
        if path.is_file():
            try:
                return msgspec.json.decode(path.read_bytes(), type=HealthReport)
            except (ValueError, msgspec.MsgspecError) as error:
                raise BrokenFile(f"{path}: not a health file ({error}); remove it") from error
    return None


def is_running(report: HealthReport, here: str, exists: Callable[[int], bool]) -> bool | None:
    """None if the process's machine is not *here*."""
    return exists(report.pid) if report.host == here else None


SILENT_INTERVALS = 5


def trouble_of(report: HealthReport, now_us: int, *, alive: bool | None) -> str | None:
    """None if the recording records, waits, or has ended normally."""
    if report.state == ENDED:
        return None
    age_s = (now_us - report.at_us) / US_PER_S
    if alive is False:
        return f"process {report.pid} ended without a final report: it was killed; the next start repairs the day"
    if age_s > SILENT_INTERVALS * report.interval_s:
        return f"process {report.pid} has not reported for {age_s:.0f} s"
    return trouble_inside(report)


def trouble_inside(report: HealthReport) -> str | None:
    if report.unsynced_s > UNSYNCED_S:
        return f"{report.state} for {report.unsynced_s:.0f} s: there is no valid book; see the last trouble"
    if report.depth_late_s > UNSYNCED_S:
        return f"trades arrive, but no depth message for {report.depth_late_s:.0f} s: the depth stream is stalled"
    if report.refusals >= MOST_REFUSALS:
        return f"{report.refusals} snapshots failed since one was loaded; see snapshot_failed in the ledger"
    if report.quarantined_lately >= MOST_QUARANTINED:
        return f"{report.quarantined_lately} messages were quarantined in a minute; see the reasons in the quarantine"
    return None


_KEPT = {True: "compiled", False: "plain Python", None: "unknown kernel"}


def health_text(report: HealthReport, now_us: int, trouble: str | None) -> str:
    lines = [
        f"{report.symbol}  {report.state}, {(now_us - report.at_us) / US_PER_S:.0f} s ago; "
        f"run {report.run_id}, process {report.pid} on {report.host}",
        f"  day          {report.path or 'none yet'}",
        f"  lag          {_seconds(report.lag_s)} since the last message, {report.connections} connections",
        *(
            f"  {name:<12} {stream.messages:,} messages, {stream.rate_per_s:.1f} /s, "
            f"latency median {_ms(stream.median_us)}, p99 {_ms(stream.p99_us)}"
            for name, stream in report.streams.items()
        ),
        f"  book         epoch {report.epoch_id}, {report.levels[0]:,} bids, {report.levels[1]:,} asks; "
        f"{_KEPT[report.compiled]}",
        f"  ledger       {_count(report, 'gap')} gaps, {_count(report, 'trade_gap')} trade gaps, "
        f"{_count(report, 'resync_start')} resyncs, {_count(report, 'stall')} stalls, "
        f"{sum(report.anomalies.values()):,} anomalies, {report.quarantined:,} in quarantine",
        f"  clock        offset {_ms(report.offset_us)} ± {_ms(report.offset_error_us)}, {report.clock_steps} steps",
        f"  weight       {_or_unknown(report.used_weight)} used in a minute; "
        f"disk {_or_unknown(report.free_mb)} MB free",
        f"  last trouble {report.last_error or 'none'}",
    ]
    if report.last_message_us is not None:
        lines[2] += f", at {iso(report.last_message_us)}"
    return "\n".join([*lines, *([f"  {trouble}"] if trouble else [])])


def _count(report: HealthReport, kind: str) -> str:
    return f"{report.events.get(kind, 0):,}"


def _ms(us: int | None) -> str:
    return "unknown" if us is None else f"{us / 1000:.1f} ms"


def _seconds(value: float | None) -> str:
    return "unknown time" if value is None else f"{value:.1f} s"


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,}"
