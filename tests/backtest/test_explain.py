"""The explanation of a fill, from a hand-written tape."""

from fill_lab import ASKS, BEGIN_US, BIDS, TEST, depth, sold

from mm import Tape
from mm.backtest.explain import causing_prints, explain, market

EVENTS = [
    depth(1_000, bids=[(100, 30)]),
    sold(2_000, 100, 4),
    depth(3_000, bids=[(100, 26)]),
    sold(4_000, 100, 27),
    depth(5_000, bids=[(100, 0)]),
    (6_000, "gap"),
]


def tape():
    first = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US, "keyframe")]
    return Tape.of(TEST, [*first, *((BEGIN_US + us, *rest) for us, *rest in EVENTS)])


def row(**cells):
    usual = {"order_id": "7", "side": "BUY", "price": "1.00000000", "qty": "0.00005000"}
    return usual | {"recv_us": str(BEGIN_US + 4_000)} | cells


FILL = row(reason="queue:trade")
ORDERS = [
    row(action="PLACE", status="SENT", remaining_qty="0.00005000", reject_reason="", cancel_reason="")
    | {"recv_us": str(BEGIN_US + 500)},
    row(action="FILL", status="FILLED", remaining_qty="0.00000000", reject_reason="", cancel_reason=""),
]


def test_market_lists_events_around_a_time_with_their_books():
    """Two events before it, all at that time and two after it, each with the book that follows it."""
    events = list(market(tape(), BEGIN_US + 4_000, 1, 100, 2))
    assert [(event.us - BEGIN_US, event.what, event.bid_ticks, event.ask_ticks, event.lots) for event in events] == [
        (2_000, "print SELL 0.00004 at 1", 100, 102, 30),
        (3_000, "depth", 100, 102, 26),
        (4_000, "print SELL 0.00027 at 1", 100, 102, 26),
        (5_000, "depth", 99, 102, 0),
        (6_000, "gap", 0, 0, 0),
    ]


def test_market_is_limited_to_the_last_minute():
    """However few events a quiet market has."""
    late = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US + 61_000_000, "depth", [(98, 1)], [])]
    events = list(market(Tape.of(TEST, late), BEGIN_US + 61_000_000, 1, 100, 5))
    assert [event.us - BEGIN_US for event in events] == [61_000_000]
    assert events[0].lots == 10
    assert list(market(Tape.of(TEST, late[:1]), BEGIN_US + 99_000_000, 1, 100, 5)) == []


def test_explanation_names_fill_order_and_print():
    """Price and quantity as in the files, the reason in words, the fill between the events before and after it."""
    lines = explain(tape(), FILL, ORDERS, 1).splitlines()
    assert lines[0] == "BUY 0.00005 at 1, 1970-01-01T00:16:40.004000Z, order 7"
    assert (
        lines[1]
        == "queue:trade: a trade printed at its price after the queue ahead was exhausted, or printed beyond its price"
    )
    assert lines[4].split() == ["-0.003500", "s", "PLACE", "SENT", "0.00005", "left"]
    assert [line.split()[0] for line in lines[-4:]] == ["-0.001000", "+0.000000", "fill", "+0.001000"]
    assert "print SELL 0.00027 at 1 " in lines[-3]


def test_explanation_names_a_users_model():
    """Only the package's own reasons have a description."""
    assert "filled by the model Mine, called for a print" in explain(tape(), row(reason="Mine:trade"), [], 1)
    assert "filled by the model Mine, called after a change" in explain(tape(), row(reason="Mine:book"), [], 1)


def test_fill_after_the_last_event_is_marked():
    """A drawn fill that no event follows."""
    drawn = row(reason="poisson:hazard", recv_us=str(BEGIN_US + 9_000))
    assert explain(tape(), drawn, ORDERS, 3).splitlines()[-1].split()[0] == "fill"


def test_taker_fill_names_the_book_side_it_took_from():
    """A sale at 1 that arrives with the print is listed before it, with the bids at the price of its fill."""
    taken = row(reason="taker:book", side="SELL")
    orders = [ORDERS[0] | {"side": "SELL", "price": "0.98000000"}, ORDERS[1]]
    lines = explain(tape(), taken, orders, 1).splitlines()
    assert lines[-5].endswith("the displayed quantity at 1 on the bid side")
    assert [line.split()[0] for line in lines[-4:]] == ["-0.001000", "fill", "+0.000000", "+0.001000"]
    assert lines[-4].split()[-1] == "0.00026"
    at_once = [orders[0] | {"recv_us": taken["recv_us"]}, orders[1]]
    assert explain(tape(), taken, at_once, 1).splitlines()[-2].split()[0] == "fill"


