"""Limits over all markets of one account, in a replay and in a trade; see docs/trading.md."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from mm.backtest.risk import Risk
from mm.base.knobs import JSON_OBJECT, decimal, integer, knob, matching
from mm.errors import OffGrid, UsageError, parameter
from mm.instrument import e8

JOIN = "+"  # between the symbols in the name of an account
LOSS, NOTIONAL, ORDERS = "ACCOUNT_MAX_DAILY_LOSS", "ACCOUNT_MAX_NOTIONAL", "ACCOUNT_MAX_OPEN_ORDERS"
_QUOTE = decimal("0", "90000000000")


@dataclass(frozen=True, kw_only=True)
class AccountLimits:
    """Limits over all symbols of an account, beside each symbol's own."""

    account_max_notional: str | None = knob(
        None, _QUOTE, "Maximum notional of all symbols, positions and open orders at the mid, in the quote asset."
    )
    account_max_daily_loss: str | None = knob(
        None, _QUOTE, "Loss of all symbols since the start of the Berlin day that kills all; default: MAX_DAILY_LOSS."
    )
    account_max_open_orders: int | None = knob(
        None, integer(1, 100_000), "Maximum number of open orders of all symbols, both sides."
    )


@dataclass(frozen=True, kw_only=True)
class AccountTerms(AccountLimits):
    """Limits of an account in a replay, and the assets that it counts and holds."""

    numeraire: str | None = knob(
        None,
        matching(r"[A-Z0-9]{1,20}", "an asset such as USDT", "ASSET"),
        "Asset in which an account of several quote assets is summed and limited, at the mids of its symbols; default: "
        "the quote asset of most symbols.",
    )
    initial_balances: str | None = knob(
        None,
        JSON_OBJECT,
        'Balances of an account at the start in quote assets beside that of INITIAL_CASH: {"BTC": "0.5"}.',
    )

    def balances_e8(self) -> tuple[tuple[str, int], ...]:
        """Return the initial balances by asset, in 1e-8; UsageError for one that is no amount."""
        given = json.loads(self.initial_balances or "{}", parse_float=str, parse_int=str)
        try:
            return tuple(sorted((asset, e8(amount)) for asset, amount in given.items()))
        except (OffGrid, TypeError) as error:
            raise UsageError(
                f"{parameter('initial_balances')} is {self.initial_balances}; give amounts by asset, such as "
                f'{{"BTC": "0.5"}}: {error}'
            ) from None


@dataclass(frozen=True)
class AccountBounds:
    """The limits in 1e-8 of the numeraire; *orders* is a count. None is no limit.

    Attributes:
        numeraire: None is the quote asset of most symbols.
        balances_e8: At the start, of quote assets beside that of INITIAL_CASH.
    """

    loss_e8: int | None = None
    notional_e8: int | None = None
    orders: int | None = None
    numeraire: str | None = field(default=None, repr=False)
    balances_e8: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, limits: AccountLimits, risk: Sequence[Risk]) -> Self:
        """Without a loss limit of its own, the account has the largest of the symbols', if each symbol has one."""
        losses = [one.max_daily_loss for one in risk if one.max_daily_loss is not None]
        loss = limits.account_max_daily_loss or (max(losses, key=e8) if len(losses) == len(risk) > 0 else None)
        notional = limits.account_max_notional
        return cls(
            None if loss is None else e8(loss),
            None if notional is None else e8(notional),
            limits.account_max_open_orders,
            *((limits.numeraire, limits.balances_e8()) if isinstance(limits, AccountTerms) else ()),
        )

    @property
    def limited(self) -> bool:
        return any(bound is not None for bound in (self.loss_e8, self.notional_e8, self.orders))

    @property
    def judges_money(self) -> bool:
        return self.loss_e8 is not None or self.notional_e8 is not None
