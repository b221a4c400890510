"""The comparison of the account's balances with our own fills: the account is the truth.

Base and quote asset, free plus locked, must be those at the start of the ledger, changed by our own fills. A gateway
compares them at each reconcile: at the start, after each connection and every RECONCILE_INTERVAL_S.
"""

from collections.abc import Callable, Collection, Mapping

from mm.instrument import Instrument, decimal_text, e8
from mm.live.ledger import AccountFill, Ledger

CONFIRMATIONS, MOST_DIFFERING = 3, 10
"""Equal differences in a row, or different ones, before one counts: a balance may precede the report of its fill."""
Balances = Mapping[str, tuple[str, str]]
"""Free and locked amount by asset, as text."""


class SharedBalances:
    """The balances of assets that several symbols of this process trade: they follow the fills of all.

    No log has all fills of such an asset, so the balance found at the start counts, once two comparisons agree on it:
    one may be ahead of the report of a fill.

    Attributes:
        elsewhere: Returns whether another process trades on the account too, so that nothing is known of them.
    """

    def __init__(self) -> None:
        self.elsewhere: Callable[[], bool] = lambda: False
        self._moves: dict[str, list[Callable[[], int]]] = {}
        self._begins_e8: dict[str, int] = {}
        self._seen_e8: dict[str, int] = {}

    def follow(self, asset: str, moved_e8: Callable[[], int]) -> None:
        """Count the fills of a symbol: *moved_e8* returns by how much they changed the balance, in 1e-8."""
        self._moves.setdefault(asset, []).append(moved_e8)

    def due_e8(self, asset: str, held_e8: int) -> int:
        """Return the balance that an asset must have, in 1e-8; that at the exchange while it is not known."""
        moved_e8 = sum(moved() for moved in self._moves[asset])
        begin_e8 = held_e8 - moved_e8
        if self._begins_e8.get(asset) not in (None, begin_e8) and self.elsewhere():
            del self._begins_e8[asset]
        if asset not in self._begins_e8 and self._seen_e8.get(asset) == begin_e8:
            self._begins_e8[asset] = begin_e8
        self._seen_e8[asset] = begin_e8
        return self._begins_e8.get(asset, begin_e8) + moved_e8


class AccountCheck:
    """The balances that the account must have.

    Args:
        instrument: Names the two assets.
        expected_e8: Their balances by the audit logs, in 1e-8; None before the ledger begins: those found first.
        adopts: Whether a difference at the start is accepted.
        left_out: Assets that traders of other symbols trade on this account too: they are not compared.
        shared: Those of them that other symbols of this process trade, and their balances.

    Attributes:
        why: The confirmed difference, as text; empty without one.
        found: Whether balances were compared and matched, at least once.
        adopted_e8: The accepted difference, in 1e-8 of both assets.
        begin_e8: Balances when the ledger began, if that was in this run; None before and otherwise.
    """

    def __init__(
        self,
        instrument: Instrument,
        expected_e8: tuple[int, int] | None,
        *,
        adopts: bool = False,
        left_out: Collection[str] = (),
        shared: tuple[Collection[str], SharedBalances] | None = None,
    ) -> None:
        self.why = ""
        self.found = False
        self.adopted_e8 = (0, 0)
        self.begin_e8: tuple[int, int] | None = None
        self._assets = (instrument.base_asset, instrument.quote_asset)
        self._expected_e8, self._fills = expected_e8, Ledger(instrument)
        self._adopts, self._left_out = adopts, left_out
        self._shared, self._balances = shared or ((), SharedBalances())
        moves = (lambda: self._fills.position_e8, lambda: self._fills.cash_e8)
        for asset, moved in zip(self._assets, moves, strict=True):
            if asset in self._shared:
                self._balances.follow(asset, moved)
        self._last: tuple[int, ...] = ()
        self._seen = self._differing = 0

    @property
    def pending(self) -> bool:
        """Whether a difference was seen that is not confirmed yet."""
        return bool(self._last) and not self.why

    def filled(self, fill: AccountFill) -> None:
        """Expect the balances after a fill of ours."""
        self._fills.book(fill)

    def compare(self, balances: Balances) -> None:
        """Compare the balances that the exchange reports with the expected ones."""
        held_e8 = [sum(map(e8, balances.get(asset, ("0", "0")))) for asset in self._assets]
        moved_e8 = self._fills.position_e8, self._fills.cash_e8
        if self._expected_e8 is None:
            self._expected_e8 = self.begin_e8 = held_e8[0] - moved_e8[0], held_e8[1] - moved_e8[1]
        due_e8 = [
            self._balances.due_e8(asset, held) if asset in self._shared else before + moved
            for asset, held, before, moved in zip(self._assets, held_e8, self._expected_e8, moved_e8, strict=True)
        ]
        differs = tuple(
            0 if asset in self._left_out else held - due
            for asset, held, due in zip(self._assets, held_e8, due_e8, strict=True)
        )
        if not any(differs):
            self.why, self.found, self._last, self._differing = "", True, (), 0
            return
        self._differing += 1
        self._seen = self._seen + 1 if differs == self._last else 1
        self._last = differs
        own = any(by for asset, by in zip(self._assets, differs, strict=True) if asset not in self._shared)
        # Balances of one connection follow its reports; fills of other symbols are reported on theirs, some time later.
        if self._seen < CONFIRMATIONS and (self._differing < MOST_DIFFERING or not own):
            return
        if self._adopts and not self.found:
            self.adopted_e8 = differs[0], differs[1]
            self._expected_e8 = self._expected_e8[0] + differs[0], self._expected_e8[1] + differs[1]
            self.found, self._last, self._differing = True, (), 0
            return
        parts = [
            f"{decimal_text(due + by)} {asset} at the exchange, {decimal_text(due)} by the audit log"
            f"{'s of all symbols' if asset in self._shared else ''}"
            for by, due, asset in zip(differs, due_e8, self._assets, strict=True)
            if by
        ]
        self.why = f"the account differs: {'; '.join(parts)}"
