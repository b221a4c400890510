"""Compares the account's balances with our own fills and its transfers: the account is the truth.

Free plus locked base and quote asset must equal the balances at the start of the ledger plus what it has booked since,
at each reconcile. A difference found after a time without events is a transfer too, unless somebody else has traded the
symbol on this account; any other stops the trader.
"""

from collections.abc import Callable, Collection

from mm.instrument import Instrument, decimal_text, e8
from mm.live.account.ledger import Ledger
from mm.live.venues.balances import Balances, Transfer
from mm.live.venues.fills import AccountFill
from mm.live.venues.positions import PositionIncome

CONFIRMATIONS, MOST_DIFFERING = 3, 10
"""Equal differences in a row, or different ones, before one counts: a balance may precede the report of its fill."""
KEPT_TRANSFERS = 1_000
"""Transfers that are remembered, since an event may be repeated."""
FOUND, ADOPTED = "reconcile", "adopted"
"""How a transfer became known without an event: by a comparison, or by ADOPT."""


class SharedBalances:
    def __init__(self, symbols: Collection[str] = ()) -> None:
        self._symbols = frozenset(symbols)
        self.elsewhere: Callable[[], bool] = lambda: False
        self.checks: list[AccountCheck] = []
        self._moves: dict[str, list[Callable[[], int]]] = {}
        self._begins_e8: dict[str, int] = {}
        self._seen_e8: dict[str, int] = {}
        self._moved_e8: dict[str, int] = {}
        self._known: dict[tuple[str, int, int], None] = {}

    def follow(self, asset: str, moved_e8: Callable[[], int]) -> None:
        self._moves.setdefault(asset, []).append(moved_e8)

    def due_e8(self, asset: str, held_e8: int) -> int:
        moved_e8 = sum(moved() for moved in self._moves[asset]) + self._moved_e8.get(asset, 0)
        begin_e8 = held_e8 - moved_e8
        if not self.whole:
            return self._begins_e8.get(asset, begin_e8) + moved_e8
        if self._begins_e8.get(asset) not in (None, begin_e8) and self.elsewhere():
            del self._begins_e8[asset]
        if asset not in self._begins_e8 and self._seen_e8.get(asset) == begin_e8:
            self._begins_e8[asset] = begin_e8
        self._seen_e8[asset] = begin_e8
        return self._begins_e8.get(asset, begin_e8) + moved_e8

    def transfer(self, found: Transfer) -> None:
        """Book it once with each symbol that trades the asset."""
        key = found.asset, found.amount_e8, found.us
        if found.us and key in self._known:
            return
        self._known[key] = None
        if len(self._known) > KEPT_TRANSFERS:
            del self._known[next(iter(self._known))]
        self._moved_e8[found.asset] = self._moved_e8.get(found.asset, 0) + found.amount_e8
        for check in self.checks:
            check.book(found)

    @property
    def whole(self) -> bool:
        return all(check.asked for check in self.checks) and self._symbols <= {check.symbol for check in self.checks}

    @property
    def missed(self) -> bool:
        return all(check.missed and not check.strangers for check in self.checks)


