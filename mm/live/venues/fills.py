"""One execution of an order of ours."""

from dataclasses import dataclass
from typing import Any

from mm.instrument import E8, decimal_text, e8

BUY, SELL = 1, -1
OF_EXCHANGE = "#"
"""In the client id of an order by which the exchange has closed a position: the exchange's, this, and its number."""
SIDE_NAMES = {BUY: "BUY", SELL: "SELL"}
SIDES = {"BUY": BUY, "SELL": SELL, BUY: BUY, SELL: SELL}
"""A side in files (BUY, SELL) or in the program (+1, -1), mapped to the program's."""


@dataclass(frozen=True, slots=True)
class AccountFill:
    """One execution of one of our orders, in the exchange's text.

    Attributes:
        rate_e8: Price of a commission's asset that is neither base nor quote, in 1e-8 of the quote asset; None if
            unknown.
        most_e8: Without such a price, the commission's largest value, in 1e-8 of the quote asset; None: by
            `STANDARD_RATE_E8`.
    """

    trade_id: int
    order_id: int
    client_id: str
    side: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    us: int
    maker: bool
    rate_e8: int | None = None
    most_e8: int | None = None
    quote_qty: str = ""
    realized: str = ""

    @property
    def forced(self) -> bool:
        return OF_EXCHANGE in self.client_id

    @property
    def paid_e8(self) -> int:
        """Amount in 1e-8 of the quote asset, by the exchange's own rounding."""
        given_e8 = e8(self.quote_qty) if self.quote_qty else 0
        return given_e8 or e8(self.price) * e8(self.qty) // E8

    def row(self) -> dict[str, Any]:
        values = {"commission_rate": self.rate_e8, "commission_most": self.most_e8}
        return {
            "trade_id": self.trade_id,
            "order_id": self.order_id,
            "client_id": self.client_id,
            "side": SIDE_NAMES[self.side],
            "price": self.price,
            "qty": self.qty,
            "commission": self.commission,
            "commission_asset": self.commission_asset,
            "us": self.us,
            "maker": self.maker,
            **({"quote_qty": self.quote_qty} if self.quote_qty else {}),
            **({"realized": self.realized} if self.realized else {}),
            **{name: decimal_text(value) for name, value in values.items() if value is not None},
        }