AT = 4_000


def tape_of_prints(*prints):
    """Return a tape whose prints (side, ticks, lots), and a depth message after them, have the same time."""
    first = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US, "keyframe")]
    trades = [(BEGIN_US + AT, "trade", *trade) for trade in prints]
    return Tape.of(TEST, [*first, *trades, depth_at(AT), (BEGIN_US + AT + 1, "gap")])


def depth_at(us):
    return (BEGIN_US + us, "depth", [(100, 20)], [])


def test_only_possible_print_of_several_is_marked():
    """One of the wrong side, one short of the price, one too small: the fourth is marked without a count."""
    prints = [(1, 102, 9), (-1, 101, 9), (-1, 100, 4), (-1, 100, 5), (1, 103, 7)]
    lines = explain(tape_of_prints(*prints), FILL, ORDERS, 0).splitlines()
    marked = next(number for number, line in enumerate(lines) if line.split()[:1] == ["fill"])
    assert "print SELL 0.00005 at 1 " in lines[marked - 1]
    assert "print BUY 0.00007" in lines[marked + 1]
    assert lines[marked].endswith("<- 0.00005 at 1")


def test_number_of_possible_prints_is_shown():
    """The files of the run do not distinguish the two; no guess is made."""
    lines = explain(tape_of_prints((-1, 100, 8), (-1, 99, 8)), FILL, ORDERS, 0).splitlines()
    assert lines[-1].endswith("<- 0.00005 at 1, by one of 2 prints of this instant")


def test_fills_of_one_order_are_matched_to_prints_in_order():
    """An order fills once per print: two fills and two prints are unambiguous, three prints are not."""
    fills = [FILL | {"inventory_after": after} for after in ("1", "2")]

    def found(*prints):
        return [causing_prints(tape_of_prints(*prints), fill, fills) for fill in fills]

    assert found((-1, 100, 8), (-1, 99, 8)) == [[2], [3]]
    assert found((-1, 100, 8), (-1, 99, 8), (-1, 98, 8)) == [[2, 3], [3, 4]]


def test_print_too_small_for_one_fill_is_matched_to_the_other():
    """Four of nine lots from the first print that reaches it, five from the next; a fill by the book has no print."""
    small, large = FILL | {"qty": "0.00004000"}, FILL
    tape_of_both = tape_of_prints((1, 103, 9), (-1, 100, 4), (-1, 99, 7))
    by_book = FILL | {"reason": "queue:book"}
    assert [causing_prints(tape_of_both, fill, [small, large, by_book]) for fill in (small, large)] == [[3], [4]]


def test_fill_of_users_model_is_matched_to_prints_by_size():
    """It may fill on any print, but never more than the print."""
    mine = row(reason="Mine:trade")
    assert causing_prints(tape_of_prints((1, 102, 9), (-1, 101, 4), (-1, 103, 9)), mine, [mine]) == [2, 4]
    by_book = row(reason="Mine:book")
    assert causing_prints(tape_of_prints((1, 102, 9)), by_book, [by_book]) == []


def test_print_that_was_received_later_is_the_cause_where_the_exchange_was_ahead():
    """The fill is at the instant of the print at the exchange, 1 ms before it was received; so are all other events."""
    late = [depth(2_000, bids=[(100, 30)]), sold(5_000, 100, 31), depth(5_500, bids=[(100, 0)])]
    events = [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in late)]
    received, happened = (
        explain(Tape.of(TEST, events), FILL, ORDERS, 2, feed=feed)
        for feed in (None, {"kind": "constant", "late_ms": 1.0})
    )
    assert "+0.001000 s  print SELL 0.00031 at 1" in received
    lines = happened.splitlines()
    assert "as at the exchange" in happened
    place = next(number for number, line in enumerate(lines) if "<- 0.00005 at 1" in line)
    assert "+0.000000 s  print SELL 0.00031 at 1" in lines[place - 1]
    assert lines[place + 1].split()[:3] == ["+0.000500", "s", "depth"]


def test_fill_by_one_of_two_prints_of_its_instant_says_so():
    twice = [depth(1_000, bids=[(100, 30)]), sold(4_000, 100, 7), sold(4_000, 100, 9)]
    events = [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in twice)]
    assert "by one of 2 prints" in explain(Tape.of(TEST, events), FILL, ORDERS, 2)
