"""``GET /sim/page``: market, applied faults, and users' results."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mm.base.numbers import duration, number, short, signed
from mm.clock import iso
from mm.instrument import E8, Instrument, assets_of
from mm.report.figures import BUY, FROM_ZERO, LOSS, SELL, SERIES, Panel, Trace, ms, points, stacked, step, time_axis
from mm.report.frame import Row as TableRow
from mm.report.frame import (
    card,
    chart,
    document,
    grid,
    header,
    nothing,
    table,
    tile,
    tiles,
    zoom_bar,
)
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.orders import Fill
from mm.sim.exchange.truth import MarketTruth
from mm.sim.flow.order_flow import Scenario
from mm.sim.matching.order_log import ROW_LEVEL, Row
from mm.sim.wire.pace import Scheduler
from mm.sim.wire.wire_market import WireMarket

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]

KEEP = 500_000  # best-price changes to keep
PRINTS = 50_000  # newest market trades to draw
LISTED = 500  # newest fills of a user to list


class BestPriceHistory:
    """The best prices, in ticks, 0 for an empty side; keeps at least the newest `KEEP` changes."""

    def __init__(self) -> None:
        self._levels: dict[int, set[int]] = {1: set(), -1: set()}
        self._best = {1: 0, -1: 0}
        self._columns = [array("q"), array("q"), array("q")]

    def listen(self, rows: Iterable[Row]) -> None:
        for us, kind, _, _, _, side, ticks, lots, _, _ in rows:
            if kind != ROW_LEVEL:
                continue
            levels, best = self._levels[side], self._best[side]
            if lots:
                levels.add(ticks)
                if not best or side * (ticks - best) > 0:
                    self._best[side] = ticks
                    self._note(us)
            else:
                levels.discard(ticks)
                if ticks == best:
                    self._best[side] = (max if side > 0 else min)(levels, default=0)
                    self._note(us)

    def columns(self) -> tuple["Instants", "Instants", "Instants"]:
        us, bid, ask = (np.array(column, dtype=np.int64) for column in self._columns)
        return us, bid, ask

    def _note(self, us: int) -> None:
        best = self._best[1], self._best[-1]
        instants, bids, asks = self._columns
        if instants and (bids[-1], asks[-1]) == best:
            return
        if instants and instants[-1] == us:  # only the last change of each timestamp is kept
            bids[-1], asks[-1] = best
            return
        for column, value in zip(self._columns, (us, *best), strict=True):
            column.append(value)
        if len(instants) > 2 * KEEP:
            for column in self._columns:
                del column[:KEEP]


@dataclass(frozen=True)
class UserPnl:
    """PnL of a user's fills, from a zero position, in the quote asset."""

    us: "Instants"
    inventory: "Floats"
    pnl: "Floats"
    fees: float

    @classmethod
    def of(
        cls,
        fills: Sequence[Fill],
        instrument: Instrument,
        mid: tuple["Instants", "Floats"],
        *,
        fees_in_quote: bool = False,
    ) -> "UserPnl":
        """Fees are in the received asset, or all in the quote asset; *mid* is timestamps and prices."""
        base, cash, fees = [0.0], [0.0], 0.0
        for fill in fills:
            qty, price, fee = fill.lots * instrument.lot_e8 / E8, fill.ticks * instrument.tick_e8 / E8, fill.fee_e8 / E8
            in_base = fill.side > 0 and not fees_in_quote
            base.append(base[-1] + fill.side * qty - (fee if in_base else 0.0))
            cash.append(cash[-1] - fill.side * qty * price - (0.0 if in_base else fee))
            fees += fee * price if in_base else fee
        fill_us = np.array([fill.us for fill in fills], dtype=np.int64)
        us = np.union1d(mid[0], fill_us)
        filled = np.searchsorted(fill_us, us, side="right")
        row = np.searchsorted(mid[0], us, side="right") - 1
        marks = np.where(row >= 0, mid[1][np.maximum(row, 0)], np.nan)
        held = np.array(base)[filled]
        return cls(us, held, np.array(cash)[filled] + np.where(held == 0, 0.0, held * marks), fees)


