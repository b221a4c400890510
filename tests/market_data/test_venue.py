"""Another venue is one object: its addresses, its limits, and a reader whose updates follow the rule of ids."""

import json

from captured import ASKS, NOON_US, SYMBOL, diff, events, folder, frames, rows, snapshot, trade
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.rows import REST, Trade
from mm.ids import IdRange
from mm.market_data.binance_spot import BINANCE_SPOT, BinanceSpot
from mm.market_data.live_session import LiveSession
from mm.market_data.venue import Answer, Refusal, RestRequest, TradePage, TradePrint

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"


class ChainedVenue(BinanceSpot):
    """A venue whose updates name the last id of the one before (`pu`), and count ids that are not sent."""

    name = "chained"

    def decoder(self, symbol, grid, *, packs=False):
        return Chained(BINANCE_SPOT.decoder(symbol, grid, packs=packs))

    def trade_history(self, *, aggregates):
        return (Pages(),)

    def refusal(self, status):
        return Refusal.STAYS if status == 451 else Refusal.PASSES


class Pages:
    """Trades of the past by a page number, two on each."""

    def request(self, missing):
        return RestRequest("/past", {"page": str(missing.first_id // 2)}, 3)

    def page(self, body):
        ids = json.loads(body)
        return TradePage(
            [(IdRange(one, one), Trade(None, one, NOON_US, "1.5", "2", True, one, one, REST)) for one in ids]
        )


class Chained:
    """Read an update as one of the ids from `pu` + 1 on: it continues exactly the update that `pu` names."""

    def __init__(self, spot):
        self.answer, self.connected, self._spot = spot.answer, spot.connected, spot

    def received(self, body):
        message = json.loads(body)
        last_id = message["data"].pop("pu")
        message["data"]["U"] = last_id + 1
        return self._spot.received(json.dumps(message).encode())


def chained(before, first, last):
    """Return an update of the ids *first* to *last* after one that ended at *before*."""
    message = diff(first, last, [], ASKS)
    message["data"]["pu"] = before
    return json.dumps(message).encode()


def test_a_venue_with_another_rule_of_ids_is_one_object(tmp_path):
    """Ids that a venue does not send are no gap, and an update that follows another one than the last is one."""
    writer = DayWriter(folder(tmp_path), "R1", top_n=3)
    session = LiveSession(writer, NOON_US, 3, venue=ChainedVenue())
    session.message(NOON_US, chained(9, 11, 12))
    session.snapshot_answered(Answer(NOON_US, URL, 200, json.dumps(snapshot(11)).encode(), None))
    session.message(NOON_US, chained(12, 19, 20))
    assert session.market.book_id == 20
    session.message(NOON_US, chained(25, 26, 27))
    assert session.market.book_id is None
    session.finish(NOON_US, "SIGTERM", window_over=False)
    writer.seal()
    writer.close()
    assert [frame[1] for frame in frames(folder(tmp_path))] == [12, 20]
    (gap,) = events(folder(tmp_path), "gap")
    assert (gap["from_id"], gap["to_id"]) == (21, 25)


def test_a_venue_serves_trades_of_the_past_in_its_own_way(tmp_path):
    """Its paths, its weights, and which refusal is final: nothing of that is known elsewhere."""
    writer = DayWriter(folder(tmp_path), "R1", top_n=3)
    session = LiveSession(writer, NOON_US, 3, venue=ChainedVenue())
    for trade_id in (3, 6, 9):
        taken = session.market.take(NOON_US, TradePrint(**printed(trade_id)))
        assert taken.ids_missing == (trade_id > 3)
    request = session.backfill.plan.next_request()
    assert (request.path, request.params, request.weight) == ("/past", {"page": "2"}, 3)
    assert session.trades_answered(Answer(NOON_US, "http://x/past", 200, b"[4, 5, 6]", None)) == 2
    assert session.backfill.plan.next_request().params == {"page": "3"}
    assert session.trades_answered(Answer(NOON_US, "http://x/past", 429, b"", "http 429")) == 0
    assert session.backfill.plan.next_request().params == {"page": "3"}
    assert session.trades_answered(Answer(NOON_US, "http://x/past", 451, b"", "http 451")) == 0
    assert session.backfill.plan.next_request() is None
    session.finish(NOON_US, "SIGTERM", window_over=False)
    writer.seal()
    writer.close()
    assert [row["trade_id"] for row in rows(folder(tmp_path).trades)] == ["3", "6", "9", "4", "5"]


def printed(trade_id):
    return {key: value for key, value in trade(trade_id)["data"].items() if key not in ("e", "M")}
