"""How a recording is, for a terminal."""

from mm.clock import US_PER_S, iso
from mm.market_data.health import ENDED, HealthReport

SILENT_INTERVALS = 5


def trouble_of(report: HealthReport, now_us: int, *, alive: bool | None) -> str | None:
    """Return why a recording is not as it should be; None where it records, waits, or has ended in order.

    Args:
        report: What it told last.
        now_us: The time.
        alive: Whether its process lives; None where that cannot be known.
    """
    if report.state == ENDED:
        return None
    age_s = (now_us - report.at_us) / US_PER_S
    if alive is False:
        return f"process {report.pid} is gone, and has not said why: it was killed; the next start mends the day"
    if age_s > SILENT_INTERVALS * report.interval_s:
        return f"process {report.pid} has told nothing for {age_s:.0f} s"
    return None


_KEPT = {True: "compiled", False: "plain Python", None: "unknown how"}


def told(report: HealthReport, now_us: int, trouble: str | None) -> str:
    """Return *report* in lines; a wrong thing stands last."""
    lines = [
        f"{report.symbol}  {report.state}, {(now_us - report.at_us) / US_PER_S:.0f} s ago; "
        f"run {report.run_id}, process {report.pid} on {report.host}",
        f"  day          {report.path or 'none yet'}",
        f"  lag          {_seconds(report.lag_s)} since the last message, {report.connections} connections",
        *(
            f"  {name:<12} {one.messages:,} messages, {one.rate_per_s:.1f} /s, "
            f"latency median {_ms(one.median_us)}, p99 {_ms(one.p99_us)}"
            for name, one in report.streams.items()
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
