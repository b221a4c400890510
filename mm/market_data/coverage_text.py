"""What a day covers, in words."""

from mm.clock import US_PER_S, iso
from mm.market_data.coverage import DayCoverage, Ids, Stretch

MOST_STRETCHES = 20


def told(found: DayCoverage) -> str:
    """Return the coverage of a day for a terminal."""
    window_us = found.to_us - found.from_us
    share = 100 * found.covered_s * US_PER_S / window_us if window_us else 0.0
    lines = [
        f"{found.symbol} {found.day}  {_time(found.from_us)} to {_time(found.to_us)} UTC, {_lasting(window_us)}",
        f"  covered   {_lasting(round(found.covered_s * US_PER_S))} ({share:.2f} %), "
        f"{found.epochs} epochs, {found.runs} runs",
        f"  excluded  {_lasting(round(found.excluded_s * US_PER_S))} in {len(found.excluded)} stretches",
        *(f"    {_stretch(one)}" for one in found.excluded[:MOST_STRETCHES]),
    ]
    if len(found.excluded) > MOST_STRETCHES:
        lines.append(f"    and {len(found.excluded) - MOST_STRETCHES} more; --json has them all")
    lines.append(f"  depth     {_ids(found.depth)}")
    lines.append(f"  trades    {_ids(found.trades)}")
    if found.unreadable:
        lines.append(f"  {found.unreadable} rows cannot be read; mm data check names them")
    return "\n".join(lines)


def _stretch(one: Stretch) -> str:
    ids = "" if one.from_id is None else f", ids {one.from_id} to {one.to_id} missing"
    return f"{_time(one.from_us)} to {_time(one.to_us)}  {_lasting(one.to_us - one.from_us)}  {one.cause}{ids}"


def _ids(ids: Ids) -> str:
    if not ids.rows:
        return "no rows"
    rest = f", {ids.rest:,} of them from REST" if ids.rest else ""
    gaps = f"{ids.gaps} gaps" + (f" of {ids.missing:,} ids" if ids.gaps else "")
    return f"{ids.rows:,} messages{rest}, ids {ids.first_id} to {ids.last_id}, {gaps}"


def _time(us: int) -> str:
    return iso(us)[11:23]


def _lasting(us: int) -> str:
    minutes, rest_us = divmod(us, 60 * US_PER_S)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_us / US_PER_S:.1f} s"
    return f"{hours} h {minutes:02d} min {seconds}" if hours else f"{minutes} min {seconds}" if minutes else seconds
