"""Only best prices and trades: models that use nothing else give the same results, faster."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
import quote_draws
from hypothesis import assume, given
from hypothesis import strategies as st
from plain_quotes import compiled
from test_engine import assert_same, drawn

import engine_draws
from engine_cases import TABLES, Following, Scripted, compiled_fills, read_journal
from engine_tapes import TEST, one_tape, stamped, tapes, travels, with_best
from mm.backtest.fills.intensity import Intensity
from mm.backtest.journal import ACTIONS
from mm.backtest.latency import Latencies
from mm.backtest.models import FILL_MODELS, avellaneda_stoikov, fixed_spread, trade_cross
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.steps import Gated
from mm.backtest.quotes.view import Quotes
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.errors import ModelError
from mm.tape import top_of_book
from mm.tape.tape import ARRAYS, Tape, TapeMeta
from mm.tape.top_of_book import KEPT, BestPrices, forget_best, project

ALWAYS_ON = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
EVENTS = (
    (1000, "snapshot", [(99, 5), (98, 1)], [(101, 5)]),
    (1050, "depth", [(98, 4)], []),
    (1060, "trade", -1, 98, 4),
    (1070, "depth", [(99, 3)], []),
    (1150, "trade", 1, 102, 4),
    (1250, "depth", [(100, 2)], []),
    (1300, "keyframe"),
    (1400, "depth", [], [(103, 1)]),
)


class Shallow:
    """A model in Python with fixed answers, declared without depth, which records its views."""

    depth = False

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def quote(self, view):
        trade = view.last_trade
        self.seen.append(
            (view.us, view.bid_ticks, view.ask_ticks, view.bid_lots, view.ask_lots, view.mid2_ticks)
            + (view.inventory_lots, view.most_lots, view.least_lots, round(view.cash * 1e8), repr(view.sigma_ticks))
            + (view.lots_at(1, view.bid_ticks), view.lots_at(-1, view.ask_ticks))
            + ((trade.us, trade.side, trade.ticks, trade.lots, trade.id) if trade else ())
        )
        bid, ask = self.answers[len(self.seen) % len(self.answers)]
        return Quotes(None if bid is None else view.bid_ticks - bid, None if ask is None else view.ask_ticks + ask)


@dataclasses.dataclass(frozen=True)
class Shown:
    """Tapes, and what to make the same models from each time."""

    tapes: tuple[Tape, ...]
    quotes: tuple
    fills: tuple
    rules: Rules

    def models(self):
        name, params = self.quotes
        makers = {"shallow": Shallow, "simple": compiled, "gated": gated, "avellaneda": avellaneda_stoikov}
        makers |= {"deep": Scripted, "following": Following}
        noted = []
        return makers[name](**params), compiled_fills(*self.fills, seen=noted), noted

    def played(self, tapes, *, deep=False):
        quotes, fills, noted = self.models()
        exchange = PaperExchange(quotes, fills, self.rules)
        assert deep or not exchange.needs_depth or exchange.side_files(self.tapes[0])
        journal = read_journal(backtest(tapes, quotes, fills, self.rules).journal)
        return journal, getattr(quotes, "seen", None), noted


def gated(delta_ticks, pieces):
    return Gated(fixed_spread(delta_ticks=delta_ticks), Intensity(pieces))


@st.composite
def quote_models(draw, unit):
    """A model of each kind that looks at best prices alone."""
    distance = st.sampled_from([0.5, 1.0, 1.5, 2.0])
    answers = st.lists(st.tuples(engine_draws.DISTANCE, engine_draws.DISTANCE), min_size=1, max_size=5)
    form = st.fixed_dictionaries(
        {"gamma": st.sampled_from([0.001, 0.3]), "k": st.sampled_from([0.3, 0.7])},
        optional={"sigma": st.sampled_from([0.0, 0.4]), "horizon_s": st.just(2.0), "q_max": st.sampled_from([1, 4])},
    )
    mode = draw(st.sampled_from(["rolling", "session", "infinite"]))
    return draw(
        st.one_of(
            st.tuples(st.just("shallow"), st.fixed_dictionaries({"answers": answers})),
            quote_draws.MODELS.map(lambda drawn: ("simple", {"name": drawn[0], "params": drawn[1]})),
            quote_draws.MODELS.map(lambda drawn: ("simple", {"name": drawn[0], "params": drawn[1]})),
            st.tuples(
                st.just("gated"),
                st.fixed_dictionaries({"delta_ticks": distance, "pieces": engine_draws.poisson_pieces(unit)}),
            ),
            st.tuples(st.just("avellaneda"), form.map(lambda params: {"q_max": 3, **params, "mode": mode})),
        )
    )


def on_prints(unit):
    answers = st.lists(st.sampled_from([0, 0, 0, 1, 2, 100]), min_size=1, max_size=4).map(tuple)
    return st.tuples(st.just("users"), st.just(("on_trade",)), answers)


QUEUES = st.one_of(
    st.just(("queue_risk_averse",)),
    st.tuples(st.just("queue_prob_power"), st.sampled_from([1.0, 3.0])),
    st.just(("queue_prob_log",)),
)


def fill_models(unit):
    """A model of each kind that looks at best prices alone, or several."""
    one = st.one_of(engine_draws.trade_crosses(unit), engine_draws.price_crosses(unit), on_prints(unit))
    drawing = st.one_of(engine_draws.poissons(unit), engine_draws.hawkeses(unit))
    parts = st.tuples(st.lists(one, min_size=1, max_size=2), st.lists(drawing, max_size=1))
    several = parts.map(lambda drawn: ("hybrid", (*drawn[0], *drawn[1])))
    return st.one_of(one, drawing, drawing, several, QUEUES, QUEUES)


@st.composite
def windows(draw, unit):
    """Windows of a tape whose best prices are kept."""
    tape = with_best(stamped(draw(one_tape(unit))[0], *draw(travels(unit))))
    marks = [tape.start_us - 1, tape.end_us + 1, tape.end_us + unit, *tape.event_us.tolist()]
    a, b, c = sorted(draw(st.lists(st.sampled_from(marks), min_size=3, max_size=3)))
    return (tape.between(a, b), tape.between(b, c))[: draw(st.integers(1, 2))]


@st.composite
def cases(draw):
    unit = draw(st.sampled_from([1, 3, 100_000, 500_000]))
    whole = tapes(unit).map(lambda drawn: tuple(with_best(tape) for tape in drawn))
    rules = draw(engine_draws.rules(unit))
    if rules.risk is not None:  # the age of the last message needs every message
        rules = dataclasses.replace(rules, risk=dataclasses.replace(rules.risk, feed_stale_us=None))
    return Shown(
        draw(st.one_of(whole, windows(unit))),
        draw(quote_models(unit)),
        draw(fill_models(unit)),
        dataclasses.replace(rules, target_lots=None),
    )


@drawn(400)
@given(cases())
def test_best_prices_leave_the_journal_of_the_whole_tape(case):
    """Row by row, with all counters, and a model in Python gets the same views."""
    ours, our_saw, our_noted = case.played(case.tapes)
    theirs, their_saw, their_noted = case.played([dataclasses.replace(tape) for tape in case.tapes])
    assert all(isinstance(tape.best, BestPrices) for tape in case.tapes)
    assert_same(ours, theirs)
    assert ours.counters == theirs.counters
    assert (our_saw, our_noted) == (their_saw, their_noted)


@st.composite
def deep_cases(draw):
    """Models that read the levels behind the best prices, follow prints and fills, and take."""
    quotes = draw(st.sampled_from(["deep", "following"])), {"answers": draw(engine_draws.ANSWERS)}
    return dataclasses.replace(draw(cases()), quotes=quotes)


@drawn(400)
@given(deep_cases())
def test_rows_of_books_beside_best_prices_leave_the_journal_of_the_whole_tape(case):
    """The model sees the same levels, lots, last print and prints; where they do not do, the whole tape is played."""
    ours, our_saw, our_noted = case.played(case.tapes, deep=True)
    theirs, their_saw, their_noted = case.played([dataclasses.replace(tape) for tape in case.tapes], deep=True)
    assert_same(ours, theirs)
    assert ours.counters == theirs.counters
    assert (our_saw, our_noted) == (their_saw, their_noted)


@drawn(100)
@given(tapes(3))
def test_best_prices_are_a_tape(drawn_tapes):
    """It keeps every promise of a tape, and shows the same best prices."""
    for tape in drawn_tapes:
        best = project(tape)
        assume(np.array_equal(tape.kind, tape.between(tape.start_us, tape.end_us + 1).kind))
        best.check()
        assert best.best_span == tape.best_span
        assert np.array_equal(tape.event_us[best.place], best.event_us)
        finer = tape.on_lot(tape.instrument.lot_e8 // 4)
        theirs, ours = project(finer), best.on_lot(finer.instrument.lot_e8)
        assert all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in (*ARRAYS, *KEPT))


@drawn(100)
@given(tapes(3), st.sampled_from([1, 2, 3, 7]))
def test_best_prices_are_the_same_span_by_span(drawn_tapes, span):
    """Wherever a span of events ends, between prints and the move behind them too."""
    for tape in drawn_tapes:
        with patch.object(top_of_book, "SPAN", span):
            ours = project(tape)
        theirs = project(tape)
        assert all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in (*ARRAYS, *KEPT))
        assert (ours.low_ticks, ours.high_ticks) == (theirs.low_ticks, theirs.high_ticks)


def test_a_tape_that_was_changed_has_no_best_prices_of_what_it_was():
    """Whoever makes another tape of one must not be played on the first one's prices."""
    tape = with_best(Tape.of(TEST, EVENTS))
    assert tape.best is not None
    assert dataclasses.replace(tape, row_lots=tape.row_lots * 2).best is None