class ShownBox(Protocol):
    """The exchange that the page is of."""

    exchange: Exchange
    market: WireMarket
    truth: MarketTruth
    best: BestPriceHistory
    scenario: Scenario
    scheduler: Scheduler

    @property
    def start_us(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def acted(self) -> list[tuple[int, str]]: ...

    def state(self) -> dict[str, Any]: ...


def page(box: ShownBox) -> str:
    instrument = box.truth.instrument
    us, bid, ask = box.best.columns()
    scale = instrument.tick_e8 / E8
    sides = {"bid": np.where(bid > 0, bid * scale, np.nan), "ask": np.where(ask > 0, ask * scale, np.nan)}
    mid = (us, (sides["bid"] + sides["ask"]) / 2)
    fills = {account.name: box.exchange.users.fills(account.number) for account in box.exchange.accounts.values()}
    in_quote = box.market.fees_in_quote
    users = {name: UserPnl.of(own, instrument, mid, fees_in_quote=in_quote) for name, own in fills.items()}
    name, begins, now = escape(instrument.symbol), box.start_us, box.scheduler.done_us
    line = f"{escape(box.scenario.name)}, seed {box.seed} · {iso(begins)[:19].replace('T', ' ')} UTC"
    parts = [
        header(name, "simulated exchange", f"{line}, {duration((now - begins) / 1e6)}"),
        _tiles(box, users),
        card("The market", _HINT, _charts(box, us, sides, fills, users)),
        _accounts_card(box, fills, users),
        *(_fills_card(user, own, instrument, in_quote) for user, own in fills.items() if own),
        _faults_card(box),
        card("Scenario", "The parameters of its order flow.", table("", _parameters(box))),
    ]
    return document(f"{name} simulated exchange", parts)


_HINT = (
    "True best prices and trades, independent of the messages sent to clients, and the fills of users; PnL is of "
    "fills only, after fees, at the mid. Crosses are applied faults."
)


def _tiles(box: ShownBox, users: dict[str, UserPnl]) -> str:
    truth = box.truth
    items = [
        tile("Trades", f"{max(0, truth.last_trade_id - truth.first_trade_id + 1):,}", "of the market and of users"),
        tile("Book updates", f"{box.exchange.update_id:,}", "update ids"),
        tile("Faults", f"{len(box.acted):,}", f"applied; {len(box.state()['waiting']):,} pending"),
    ]
    for name, user_pnl in users.items():
        last = float(user_pnl.pnl[-1]) if len(user_pnl.pnl) and not np.isnan(user_pnl.pnl[-1]) else None
        items.append(tile(f"PnL of {escape(name)}", signed(last), f"fees {number(user_pnl.fees)}"))
    return tiles(*items)


def _charts(
    box: ShownBox,
    us: "Instants",
    sides: dict[str, "Floats"],
    fills: dict[str, list[Fill]],
    users: dict[str, UserPnl],
) -> str:
    defined = np.concatenate([values[~np.isnan(values)] for values in sides.values()])
    if not len(defined):
        return nothing("The book has been empty so far.")
    instrument = box.truth.instrument
    end = max(box.scheduler.done_us, int(us[0]) + 1_000_000)
    lines = [step(f"best {side}", us, sides[side], colour) for side, colour in (("bid", BUY), ("ask", SELL))]
    marks = [*_prints(box), *lines, *_fill_marks(fills, instrument), *_fault_marks(box, us, sides["bid"])]
    panels = [Panel("Best prices, trades and fills", "", marks, 290)]
    traded = [(escape(name), user) for name, user in users.items() if fills[name]]
    if traded:
        base, quote = (escape(asset) for asset in assets_of(instrument.symbol))
        for title, unit, field in (("PnL", quote, "pnl"), ("Inventory of fills", base, "inventory")):
            own = [
                step(name, user.us, getattr(user, field), colour)
                for (name, user), colour in zip(traded, cycle(SERIES), strict=False)
            ]
            panels.append(Panel(title, unit, own, 150, FROM_ZERO))
    return zoom_bar("fill") + chart(stacked(panels, time_axis(float(us[0]), float(end))))


def _fill_marks(fills: dict[str, list[Fill]], instrument: Instrument) -> list[Trace]:
    marks = []
    for side, kind, colour in ((1, "buy", BUY), (-1, "sell", SELL)):
        chosen = sorted(((fill, name) for name, many in fills.items() for fill in many if fill.side == side), key=_when)
        if not chosen:
            continue
        price = np.array([fill.ticks * instrument.tick_e8 / E8 for fill, _ in chosen])
        us = np.array([fill.us for fill, _ in chosen], dtype=np.int64)
        tips = [
            f"{escape(name)}: {kind} {short(fill.lots * instrument.lot_e8 / E8)} at {short(at)}, "
            f"{'maker' if fill.is_maker else 'taker'}"
            for (fill, name), at in zip(chosen, price.tolist(), strict=True)
        ]
        mark = {"size": 9, "symbol": f"triangle-{'up' if side > 0 else 'down'}"}
        marks.append(points(f"users' {kind}s", ms(us), price, colour, tips=tips, marker=mark, meta={"stop": True}))
    return marks


def _when(filled: tuple[Fill, str]) -> int:
    return filled[0].us


def _prints(box: ShownBox) -> list[Trace]:
    truth = box.truth
    trades = truth.trades(max(truth.first_trade_id, truth.last_trade_id - PRINTS + 1), truth.last_trade_id)
    marks = []
    for buyer, kind, colour in ((True, "buy", BUY), (False, "sell", SELL)):
        group = [trade for trade in trades if trade.is_buyer_maker is not buyer]
        who, us = "buyer" if buyer else "seller", np.array([trade.us for trade in group], dtype=np.int64)
        tips = [f"aggressive {kind} of {short(float(trade.qty))} at {short(float(trade.price))}" for trade in group]
        price, mark = np.array([float(trade.price) for trade in group]), {"size": 3, "opacity": 0.5}
        if group:
            marks.append(points(f"{who}s' trades", ms(us), price, colour, tips=tips, marker=mark))
    return marks


def _fault_marks(box: ShownBox, changed_us: "Instants", bid: "Floats") -> list[Trace]:
    if not box.acted:
        return []
    us = np.array([us for us, _ in box.acted], dtype=np.int64)
    row = np.maximum(np.searchsorted(changed_us, us, side="right") - 1, 0)
    mark = {"symbol": "x-thin", "size": 9, "line": {"color": LOSS, "width": 2}}
    return [points("faults", ms(us), bid[row], LOSS, tips=[escape(str(rule)) for _, rule in box.acted], marker=mark)]


def _accounts_card(box: ShownBox, fills: dict[str, list[Fill]], users: dict[str, UserPnl]) -> str:
    instrument, rows = box.truth.instrument, []
    for account in box.exchange.accounts.values():
        own, user = fills[account.name], users[account.name]
        lots = [sum(fill.lots for fill in own if fill.side == side) for side in (1, -1)]
        bought, sold = (short(many * instrument.lot_e8 / E8) for many in lots)
        pnl = float(user.pnl[-1]) if len(user.pnl) and not np.isnan(user.pnl[-1]) else None
        makers = f"{sum(fill.is_maker for fill in own):,}"
        orders = box.exchange.users
        counts = f"{len(orders.all(account.number)):,}", f"{len(orders.open(account.number)):,}"
        cells = [f"{len(own):,}", makers, bought, sold, number(user.fees), signed(pnl), *counts]
        rows.append([escape(account.name), *cells])
    head = ("user", "fills", "as maker", "bought", "sold", "fees", "PnL", "orders", "open now")
    return card("Users", "As recorded by the exchange; faults change only what is sent to clients.", grid(head, rows))


def _fills_card(user: str, fills: Sequence[Fill], instrument: Instrument, in_quote: bool) -> str:
    rows = [
        [
            str(fill.trade_id),
            iso(fill.us)[5:23].replace("T", " "),
            f'<span class="{kind}">{kind}</span>',
            short(fill.ticks * instrument.tick_e8 / E8),
            short(fill.lots * instrument.lot_e8 / E8),
            "maker" if fill.is_maker else "taker",
            number(fill.fee_e8 / E8),
        ]
        for fill in fills[-LISTED:]
        for kind in ("buy" if fill.side > 0 else "sell",)
    ]
    head = (
        "trade",
        "time, UTC",
        "side",
        "price",
        "quantity",
        "as",
        f"fee, in the {'quote' if in_quote else 'received'} asset",
    )
    left = f"The last {LISTED:,} of {len(fills):,}; GET /sim/account has all." if len(fills) > LISTED else ""
    return card(f"Fills of {escape(user)}", left, grid(head, rows, "listing"))


def _faults_card(box: ShownBox) -> str:
    rows = [[iso(us)[11:23], escape(rule), "applied"] for us, rule in box.acted]
    rows += [["–", escape(rule), "pending"] for rule in box.state()["waiting"]]
    body = grid(("time, UTC", "rule", "state"), rows, "listing") if rows else nothing("No faults were set.")
    return card("Faults", "All rules, with the time at which they were applied.", body)


def _parameters(box: ShownBox) -> list[TableRow]:
    return [("scenario", escape(box.scenario.name)), ("seed", str(box.seed))] + [
        (name, escape(number(value) if isinstance(value, float) else str(value)))
        for name, value in asdict(box.scenario).items()
    ]
