"""Overview of a day: rows, gaps, spread, volatility, and a sparkline of the mid."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mm.base.numbers import noun
from mm.dayfolder.coverage import cover, coverage_text
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import contents, day_files
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE, Tape

_SIGNS = "▁▂▃▄▅▆▇█"
WIDTH = 72
_S = 1_000_000


@dataclass(frozen=True)
class Inspection:
    """Overview of a day; prices in the quote asset, quantities in the base asset; None without a book.

    Attributes:
        spread_ticks: Time-weighted mean, in ticks of orders.
    """

    rows: dict[str, int]
    coverage: list[str]
    events: dict[str, int]
    spread_ticks: float | None = None
    spread_bps: float | None = None
    one_tick: float | None = None
    volatility_bps: float | None = None
    traded: float = 0.0
    low: float | None = None
    high: float | None = None
    sketch: str = ""

    def lines(self) -> list[str]:
        lines = [f"{name:<52} {count:>10,} rows" for name, count in self.rows.items() if count]
        lines += self.coverage
        counts = [f"{count:,} {noun(count, kind.removesuffix('s'), kind)}" for kind, count in self.events.items()]
        lines += ["events     " + ", ".join(counts)] if counts else []
        if self.spread_ticks is None or self.spread_bps is None or self.one_tick is None:
            return [*lines, "no two-sided book, so no spread and no volatility"]
        lines.append(
            f"spread     {self.spread_ticks:.2f} ticks, {self.spread_bps:.2f} bp, time-weighted; "
            f"one tick for {100 * self.one_tick:.1f} % of the time"
        )
        if self.volatility_bps is not None:
            lines.append(f"volatility {self.volatility_bps:.3f} bp per √s; traded {self.traded:,.8g}")
        return [*lines, f"mid        {self.low:.8g} to {self.high:.8g}", self.sketch]


def inspect_day(folder: DayFolder, tape: Tape | None) -> Inspection:
    rows = {folder.relative(path): contents(folder, path).rows for path in day_files(folder) if path.suffix != ".json"}
    lines = coverage_text(cover(folder)).splitlines()
    if tape is None:
        return Inspection(rows, lines, {})
    kinds = {"snapshots": SNAPSHOT, "depth": DEPTH, "trades": TRADE, "gaps": GAP}
    events = {name: int(np.count_nonzero(tape.kind == code)) for name, code in kinds.items()}
    return Inspection(rows, lines, events, **_numbers(tape))


def _numbers(tape: Tape) -> dict[str, Any]:
    grid = tape.instrument
    tick, lot = grid.tick_e8 / 1e8, grid.lot_e8 / 1e8
    trades = tape.first_row[np.flatnonzero(tape.kind == TRADE)]
    traded = float(tape.row_lots[trades].sum() * lot)
    begins = np.maximum(tape.event_us[tape.top_event], tape.start_us)
    lasts = np.diff(np.append(begins, tape.end_us))
    both = (tape.top_bid_ticks > 0) & (tape.top_ask_ticks > 0)
    weight = np.where(both, lasts, 0).astype(float)
    if not weight.sum():
        return {"traded": traded}
    spread = (tape.top_ask_ticks - tape.top_bid_ticks).astype(float)
    mid = (tape.top_ask_ticks + tape.top_bid_ticks) / 2 * tick
    mid = np.where(both, mid, np.nan)
    seconds = np.arange(tape.start_us, tape.end_us, _S)
    sampled = mid[np.maximum(np.searchsorted(begins, seconds, "right") - 1, 0)]
    change = np.diff(np.log(sampled))
    change = change[np.isfinite(change)]
    return {
        "spread_ticks": float(np.average(spread, weights=weight)) / tape.step_ticks,
        "spread_bps": float(1e4 * np.average(spread * tick / np.where(both, mid, 1.0), weights=weight)),
        "one_tick": float(weight[spread == tape.step_ticks].sum() / weight.sum()),
        "volatility_bps": float(1e4 * change.std()) if len(change) >= 30 else None,
        "traded": traded,
        "low": float(np.nanmin(mid)),
        "high": float(np.nanmax(mid)),
        "sketch": _sketch(begins, mid, tape),
    }


def _sketch(begins: Any, mid: Any, tape: Tape) -> str:
    at = np.linspace(tape.start_us, max(tape.end_us - 1, tape.start_us), WIDTH)
    seen = mid[np.maximum(np.searchsorted(begins, at, "right") - 1, 0)]
    low, high = np.nanmin(mid), np.nanmax(mid)
    steps = (seen - low) / (high - low or 1.0) * (len(_SIGNS) - 1)
    return "".join(" " if np.isnan(step) else _SIGNS[round(float(step))] for step in steps)