@pytest.mark.parametrize(
    "bounds", [((1060, 1400), (1250, 1400)), ((1250, 1400), (1250, 1350)), ((1300, 1500), (1300, 1401))]
)
def test_a_window_of_a_window_has_the_best_prices_of_its_own_span(bounds):
    """Positions count from the window's begin: of its events, none is another's."""
    tape = with_best(Tape.of(TEST, EVENTS))
    inner = tape.between(*bounds[0]).between(*bounds[1])
    theirs, ours = project(inner), inner.best
    assert np.array_equal(inner.event_us[ours.place], ours.event_us)
    assert ours.event_us.tolist() == theirs.event_us.tolist()


def test_rows_are_passed_over_and_counted_nevertheless():
    whole, best = (backtest(tape, fixed_spread(delta_ticks=1), trade_cross(), ALWAYS_ON).journal for tape in both())
    assert whole.counters["events"] == best.counters["events"] == len(EVENTS)
    assert whole.counters["rows"] == best.counters["rows"] == 9
    assert len(project(both()[0])) == len(EVENTS) - 2


def test_hours_that_a_bar_counts_leave_the_journal_of_a_play_at_once():
    """A play without observers is one call of the engine; with a progress bar each hour of it is one."""
    hour = 3_600 * 10**6
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)])]
    events += [(1000 + n * hour // 7, "trade", 1 - n % 2 * 2, 100 + 2 - n % 2 * 4, 3) for n in range(1, 30)]
    tape, seen = with_best(Tape.of(TEST, events)), []
    at_once, by_hours = (
        backtest(tape, fixed_spread(delta_ticks=1), trade_cross(), ALWAYS_ON, step=step).journal
        for step in (None, seen.append)
    )
    assert len(seen) == 5
    assert sum(seen) == tape.end_us - tape.start_us
    assert len(at_once.fills) > 20
    assert_same(*map(read_journal, (at_once, by_hours)))


def both():
    tape = Tape.of(TEST, EVENTS)
    return tape, with_best(tape)


@pytest.mark.parametrize("best", [False, True], ids=["whole tape", "best prices"])
def test_a_model_without_depth_reads_the_lots_at_the_best_price_after_each_message(best):
    """Whether its tape is the whole one, whose levels are stored only for models that read them, or best prices."""
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)]), (1010, "depth", [(99, 2)], [(101, 3)])]
    events += [(1300, "depth", [(95, 1)], [])]
    tape, model = Tape.of(TEST, events), Shallow([(None, None)])
    backtest(with_best(tape) if best else tape, model, trade_cross(), ALWAYS_ON)
    assert [(seen[3:5], seen[11:13]) for seen in model.seen[-1:]] == [((2, 3), (2, 3))]


