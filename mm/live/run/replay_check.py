"""Compares a shadow with the replay of the day that it recorded, row by row: ``reconcile.json``."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.journal import LEGS
from mm.base.differences import first_difference
from mm.clock import us_from_ms
from mm.dayfolder.layout import day_folder
from mm.errors import BrokenFile
from mm.instrument import e8
from mm.live.run.decisions import LAG, decisions_name, decisions_of, lag_quantiles, write_decisions
from mm.live.run.live_play import PaperPlay
from mm.live.run.live_terms import ShadowTerms
from mm.live.run.other_markets import FOREVER_US
from mm.play.knobs import Market
from mm.play.setup import PlayKnobs
from mm.signals.contract import RecordedContract
from mm.signals.other_feed import OtherFeed
from mm.tape.received import received_day

if TYPE_CHECKING:
    from mm.instrument import Instrument
    from mm.tape.tape import Tape

RECONCILE = "reconcile.json"
Inputs = tuple[tuple[str, int, str], ...]  # path, bytes and sha256 of each file


def replay(terms: ShadowTerms, knobs: PlayKnobs, data_root: Path, folder: Path) -> Inputs:
    """Play what the shadow received again, write tables and decisions to *folder*, and return the files read."""
    others, inputs = dict[str, OtherFeed](), Inputs()
    for name, one in knobs.others.declared().items():
        seen_by = terms.others[name]
        opening = seen_by.opening(Market())
        grid = opening.instrument
        root = Path(one.get("data_root") or data_root)
        tape, read = received(replace(seen_by, end_us=FOREVER_US), grid, root)
        if tape is not None:
            tape = replace(tape, meta=replace(tape.meta, funding=seen_by.payments))
        told = RecordedContract(root, seen_by.symbol, (seen_by.day,))
        others[name] = OtherFeed(grid, () if tape is None else (tape,), opening=opening, strict_clock=True, told=told)
        inputs += tuple((os.path.relpath(root / path, data_root), size, sha256) for path, size, sha256 in read)
    play = PaperPlay(terms, knobs, others=others)
    step, root = knobs.market.qty_step, data_root
    if terms.moved_to:
        root = folder / "moved"
        (root / terms.symbol).mkdir(parents=True)
        (root / terms.symbol / terms.day).symlink_to(Path(terms.moved_to).absolute())
    whole, read = received(terms, play.grid, root, None if step is None else e8(step))
    if whole is not None:
        whole = replace(whole, meta=replace(whole.meta, funding=terms.payments))
        play.exchange.run(whole, kill=terms.killed)
    inputs = (*read, *inputs)
    result = play.result()
    result.write_tables(folder)
    write_decisions(folder / decisions_name(terms.symbol), decisions_of(result.journal), (), play.grid)
    return inputs


def received(
    terms: ShadowTerms, grid: "Instrument", data_root: Path, qty_step_e8: int | None = None
) -> "tuple[Tape | None, Inputs]":
    """Return the market of the recorded day as the shadow received it, None without any, and the files read."""
    if not terms.rows_run_id or terms.moved_to == "":
        return None, ()
    day = day_folder(data_root, terms.symbol, terms.day)
    grid_e8 = grid.tick_e8, grid.lot_e8
    tape = received_day(day, terms.rows_run_id, grid_e8, terms.end_us, qty_step_e8)
    return tape, () if tape is None else tape.meta.inputs


@dataclass(frozen=True)
class ReplayComparison:
    """Comparison of a shadow with the replay of its recorded day.

    Attributes:
        first_difference: The first decision that is not in both: its instant, and both rows; None if there is none.
        rows: The same numbers for the rows of the other tables, as ``fills_live``, ``fills_replay``, ``equal_fills``;
            orders, fills and states include the legs'.
        explained_by_lag: Decisions that are not in the replay and were late.
        late: All late decisions, including equal ones.
    """

    decisions: int
    decisions_replay: int
    equal: int
    first_difference: Mapping[str, Any] | None
    rows: Mapping[str, int]
    explained_by_lag: int
    late: int
    lag_us: Mapping[str, int | None]
    same: bool

    def to_json(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for name, value in vars(self).items():
            content |= value if name == "rows" else {name: value}
        return content

    def write(self, folder: Path) -> None:
        (folder / RECONCILE).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    def text(self) -> str:
        p50, p99 = self.lag_us["p50"], self.lag_us["p99"]
        lag = "" if p50 is None or p99 is None else f", lag p50 {p50 / 1000:.1f} ms, p99 {p99 / 1000:.1f} ms"
        late = f"; {self.explained_by_lag} that differ were late" if self.explained_by_lag else ""
        decisions = f"{self.equal:,} of {self.decisions:,} decisions"
        fills = f"{self.rows['equal_fills']:,} of {self.rows['fills_live']:,} fills"
        return f"reconcile: {decisions} and {fills} as in the replay{lag}{late}"


def compare(live: Path, again: Path, symbol: str, late_us: int) -> ReplayComparison:
    """*late_us*: lag from which a decision counts as late."""
    cells = [[line.split(",", LAG + 1) for line in _rows(one / decisions_name(symbol))] for one in (live, again)]
    try:
        lags = [int(row[LAG]) for row in cells[0]]
    except (ValueError, IndexError) as error:
        raise BrokenFile(f"{live / decisions_name(symbol)}: not the decisions of a shadow ({error})") from error
    ours, theirs = ([",".join((*row[:LAG], *row[LAG + 1 :])) for row in rows] for rows in cells)
    names = {"orders": "orders", "fills": "fills", "states": "state"}
    tables = {key: (_rows_of(live, name, symbol), _rows_of(again, name, symbol)) for key, name in names.items()}
    kept = live / f"breaches_{symbol}.csv"  # for a run with limits
    tables["breaches"] = (_rows(kept), _rows(again / kept.name)) if kept.exists() else ([], [])
    counts: dict[str, int] = {}
    for key, (own, replayed) in tables.items():
        counts |= {f"{key}_live": len(own), f"{key}_replay": len(replayed), f"equal_{key}": _in_both(own, replayed)}
    known = set(theirs)
    return ReplayComparison(
        decisions=len(ours),
        decisions_replay=len(theirs),
        equal=_in_both(ours, theirs),
        first_difference=_first_difference(ours, theirs),
        rows=counts,
        explained_by_lag=sum(row not in known and lag > late_us for row, lag in zip(ours, lags, strict=True)),
        late=sum(lag > late_us for lag in lags),
        lag_us=lag_quantiles(lags),
        same=ours == theirs and all(one == other for one, other in tables.values()),
    )


def compare_with_replay(
    terms: ShadowTerms, knobs: PlayKnobs, data_root: Path, live: Path
) -> tuple[ReplayComparison, Inputs]:
    """*live* is the folder of the shadow's tables."""
    with tempfile.TemporaryDirectory(prefix="mm-reconcile-") as scratch:
        inputs = replay(terms, knobs, data_root, Path(scratch))
        found = compare(live, Path(scratch), terms.symbol, us_from_ms(knobs.execution.order_latency_ms))
    return found, inputs


def _rows(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()[1:]


def _rows_of(folder: Path, name: str, symbol: str) -> list[str]:
    legs = sorted(folder.glob(f"{LEGS}/*/{name}_*.csv"))
    own = _rows(folder / f"{name}_{symbol}.csv")
    return own + [f"{path.parent.name}:{row}" for path in legs for row in _rows(path)]


def _in_both(ours: list[str], theirs: list[str]) -> int:
    return len(ours) if ours == theirs else (Counter(ours) & Counter(theirs)).total()


def _first_difference(ours: list[str], theirs: list[str]) -> dict[str, Any] | None:
    found = first_difference(ours, theirs)
    if found is None:
        return None
    place, one, other = found
    us = min(int(row.partition(",")[0]) for row in (one, other) if row)
    return {"row": place + 1, "us": us, "live": one, "replay": other}
