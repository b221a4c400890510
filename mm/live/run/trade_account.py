"""The account of a trade: exactly in the ledger, and in the engine's lots."""

from dataclasses import replace
from typing import NamedTuple

from mm.instrument import Instrument, e8, short_text
from mm.live._live_engine import LiveEngine
from mm.live.account.ledger import NOTHING, BookedFill, Held, Ledger, most_fee_e8, transfers_value_e8
from mm.live.run.step_log import StepLog
from mm.live.venues.fills import AccountFill
from mm.live.venues.positions import PositionIncome


class BookedPayment(NamedTuple):
    """A payment for the position in this run."""

    us: int
    paid_e8: int
    of_target_e8: int
    state_row: int
    cash_e8: int


class TradeAccount:
    """Position, cash and fees: exactly in the ledger, and in the engine's lots.

    Args:
        ledger: Has each fill, once: the gateway has booked it, or it is booked here.
        price_e8: The price that the base asset of transfers counts at, in 1e-8 of the quote asset.
        steps: Gets what the engine is told.
    """

    def __init__(  # noqa: PLR0913 - the account and what it tells
        self,
        engine: LiveEngine,
        ledger: Ledger,
        grid: Instrument,
        begin_e8: tuple[int, int],
        *,
        held: Held = NOTHING,
        price_e8: int = 0,
        steps: StepLog | None = None,
    ) -> None:
        self.ledger, self._begin_e8 = ledger, begin_e8
        self._steps = StepLog() if steps is None else steps
        self.start_e8 = begin_e8[0] + held.position_e8, begin_e8[1] + held.cash_e8 - held.other_e8
        self._engine, self._grid, self._price_e8 = engine, grid, price_e8
        self._counted_e8 = self.transfers_e8
        self.payments: list[BookedPayment] = []

    @property
    def position_e8(self) -> int:
        return self._begin_e8[0] + self.ledger.position_e8

    @property
    def cash_e8(self) -> int:
        return self._begin_e8[1] + self.ledger.cash_e8 - self.ledger.other_e8

    @property
    def fills(self) -> list[BookedFill]:
        base_e8, quote_e8 = self._begin_e8
        return [
            replace(run_fill, position_e8=base_e8 + run_fill.position_e8, cash_e8=quote_e8 + run_fill.cash_e8)
            for run_fill in self.ledger.run_fills.values()
            if run_fill.state_row >= 0
        ]

    @property
    def transfers_e8(self) -> int:
        return transfers_value_e8(self.ledger, self._price_e8)

    def transferred(self) -> None:
        more_e8, self._counted_e8 = self.transfers_e8 - self._counted_e8, self.transfers_e8
        self._engine.manager.guard.transfer(more_e8)
        self._steps.note(self._engine.now_us, "transfer", more_e8)

    def pay(self, found: PositionIncome, us: int, target_lots: int) -> None:
        """The ledger has the payment; *target_lots*, which the strategy would hold anyway, pay their part."""
        held_lots = self._engine.inventory_lots
        of_target_e8 = -found.amount_e8 * target_lots // held_lots if held_lots else 0
        self._engine.paid(us, -found.amount_e8)
        at = max(us, self._engine.now_us)
        self._steps.note(at, "paid", -found.amount_e8)
        row = self._engine.state_rows - 1
        self.payments.append(BookedPayment(at, -found.amount_e8, of_target_e8, row, self.cash_e8))

    def unvalued(self) -> dict[str, str]:
        paid_e8: dict[str, int] = {}
        for run_fill in self.ledger.run_fills.values():
            if run_fill.fee_e8 is None:
                asset = run_fill.fill.commission_asset
                paid_e8[asset] = paid_e8.get(asset, 0) + e8(run_fill.fill.commission)
        return {asset: short_text(paid) for asset, paid in sorted(paid_e8.items())}

    def book(self, order_id: int, fill: AccountFill, us: int) -> bool:
        """False if the engine has the fill, or an earlier run booked it."""
        self.ledger.book(fill, order_id)
        booked = self.ledger.run_fills.get(fill.trade_id)
        if booked is None or booked.state_row >= 0:
            return False
        grid, engine = self._grid, self._engine
        fee_lots = e8(fill.commission) // grid.lot_e8 if fill.commission_asset == grid.base_asset else 0
        # Limits count an unknown fee at its largest.
        counted_e8 = most_fee_e8(fill) if booked.fee_e8 is None else booked.fee_e8
        terms = (grid.ticks(fill.price), e8(fill.qty) // grid.lot_e8, fee_lots, counted_e8, not fill.maker)
        engine.filled(order_id, us, fill.side, *terms)
        self._steps.note(max(us, engine.now_us), "filled", order_id, fill.side, *terms)
        booked.us, booked.state_row = max(us, engine.now_us), engine.state_rows - 1
        return True
