"""The explanation of a fill, from a hand-written tape."""

from fill_lab import ASKS, BEGIN_US, BIDS, TEST, depth, sold

from mm.backtest.explain import explain, market, prints_behind
from mm.tape.tape import Tape

EVENTS = [
    depth(1_000, bids=[(100, 30)]),
    sold(2_000, 100, 4),
    depth(3_000, bids=[(100, 26)]),
    sold(4_000, 100, 27),
    depth(5_000, bids=[(100, 0)]),
    (6_000, "gap"),
]


def tape():
    told = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US, "keyframe")]
    return Tape.of(TEST, [*told, *((BEGIN_US + us, *rest) for us, *rest in EVENTS)])


def row(**cells):
    usual = {"order_id": "7", "side": "BUY", "price": "1.00000000", "qty": "0.00005000"}
    return usual | {"recv_us": str(BEGIN_US + 4_000)} | cells


FILL = row(reason="queue:trade")
ORDERS = [
    row(action="PLACE", status="SENT", remaining_qty="0.00005000", reject_reason="", cancel_reason="")
    | {"recv_us": str(BEGIN_US + 500)},
    row(action="FILL", status="FILLED", remaining_qty="0.00000000", reject_reason="", cancel_reason=""),
]


def test_the_market_around_an_instant_is_the_books_of_the_tape():
    """Two events before it, all at it and two behind it, each with the book that stood behind it."""
    seen = list(market(tape(), BEGIN_US + 4_000, 1, 100, 2))
    assert [(one.us - BEGIN_US, one.what, one.bid_ticks, one.ask_ticks, one.lots) for one in seen] == [
        (2_000, "print SELL 0.00004 at 1", 100, 102, 30),
        (3_000, "depth", 100, 102, 26),
        (4_000, "print SELL 0.00027 at 1", 100, 102, 26),
        (5_000, "depth", 99, 102, 0),
        (6_000, "gap", 0, 0, 0),
    ]


def test_only_the_last_minute_is_shown():
    """However few events a quiet market has."""
    late = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US + 61_000_000, "depth", [(98, 1)], [])]
    seen = list(market(Tape.of(TEST, late), BEGIN_US + 61_000_000, 1, 100, 5))
    assert [one.us - BEGIN_US for one in seen] == [61_000_000]
    assert seen[0].lots == 10
    assert list(market(Tape.of(TEST, late[:1]), BEGIN_US + 99_000_000, 1, 100, 5)) == []


def test_a_story_names_the_fill_its_order_and_the_print_behind_it():
    """Price and quantity as the files have them, the reason in words, the fill between what came before and after."""
    lines = explain(tape(), FILL, ORDERS, 1).splitlines()
    assert lines[0] == "BUY 0.00005 at 1, 1970-01-01T00:16:40.004000Z, order 7"
    assert (
        lines[1]
        == "queue:trade: a trade printed at its price after the queue ahead was gone, or printed beyond its price"
    )
    assert lines[4].split() == ["-0.003500", "s", "PLACE", "SENT", "0.00005", "left"]
    assert [line.split()[0] for line in lines[-4:]] == ["-0.001000", "+0.000000", "fill", "+0.001000"]
    assert "print SELL 0.00027 at 1 " in lines[-3]


def test_a_model_of_ones_own_is_named():
    """The words know only the project's own reasons."""
    assert "the model Mine decided it, called for a print" in explain(tape(), row(reason="Mine:trade"), [], 1)
    assert "the model Mine decided it, called after a change" in explain(tape(), row(reason="Mine:book"), [], 1)


def test_a_fill_behind_the_last_event_has_its_mark_too():
    """A drawn fill after which nothing came."""
    drawn = row(reason="poisson:hazard", recv_us=str(BEGIN_US + 9_000))
    assert explain(tape(), drawn, ORDERS, 3).splitlines()[-1].split()[0] == "fill"


