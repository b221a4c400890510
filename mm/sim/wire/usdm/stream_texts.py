"""Events of the market streams of a contract."""

import json

from mm.instrument import decimal_text
from mm.markets.local_orderbook import Level
from mm.sim.exchange.orders import SIDES
from mm.sim.exchange.trades import AggregateTrade
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.exchange import MarkTold
from mm.sim.exchange.usdm.liquidation import Forced
from mm.sim.matching.order_log import ASIDE_ADL, ASIDE_FUND, Row
from mm.sim.wire.stream_messages import EMPTY, Batch, Message, Texts, maker_bought, stamped

_ASIDE = {ASIDE_FUND: "INSURANCE_FUND", ASIDE_ADL: "ADL"}


class UsdmStreamTexts(Texts):
    """Formats events of one contract: a depth event names the last id before it (pu), most have two times."""

    def trade(self, name: str, row: Row, *, micro: bool) -> Message:
        us, _, order_id, reason, _, side, ticks, lots, trade_id, _ = row
        stamp, kind = stamped(us, micro=micro), "MARKET" if order_id else _ASIDE[reason]
        text = (
            f'{{"e":"trade","E":{stamp},"T":{stamp},"s":{self.symbol},"t":{trade_id},"p":"{self.price(ticks)}",'
            f'"q":"{self.qty(lots)}","X":"{kind}","m":{maker_bought(side)}}}'
        )
        return Message(name, "trade", trade_id, trade_id, text.encode())

    def agg_trade(self, name: str, trade: AggregateTrade, *, micro: bool) -> Message:
        stamp = stamped(trade.us, micro=micro)
        text = (
            f'{{"e":"aggTrade","E":{stamp},"a":{trade.id},"s":{self.symbol},"p":"{self.price(trade.ticks)}",'
            f'"q":"{self.qty(trade.lots)}","nq":"{self.qty(trade.lots)}","f":{trade.first_id},"l":{trade.last_id},'
            f'"T":{stamp},"m":{maker_bought(trade.side)}}}'
        )
        return Message(name, "aggTrade", trade.first_id, trade.last_id, text.encode())

    def book_ticker(self, name: str, us: int, update_id: int, bids: list[Level], asks: list[Level]) -> Message:
        (bid, bid_qty), (ask, ask_qty) = (bids or [EMPTY])[0], (asks or [EMPTY])[0]
        stamp = stamped(us, micro=False)
        text = (
            f'{{"e":"bookTicker","u":{update_id},"s":{self.symbol},"b":"{bid}","B":"{bid_qty}","a":"{ask}",'
            f'"A":"{ask_qty}","T":{stamp},"E":{stamp}}}'
        )
        return Message(name, "bookTicker", update_id, update_id, text.encode())

    def depth(self, name: str, batch: Batch, us: int, *, micro: bool) -> Message:
        """Each side best first; no id belongs to another symbol."""
        bids = ",".join([batch.bids[ticks] for ticks in sorted(batch.bids, reverse=True)])
        asks = ",".join([batch.asks[ticks] for ticks in sorted(batch.asks)])
        stamp = stamped(us, micro=micro)
        text = (
            f'{{"e":"depthUpdate","E":{stamp},"T":{stamp},"s":{self.symbol},"U":{batch.first_id},'
            f'"u":{batch.last_id},"pu":{batch.first_id - 1},"b":[{bids}],"a":[{asks}]}}'
        )
        return Message(name, "depth", batch.first_id, batch.last_id, text.encode())

    def partial(self, name: str, us: int, update_id: int, bids: list[Level], asks: list[Level]) -> Message:
        stamp = stamped(us, micro=False)
        sides = [",".join(f'["{price}","{qty}"]' for price, qty in side) for side in (bids, asks)]
        text = (
            f'{{"e":"depthUpdate","E":{stamp},"T":{stamp},"s":{self.symbol},"U":{update_id},"u":{update_id},'
            f'"pu":{update_id - 1},"b":[{sides[0]}],"a":[{sides[1]}]}}'
        )
        return Message(name, "partial", update_id, update_id, text.encode())

    def mark_price(self, told: MarkTold) -> str:
        price, stamp = decimal_text(told.mark_e8), stamped(told.us, micro=False)
        return (
            f'{{"e":"markPriceUpdate","E":{stamp},"s":{self.symbol},"p":"{price}","ap":"{price}","P":"{price}",'
            f'"i":"{price}","r":"{decimal_text(told.rate_e8)}","T":{stamped(told.next_us, micro=False)}}}'
        )

    def contract_info(self, rules: ContractRules, us: int) -> str:
        entry = rules.entry()
        names = {"s": "symbol", "ps": "pair", "ct": "contractType", "dt": "deliveryDate", "ot": "onboardDate"}
        content = {short: entry[name] for short, name in names.items()} | {"cs": rules.status}
        return json.dumps({"e": "contractInfo", "E": stamped(us, micro=False), **content})

    def force_order(self, forced: Forced) -> str:
        order, stamp = forced.order, stamped(forced.us, micro=False)
        mean = order.spent_tl // order.filled_lots if order.filled_lots else 0
        filled, side = self.qty(order.filled_lots), SIDES[order.request.side]
        return (
            f'{{"e":"forceOrder","E":{stamp},"o":{{"s":{self.symbol},"S":"{side}",'
            f'"o":"LIMIT","f":"IOC","q":"{self.qty(order.lots)}","p":"{self.price(order.request.ticks)}",'
            f'"ap":"{self.price(mean)}","X":"{order.status}","l":"{filled}","z":"{filled}","T":{stamp}}}}}'
        )
