"""The comparison of the account's balances with our own fills: the account is the truth.

Base and quote asset, free plus locked, must be those at the start of the ledger, changed by our own fills. A gateway
compares them at each reconcile: at the start, after each connection and every RECONCILE_INTERVAL_S.
"""

from collections.abc import Collection, Mapping

from mm.instrument import Instrument, decimal_text, e8
from mm.live.ledger import AccountFill, Ledger

CONFIRMATIONS, MOST_DIFFERING = 3, 10
"""Equal differences in a row, or different ones, before one counts: a balance may precede the report of its fill."""
Balances = Mapping[str, tuple[str, str]]
"""Free and locked amount by asset, as text."""


class AccountCheck:
    """The balances that the account must have.

    Args:
        instrument: Names the two assets.
        expected_e8: Their balances by the audit logs, in 1e-8; None before the ledger begins: those found first.
        adopts: Whether a difference at the start is accepted.
        left_out: Assets that traders of other symbols trade on this account too: they are not compared.

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
    ) -> None:
        self.why = ""
        self.found = False
        self.adopted_e8 = (0, 0)
        self.begin_e8: tuple[int, int] | None = None
        self._assets = (instrument.base_asset, instrument.quote_asset)
        self._expected_e8, self._fills = expected_e8, Ledger(instrument)
        self._adopts, self._left_out = adopts, left_out
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
        due_e8 = [before + moved for before, moved in zip(self._expected_e8, moved_e8, strict=True)]
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
        if self._seen < CONFIRMATIONS and self._differing < MOST_DIFFERING:
            return
        if self._adopts and not self.found:
            self.adopted_e8 = differs[0], differs[1]
            self._expected_e8 = self._expected_e8[0] + differs[0], self._expected_e8[1] + differs[1]
            self.found, self._last, self._differing = True, (), 0
            return
        parts = [
            f"{decimal_text(due + by)} {asset} at the exchange, {decimal_text(due)} by the audit log"
            for by, due, asset in zip(differs, due_e8, self._assets, strict=True)
            if by
        ]
        self.why = f"the account differs: {'; '.join(parts)}"