@pytest.mark.parametrize("whole", [False, True], ids=["rows", "whole tape"])
def test_what_an_order_took_is_displayed_again_after_a_change_far_behind_the_best_prices(whole):
    """Five lots are taken at 1010, and none at 1110; a level of no best price changes at 1150, and five are there."""
    events = [EVENTS[0], (1150, "depth", [(95, 1)], []), (1180, "keyframe"), (1390, "trade", 1, 101, 1)]
    tape = with_best(Tape.of(TEST, events))
    tape = dataclasses.replace(tape) if whole else tape.staying()
    buying = Scripted([(-2, None, None, None, "IOC", "LIMIT_MAKER")])
    played = backtest(tape, buying, trade_cross(), dataclasses.replace(ALWAYS_ON, start_cash_e8=10**12))
    assert [(row[0], row[3], row[4]) for row in played.journal.fills.tolist()] == [(1010, 101, 5), (1210, 101, 5)]


@pytest.mark.parametrize("ask", [103, 101])
def test_an_order_between_two_days_meets_the_best_prices_of_the_first(ask):
    """It arrives before the second day shows its book, which carries on the first one's."""
    first = Tape.of(TEST, [(1000, "snapshot", [(99, 5)], [(103, 5)]), (1001, "depth", [], [(103, 0), (ask, 5)])])
    second = Tape.of(TEST, [(1050, "snapshot", [(99, 5)], [(ask, 5)])])
    first, second = (
        dataclasses.replace(tape, meta=TapeMeta(**meta))
        for tape, meta in ((first, {"last_update_id": 7}), (second, {"carried_from": 7}))
    )
    plays = [
        backtest(days, fixed_spread(delta_ticks=0), trade_cross(), ALWAYS_ON).journal
        for days in ([first, second], [with_best(first), with_best(second)])
    ]
    assert_same(*map(read_journal, plays))
    assert ("REJECT" in [ACTIONS[action] for action in plays[1].orders[:, 2]]) == (ask == 101)


