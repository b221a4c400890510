"""Best prices and trades only: models that use nothing else give the same results, faster."""

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
from mm.tape.top_of_book import KEPT, BestPrices, project, release_best

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
    """A user's model with fixed answers, declared without depth, which records its views."""

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
class Setup:
    """Tapes, and the parameters to build the same models for each run."""

    tapes: tuple[Tape, ...]
    quotes: tuple
    fills: tuple
    rules: Rules

    def models(self):
        name, params = self.quotes
        makers = {"shallow": Shallow, "simple": compiled, "gated": gated, "avellaneda": avellaneda_stoikov}
        makers |= {"deep": Scripted, "following": Following}
        notes = []
        return makers[name](**params), compiled_fills(*self.fills, seen=notes), notes

    def played(self, tapes, *, deep=False):
        quotes, fills, notes = self.models()
        exchange = PaperExchange(quotes, fills, self.rules)
        assert deep or not exchange.needs_depth or exchange.side_files(self.tapes[0])
        journal = read_journal(backtest(tapes, quotes, fills, self.rules).journal)
        return journal, getattr(quotes, "seen", None), notes


def gated(delta_ticks, pieces):
    return Gated(fixed_spread(delta_ticks=delta_ticks), Intensity(pieces))


@st.composite
def quote_models(draw, unit):
    """A model of each kind that uses best prices only."""
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
    """A model of each kind that uses best prices only, or a hybrid of several."""
    model = st.one_of(engine_draws.trade_crosses(unit), engine_draws.price_crosses(unit), on_prints(unit))
    drawn_fills = st.one_of(engine_draws.poissons(unit), engine_draws.hawkeses(unit))
    parts = st.tuples(st.lists(model, min_size=1, max_size=2), st.lists(drawn_fills, max_size=1))
    hybrids = parts.map(lambda drawn: ("hybrid", (*drawn[0], *drawn[1])))
    return st.one_of(model, drawn_fills, drawn_fills, hybrids, QUEUES, QUEUES)


@st.composite
def windows(draw, unit):
    """Windows of a tape with stored best prices."""
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
    return Setup(
        draw(st.one_of(whole, windows(unit))),
        draw(quote_models(unit)),
        draw(fill_models(unit)),
        dataclasses.replace(rules, target_lots=None),
    )


@pytest.mark.slow
@drawn(400)
@given(cases())
def test_best_prices_leave_the_same_journal_as_the_whole_tape(case):
    """Row by row, with all counters, and Python models get the same views."""
    best, best_views, best_notes = case.played(case.tapes)
    whole, whole_views, whole_notes = case.played([dataclasses.replace(tape) for tape in case.tapes])
    assert all(isinstance(tape.best, BestPrices) for tape in case.tapes)
    assert_same(best, whole)
    assert best.counters == whole.counters
    assert (best_views, best_notes) == (whole_views, whole_notes)


@st.composite
def deep_cases(draw):
    """Models that read levels beyond the best prices, follow prints and fills, and take."""
    quotes = draw(st.sampled_from(["deep", "following"])), {"answers": draw(engine_draws.ANSWERS)}
    return dataclasses.replace(draw(cases()), quotes=quotes)


@pytest.mark.slow
@drawn(400)
@given(deep_cases())
def test_book_rows_with_best_prices_leave_the_same_journal_as_the_whole_tape(case):
    """The model gets the same levels, lots and prints; where best prices are not enough, the whole tape is used."""
    best, best_views, best_notes = case.played(case.tapes, deep=True)
    whole, whole_views, whole_notes = case.played([dataclasses.replace(tape) for tape in case.tapes], deep=True)
    assert_same(best, whole)
    assert best.counters == whole.counters
    assert (best_views, best_notes) == (whole_views, whole_notes)