class AccountCheck:
    """The balances that the account must have.

    Args:
        begin_e8: Balances at the start of the ledger, in 1e-8; None: those found first.
        adopts: Whether a difference at the start is accepted; a contract's position must never differ.
        left_out: Returns the assets that others trade on this account too, which are not compared; asked each time.

    Attributes:
        lasts: The next start finds the difference too: what several symbols share is found anew.
        missed: Events may have been lost since the balances last matched.
        asked: Balances were compared, and so all fills booked before, since events were last lost.
        strangers: Somebody else has traded the symbol on this account since then.
    """

    def __init__(
        self,
        instrument: Instrument,
        begin_e8: tuple[int, int] | None,
        *,
        adopts: bool = False,
        left_out: Callable[[], Collection[str]] = tuple,
        shared: tuple[Collection[str], SharedBalances] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.why = ""
        self.symbol = instrument.symbol
        self.found = self.strangers = self.asked = self.lasts = False
        self.missed = True
        self.begin_e8 = begin_e8
        self.booked: Callable[[Transfer], None] = lambda _: None
        self.paid: Callable[[PositionIncome], None] = lambda _: None
        self._ledger = ledger or Ledger(instrument)
        self._assets = self._ledger.assets
        self._adopts, self._left_out = adopts, left_out
        self._shared, self.shared = shared or ((), SharedBalances())
        self.shared.checks.append(self)
        moves = (lambda: self._ledger.position_e8, lambda: self._ledger.earned_e8)
        for asset, moved in zip(self._assets, moves, strict=True):
            if asset in self._shared:
                self.shared.follow(asset, moved)
        self._last: tuple[int, ...] = ()
        self._seen = self._differing = 0
        self._position_differs = False

    @property
    def pending(self) -> bool:
        return bool(self._last) and not self.why

    def filled(self, fill: AccountFill, order_id: int = 0) -> None:
        self._ledger.book(fill, order_id)

    def disconnected(self) -> None:
        self.missed, self.asked = True, False

    def forget_trades(self) -> dict[str, str]:
        """Forget the ids of booked trades and a contract's position, because the exchange was reset.

        Returns:
            Position and price of a contract that is booked as closed, for the audit log.
        """
        ledger = self._ledger
        ledger.forget_trades()
        if not ledger.contract or not ledger.position_e8:
            return {}
        closed = {"closed": decimal_text(ledger.position_e8), "price": decimal_text(ledger.entry_e8)}
        ledger.lose_position()
        return closed

    def transferred(self, found: Transfer) -> None:
        self.shared.transfer(found)

    def pay(self, found: PositionIncome) -> None:
        if found.asset == self._assets[1] and self._ledger.pay(found.id, found.amount_e8, found.us):
            self.paid(found)

    @property
    def paid_us(self) -> int:
        return self._ledger.paid_us

    def book(self, found: Transfer) -> None:
        if found.asset in self._assets:
            self._ledger.transfer(found.asset, found.amount_e8)
            self.booked(found)

    def compare(self, balances: Balances) -> None:
        self.asked = True
        held_e8 = [sum(map(e8, balances.get(asset, ("0", "0")))) for asset in self._assets]
        moved_e8 = self._ledger.moved_e8()
        if self.begin_e8 is None:  # a contract has no position before its first trade: one that is there is not ours
            first_e8 = 0 if self._ledger.contract else held_e8[0] - moved_e8[0]
            self.begin_e8 = first_e8, held_e8[1] - moved_e8[1]
        due_e8 = [
            self.shared.due_e8(asset, held) if asset in self._shared else before + moved
            for asset, held, before, moved in zip(self._assets, held_e8, self.begin_e8, moved_e8, strict=True)
        ]
        left_out = self._left_out()
        differs = tuple(
            0 if asset in left_out else held - due
            for asset, held, due in zip(self._assets, held_e8, due_e8, strict=True)
        )
        if not any(differs):
            self._match()
            return
        self._differing += 1
        self._seen = self._seen + 1 if differs == self._last else 1
        self._last = differs
        if not self.shared.whole and any(
            by and asset in self._shared for asset, by in zip(self._assets, differs, strict=True)
        ):
            self._seen = 0  # by fills of another symbol, which it has not asked for yet
            return
        own = any(by for asset, by in zip(self._assets, differs, strict=True) if asset not in self._shared)
        # Balances may precede the report of a fill, of this symbol or of another one, which asks for its own.
        if self._seen < CONFIRMATIONS and (self._differing < MOST_DIFFERING or not own):
            return
        adopts = self._adopts and not self.found and not self._of_position(differs)
        if adopts or (self._seen >= CONFIRMATIONS and self._may_be_transfers(differs)):
            for asset, by in zip(self._assets, differs, strict=True):
                if by:
                    self.shared.transfer(Transfer(asset, by, ADOPTED if adopts else FOUND))
            self._match()
            return
        parts = [
            f"{decimal_text(due + by)} {asset} at the exchange, {decimal_text(due)} by the audit log"
            f"{'s of all symbols' if asset in self._shared else ''}"
            for by, due, asset in zip(differs, due_e8, self._assets, strict=True)
            if by
        ]
        self.why, self._position_differs = f"the account differs: {'; '.join(parts)}", self._of_position(differs)
        self.lasts = own

    @property
    def way_out(self) -> str:
        if self._position_differs:
            return (
                "close at the exchange what our fills do not explain: ADOPT accepts no position of a contract, whose "
                "risk would be in no limit"
            )
        return "find out why, then start with --adopt 1 (ADOPT) to accept the account"

    def _of_position(self, differs: tuple[int, ...]) -> bool:
        return self._ledger.contract and bool(differs[0])

    def _may_be_transfers(self, differs: tuple[int, ...]) -> bool:
        if self._of_position(differs):
            return False
        shared = any(by and asset in self._shared for asset, by in zip(self._assets, differs, strict=True))
        return self.missed and not self.strangers and (self.shared.missed or not shared)

    def _match(self) -> None:
        self.why, self.found, self._last, self._differing = "", True, (), 0
        self.missed = self.strangers = False
