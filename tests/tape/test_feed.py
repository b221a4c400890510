"""Delayed feeds: events take effect at exchange time, and models receive them at receive time."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_cases import oracle_events
from engine_tapes import TEST, sewn
from mm import PaperExchange, Quotes, Rules, Tape, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.tape.feed import QUICKEST_US, STRAY_US, feed_of, why_no_feed
from named import kind_of
from oracle_travel import happened as plainly_happened

BEGIN_US = 1_000_000_000
BIDS, ASKS = [(100, 10), (99, 20)], [(102, 10), (103, 20)]


def tape_of(events, ahead_us=0):
    """Return a tape of (exchange time, receive time, kind, …) in receive order; our clock is *ahead_us* ahead.

    The smallest delay must be QUICKEST_US, so that the offset can be estimated.
    """
    events_of_tape, exchange = [(BEGIN_US + ahead_us, "snapshot", BIDS, ASKS)], [BEGIN_US]
    for exchange_us, receive_us, *rest in events:
        us = BEGIN_US + receive_us + ahead_us
        if rest[0] == "trade":
            events_of_tape.append((us, *rest, BEGIN_US + exchange_us))
        else:
            events_of_tape.append((us, *rest))
        exchange.append(BEGIN_US + exchange_us)
    tape = Tape.of(TEST, events_of_tape)
    tape.event_exch_us.flags.writeable = True
    tape.event_exch_us[:] = exchange
    return tape


QUICK = (1_000, 1_000 + QUICKEST_US, "depth", [(98, 1)], [])


class Watcher:
    """A quote model that records its views and quotes one bid."""

    def __init__(self, bid=100):
        self.bid, self.views = bid, []

    def quote(self, view):
        trade = view.last_trade
        self.views.append((view.us, view.bid_ticks, view.ask_ticks, view.lots_at(1, 98), trade.us if trade else None))
        return Quotes(self.bid, None, 5, None)


def play(tape, quotes, *, recorded=True, **rules):
    terms = {"order_latency_us": 1_000, "requote_us": 10_000, "enforce_balances": False, "recorded_feed": recorded}
    exchange = PaperExchange(quotes, TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, **(terms | rules)))
    for part in tape if isinstance(tape, list) else [tape]:
        exchange.run(part)
    return exchange.journal(), exchange.last_feed


@pytest.mark.parametrize("ahead_us", [0, 5_000_000, -1_270_000])
def test_clock_offset_is_estimated_and_subtracted(ahead_us):
    """A message with a delay of 30 ms has that delay for any clock offset."""
    late = (50_000, 80_000, "trade", 1, 102, 1)
    feed = feed_of(tape_of([QUICK, late], ahead_us))
    assert feed.offset_us == ahead_us
    assert (feed.clock_us - ahead_us - BEGIN_US)[1:].tolist() == [1_000, 50_000]
    assert feed.to_dict()["clock_offset_ms"] == ahead_us / 1_000


def test_feed_is_ordered_by_exchange_time():
    """A trade of 20 ms received at 90 ms precedes a book of 60 ms received at 61 ms."""
    book, trade = (60_000, 61_000, "depth", [(97, 1)], []), (20_000, 90_000, "trade", 1, 102, 1)
    tape = tape_of([QUICK, book, trade])
    feed = feed_of(tape)
    assert list(map(kind_of, tape.kind[feed.sequence])) == ["snapshot", "depth", "trade", "depth"]
    assert feed.sequence.tolist() == [0, 1, 3, 2]


def test_exchange_time_of_book_never_decreases():
    """A decreasing timestamp keeps its position within its stream."""
    tape = tape_of([QUICK, (70_000, 80_000, "depth", [(97, 1)], []), (50_000, 90_000, "depth", [(97, 2)], [])])
    feed = feed_of(tape)
    assert feed.sequence.tolist() == [0, 1, 2, 3]
    assert (np.diff(feed.clock_us) >= 0).all()


def test_snapshot_after_gap_takes_effect_when_received():
    """The book is invalid after 20 ms until the snapshot received at 90 ms."""
    broke = [(20_000, 21_000, "depth", [(97, 1)], []), (0, 40_000, "gap"), (0, 90_000, "snapshot", [(95, 1)], ASKS)]
    tape = tape_of([QUICK, *broke, (80_000, 95_000, "depth", [(95, 2)], [])])
    assert (feed_of(tape).clock_us - BEGIN_US).tolist() == [0, 1_000, 20_000, 20_000, 90_000, 90_000]
    journal, _ = play(tape, Watcher(bid=90))
    assert (journal.counters["valid_us"], journal.counters["invalid_us"]) == (25_000, 70_000)


def test_messages_without_exchange_time_take_effect_when_received():
    """Depth messages without exchange time take effect at receive time; trades have their own."""
    tape = tape_of([QUICK, (0, 50_000, "depth", [(97, 1)], []), (11_000, 80_000, "trade", 1, 102, 1)])
    tape.event_exch_us[1:3] = 0
    feed = feed_of(tape)
    assert feed.offset_us == 68_500
    assert (feed.clock_us - BEGIN_US).tolist() == [0, 1_000 + QUICKEST_US, 50_000, 79_500]


def test_events_take_effect_within_their_tape():
    """A trade of the previous day that is received on the next day takes effect at the start of the next."""
    first_day = tape_of([QUICK, (50_000, 60_000, "depth", [(97, 1)], [])])
    quick, sale = (61_000, "depth", [(97, 2)], []), (70_000, "trade", -1, 100, 3, 55_000)
    events = [(60_000, "snapshot", BIDS, ASKS), quick, sale]
    second_day = Tape.of(TEST, [(BEGIN_US + us, *rest) for us, *rest in events])
    stamps = np.array([60_000, 61_000 - QUICKEST_US, 55_000]) + BEGIN_US
    journal, _ = play(list(sewn(first_day, replace(second_day, event_exch_us=stamps))), Watcher())
    assert journal.counters["events"] == 6
    assert (journal.fills[:, 0] - BEGIN_US).tolist() == [60_000]


def test_model_view_contains_only_received_messages():
    """A book change of 11 ms received at 35 ms is not in the views at 20 ms and 30 ms."""
    moved = (11_000, 35_000, "depth", [(100, 0), (98, 7)], [])
    trade = (12_000, 38_000, "trade", -1, 100, 3)
    end = (60_000, 60_600, "depth", [(90, 1)], [])
    model = Watcher(bid=90)
    play(tape_of([QUICK, moved, trade, end]), model)
    views_by_us = {us - BEGIN_US: rest for us, *rest in model.views}
    assert views_by_us[20_000] == [100, 102, 1, None]
    assert views_by_us[30_000] == [100, 102, 1, None]
    assert views_by_us[40_000] == [99, 102, 7, BEGIN_US + 38_000]


def test_model_is_not_called_before_window_begins():
    """Between a tape and a window the market is unknown, so there is no quote call at 90 ms."""
    tape = tape_of([QUICK, (50_000, 60_000, "depth", [(97, 1)], [])])
    later_tape = tape_of([(80_000, 80_600, "depth", [(96, 1)], []), (130_000, 130_600, "depth", [(95, 1)], [])])
    model = Watcher(bid=90)
    play([tape, later_tape.between(BEGIN_US + 100_000, BEGIN_US + 130_601)], model)
    assert [us - BEGIN_US for us, *_ in model.views if us > BEGIN_US + 60_000] == [100_000, 110_000, 120_000, 130_000]


def test_fill_occurs_at_exchange_time():
    """A sale fills our bid at 15 ms; its receive time of 45 ms does not delay the fill."""
    sale = (15_000, 45_000, "trade", -1, 100, 3)
    end = (60_000, 60_600, "depth", [(90, 1)], [])
    journal, _ = play(tape_of([QUICK, sale, end]), Watcher())
    assert (journal.fills[:, 0] - BEGIN_US).tolist() == [15_000]
    received, _ = play(tape_of([QUICK, sale, end]), Watcher(), recorded=False)
    assert (received.fills[:, 0] - BEGIN_US).tolist() == [45_000]


def test_order_is_matched_against_book_at_exchange_time():
    """The ask falls to 100 at 5 ms, received at 50 ms: a bid at 100 sent at 10 ms crosses on arrival."""
    fell = (5_000, 50_000, "depth", [(100, 0)], [(100, 4)])
    end = (60_000, 60_600, "depth", [(90, 1)], [])

    class Late(Watcher):
        def quote(self, view):
            super().quote(view)
            return Quotes(100, None, 5, None) if view.us - BEGIN_US == 10_000 else None

    lagging, _ = play(tape_of([QUICK, fell, end]), Late())
    immediate, _ = play(tape_of([QUICK, fell, end]), Late(), recorded=False)
    assert [row[2] for row in lagging.orders.tolist()][:2] == [0, 6]  # PLACE, REJECT
    assert 6 not in [row[2] for row in immediate.orders.tolist()]


def test_constant_delay_gives_shifted_journal():
    """If all messages have the same delay, both modes give the same journal, shifted by the delay."""
    chance = np.random.default_rng(3)
    events, us = [], 1_000
    for _ in range(400):
        us += int(chance.integers(1_000, 20_000))
        if chance.random() < 0.5:
            events.append(
                (us, us + QUICKEST_US, "depth", [(int(chance.integers(95, 101)), int(chance.integers(0, 9)))], [])
            )
        else:
            side = int(chance.choice([-1, 1]))
            events.append((us, us + QUICKEST_US, "trade", side, 101 + side, int(chance.integers(1, 9))))
    tape = tape_of(events)
    feed = feed_of(tape)
    assert feed.sequence.tolist() == list(range(len(tape)))
    assert (tape.event_us - feed.clock_us)[1:].tolist() == [QUICKEST_US] * len(events)
    lagging, _ = play(tape, Watcher(), order_latency_us=2_000 - QUICKEST_US, cancel_latency_us=4_000 - QUICKEST_US)
    received, _ = play(tape, Watcher(), order_latency_us=2_000, cancel_latency_us=4_000, recorded=False)
    assert lagging.fills[:, 1:6].tolist() == received.fills[:, 1:6].tolist()
    assert (received.fills[:, 0] - lagging.fills[:, 0]).tolist() == [QUICKEST_US] * len(received.fills)


@pytest.mark.parametrize("reference", ["best", "micro"])
def test_predicted_fills_use_exchange_time(reference):
    """Constant quotes are filled by the market at exchange time, whatever the delay of each message.

    So the run and its predictions equal those of a market without delay, whose receive times are the exchange times.
    """
    chance, events, us = np.random.default_rng(5), [QUICK], 1_000
    received = {"depth": QUICK[1], "trade": 0}  # each stream is in order
    for _ in range(600):
        us += int(chance.integers(1_000, 20_000))
        if chance.random() < 0.6:
            ask = int(chance.integers(101, 105))
            event = "depth", [], [(101, 3 * (ask == 101)), (102, 3 * (ask <= 102)), (ask, int(chance.integers(1, 9)))]
        else:
            event = "trade", -1, 100, int(chance.integers(1, 9))
        received[event[0]] = max(received[event[0]], us + QUICKEST_US + int(chance.integers(0, 60_000)))
        events.append((us, received[event[0]], *event))
    delayed = tape_of(sorted(events, key=lambda event: event[1]))
    undelayed = replace(tape_of([(at, at, *rest) for at, _, *rest in events]), end_us=delayed.end_us)
    assert (np.diff(feed_of(delayed).sequence) < 0).sum() > 50
    found = []
    for tape, recorded in ((delayed, True), (undelayed, False)):
        rules = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=10_000, enforce_balances=False, recorded_feed=recorded)
        intensity = Intensity([(0, FOREVER, 0.5, 0.4, 0.5, 0.4, 0.4)], reference)
        found.append(backtest(tape, Constant(), TradeCross(), rules, intensity=intensity))
    delayed_run, undelayed_run = found
    assert len(undelayed_run.journal.fills) > 50
    assert delayed_run.journal.fills[:, :6].tolist() == undelayed_run.journal.fills[:, :6].tolist()
    assert len(set(undelayed_run.terms.offsets[:, 1].tolist())) > 2
    assert delayed_run.terms.offsets.tolist() == undelayed_run.terms.offsets.tolist()
    for name in ("predicted_fills", "fills_by_distance", "share_outside_fit"):
        assert delayed_run.summary[name] == undelayed_run.summary[name], name


class Constant:
    """A quote model with constant quotes."""

    def quote(self, view):
        return Quotes(100, 106, 5, 5)


def test_tape_without_exchange_times_has_no_offset():
    """The tape consists of one snapshot."""
    feed = feed_of(Tape.of(TEST, [(BEGIN_US, "snapshot", BIDS, ASKS)]))
    assert (feed.offset_us, feed.median_us, feed.p99_us) == (0, 0, 0)
    assert feed.clock_us.tolist() == [BEGIN_US]


def many(count, late_of, every_us=100_000):
    """Return *count* depth messages with a delay by number, and the change of the book to 98 × number."""
    return [(BEGIN_US + number * every_us, (BEGIN_US + number * every_us) - late_of(number)) for number in range(count)]


def stamped_tape(messages):
    """Return a tape of depth messages given as receipt and stamp."""
    events = [(us, "depth", [(98, 1 + number % 7)], []) for number, (us, _) in enumerate(messages)]
    tape = Tape.of(TEST, [(messages[0][0] - 1_000, "snapshot", BIDS, ASKS), *events])
    return replace(tape, event_exch_us=np.array([0, *(stamp for _, stamp in messages)]))


@pytest.mark.parametrize("bad", [-30_000_000, 30_000_000, -5_500_000])
@pytest.mark.parametrize("place", [0, 1, 2, 40, 700])
def test_wrong_stamp_moves_no_other_message(bad, place):
    """One stamp that is half a minute off takes effect when received, and is named; every other keeps its instant."""
    delays = np.random.default_rng(8).integers(1_000, 90_000, 1_000).tolist()
    good = stamped_tape(many(1_000, delays.__getitem__))
    wrong = stamped_tape(many(1_000, lambda number: bad if number == place else delays[number]))
    expected, found = feed_of(good), feed_of(wrong)
    others = np.arange(len(good)) > max(place + 1, 3)
    fastest = place < 999 and delays[place] == min(delays[: place + 1])  # then the others lose it, wrong or not
    assert found.by_event[others].tolist() == expected.by_event[others].tolist() or fastest
    assert 0 <= wrong.event_us[place + 1] - found.by_event[place + 1] <= QUICKEST_US
    assert "1 messages" in found.stray or place < 2  # of two stamps none is the wrong one
    if found.stray:  # how far is said of the same neighbours as that it is too far
        assert float(re.search(r"([\d.]+) s (?:ahead|behind)", found.stray)[1]) > STRAY_US / 1e6
    assert expected.stray == ""


def test_nothing_received_later_moves_a_message():
    """Cut anywhere, also beside wrong stamps and where a clock is set, the beginning of a tape is that of the whole."""
    chance = np.random.default_rng(11)

    def late_of(number):
        odd = chance.random()
        late = int(chance.integers(500, 80_000)) + 40_000_000 * (number > 600)
        return late - 30_000_000 if odd < 0.01 else late + 20_000_000 if odd > 0.99 else late

    messages = many(1_200, late_of, every_us=2_000_000)
    whole = feed_of(stamped_tape(messages)).by_event
    for cut in (1, 2, 3, 49, 51, 52, 300, 601, 602, 630, 1_000, 1_199):
        part = feed_of(stamped_tape(messages[:cut])).by_event
        assert part.tolist() == whole[: cut + 1].tolist(), cut


@pytest.mark.parametrize("step_us", [30_000_000, -30_000_000])
def test_clock_that_is_set_is_followed_within_thirty_messages(step_us):
    """After our clock is set by half a minute, delays are again those of the messages."""
    messages = many(2_000, lambda number: 10_000 + 1_000 * (number % 3) + step_us * (number >= 1_000))
    tape = stamped_tape(messages)
    late = tape.event_us - feed_of(tape).by_event
    assert set(late[2:1_000].tolist()) <= {500, 1_500, 2_500}
    assert set(late[1_031:].tolist()) <= {500, 1_500, 2_500}


def test_offset_forgets_what_is_older_than_ten_minutes():
    """A fast message counts for ten minutes."""
    messages = many(13, lambda number: 1_000 if number == 0 else 5_000, every_us=MINUTE)
    tape = stamped_tape(messages)
    assert (tape.event_us - feed_of(tape).by_event)[1:].tolist() == [500] + [4_500] * 9 + [500] * 3


@pytest.mark.parametrize(
    ("stamps", "reason"),
    [
        (lambda us: us * 0, "no exchange times"),
        (lambda us: us - 20_000, "receive times are the exchange"),
        (lambda us: (us - 1_000_000) // 1_000_000 * 1_000_000, "whole seconds"),
        (lambda us: np.where(np.arange(len(us)) % 3 == 0, us - 2_000 - us % 7_000, 0), "books have no exchange times"),
        (lambda us: us - 2_000 - us % 7_000, ""),
    ],
)
def test_feed_is_told_by_stamps_of_the_exchange_that_are_its_own(stamps, reason):
    tape = stamped_tape(many(500, lambda _: 0, every_us=101_300))
    tape = replace(tape, event_exch_us=np.concatenate(([0], stamps(tape.event_us[1:]))))
    assert reason in why_no_feed(tape)
    assert bool(why_no_feed(tape)) == bool(reason)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10**6))
def test_constant_delay_shifts_all_messages(late_us):
    """A delay that a user sets is that of each message; a snapshot is there when it is received."""
    tape = stamped_tape(many(50, lambda _: 0))
    feed = tape.delayed(late_us)
    assert (tape.event_us - feed.by_event)[1:].tolist() == np.minimum(
        late_us, tape.event_us[1:] - tape.start_us
    ).tolist()
    assert (feed.median_us, feed.offset_us) == (min(late_us, int(np.median(tape.event_us[1:] - tape.start_us))), None)


MINUTE = 60_000_000
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 700, 40_000, MINUTE, 7 * MINUTE, 33 * MINUTE]),  # time since the previous message
        st.sampled_from(["depth", "depth", "trade", "trade", "snapshot", "gap", "keyframe"]),
        # delay; None: no exchange time; with the minutes there are stamps that are far behind or ahead
        st.sampled_from([0, 1, 499, 500, 1_000, 60_000, 6_000_000, MINUTE, -MINUTE, None]),
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.integers(-(10**7), 10**7), st.integers(0, 3))
def test_exchange_order_matches_oracle(messages, ahead_us, drift):
    """Compared with the oracle over hours, with a clock drift of *drift* µs per minute, also for a window."""
    us, events, late = BEGIN_US, [(BEGIN_US, "snapshot", BIDS, ASKS)], [0]
    for since, kind, took in messages:
        us += since
        valid = "gap" not in [event[1] for event in events if event[1] in ("gap", "snapshot")][-1:]
        if kind == "keyframe" and (not valid or events[-1][1] not in ("depth", "snapshot")):
            continue
        event = {"depth": ([(98, 1)], []), "trade": (1, 102, 1), "snapshot": (BIDS, ASKS)}.get(kind, ())
        broken = kind == "depth" and not valid
        events.append((us, "snapshot", BIDS, ASKS) if broken else (us, kind, *event))
        late.append(took)
    tape = Tape.of(TEST, events)
    stamps = tape.event_us - ahead_us - (tape.event_us - BEGIN_US) // MINUTE * drift
    took = np.array([0 if delay is None else delay for delay in late])
    missing = np.array([delay is None for delay in late])
    tape = replace(tape, event_exch_us=np.where(missing, 0, stamps - took))
    middle = int(tape.event_us[len(tape) // 2])
    for part in (tape, tape.between(middle, tape.end_us + 1)):
        feed, plain = feed_of(part), plainly_happened(oracle_events(part), part.start_us)
        order = sorted(range(len(part)), key=lambda place: plain[place])
        assert feed.sequence.tolist() == order
        assert feed.clock_us.tolist() == [plain[place] for place in order]