def test_what_took_is_told_by_the_side_it_took_from():
    """A sale at 1 that arrives with the print comes before it, and has the bids at the price of its fill."""
    taken = row(reason="taker:book", side="SELL")
    orders = [ORDERS[0] | {"side": "SELL", "price": "0.98000000"}, ORDERS[1]]
    lines = explain(tape(), taken, orders, 1).splitlines()
    assert lines[-5].endswith("the displayed quantity at 1 on the bid side")
    assert [line.split()[0] for line in lines[-4:]] == ["-0.001000", "fill", "+0.000000", "+0.001000"]
    assert lines[-4].split()[-1] == "0.00026"
    at_once = [orders[0] | {"recv_us": taken["recv_us"]}, orders[1]]
    assert explain(tape(), taken, at_once, 1).splitlines()[-2].split()[0] == "fill"


AT = 4_000


def at_one_instant(*prints):
    """Return a tape whose prints (side, ticks, lots), and a depth message behind them, share an instant."""
    told = [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US, "keyframe")]
    trades = [(BEGIN_US + AT, "trade", *one) for one in prints]
    return Tape.of(TEST, [*told, *trades, depth_at(AT), (BEGIN_US + AT + 1, "gap")])


def depth_at(us):
    return (BEGIN_US + us, "depth", [(100, 20)], [])


def test_of_several_prints_the_only_one_that_can_have_filled_it_is_marked():
    """One of the wrong side, one short of the price, one too small: that the fourth did it needs no number."""
    prints = [(1, 102, 9), (-1, 101, 9), (-1, 100, 4), (-1, 100, 5), (1, 103, 7)]
    lines = explain(at_one_instant(*prints), FILL, ORDERS, 0).splitlines()
    marked = next(number for number, line in enumerate(lines) if line.split()[:1] == ["fill"])
    assert "print SELL 0.00005 at 1 " in lines[marked - 1]
    assert "print BUY 0.00007" in lines[marked + 1]
    assert lines[marked].endswith("<- 0.00005 at 1")


def test_where_more_than_one_can_have_filled_it_that_is_told():
    """Two are alike to the files of the run; no guess is made."""
    lines = explain(at_one_instant((-1, 100, 8), (-1, 99, 8)), FILL, ORDERS, 0).splitlines()
    assert lines[-1].endswith("<- 0.00005 at 1, by one of 2 prints of this instant")


def test_fills_of_one_order_and_instant_came_from_prints_in_their_order():
    """An order fills once a print: two fills and two prints leave no choice, three prints leave some."""
    fills = [FILL | {"inventory_after": after} for after in ("1", "2")]

    def found(*prints):
        return [prints_behind(at_one_instant(*prints), fill, fills) for fill in fills]

    assert found((-1, 100, 8), (-1, 99, 8)) == [[2], [3]]
    assert found((-1, 100, 8), (-1, 99, 8), (-1, 98, 8)) == [[2, 3], [3, 4]]


def test_a_print_too_small_for_one_fill_may_have_made_the_other():
    """Four of nine lots from the first print that reaches it, five from the next; what the book fills needs none."""
    small, large = FILL | {"qty": "0.00004000"}, FILL
    tape_of_both = at_one_instant((1, 103, 9), (-1, 100, 4), (-1, 99, 7))
    by_book = FILL | {"reason": "queue:book"}
    assert [prints_behind(tape_of_both, one, [small, large, by_book]) for one in (small, large)] == [[3], [4]]


def test_of_a_model_of_ones_own_only_the_size_is_known():
    """It may fill on any print for which it is called, but never more than the print."""
    mine = row(reason="Mine:trade")
    assert prints_behind(at_one_instant((1, 102, 9), (-1, 101, 4), (-1, 103, 9)), mine, [mine]) == [2, 4]
    asked = row(reason="Mine:book")
    assert prints_behind(at_one_instant((1, 102, 9)), asked, [asked]) == []


def test_where_the_exchange_acted_before_we_heard_no_print_is_marked():
    """What was received at the fill's instant happened earlier: two prints of that instant are no two suspects."""
    twice = [depth(1_000, bids=[(100, 30)]), sold(4_000, 100, 7), sold(4_000, 100, 9)]
    told = [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in twice)]
    heard, acted = (explain(Tape.of(TEST, told), FILL, ORDERS, 2, lagging=lagging) for lagging in (False, True))
    assert "by one of 2 prints" in heard
    assert "by one of" not in acted
