"""Models that read only best prices and trades visit nothing else; their results are the same as with every event."""

import dataclasses
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import quote_draws
from hypothesis import given
from hypothesis import strategies as st
from plain_quotes import compiled
from test_engine import assert_same, drawn

import engine_draws
from engine_cases import TABLES, Following, Scripted, compiled_fills, read_journal
from engine_tapes import TEST, every_event, one_tape, sewn, stamped, tapes, travels
from mm import PaperExchange, Quotes, Rules, Tape, backtest
from mm.backtest.fills.intensity import Intensity
from mm.backtest.latency import Latencies
from mm.backtest.quotes.steps import Gated
from mm.errors import ModelError
from named import action_of, model_of

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
        makers = {
            "shallow": Shallow,
            "simple": compiled,
            "gated": gated,
            "avellaneda": partial(model_of, "avellaneda_stoikov"),
        }
        makers |= {"deep": Scripted, "following": Following}
        notes = []
        return makers[name](**params), compiled_fills(*self.fills, seen=notes), notes

    def played(self):
        quotes, fills, notes = self.models()
        journal = read_journal(backtest(self.tapes, quotes, fills, self.rules).journal)
        return journal, getattr(quotes, "seen", None), notes


def gated(delta_ticks, pieces):
    return Gated(model_of("fixed_spread", delta_ticks=delta_ticks), Intensity(pieces))


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
    st.just(("queue_back",)),
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
    """Windows of a tape ."""
    tape = stamped(draw(one_tape(unit))[0], *draw(travels(unit)))
    marks = [tape.start_us - 1, tape.end_us + 1, tape.end_us + unit, *tape.event_us.tolist()]
    a, b, c = sorted(draw(st.lists(st.sampled_from(marks), min_size=3, max_size=3)))
    a, b, c = min(a, tape.end_us), min(max(b, tape.start_us), tape.end_us), max(c, tape.start_us)
    return (tape.between(a, b), tape.between(b, c))[: draw(st.integers(1, 2))]


@st.composite
def cases(draw):
    unit = draw(st.sampled_from([1, 3, 100_000, 500_000]))
    whole = tapes(unit)
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
    quotes, fills, _ = case.models()
    assert not PaperExchange(quotes, fills, case.rules).needs_depth
    best, best_views, best_notes = case.played()
    with every_event():
        whole, whole_views, whole_notes = case.played()
    assert_same(best, whole)
    assert best.counters == whole.counters
    assert (best_views, best_notes) == (whole_views, whole_notes)


def test_events_and_rows_that_are_not_visited_are_counted():
    best = backtest(
        Tape.of(TEST, EVENTS), model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON
    ).journal
    with every_event():
        whole = backtest(
            Tape.of(TEST, EVENTS), model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON
        ).journal
    assert whole.counters["events"] == best.counters["events"] == len(EVENTS)
    assert whole.counters["rows"] == best.counters["rows"] == 9


