"""Two exchanges in a box with the same symbol, Spot and USD-M, and traders of an account at each."""

import json
from contextlib import contextmanager
from decimal import Decimal

from trading_box import Venue
from trading_truth import SIGNS, log_rows
from usdm_box import ContractBox

from serving import serving, signed

SPOT, USDM = "spot", "usdm"
BASIS = Decimal(1)
CALM = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "2")
HEDGE = '''
class Hedge:
    """Quote at the best prices, and close in the other market what is filled; rest one order there too."""

    def on_event(self, market, orders):
        leg, other = orders.at("other"), market.other("other")
        for side, ticks in ((1, market.bid_ticks), (-1, market.ask_ticks)):
            mine = [order for order in orders if order.side == side]
            if not mine:
                orders.submit(side, ticks)
            elif mine[0].ticks != ticks:
                mine[0].cancel()
        if other.bid_ticks is None or other.ask_ticks is None:
            return
        if "far" not in leg:
            leg.submit(1, other.bid_ticks - 30, client_id="far", until_us=market.us + 3_000_000)
        open_lots = round((orders.inventory_lots * market.lot + leg.inventory_lots * other.lot) / other.lot)
        taking = any(order.kind == "IOC" for order in leg)
        if abs(open_lots) * other.lot >= market.quote_lots * market.lot and not taking:
            side = -1 if open_lots > 0 else 1
            price = other.ask_ticks + 5 if side > 0 else other.bid_ticks - 5
            leg.submit(side, price, kind="IOC", qty=round(abs(open_lots) * other.lot, 8))
'''
TERMS = {
    "QUOTE_MODEL": "pair:Hedge",
    "QUOTE_QTY": "0.2",
    "QUOTE_PARAMS_JSON": "{}",
    "REQUOTE_INTERVAL_MS": "50",
    "MAX_ORDERS_PER_S": "50",
    "LATENCY_THRESHOLD_MS": "60000",
}


class Pair:
    """The two exchanges; the strategy is in *own*, its leg in the other market.

    Attributes:
        boxes: The exchange of each market.
        own: The market of the strategy.
        leg: The market of its leg.
        processes: The process of each exchange.
    """

    processes = None

    def __init__(self, folder, boxes, own):
        self.folder, self.boxes, self.own = folder, boxes, own
        self.leg = USDM if own == SPOT else SPOT
        (folder / "pair.py").write_text(HEDGE)

    def leg_terms(self, **more):
        """Return the declaration of the leg."""
        ready = self.boxes[self.leg].ready
        urls = {name: ready[name] for name in ("ws_url", "rest_url", "ws_api_url")}
        fee = {"taker_fee_rate": "0.001" if self.leg == SPOT else "0.0005", "quote_qty": "0.2"}
        return {"market": self.leg, "symbol": ready["symbol"], "data_root": "data_leg", "orders": fee, **urls, **more}

    def variables(self, **more):
        key = next(one for one in self.boxes[self.leg].ready["accounts"] if one["name"] == "alice")
        return {
            **TERMS,
            "MARKET": self.own,
            f"BINANCE_{self.leg.upper()}_API_KEY": key["api_key"],
            f"BINANCE_{self.leg.upper()}_API_SECRET": key["secret"],
            "OTHERS": json.dumps({"other": self.leg_terms()}),
            **more,
        }

    def trader(self, **more):
        """Yield a running trader of both."""
        return self.boxes[self.own].trader(**self.variables(**more))

    def command(self, *words, **more):
        """Yield the running process of a command with the variables of both."""
        return self.boxes[self.own].trader(entry=("-m", "mm", *words), **self.variables(**more))

    def run(self, *words, **more):
        """Return the finished process of a command with the variables of both."""
        return self.boxes[self.own].run(*words, **self.variables(**more))

    def of(self, market):
        """Return the exchange of a market, whose logs and folders are those of the pair there."""
        box = self.boxes[market]
        return box if market == self.own else _Leg(box, self.folder)

    def place(self, market, number):
        """Place an order of alice that is named as a trader names its own, far from the market."""
        box = self.boxes[market]
        terms = {"symbol": box.ready["symbol"], "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        terms |= {"price": "97.00", "quantity": "0.2", "newClientOrderId": f"mm-abcdefghijklm-{number}b"}
        if market == USDM:
            answer = box.signed("POST", "v1/order", "alice", **terms)
        else:
            answer = signed(box.ready, "alice", "POST", "order", **terms).json()
        assert "orderId" in answer, answer

    def open(self):
        """Return the number of open orders in each market."""
        return {market: len(box.account()["openOrders"]) for market, box in self.boxes.items()}

    def traded(self, process, fills):
        """Wait until each market has some more fills."""
        for market, box in self.boxes.items():
            had = len(box.account()["trades"])
            enough = lambda box=box, had=had: len(box.account()["trades"]) >= had + fills  # noqa: E731
            box.until(enough, f"{fills} fills in {market}", process=process)

    def check_books(self):
        """Assert that the logs of each market have its exchange's fills, each once, and nothing is open."""
        for market, box in self.boxes.items():
            theirs = {int(one["id"]): one for one in box.account()["trades"]}
            fills = [row for row in log_rows(self.of(market)) if row["type"] == "fill"]
            assert sorted(row["trade_id"] for row in fills) == sorted(theirs), market
            for row in fills:
                trade = theirs[row["trade_id"]]
                assert Decimal(row["price"]) == Decimal(trade["price"])
                assert Decimal(row["qty"]) == Decimal(trade["qty"])
        assert self.open() == {SPOT: 0, USDM: 0}

    def held(self, market):
        """Return the position that the fills of a market's logs have made, after commissions in the base asset."""
        held = Decimal(0)
        for row in log_rows(self.of(market)):
            if row["type"] == "fill":
                held += SIGNS[row["side"]] * Decimal(row["qty"])
                held -= Decimal(row["commission"]) if row["commission_asset"] == "SIM" else 0
        return held


class _Leg(Venue):
    """The exchange of a leg, whose logs and folders are below those of the strategy."""

    def __init__(self, box, folder):
        super().__init__(folder, box.ready, box.user)
        self._market = USDM if isinstance(box, ContractBox) else SPOT

    def logs(self):
        """Return the audit logs, the oldest first."""
        return sorted((self.folder / "out" / self._market / "audit" / self.ready["symbol"]).glob("*.ndjson"))

    def folders(self):
        """Return the run folders of finished trades, the oldest first."""
        root = self.folder / "out" / self._market / "trade" / self.ready["symbol"]
        return sorted(path.parent for path in root.glob("*/run_manifest.json"))


@contextmanager
def pair_of(folder, own=SPOT, *flags, funding_s=28_800):
    """Yield both exchanges; the contract's price begins above the other's by `BASIS`."""
    above = ("--seed", "8", "--market", "usdm", "--start-price", str(100 + BASIS))
    above += ("--funding-interval-s", str(funding_s))
    with serving(*CALM, "--seed", "7", *flags) as (first, spot), serving(*CALM, *above, *flags) as (second, usdm):
        pair = Pair(folder, {SPOT: Venue(folder, spot), USDM: ContractBox(folder, usdm)}, own)
        pair.processes = {SPOT: first, USDM: second}
        yield pair
