"""Runs of one strategy side by side (a replay, a shadow, a trade) over the time that all cover."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.base.differences import first_difference
from mm.base.estimate import estimated
from mm.clock import US_PER_S, iso
from mm.errors import Mismatch, UsageError
from mm.report.run_columns import RunColumns, Standing
from mm.runs.manifest import ACCOUNTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.runs.finished import RunFolder

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]

KINDS = ("backtest", "shadow", "trade")
MARKOUTS_S = (1, 5, 30)
MATCH_US = US_PER_S  # maximum difference in time of two matching fills
BLOCK_US, LEAST_BLOCKS = 180 * US_PER_S, 5
QUANTILES = (0.5, 0.9, 0.99)
FILLS, INSTANTS = "fills", "instants"
SIDES = {"BUY": 1, "SELL": -1}
BOUNDED = ("bounds", "open_share")


class OrderRow(NamedTuple):
    """A row of orders, without the future instants that only a replay knows."""

    recv_us: int
    order_id: int
    action: str
    side: str
    price: float
    qty: float
    reject_reason: str | None

    def text(self) -> str:
        reason = f" {self.reject_reason}" if self.reject_reason else ""
        order = f"order {self.order_id}: " if self.order_id else ""
        return f"{iso(self.recv_us)} {order}{self.action} {self.side} {self.qty:.8g} at {self.price:.8g}{reason}"


@dataclass(frozen=True)
class RunData:
    """The data of one run.

    Attributes:
        feed: How the exchange's messages reached it: ``kind`` of ``feed`` in the summary; None in an older version.
        again: For a backtest that plays a trade again: ``fills`` with the trade's own, else ``instants`` alone.
        bounded: ``bounds`` and ``open_share`` of the whole run; empty without bounds.
    """

    kind: str
    run_id: str
    folder: Path
    symbol: str
    tick: float
    target: float
    columns: RunColumns
    orders: Mapping[str, Any]
    decisions_us: "Instants | None"
    feed: str | None = None
    again: str = ""
    bounded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def span(self) -> tuple[int, int]:
        us = self.columns.state["recv_us"]
        return (int(us[0]), int(us[-1])) if len(us) else (0, 0)


@dataclass(frozen=True)
class RunFigures:
    """The numbers of one run over the common span, in quote or base asset, or in ticks (names with ``_ticks``).

    Attributes:
        quoted_share: Share of time with an order on each side: buy, sell, both.
        fill_ratio: Traded over placed quantity.
        markout_ticks: Mean gain of a fill at the mid after each horizon in seconds, weighted by quantity.
        bounds, open_share: Of the whole run, as in its summary; None without bounds.
    """

    kind: str
    run_id: str
    path: str
    feed: str | None
    decisions: int | None
    placed: int
    rejects: dict[str, int]
    quoted_share: dict[str, float]
    fills: dict[str, int]
    quantity: float
    fill_ratio: float | None
    half_spread_ticks: float | None
    markout_ticks: dict[str, float | None]
    pnl_quoting: float | None
    pnl: float | None
    fees: float | None
    ack_ms: dict[str, float | None]
    cancel_ms: dict[str, float | None]
    bounds: dict[str, dict[str, Any]] | None
    open_share: float | None


@dataclass(frozen=True)
class Agreement:
    """The agreement of a run with the reference.

    Attributes:
        equal_rows: Share of the reference's order rows that it has too, at the same instants.
        first_difference: Its first row that differs from the reference, in words.
        equal_quotes: Share of equal prices among seconds in which both had an order on a side.
        one_sided: Share of seconds in which only one of them had an order on a side.
        matched_fills: Fills of the reference with a fill of this run of the same side within `MATCH_US`.
        slippage_ticks: Mean by which its matched fills have a worse price than the reference's; negative is better.
        fills_ci95, pnl_ci95: 95 % intervals, by blocks of three minutes or more; None below five of them.
    """

    run_id: str
    equal_rows: float | None
    first_difference: str | None
    equal_quotes: float | None
    quote_gap_ticks: float | None
    one_sided: float
    matched_fills: int
    unmatched_fills: int
    extra_fills: int
    slippage_ticks: float | None
    fills_difference: int
    fills_ci95: list[float] | None
    pnl_difference: float | None
    pnl_ci95: list[float] | None


@dataclass(frozen=True)
class RunComparison:
    """Several runs over the time that all of them cover.

    *explained* are the parts by which the quoting PnL of a trade's replay differs: ``market``, what was recorded;
    ``fills``, the model's for the trade's; ``instants``, assumed latencies for real ones. Empty without the runs that
    play the trade again.
    """

    symbol: str
    begin_us: int
    end_us: int
    runs: list[RunFigures]
    agreement: list[Agreement]
    notes: list[str]
    explained: dict[str, float]


def read_run(run: "RunFolder") -> RunData:
    import polars as pl

    run.check_single()
    kind, symbol = run.manifest["kind"], run.manifest["symbol"]
    if run.account and kind == ACCOUNTS["backtest"]:
        kind = "backtest"
    if kind not in KINDS:
        raise UsageError(f"{run.folder} is a run of kind {kind!r}; runs of {', '.join(KINDS)} can be compared")
    types = {
        **dict.fromkeys(("action", "side", "reject_reason"), pl.String),
        **dict.fromkeys(("order_id", "recv_us", "active_recv_us"), pl.Int64),
        "qty": pl.Float64,
        "price": pl.Float64,
    }
    decisions = run.folder / f"decisions_{symbol}.csv"
    with run.readable():
        orders = run.orders_table(types)
        decided = pl.read_csv(decisions, columns=["us"])["us"].to_numpy() if decisions.exists() else None
    return RunData(
        target=run.columns.target,
        kind=kind,
        run_id=run.manifest["run_id"],
        folder=run.folder,
        symbol=symbol,
        tick=float(run.summary["tick_size"]),
        columns=run.columns,
        orders={name: orders[name].to_numpy() for name in types},
        decisions_us=decided,
        feed=(run.summary.get("feed") or {}).get("kind"),
        again=_again(run.manifest.get("knobs", {})),
        bounded={name: run.summary.get(name) for name in BOUNDED} if run.summary.get("bounds") else {},
    )


def _again(knobs: Mapping[str, Any]) -> str:
    if knobs.get("as_traded", {}).get("value") is None:
        return ""
    return FILLS if knobs["traded_fills"]["value"] else INSTANTS


def compare_runs(runs: Sequence[RunData]) -> RunComparison:
    """Compare over the time that all runs cover; raises UsageError or Mismatch."""
    if len(runs) < 2:
        raise UsageError(f"mm compare needs two runs or more; {len(runs)} was given")
    symbols = {run.symbol for run in runs}
    if len(symbols) > 1:
        raise Mismatch(f"the runs are of {' and '.join(sorted(symbols))}; compare runs of one symbol")
    begin_us, end_us = max(run.span[0] for run in runs), min(run.span[1] for run in runs)
    if begin_us >= end_us:
        spans = "; ".join(f"{run.kind} {run.run_id} {iso(run.span[0])} to {iso(run.span[1])}" for run in runs)
        raise Mismatch(
            f"the runs have no time in common: {spans}; compare runs of one time, such as the backtest of the "
            f"day that the shadow or the trade has recorded"
        )
    span = (begin_us, end_us)
    figures = [figures_of(run, span) for run in runs]
    first = runs[0]
    return RunComparison(
        first.symbol,
        begin_us,
        end_us,
        figures,
        [
            agreement_of(first, run, span, (figures[0].pnl_quoting, own.pnl_quoting))
            for run, own in zip(runs[1:], figures[1:], strict=True)
        ],
        list(_notes(runs, span)),
        _explained(runs, figures),
    )


def _explained(runs: Sequence[RunData], figures: Sequence[RunFigures]) -> dict[str, float]:
    known = {run.again or run.kind: own.pnl_quoting for run, own in zip(runs, figures, strict=True)}
    path = [known.get(name) for name in ("trade", FILLS, INSTANTS, "backtest")]
    parts = zip(("market", FILLS, INSTANTS), pairwise(path), strict=True)
    found = {name: now - before for name, (before, now) in parts if before is not None and now is not None}
    return found if len(found) > 1 else {}


def figures_of(run: RunData, span: tuple[int, int]) -> RunFigures:
    fills, held, orders = _within(run.columns.fills, span), _within(run.columns.state, span), _within(run.orders, span)
    side = np.array([SIDES[name] for name in fills["side"]], np.int64)
    qty, price = (np.asarray(fills[name], np.float64) for name in ("qty", "price"))
    mid = np.asarray(fills["mid"], np.float64)
    placed = orders["action"] == "PLACE"
    placed_qty = float(np.asarray(orders["qty"], np.float64)[placed].sum())
    refused = orders["reject_reason"][np.isin(orders["action"], ("REJECT",))]
    equity, mids = (np.asarray(held[name], np.float64) for name in ("equity", "mid"))
    fees = np.asarray(fills["fee"], np.float64)
    valued = not np.isnan(fees).any()
    marked = ~np.isnan(equity) & valued
    known, quoting = equity[marked], (equity - run.target * mids)[marked]
    later = {s: run.columns.later(np.asarray(fills["recv_us"], np.int64) + s * US_PER_S) for s in MARKOUTS_S}
    return RunFigures(
        kind=run.kind,
        run_id=run.run_id,
        path=str(run.folder),
        feed=run.feed,
        decisions=None if run.decisions_us is None else int(_inside(run.decisions_us, span).sum()),
        placed=int(placed.sum()),
        rejects=dict(Counter(map(str, refused.tolist())).most_common()),
        quoted_share=_shares(run.columns.quotes, span),
        fills={name: int((side == one).sum()) for name, one in SIDES.items()},
        quantity=float(qty.sum()),
        fill_ratio=float(qty.sum()) / placed_qty if placed_qty else None,
        half_spread_ticks=_mean(side * (mid - price) / run.tick, qty),
        markout_ticks={str(s): _mean(side * (then - price) / run.tick, qty) for s, then in later.items()},
        pnl_quoting=float(quoting[-1] - quoting[0]) if len(quoting) else None,
        pnl=float(known[-1] - known[0]) if len(known) else None,
        fees=float(fees.sum()) if valued else None,
        ack_ms=_acknowledgements(orders, run),
        cancel_ms=_cancels(orders),
        bounds=run.bounded.get("bounds"),
        open_share=run.bounded.get("open_share"),
    )


def agreement_of(
    first: RunData, other: RunData, span: tuple[int, int], pnl: tuple[float | None, float | None]
) -> Agreement:
    grid = np.arange(span[0], span[1], US_PER_S)
    edges = np.linspace(*span, max((span[1] - span[0]) // BLOCK_US, 1) + 1).astype(np.int64)
    gaps: list[Floats] = []
    alone = 0
    for side in SIDES.values():
        ours, theirs = (_price_at(run.columns.quotes[side], grid) for run in (first, other))
        both = ~np.isnan(ours) & ~np.isnan(theirs)
        alone += int((np.isnan(ours) != np.isnan(theirs)).sum())
        gaps.append(np.abs(ours[both] - theirs[both]) / first.tick)
    gap = np.concatenate(gaps)
    rows = [_order_rows(_within(run.orders, span)) for run in (first, other)]
    equal = (Counter(rows[0]) & Counter(rows[1])).total()
    pairs, worse = _matched(_within(first.columns.fills, span), _within(other.columns.fills, span))
    counts = [len(_within(run.columns.fills, span)["recv_us"]) for run in (first, other)]
    return Agreement(
        run_id=other.run_id,
        equal_rows=equal / len(rows[0]) if rows[0] else None,
        first_difference=_difference(*rows),
        equal_quotes=float((gap < 0.5).mean()) if len(gap) else None,
        quote_gap_ticks=float(gap.mean()) if len(gap) else None,
        one_sided=alone / (2 * len(grid)),
        matched_fills=pairs,
        unmatched_fills=counts[0] - pairs,
        extra_fills=counts[1] - pairs,
        slippage_ticks=None if worse is None else worse / first.tick,
        fills_difference=counts[1] - counts[0],
        fills_ci95=interval(fills_at(other, edges) - fills_at(first, edges)),
        pnl_ci95=interval(quoting_at(other, edges) - quoting_at(first, edges)),
        pnl_difference=None if pnl[0] is None or pnl[1] is None else pnl[1] - pnl[0],
    )


def _order_rows(orders: Mapping[str, Any]) -> list[OrderRow]:
    columns = [orders[name].tolist() for name in OrderRow._fields]
    return [OrderRow(*cells) for cells in zip(*columns, strict=True)]


def _difference(ours: Sequence[OrderRow], theirs: Sequence[OrderRow]) -> str | None:
    """Name the first row that differs, and by what: fills, instants, or the decision itself."""
    found = first_difference(ours, theirs)
    if found is None:
        return None
    place, own, other = found
    both = [row for row in (own, other) if row is not None]
    if any(row.action in ("FILL", "CLOSE_FILLED") for row in both):
        cause = "fills"
    elif len(both) == 2 and both[0]._replace(recv_us=0) == both[1]._replace(recv_us=0):
        cause = "instants"
    else:
        cause = "decision" if any(row.action in ("PLACE", "CANCEL_REQ", "SKIP") for row in both) else "report"
    told = " against ".join("no row" if row is None else row.text() for row in (own, other))
    return f"row {place + 1} of {len(ours):,}, {cause}: {told}"


def interval(totals: "Floats | Instants") -> list[float] | None:
    """Return the 95 % interval of the whole change of *totals*, the values at the ends of blocks."""
    blocks = np.diff(totals).astype(float)
    return None if np.isnan(blocks).any() else estimated(blocks, least=LEAST_BLOCKS).times(len(blocks)).ends


def fills_at(run: RunData, us: "Instants") -> "Instants":
    fills_us = np.asarray(run.columns.fills["recv_us"], np.int64)
    found: Instants = np.searchsorted(fills_us, us, side="right")
    found[0] = np.searchsorted(fills_us, us[0])
    return found


def quoting_at(run: RunData, us: "Instants") -> "Floats":
    equity, mid = (np.asarray(run.columns.state[name], np.float64) for name in ("equity", "mid"))
    known = ~np.isnan(equity)
    if not known.any() or np.isnan(np.asarray(run.columns.fills["fee"], np.float64)).any():
        return np.full(len(us), np.nan)
    at = np.searchsorted(np.asarray(run.columns.state["recv_us"], np.int64)[known], us, side="right") - 1
    found: Floats = (equity - run.target * mid)[known][np.maximum(at, 0)]
    return found


def _matched(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[int, float | None]:
    """Count fills with a match of their side within `MATCH_US`, and return the mean price disadvantage."""
    free = {side: _of_side(theirs, side) for side in SIDES}
    pairs, worse = 0, 0.0
    for side, sign in SIDES.items():
        us, price = _of_side(ours, side)
        their_us, their_price = free[side]
        taken = np.zeros(len(their_us), bool)
        for at, own in zip(us.tolist(), price.tolist(), strict=True):
            low, high = np.searchsorted(their_us, [at - MATCH_US, at + MATCH_US + 1])
            open_ = low + np.flatnonzero(~taken[low:high])
            if len(open_):
                best = int(open_[np.abs(their_us[open_] - at).argmin()])
                taken[best] = True
                pairs += 1
                worse += sign * (float(their_price[best]) - own)
    return pairs, worse / pairs if pairs else None


def _of_side(fills: Mapping[str, Any], side: str) -> tuple["Instants", "Floats"]:
    mine = np.asarray(fills["side"]) == side
    return np.asarray(fills["recv_us"], np.int64)[mine], np.asarray(fills["price"], np.float64)[mine]


def _within(columns: Mapping[str, Any], span: tuple[int, int]) -> dict[str, Any]:
    inside = _inside(np.asarray(columns["recv_us"], np.int64), span)
    return {name: np.asarray(values)[inside] for name, values in columns.items()}


def _inside(us: "Instants", span: tuple[int, int]) -> "NDArray[np.bool_]":
    return (us >= span[0]) & (us <= span[1])


def _price_at(standing: Standing, grid: "Instants") -> "Floats":
    row = np.searchsorted(standing.us, grid, side="right") - 1
    found = np.full(len(grid), np.nan)
    for back in range(3):  # the newest may have ended while an older one still rests
        at = np.maximum(row - back, 0)
        rests = (row - back >= 0) & np.isnan(found)
        if len(standing.us):
            rests &= standing.until_us[at] > grid
            found[rests] = standing.price[at[rests]]
    return found


def _shares(quotes: Mapping[int, Standing], span: tuple[int, int]) -> dict[str, float]:
    grid = np.arange(span[0], span[1], US_PER_S)
    buys, sells = (~np.isnan(_price_at(quotes[side], grid)) for side in (1, -1))
    return {"buy": float(buys.mean()), "sell": float(sells.mean()), "both": float((buys & sells).mean())}


def _mean(values: "Floats", weights: "Floats") -> float | None:
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if weights[known].sum() else None


def _acknowledgements(orders: Mapping[str, Any], run: RunData) -> dict[str, float | None]:
    refused = run.orders["order_id"][run.orders["action"] == "REJECT"]
    sent, active = (np.asarray(orders[name], np.float64) for name in ("recv_us", "active_recv_us"))
    placed = (orders["action"] == "PLACE") & ~np.isin(orders["order_id"], refused)
    accepted = placed & (active <= run.span[1])  # one without an answer rests from after the end
    return _quantiles((active - sent)[accepted] / 1_000)


def _cancels(orders: Mapping[str, Any]) -> dict[str, float | None]:
    requested_us: dict[int, int] = {}
    found = []
    rows = zip(orders["action"].tolist(), orders["order_id"].tolist(), orders["recv_us"].tolist(), strict=True)
    for action, order_id, us in rows:
        if action == "CANCEL_REQ":
            requested_us[order_id] = us
        elif action == "CANCEL_ACK" and order_id in requested_us:
            found.append((us - requested_us.pop(order_id)) / 1_000)
    return _quantiles(np.array(found))


def _quantiles(values: "Floats") -> dict[str, float | None]:
    known = values[~np.isnan(values)]
    names = [f"p{round(100 * share)}" for share in QUANTILES]
    if not len(known):
        return dict.fromkeys(names)
    return dict(zip(names, np.quantile(known, QUANTILES).tolist(), strict=True))


def _notes(runs: Sequence[RunData], span: tuple[int, int]) -> list[str]:
    notes = []
    for run in runs:
        whole, common = run.span[1] - run.span[0], span[1] - span[0]
        if common < 0.9 * whole:
            notes.append(f"{run.kind} {run.run_id} covers more time: {100 * common / whole:.0f} % of it is compared")
    with_feed = [run for run in runs if not run.again]  # a trade that is played again has that trade's instants
    if len({run.feed for run in with_feed}) > 1:
        which = ", ".join(f"{run.kind} {run.run_id} {run.feed or 'unknown'}" for run in with_feed)
        notes.append(
            f"the feeds differ ({which}): a part of the difference is that one exchange was ahead of what it sent and "
            f"the other was not; play the day with FEED_LATENCY=recorded beside a trade, with none beside a shadow"
        )
    return notes