# What needs the whole tape


class OnBook:
    def on_book(self, order, book, elapsed_us):
        return 0


class OnRest:
    def on_trade(self, order, trade):
        return 0

    def on_rest(self, order, book):
        pass


class Quoting:
    def quote(self, view):
        return None


def needs(quotes=None, fills=None, **changes):
    rules = dataclasses.replace(ALWAYS_ON, **changes)
    return PaperExchange(quotes or fixed_spread(delta_ticks=1), fills or trade_cross(), rules).needs_depth


@pytest.mark.parametrize("name", ["queue_risk_averse", "queue_prob_power", "queue_prob_log"])
def test_queue_models_need_the_whole_book(name):
    assert needs(fills=FILL_MODELS[name]())
    assert needs(fills=FILL_MODELS["hybrid"](models=[trade_cross(), FILL_MODELS[name]()]))


def test_models_in_python_need_it_unless_they_say_or_show_otherwise():
    """A fill model that handles only prints gets no book; a quote model must declare it."""
    assert needs(quotes=Quoting())
    assert needs(fills=OnBook())
    assert needs(fills=OnRest())
    assert not needs(quotes=Shallow([(1, 1)]))


def test_latencies_by_rate_and_a_lagging_feed_do_not_need_it():
    assert not needs(recorded_feed=True)
    assert not needs(latencies=Latencies.of(np.array([1.0, 2.0]), None, np.array([3.0, 9.0])))


