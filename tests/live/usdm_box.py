"""``mm trade --market usdm`` as a process at an exchange in a box, and the exchange's own view of its contract."""

import hmac
from contextlib import contextmanager
from decimal import Decimal
from urllib.parse import urlencode

import httpx
from trading_box import Venue

from serving import serving

QUOTING = {
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "QUOTE_QTY": "2",
    "MAKER_FEE_RATE": "0.0002",
    "TAKER_FEE_RATE": "0.0005",
}


class ContractBox(Venue):
    """An exchange in a box that speaks USD-M, and traders of one of its accounts."""

    def variables(self, **more):
        return super().variables(**{"MARKET": "usdm", **QUOTING, **more})

    def signed(self, method, path, user="bob", **parameters):
        """Return the answer to a request of a user; *path* is below ``/fapi/``."""
        own = next(one for one in self.ready["accounts"] if one["name"] == user)
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            stamp = client.get("/fapi/v1/time").json()["serverTime"]
            query = urlencode({**parameters, "timestamp": stamp})
            signature = hmac.new(own["secret"].encode(), query.encode(), "sha256").hexdigest()
            target = f"/fapi/{path}?{query}&signature={signature}"
            return client.request(method, target, headers={"X-MBX-APIKEY": own["api_key"]}).json()

    def order(self, side, quantity, user="bob"):
        """Send a market order, and return the exchange's answer."""
        terms = {"symbol": self.ready["symbol"], "side": side, "type": "MARKET", "quantity": quantity}
        answer = self.signed("POST", "v1/order", user, **terms)
        assert "orderId" in answer, answer
        return answer

    def place_resting(self, side, price, quantity="5", user="bob"):
        """Place a resting order, and return its number."""
        terms = {"symbol": self.ready["symbol"], "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        answer = self.signed("POST", "v1/order", user, **terms, price=price, quantity=quantity)
        assert "orderId" in answer, answer
        return answer["orderId"]

    def cancel(self, order, user="bob"):
        """Cancel an order."""
        self.signed("DELETE", "v1/order", user, symbol=self.ready["symbol"], orderId=order)

    def taken(self, quantity, process, side="BUY"):
        """Sell to a trader's bid, or buy from its ask, until it holds more than *quantity*; return its position."""
        sign, against = {"BUY": (1, "SELL"), "SELL": (-1, "BUY")}[side]
        terms = {"symbol": self.ready["symbol"], "side": against, "type": "MARKET", "quantity": "4"}

        def holds():
            if sign * self.position <= quantity:
                self.signed("POST", "v1/order", **terms)  # refused while the mark price is far from the book
            return sign * self.position > quantity

        self.until(holds, "a position", process=process)
        return self.position

    @property
    def position(self):
        """The position of the trader's account at the exchange."""
        return Decimal(self.account()["positions"][0]["positionAmt"])

    @property
    def wallet(self):
        """The wallet of the trader's account at the exchange."""
        return Decimal(self.account()["balances"][0]["balance"])

    def booked(self):
        """Return position, and change of the wallet, by the rows of all audit logs."""
        position = wallet = Decimal(0)
        for row in self.rows():
            if row["type"] == "fill":
                position += Decimal(row["qty"]) * (1 if row["side"] == "BUY" else -1)
                wallet += Decimal(row["realized"]) - Decimal(row["commission"])
            elif row["type"] == "payment":
                wallet += Decimal(row["amount"])
        return position, wallet

    def check_books(self):
        """Assert that the audit logs have position, wallet and trades of the exchange, each trade once."""
        account, ended_us = self.account(), self.rows("stop")[-1]["us"]
        later = (one for one in account["income"] if one["incomeType"] == "FUNDING_FEE" and one["time"] > ended_us)
        wallet = Decimal(account["balances"][0]["balance"]) - sum(Decimal(one["income"]) for one in later)
        assert self.booked() == (Decimal(account["positions"][0]["positionAmt"]), wallet - 1_000_000)
        trades = sorted(one["id"] for one in self.account()["trades"])
        assert sorted(row["trade_id"] for row in self.rows("fill")) == trades


@contextmanager
def contract_box(folder, *flags, **terms):
    """Yield an exchange in a box for traders that work in *folder*."""
    with serving("--scenario", "zero_intelligence", "--seed", "7", "--market", "usdm", *flags, **terms) as (_, ready):
        yield ContractBox(folder, ready)
