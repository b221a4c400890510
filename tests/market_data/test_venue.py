"""A custom venue: its addresses, limits, and a decoder that converts its ids."""

import json

from captured import ASKS, NOON_US, SYMBOL, diff, events, folder, frames, rows, snapshot, trade
from hand_fed import answer, open_day, record_into
from mm.ids import IdRange
from mm.markets.binance_spot import BINANCE_SPOT, BinanceSpot
from mm.markets.messages import RestRefusal, RestRequest, TradePage, TradePrint
from mm.markets.records import REST, Trade

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"


class ChainedVenue(BinanceSpot):
    """A venue whose updates contain the last id of the previous one (`pu`), with ids that are not sent."""

    def decoder(self, symbol, grid, *, packs=False):
        return Chained(BINANCE_SPOT.decoder(symbol, grid, packs=packs))

    def trade_history(self, *, aggregates):
        return (Pages(),)

    def refusal(self, status):
        return RestRefusal.STAYS if status == 451 else RestRefusal.PASSES


class Pages:
    """Past trades by page number, two per page."""

    def request(self, missing):
        return RestRequest("/past", {"page": str(missing.first_id // 2)}, 3)

    def page(self, body):
        ids = json.loads(body)
        return TradePage(
            [
                (
                    IdRange(trade_id, trade_id),
                    Trade(None, trade_id, NOON_US, "1.5", "2", True, trade_id, trade_id, REST),
                )
                for trade_id in ids
            ]
        )


class Chained:
    """Decode an update with `pu` + 1 as its first id, so that it follows exactly the update that ends at `pu`."""

    def __init__(self, spot):
        self.answer, self.connected, self._spot = spot.answer, spot.connected, spot

    def received(self, body):
        message = json.loads(body)
        last_id = message["data"].pop("pu")
        message["data"]["U"] = last_id + 1
        return self._spot.received(json.dumps(message).encode())


def chained(previous_id, first, last):
    """Return an update of the ids *first* to *last* after one that ended at *previous_id*."""
    message = diff(first, last, [], ASKS)
    message["data"]["pu"] = previous_id
    return json.dumps(message).encode()


def test_venue_with_another_id_rule_is_recorded(tmp_path):
    """Ids that the venue does not send are not a gap; an update with another `pu` is."""
    writer = open_day(folder(tmp_path), top_n=3)
    session = record_into(writer, NOON_US, feed=ChainedVenue())
    session.message(NOON_US, chained(9, 11, 12))
    session.snapshot_answered(answer(NOON_US, URL, json.dumps(snapshot(11)).encode()))
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


def test_venue_defines_requests_and_refusals_of_past_trades(tmp_path):
    """Paths, weights and final refusals are defined by the venue alone."""
    writer = open_day(folder(tmp_path), top_n=3)
    session = record_into(writer, NOON_US, feed=ChainedVenue())
    for trade_id in (3, 6, 9):
        taken = session.market.take(NOON_US, TradePrint(**trade_fields(trade_id)))
        assert taken.ids_missing == (trade_id > 3)
    request = session.backfill.plan.next_request()
    assert (request.path, request.params, request.weight) == ("/past", {"page": "2"}, 3)
    assert session.trades_answered(answer(NOON_US, "http://x/past", b"[4, 5, 6]")) == 2
    assert session.backfill.plan.next_request().params == {"page": "3"}
    assert session.trades_answered(answer(NOON_US, "http://x/past", b"", 429, "http 429")) == 0
    assert session.backfill.plan.next_request().params == {"page": "3"}
    assert session.trades_answered(answer(NOON_US, "http://x/past", b"", 451, "http 451")) == 0
    assert session.backfill.plan.next_request() is None
    session.finish(NOON_US, "SIGTERM", window_over=False)
    writer.seal()
    writer.close()
    assert [row["trade_id"] for row in rows(folder(tmp_path).trades)] == ["3", "6", "9", "4", "5"]


def trade_fields(trade_id):
    return {key: value for key, value in trade(trade_id)["data"].items() if key not in ("e", "M")}