@pytest.mark.slow
@drawn(100)
@given(tapes(3))
def test_best_prices_form_a_valid_tape(drawn_tapes):
    """All invariants of a tape hold, and the best prices are the same."""
    for tape in drawn_tapes:
        best = project(tape)
        assume(np.array_equal(tape.kind, tape.between(tape.start_us, tape.end_us + 1).kind))
        best.check()
        assert best.best_span == tape.best_span
        assert np.array_equal(tape.event_us[best.place], best.event_us)
        finer = tape.with_lot(tape.instrument.lot_e8 // 4)
        projected, converted = project(finer), best.with_lot(finer.instrument.lot_e8)
        assert all(np.array_equal(getattr(converted, name), getattr(projected, name)) for name in (*ARRAYS, *KEPT))


@pytest.mark.slow
@drawn(100)
@given(tapes(3), st.sampled_from([1, 2, 3, 7]))
def test_best_prices_are_independent_of_the_span_length(drawn_tapes, span):
    """Wherever a span of events ends, also between prints and the next move."""
    for tape in drawn_tapes:
        with patch.object(top_of_book, "SPAN", span):
            in_spans = project(tape)
        at_once = project(tape)
        assert all(np.array_equal(getattr(in_spans, name), getattr(at_once, name)) for name in (*ARRAYS, *KEPT))
        assert (in_spans.low_ticks, in_spans.high_ticks) == (at_once.low_ticks, at_once.high_ticks)


def test_changed_copy_of_a_tape_has_no_best_prices():
    """A run on the copy must not use the prices of the original."""
    tape = with_best(Tape.of(TEST, EVENTS))
    assert tape.best is not None
    assert dataclasses.replace(tape, row_lots=tape.row_lots * 2).best is None


@pytest.mark.parametrize(
    "bounds", [((1060, 1400), (1250, 1400)), ((1250, 1400), (1250, 1350)), ((1300, 1500), (1300, 1401))]
)
def test_window_of_a_window_has_best_prices_of_its_own_span(bounds):
    """Positions count from the begin of the window."""
    tape = with_best(Tape.of(TEST, EVENTS))
    inner = tape.between(*bounds[0]).between(*bounds[1])
    projected, best = project(inner), inner.best
    assert np.array_equal(inner.event_us[best.place], best.event_us)
    assert best.event_us.tolist() == projected.event_us.tolist()


def test_skipped_rows_are_counted():
    whole, best = (backtest(tape, fixed_spread(delta_ticks=1), trade_cross(), ALWAYS_ON).journal for tape in both())
    assert whole.counters["events"] == best.counters["events"] == len(EVENTS)
    assert whole.counters["rows"] == best.counters["rows"] == 9
    assert len(project(both()[0])) == len(EVENTS) - 2


def test_run_with_progress_leaves_the_same_journal():
    """A run without observers is one call of the engine; with a progress bar each hour is one call."""
    hour = 3_600 * 10**6
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)])]
    events += [(1000 + n * hour // 7, "trade", 1 - n % 2 * 2, 100 + 2 - n % 2 * 4, 3) for n in range(1, 30)]
    tape, steps = with_best(Tape.of(TEST, events)), []
    at_once, by_hours = (
        backtest(tape, fixed_spread(delta_ticks=1), trade_cross(), ALWAYS_ON, step=step).journal
        for step in (None, steps.append)
    )
    assert len(steps) == 5
    assert sum(steps) == tape.end_us - tape.start_us
    assert len(at_once.fills) > 20
    assert_same(*map(read_journal, (at_once, by_hours)))


def both():
    tape = Tape.of(TEST, EVENTS)
    return tape, with_best(tape)


@pytest.mark.parametrize("best", [False, True], ids=["whole tape", "best prices"])
def test_model_without_depth_reads_lots_at_best_prices_after_each_message(best):
    """On the whole tape, whose levels are stored only for models that read them, and on best prices."""
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)]), (1010, "depth", [(99, 2)], [(101, 3)])]
    events += [(1300, "depth", [(95, 1)], [])]
    tape, model = Tape.of(TEST, events), Shallow([(None, None)])
    backtest(with_best(tape) if best else tape, model, trade_cross(), ALWAYS_ON)
    assert [(view[3:5], view[11:13]) for view in model.seen[-1:]] == [((2, 3), (2, 3))]


@pytest.mark.parametrize("whole", [False, True], ids=["rows", "whole tape"])
def test_taken_lots_are_displayed_again_after_a_change_of_a_far_level(whole):
    """Five lots are taken at 1010, and none at 1110; a far level changes at 1150, and five are displayed again."""
    events = [EVENTS[0], (1150, "depth", [(95, 1)], []), (1180, "keyframe"), (1390, "trade", 1, 101, 1)]
    tape = with_best(Tape.of(TEST, events))
    tape = dataclasses.replace(tape) if whole else tape.kept_mapped()
    taker = Scripted([(-2, None, None, None, "IOC", "LIMIT_MAKER")])
    result = backtest(tape, taker, trade_cross(), dataclasses.replace(ALWAYS_ON, start_cash_e8=10**12))
    assert [(row[0], row[3], row[4]) for row in result.journal.fills.tolist()] == [(1010, 101, 5), (1210, 101, 5)]


@pytest.mark.parametrize("ask", [103, 101])
def test_order_between_two_days_meets_best_prices_of_the_first_day(ask):
    """It arrives before the second day's book, which continues the first one's."""
    first = Tape.of(TEST, [(1000, "snapshot", [(99, 5)], [(103, 5)]), (1001, "depth", [], [(103, 0), (ask, 5)])])
    second = Tape.of(TEST, [(1050, "snapshot", [(99, 5)], [(ask, 5)])])
    first, second = (
        dataclasses.replace(tape, meta=TapeMeta(**meta))
        for tape, meta in ((first, {"last_update_id": 7}), (second, {"carried_from": 7}))
    )
    journals = [
        backtest(days, fixed_spread(delta_ticks=0), trade_cross(), ALWAYS_ON).journal
        for days in ([first, second], [with_best(first), with_best(second)])
    ]
    assert_same(*map(read_journal, journals))
    assert ("REJECT" in [ACTIONS[action] for action in journals[1].orders[:, 2]]) == (ask == 101)


# Models that need the whole tape


class OnBook:
    def on_book(self, order, book, elapsed_us):
        return 0