def test_run_with_progress_leaves_the_same_journal():
    """A run without observers is one call of the engine; with a progress bar each hour is one call."""
    hour = 3_600 * 10**6
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)])]
    events += [(1000 + n * hour // 7, "trade", 1 - n % 2 * 2, 100 + 2 - n % 2 * 4, 3) for n in range(1, 30)]
    tape, steps = Tape.of(TEST, events), []
    at_once, by_hours = (
        backtest(tape, model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON, step=step).journal
        for step in (None, steps.append)
    )
    assert len(steps) == 5
    assert sum(steps) == tape.end_us - tape.start_us
    assert len(at_once.fills) > 20
    assert_same(*map(read_journal, (at_once, by_hours)))


BOTH = pytest.mark.parametrize("visits", [nullcontext, every_event], ids=["best prices", "every event"])


@BOTH
def test_model_without_depth_reads_lots_at_best_prices_after_each_message(visits):
    events = [(1000, "snapshot", [(99, 5)], [(101, 5)]), (1010, "depth", [(99, 2)], [(101, 3)])]
    events += [(1300, "depth", [(95, 1)], [])]
    tape, model = Tape.of(TEST, events), Shallow([(None, None)])
    with visits():
        backtest(tape, model, model_of("trade_cross"), ALWAYS_ON)
    assert [(view[3:5], view[11:13]) for view in model.seen[-1:]] == [((2, 3), (2, 3))]


def test_taken_lots_are_displayed_again_after_a_change_of_a_far_level():
    """Five lots are taken at 1010, and none at 1110; a far level changes at 1150, and five are displayed again."""
    events = [EVENTS[0], (1150, "depth", [(95, 1)], []), (1180, "keyframe"), (1390, "trade", 1, 101, 1)]
    tape = Tape.of(TEST, events)
    taker = Scripted([(-2, None, None, None, "IOC", "LIMIT_MAKER")])
    result = backtest(tape, taker, model_of("trade_cross"), dataclasses.replace(ALWAYS_ON, start_cash_e8=10**12))
    assert [(row[0], row[3], row[4]) for row in result.journal.fills.tolist()] == [(1010, 101, 5), (1210, 101, 5)]


@pytest.mark.parametrize("ask", [103, 101])
def test_order_between_two_days_meets_best_prices_of_the_first_day(ask):
    """It arrives before the second day's book, which continues the first one's."""
    first = Tape.of(TEST, [(1000, "snapshot", [(99, 5)], [(103, 5)]), (1001, "depth", [], [(103, 0), (ask, 5)])])
    second = Tape.of(TEST, [(1050, "snapshot", [(99, 5)], [(ask, 5)])])
    first, second = sewn(first, second)
    apart = dataclasses.replace(ALWAYS_ON, own_orders_meet=False)  # both quotes are at the mid
    best = backtest([first, second], model_of("fixed_spread", delta_ticks=0), model_of("trade_cross"), apart).journal
    with every_event():
        whole = backtest(
            [first, second], model_of("fixed_spread", delta_ticks=0), model_of("trade_cross"), apart
        ).journal
    assert_same(read_journal(best), read_journal(whole))
    assert ("REJECT" in map(action_of, best.orders)) == (ask == 101)


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
    return PaperExchange(
        quotes or model_of("fixed_spread", delta_ticks=1), fills or model_of("trade_cross"), rules
    ).needs_depth


@pytest.mark.parametrize("name", ["queue_back", "queue_front", "queue_prob_power", "queue_prob_log"])
def test_queue_models_need_levels_of_own_orders_alone(name):
    assert not needs_depth(fills=model_of(name))
    assert needs_depth(fills=model_of("hybrid", models=[model_of("trade_cross"), model_of(name)]))


def test_python_models_need_depth_unless_declared_or_print_only():
    """A fill model that handles only prints gets no book; a quote model must declare it."""
    assert needs_depth(quotes=UndeclaredDepth())
    assert needs_depth(fills=OnBook())
    assert needs_depth(fills=OnRest())
    assert not needs_depth(quotes=Shallow([(1, 1)]))


def test_latencies_by_rate_and_recorded_feed_do_not_need_depth():
    assert not needs_depth(recorded_feed=True)
    assert not needs_depth(latencies=Latencies.of(np.array([1.0, 2.0]), None, np.array([3.0, 9.0])))


@pytest.mark.parametrize("model", [("trade_cross", False, 1.0, 0), ("queue_back",)])
@BOTH
@pytest.mark.parametrize(("shift", "counted"), [(-1, 6), (0, 6), (1, 9), (2, 4)])
def test_latency_by_rate_counts_events_without_best_price_changes(model, shift, counted, visits):
    """The ask moves to 102 at 1,001,100; messages take 1 ms at up to 8 events, then 5 ms."""
    ago, now = 1_001_100 - 1_000_000, 1_001_100
    below = [(ago + shift, "depth", [(98, lots)], []) for lots in (1, 2, 3)]
    at_once = [(now + shift // 2, "depth", [(98, lots)], []) for lots in (4, 5, 6, 7, 8)]
    begin, move = (100, "snapshot", [(99, 5), (98, 9)], [(101, 5)]), (1_000_000, "depth", [(100, 1)], [])
    tape = Tape.of(TEST, [begin, *below, move, *at_once, (now + 3_000, "trade", 1, 102, 4)])
    assert np.count_nonzero((tape.event_us > ago) & (tape.event_us <= now)) == counted
    latencies = Latencies.of(np.array([1.0, 5.0]), None, np.array([8.0, 9.0]))
    rules = dataclasses.replace(ALWAYS_ON, latencies=latencies, requote_us=1_001_000)
    with visits():
        journal = backtest(tape, model_of("fixed_spread", delta_ticks=1), compiled_fills(*model), rules).journal
    assert [row[3] for row in journal.fills.tolist()] == [101 if counted > 8 else 102]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda view: view.lots_at(1, view.bid_ticks - 1), "not a best price"),
        (lambda view: Quotes(view.bid_ticks, None, bid_kind="IOC"), "may take"),
    ],
)
@BOTH
def test_model_that_reads_beyond_its_declared_depth_raises_model_error(answer, message, visits):
    model = Shallow([])
    model.quote = answer
    with visits(), pytest.raises(ModelError, match=message):
        backtest(Tape.of(TEST, EVENTS), model, model_of("trade_cross"), ALWAYS_ON)


def test_all_journal_tables_are_compared():
    assert set(TABLES) == {"orders", "fills", "state", "mids", "spans", "breaches"}


def test_tape_played_again_derives_its_streams_once():
    """The streams of a day take longer than its replay; of many days, those played are dropped."""
    tape, other = (Tape.of(TEST, EVENTS) for _ in range(2))
    later = tape.restamped(tape.event_us + 10_000, tape.start_us + 10_000, tape.end_us + 10_000)
    backtest(tape, model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON)
    first = tape.price_moves
    backtest(tape, model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON)
    assert tape.price_moves is first
    backtest([other, later], model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), ALWAYS_ON)
    assert "price_moves" not in vars(other)