@pytest.mark.parametrize(
    ("changes", "beside"),
    [
        ({}, ("book_rows",)),
        ({"fills": FILL_MODELS["queue_prob_log"]()}, ()),  # its book may fill an order that came to rest across it
        ({"fills": OnBook()}, ()),
        ({"recorded_feed": True}, ()),
        ({"decisions": True}, ()),
    ],
)
def test_models_that_read_the_whole_book_need_its_rows_beside_best_prices(changes, beside):
    """A recorded feed reads the book that was received; a decision names its last event."""
    fills, quotes = changes.pop("fills", trade_cross()), Scripted([(0, 0)])
    tape = with_best(Tape.of(TEST, EVENTS)).staying()
    exchange = PaperExchange(quotes, fills, dataclasses.replace(ALWAYS_ON, **changes))
    assert exchange.needs_depth
    assert exchange.side_files(tape) == beside


@pytest.mark.parametrize("model", [("trade_cross", False, 1.0, 0), ("queue_risk_averse",)])
@pytest.mark.parametrize(("shift", "counted"), [(-1, 6), (0, 6), (1, 9), (2, 4)])
def test_a_latency_by_rate_counts_events_that_best_prices_leave_out(model, shift, counted):
    """The ask moves to 102 at 1,001,100; messages take 1 ms in view of 8 events or less, then 5 ms."""
    ago, now = 1_001_100 - 1_000_000, 1_001_100
    below = [(ago + shift, "depth", [(98, lots)], []) for lots in (1, 2, 3)]
    at_once = [(now + shift // 2, "depth", [(98, lots)], []) for lots in (4, 5, 6, 7, 8)]
    begin, move = (100, "snapshot", [(99, 5), (98, 9)], [(101, 5)]), (1_000_000, "depth", [(100, 1)], [])
    tape = with_best(Tape.of(TEST, [begin, *below, move, *at_once, (now + 3_000, "trade", 1, 102, 4)]))
    assert np.count_nonzero((tape.event_us > ago) & (tape.event_us <= now)) == counted
    took = Latencies.of(np.array([1.0, 5.0]), None, np.array([8.0, 9.0]))
    rules = dataclasses.replace(ALWAYS_ON, latencies=took, requote_us=1_001_000)
    for one in (tape, dataclasses.replace(tape)):
        journal = backtest(one, fixed_spread(delta_ticks=1), compiled_fills(*model), rules).journal
        assert [row[3] for row in journal.fills.tolist()] == [101 if counted > 8 else 102]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda view: view.lots_at(1, view.bid_ticks - 1), "not a best price"),
        (lambda view: Quotes(view.bid_ticks, None, bid_kind="IOC"), "may take"),
    ],
)
def test_a_model_that_looks_deeper_than_it_says_is_told_so(answer, told):
    """On the whole tape too: whether best prices are kept changes no answer."""
    model = Shallow([])
    model.quote = answer
    for tape in both():
        with pytest.raises(ModelError, match=told):
            backtest(tape, model, trade_cross(), ALWAYS_ON)


def test_the_tables_are_all_compared():
    assert set(TABLES) == {"orders", "fills", "state", "mids", "breaches"}


def test_best_prices_that_nothing_used_are_not_made_to_be_forgotten():
    """Giving memory back must not cost the pass that makes them; used ones drop what they picked out."""
    made = []

    def make():
        made.append(project(plain))
        return made[-1]

    plain = Tape.of(TEST, EVENTS)
    tape = plain.with_best(make)
    forget_best(tape)
    assert not made
    count = len(tape.best.trades)
    assert "trades" in vars(tape.best)
    forget_best(tape)
    assert "trades" not in vars(tape.best)
    assert len(tape.best.trades) == count == 2
    assert len(made) == 1