class OnRest:
    def on_trade(self, order, trade):
        return 0

    def on_rest(self, order, book):
        pass


class UndeclaredDepth:
    def quote(self, view):
        return None


def needs_depth(quotes=None, fills=None, **changes):
    rules = dataclasses.replace(ALWAYS_ON, **changes)
    return PaperExchange(quotes or fixed_spread(delta_ticks=1), fills or trade_cross(), rules).needs_depth


@pytest.mark.parametrize("name", ["queue_risk_averse", "queue_prob_power", "queue_prob_log"])
def test_queue_models_need_the_whole_book(name):
    assert needs_depth(fills=FILL_MODELS[name]())
    assert needs_depth(fills=FILL_MODELS["hybrid"](models=[trade_cross(), FILL_MODELS[name]()]))


def test_python_models_need_depth_unless_declared_or_print_only():
    """A fill model that handles only prints gets no book; a quote model must declare it."""
    assert needs_depth(quotes=UndeclaredDepth())
    assert needs_depth(fills=OnBook())
    assert needs_depth(fills=OnRest())
    assert not needs_depth(quotes=Shallow([(1, 1)]))


def test_latencies_by_rate_and_recorded_feed_do_not_need_depth():
    assert not needs_depth(recorded_feed=True)
    assert not needs_depth(latencies=Latencies.of(np.array([1.0, 2.0]), None, np.array([3.0, 9.0])))


@pytest.mark.parametrize(
    ("changes", "side_files"),
    [
        ({}, ("book_rows",)),
        ({"fills": FILL_MODELS["queue_prob_log"]()}, ()),  # its book may fill an order that rests across the spread
        ({"fills": OnBook()}, ()),
        ({"recorded_feed": True}, ()),
        ({"decisions": True}, ()),
    ],
)
def test_models_with_depth_need_book_rows_with_best_prices(changes, side_files):
    """A recorded feed uses the received book; a decision contains its last event."""
    fills, quotes = changes.pop("fills", trade_cross()), Scripted([(0, 0)])
    tape = with_best(Tape.of(TEST, EVENTS)).kept_mapped()
    exchange = PaperExchange(quotes, fills, dataclasses.replace(ALWAYS_ON, **changes))
    assert exchange.needs_depth
    assert exchange.side_files(tape) == side_files


@pytest.mark.parametrize("model", [("trade_cross", False, 1.0, 0), ("queue_risk_averse",)])
@pytest.mark.parametrize(("shift", "counted"), [(-1, 6), (0, 6), (1, 9), (2, 4)])
def test_latency_by_rate_counts_events_without_best_price_changes(model, shift, counted):
    """The ask moves to 102 at 1,001,100; messages take 1 ms at up to 8 events, then 5 ms."""
    ago, now = 1_001_100 - 1_000_000, 1_001_100
    below = [(ago + shift, "depth", [(98, lots)], []) for lots in (1, 2, 3)]
    at_once = [(now + shift // 2, "depth", [(98, lots)], []) for lots in (4, 5, 6, 7, 8)]
    begin, move = (100, "snapshot", [(99, 5), (98, 9)], [(101, 5)]), (1_000_000, "depth", [(100, 1)], [])
    tape = with_best(Tape.of(TEST, [begin, *below, move, *at_once, (now + 3_000, "trade", 1, 102, 4)]))
    assert np.count_nonzero((tape.event_us > ago) & (tape.event_us <= now)) == counted
    latencies = Latencies.of(np.array([1.0, 5.0]), None, np.array([8.0, 9.0]))
    rules = dataclasses.replace(ALWAYS_ON, latencies=latencies, requote_us=1_001_000)
    for source in (tape, dataclasses.replace(tape)):
        journal = backtest(source, fixed_spread(delta_ticks=1), compiled_fills(*model), rules).journal
        assert [row[3] for row in journal.fills.tolist()] == [101 if counted > 8 else 102]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda view: view.lots_at(1, view.bid_ticks - 1), "not a best price"),
        (lambda view: Quotes(view.bid_ticks, None, bid_kind="IOC"), "may take"),
    ],
)
def test_model_that_reads_beyond_its_declared_depth_raises_model_error(answer, message):
    """On the whole tape too: stored best prices change no answer."""
    model = Shallow([])
    model.quote = answer
    for tape in both():
        with pytest.raises(ModelError, match=message):
            backtest(tape, model, trade_cross(), ALWAYS_ON)


def test_all_journal_tables_are_compared():
    assert set(TABLES) == {"orders", "fills", "state", "mids", "breaches"}


def test_forget_best_does_not_build_unused_best_prices():
    """Freeing memory must not cost the pass that builds them; used ones drop their derived arrays."""
    made = []

    def make():
        made.append(project(plain))
        return made[-1]

    plain = Tape.of(TEST, EVENTS)
    tape = plain.with_best(make)
    release_best(tape)
    assert not made
    count = len(tape.best.trades)
    assert "trades" in vars(tape.best)
    release_best(tape)
    assert "trades" not in vars(tape.best)
    assert len(tape.best.trades) == count == 2
    assert len(made) == 1
