"""The margin account of a replay: contracts on one wallet, in the exact arithmetic of `mm.margin`.

It takes fills, marks and funding, decides whether an order may rest and when to liquidate, and closes positions as
`mm.sim` does. Within `bounds` of all contracts nothing is liquidated, so a replay need not ask at each mark price.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from mm.backtest.margin_terms import MarginTerms
from mm.backtest.margin_use import MarginPeaks, MarginUse
from mm.instrument import E8
from mm.margin.brackets import most_notional_e8
from mm.margin.liquidation import clear, forced_order
from mm.margin.wallet import Contract, Mark, OpenOrder, Wallet, assumed_e8, no_orders

NO_MARK, NO_BOUND = -1, 2**62
_ROUNDING_E8 = 4  # what rounded products may differ together
ON_BOOK, BY_FUND = 0, 1  # who takes a forced order


class ForcedFill(NamedTuple):
    """A part of a forced order; *by* tells whether the book or the insurance fund takes it."""

    ticks: int
    lots: int
    fee_e8: int
    by: int


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A forced order, after which *left_lots* of the position are held; amounts in 1e-8 of the quote asset."""

    us: int
    symbol: str
    side: int
    mark_e8: int
    equity_e8: int
    maintenance_e8: int
    bankrupt_ticks: int
    fills: tuple[ForcedFill, ...]
    left_lots: int

    @property
    def lots(self) -> int:
        return sum(fill.lots for fill in self.fills)

    @property
    def clearance_e8(self) -> int:
        return sum(fill.fee_e8 for fill in self.fills)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Units of a contract.

    Attributes:
        lot_e8: Base asset times the contract's multiplier.
    """

    tick_e8: int
    lot_e8: int
    most_ticks: int = NO_BOUND


class Watcher(Protocol):
    use: MarginUse

    def mark_before(self, us: int) -> int:
        """The mark price in force before an instant; instants never decrease. -1 for none."""

    def bound(self, low_e8: int, high_e8: int) -> None: ...

    def catch_up(self, us: int) -> None: ...

    def liquidate(self, us: int) -> None: ...

    def end(self) -> None: ...


@dataclass(slots=True)
class _Held:
    contract: Contract
    terms: MarginTerms
    grid: Grid
    start_lots: int
    watcher: Watcher | None = None


@dataclass(slots=True)
class MarginAccount:
    """A wallet of the quote asset, and positions in contracts."""

    wallet: Wallet
    liquidations: list[Liquidation] = field(default_factory=list)
    peaks: MarginPeaks = field(default_factory=MarginPeaks)
    start_e8: int = 0
    _held: dict[str, _Held] = field(default_factory=dict)
    _settles: bool = False

    @classmethod
    def of(cls, balance_e8: int, *, keeps_income: bool = False) -> "MarginAccount":
        """*keeps_income* lists each change, as `mm.sim` does."""
        return cls(Wallet(balance_e8, keeps_income=keeps_income), start_e8=balance_e8)

    def add(
        self,
        symbol: str,
        terms: MarginTerms,
        grid: Grid,
        orders: Callable[[], Sequence[OpenOrder]] = no_orders,
        start_lots: int = 0,
    ) -> None:
        """Add a contract; *start_lots* are opened at its first mark price."""
        contract = self.wallet.contracts[symbol] = Contract(
            symbol=symbol,
            lot_e8=grid.lot_e8,
            unit_e16=grid.tick_e8 * grid.lot_e8,
            mark=Mark(NO_MARK),
            most_at_e8=partial(most_notional_e8, brackets=terms.brackets),
            orders=orders,
            brackets=terms.brackets,
            isolated=terms.isolated,
            leverage=terms.leverage,
        )
        self._held[symbol] = _Held(contract, terms, grid, start_lots)

    def watch(self, symbol: str, watcher: Watcher) -> None:
        self._held[symbol].watcher = watcher

    def contract(self, symbol: str) -> Contract:
        return self._held[symbol].contract

    def terms(self, symbol: str) -> MarginTerms:
        return self._held[symbol].terms

    def mark(self, symbol: str, price_e8: int) -> None:
        held = self._held[symbol]
        if price_e8 <= 0:
            return
        contract, is_first = held.contract, held.contract.mark.e8 == NO_MARK
        contract.mark.e8 = price_e8
        if is_first and held.start_lots:
            contract.lots += held.start_lots
            cost_e8 = held.start_lots * held.grid.lot_e8 * price_e8 // E8
            contract.cost_e8 += cost_e8
            if contract.isolated:
                contract.wallet_e8 += abs(cost_e8) // contract.leverage

    def look(self, us: int) -> None:
        for symbol, held in self._held.items():
            if held.watcher is not None:
                self.mark(symbol, held.watcher.mark_before(us))

    def book(self, us: int, symbol: str, side: int, trade: tuple[int, int], fee_e8: int) -> int:
        """Return what a fill of *trade* (ticks, lots) realises before its fee."""
        self.look(us)
        contract = self.contract(symbol)
        if contract.mark.e8 == NO_MARK:
            self.mark(symbol, trade[0] * self._held[symbol].grid.tick_e8)
        realised_e8 = self.wallet.trade(us, contract, side, *trade, fee_e8)
        self.rebound()
        return realised_e8

    def funding(self, us: int, symbol: str, paid_e8: int) -> None:
        self.look(us)
        self.wallet.fund(us, self.contract(symbol), paid_e8)
        self.rebound()

    def can_open(self, us: int, symbol: str, order: OpenOrder, best_ticks: tuple[int, int]) -> int:
        """The exchange's code for refusing an order, 0 for none; a MARKET order has 0 ticks."""
        self.look(us)
        held, (bid, ask) = self._held[symbol], best_ticks
        tick_e8, contract = held.grid.tick_e8, held.contract
        if contract.mark.e8 == NO_MARK:
            self.mark(symbol, (bid + ask) * tick_e8 // 2 if bid and ask else max(bid, ask, order.ticks) * tick_e8)
        price_e8 = assumed_e8(order.side, order.ticks * tick_e8, contract.mark.e8, bid * tick_e8, ask * tick_e8)
        return self.wallet.refusal(contract, order, price_e8)

    @property
    def ended(self) -> Liquidation | None:
        """The first that left nothing of a position, which ends the run."""
        return next((one for one in self.liquidations if not one.left_lots), None)

    def is_due(self, symbol: str) -> bool:
        return self.wallet.is_due(self.contract(symbol))

    def ratio(self, symbol: str) -> float:
        contract = self.contract(symbol)
        if not contract.lots:
            return 0.0
        equity_e8, needed_e8 = self.wallet.equity_e8(contract), self.wallet.needed_e8(contract)
        return needed_e8 / equity_e8 if equity_e8 > 0 else float("inf")

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Per contract, the mark prices below and above, exclusive, within which none is liquidated.

        Each cross position may use an equal share of the surplus, an isolated one its own.
        """
        cross = sum(not one.contract.isolated and one.contract.lots != 0 for one in self._held.values())
        return {symbol: self._bounds(held.contract, cross) for symbol, held in self._held.items()}

    def _bounds(self, contract: Contract, cross: int) -> tuple[int, int]:
        mark_e8, amount_e8 = contract.mark.e8, contract.amount_e8
        if not amount_e8 or mark_e8 == NO_MARK:
            return -1, NO_BOUND
        surplus_e8 = self.wallet.equity_e8(contract) - self.wallet.needed_e8(contract)
        if surplus_e8 <= 0:  # by a fill: it is liquidated at the next mark price, whichever it is
            return NO_BOUND, -1
        spare_e8 = max(0, surplus_e8 // (1 if contract.isolated else cross) - _ROUNDING_E8)
        if amount_e8 > 0:  # a lower price also needs less maintenance margin
            return max(-1, mark_e8 - spare_e8 * E8 // amount_e8 - 1), NO_BOUND
        dearest_e8 = E8 + max(bracket.rate_e8 for bracket in contract.brackets)
        return -1, min(NO_BOUND, mark_e8 + spare_e8 * E8 * E8 // (-amount_e8 * dearest_e8) + 1)

    def rebound(self) -> None:
        bounds = self.bounds()
        for symbol, held in self._held.items():
            if held.watcher is not None:
                held.watcher.bound(*bounds[symbol])

    def settle(self, us: int, asks: Watcher) -> None:
        """Liquidate what lacks margin at the marks up to and including an instant, contract by contract.

        All contracts except the one that *asks* have played that instant.
        """
        self.look(us + 1)
        if self._settles:
            return
        if any(self.is_due(symbol) for symbol in self._held):
            self._settles = True
            watched = {symbol: held.watcher for symbol, held in self._held.items() if held.watcher is not None}
            for watcher in watched.values():
                if watcher is not asks:
                    watcher.catch_up(us)
            for symbol, watcher in watched.items():
                if self.is_due(symbol):
                    watcher.liquidate(us)
            self._settles = False
            if self.ended:
                for watcher in watched.values():
                    watcher.end()
        self.rebound()

    def count_peaks(self, stop_us: int) -> None:
        uses = [held.watcher.use for held in self._held.values() if held.watcher is not None]
        self.peaks.count(uses, self.start_e8 / E8, stop_us)
        for use in uses:
            use.count(stop_us)

    def liquidate(
        self, us: int, symbol: str, offers: Callable[[int, int], Sequence[tuple[int, int]]]
    ) -> Iterator[Liquidation]:
        """Close the position as the exchange does once its open orders have ended: a part first, if it may be enough.

        The book takes what it offers at the bankrupt price or better, which is gone from *offers* before the next order
        is asked for; the insurance fund takes the rest of a whole position there. These trades pay no commission; the
        liquidation fee is the last one's.
        """
        for first in (True, False):
            found = self._force(us, symbol, offers, first=first)
            if found.fills:
                self.liquidations.append(found)
                yield found
            if not self.is_due(symbol):
                break
        self.rebound()

    def _force(
        self, us: int, symbol: str, offers: Callable[[int, int], Sequence[tuple[int, int]]], *, first: bool
    ) -> Liquidation:
        held = self._held[symbol]
        contract, grid, rate_e8 = held.contract, held.grid, held.terms.clearance_rate_e8
        equity_e8, needed_e8 = self.wallet.equity_e8(contract), self.wallet.needed_e8(contract)
        order = forced_order(self.wallet, contract, grid.tick_e8, grid.most_ticks, rate_e8, first=first)
        side, left, parts = (-1 if contract.lots > 0 else 1), order.lots, list[tuple[int, int, int]]()
        for level, offered in offers(side, order.ticks):
            if left and (taken := min(left, offered)):
                parts.append((level, taken, ON_BOOK))
                left -= taken
        if left and order.lots == abs(contract.lots):
            parts.append((order.ticks, left, BY_FUND))
        for level, taken, _ in parts:
            self.wallet.trade(us, contract, side, level, taken, 0)
        fee_e8 = clear(us, self.wallet, contract, order, sum(taken for _, taken, _ in parts), rate_e8=rate_e8)
        fills = tuple(
            ForcedFill(level, taken, fee_e8 if number == len(parts) else 0, by)
            for number, (level, taken, by) in enumerate(parts, start=1)
        )
        return Liquidation(
            us, symbol, side, contract.mark.e8, equity_e8, needed_e8, order.ticks, fills, abs(contract.lots)
        )
