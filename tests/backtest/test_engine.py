"""The compiled engine against the plain oracle, row by row, and the engine's contract with users' models."""

import dataclasses
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import engine_chance
from engine_cases import TABLES, Case, Scripted, cases, read_journal
from engine_tapes import BEGIN_US, TEST, Teller, two_tapes
from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.quotes.steps import Gated, Mixed, PostOnly
from mm.errors import Mismatch, ModelError, UsageError
from mm.instrument import NO_FILTERS


def drawn(examples):
    """Return the settings of a test with this many drawn cases; a slow machine is no failure."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_same(engine, oracle):
    """Compare two journals, naming the first row that differs."""
    for name in TABLES:
        actual, reference = getattr(engine, name), getattr(oracle, name)
        for place, rows in enumerate(zip(actual, reference, strict=False)):
            assert rows[0] == rows[1], f"{name}, row {place}"
        assert actual[len(reference) :] == reference[len(actual) :] == [], name
    actual, reference = dict(engine.counters), dict(oracle.counters)
    expected = actual.pop("expected_fills"), reference.pop("expected_fills")
    assert expected[0] == (expected[1] if expected[1] is None else pytest.approx(expected[1], rel=1e-9, abs=1e-12))
    assert actual == reference
    assert engine.killed == oracle.killed


def assert_twins_agree(case):
    engine, engine_views = case.engine()
    oracle, oracle_views = case.oracle()
    assert_same(engine, oracle)
    assert engine_views == oracle_views


# Engine and oracle


@pytest.mark.slow
@drawn(200)
@given(cases())
def test_engine_agrees_with_oracle(case):
    """The compiled engine and the plain one leave the same journal and show quote models the same views."""
    assert_twins_agree(case)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(6))
def test_engine_agrees_with_oracle_on_busy_tapes(batch):
    """A hundred longer random cases: full queues, many orders, every kind of fill, manual orders."""
    for seed in range(100 * batch, 100 * batch + 100):
        try:
            assert_twins_agree(engine_chance.case_of(seed))
        except AssertionError as error:
            raise AssertionError(f"case_of({seed}): {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(2))
def test_engine_agrees_with_oracle_where_orders_move(batch):
    """The same cases with ORDER_MODIFY."""
    for seed in range(150 * batch, 150 * batch + 150):
        case = engine_chance.case_of(seed)
        rules = dataclasses.replace(case.rules, order_modify=True, enforce_balances=False)
        try:
            assert_twins_agree(dataclasses.replace(case, rules=rules))
        except AssertionError as error:
            raise AssertionError(f"case_of({seed}): {error}") from error


@pytest.mark.parametrize("seed", [399, 534, 1144])
def test_engine_agrees_with_oracle_on_past_failures(seed):
    """Cases that the engine once played otherwise.

    399, 534: the wanted lots, not the whole steps of an order, were compared with the room under a bound. 1144: the
    last message of a recorded feed counted as never received once the next tape was attached.
    """
    assert_twins_agree(engine_chance.case_of(seed))


LONG = {
    "trade_cross": ("trade_cross", False, 0.5, 0),
    "queue": ("queue_prob_power", 2.0),
    "poisson": None,
    "hawkes": None,
    "hybrid": ("hybrid", (("queue_prob_log",), ("trade_cross", True, 0.5, 0), ("price_cross", 0))),
}


EXCITING = {
    "mu_per_s": {"bid": 1.0, "ask": 2.0},
    "kernels": [
        {"beta_per_s": 20.0, "branching": {"bid": {"bid": 0.3, "ask": 0.1}, "ask": {"bid": 0.0, "ask": 0.2}}},
        {"beta_per_s": 0.5, "branching": {"bid": {"bid": 0.2, "ask": 0.1}, "ask": {"bid": 0.3, "ask": 0.1}}},
    ],
}


SIGMA = {"trade_cross": "rolling", "queue": "two_scale", "poisson": "ewma", "hawkes": "rolling", "hybrid": "two_scale"}


@pytest.mark.slow
@pytest.mark.parametrize("fills", LONG)
def test_engine_agrees_with_oracle_on_a_long_tape(fills):
    """Two minutes with the default latencies: timers, balances and the volatility window are all full of history."""
    chance = random.Random(5)
    teller = Teller(100, BEGIN_US)
    for _ in range(3000):
        teller.us += chance.choice([0, 0, 20_000, 50_000, 130_000])
        levels = [(chance.choice([1, -1]), chance.randint(-1, 3), chance.randint(0, 4)) for _ in range(2)]
        teller.tell(chance.choices(["depth", "trade", "snapshot", "gap"], [60, 39, 0.7, 0.3])[0], levels)
    half = teller.us - 60_000_000
    pieces = ((0, half, 1.5, 0.3, 0.9, 0.2, 0.3), (half, FOREVER, 0.5, 0.3, 4.0, 0.5, 0.4))
    drawn_fills = {"poisson": ("poisson", pieces, "micro", 9), "hawkes": ("hawkes", pieces, "mid", 9, EXCITING)}
    model = LONG[fills] or drawn_fills[fills]
    answers = ((0, 0, None, None), (0.5, 1.5, None, 2), (0, 0, None, None), (1, None, None, None))
    account = {"start_cash_e8": 20_000, "start_lots": 9, "quote_lots": 3}
    rules = Rules(TEST.tick_e8, TEST.lot_e8, sigma_window_s=60, sigma_method=SIGMA[fills], **account)
    case = Case((Tape.of(TEST, teller.events),), answers, model, rules)
    oracle, _ = case.oracle()
    assert len(oracle.fills) > 50
    assert_twins_agree(case)


# The engine against itself


class InParts:
    """An exchange whose journal is also read at every look."""

    def __init__(self, exchange):
        self.exchange, self.parts = exchange, []

    def __getattr__(self, name):
        return getattr(self.exchange, name)

    def look(self):
        self.parts.append(read_journal(self.exchange.journal()))


@st.composite
def chunked(draw):
    """A case, and the same case interrupted at some instants of its tapes."""
    case = dataclasses.replace(draw(cases()), to_end=True)
    looks = []
    for number, tape in enumerate(case.tapes):
        marks = sorted({us + offset for us in [tape.start_us, *tape.event_us.tolist()] for offset in (-1, 0, 1, 7)})
        looks += [(number, us, ("look",)) for us in draw(st.lists(st.sampled_from(marks), max_size=5))]
    manual = sorted([*case.manual, *looks], key=lambda act: (act[0], act[1] or 0))
    return case, dataclasses.replace(case, manual=tuple(manual))


@pytest.mark.slow
@drawn(60)
@given(chunked())
def test_interrupted_run_leaves_the_same_journal(pair):
    """Interruptions change nothing, and a journal read in parts equals the whole."""
    case, chunks = pair
    whole, (whole_views, whole_notes, _) = case.engine()
    resumed, (views, notes, _) = chunks.engine()
    assert_same(resumed, whole)
    assert (views, notes) == (whole_views, whole_notes)
    exchange, _ = chunks.exchange()
    in_parts = InParts(exchange)
    chunks.play(in_parts, chunks.tapes)
    in_parts.look()
    for name in TABLES:
        rows = [row for part in in_parts.parts for row in getattr(part, name)]
        assert (continued(rows) if name == "spans" else rows) == getattr(whole, name)


def continued(spans):
    """Return *spans* in which one that begins where the last one ended continues it: each look ends the one so far."""
    found = []
    for begin, end in spans:
        continues = bool(found) and found[-1][1] == begin
        found.append((found.pop()[0] if continues else begin, end))
    return found


@st.composite
def joined(draw):
    """A case of two tapes, the second continuing the book of the first, and the same as one tape of all events."""
    unit = draw(st.sampled_from([1, 3, 100_000]))
    first, second, events = draw(two_tapes(unit, True, apart=(1, 3)))
    assume(second.continues(first))
    case = draw(cases(tapes=lambda _: st.just((first, second)), units=(unit,)))
    plain = dataclasses.replace(case.rules, latencies=None, filters=NO_FILTERS, recorded_feed=False, feed_us=0)
    case = dataclasses.replace(case, rules=plain, manual=(), to_end=True)
    return case, dataclasses.replace(case, tapes=(Tape.of(TEST, events),))


@pytest.mark.slow
@drawn(60)
@given(joined())
def test_two_continuous_tapes_equal_one_tape(pair):
    """Midnight changes nothing but what is counted from the start of a tape: rates, mean prices, clock offsets."""
    two, one = pair
    (two_journal, two_views), (one_journal, one_views) = two.engine(), one.engine()
    assert_same(two_journal, one_journal)
    assert two_views == one_views


# Users' models

SNAPSHOT = (1000, "snapshot", [(99, 5)], [(101, 5)])
EVER = Intensity([(0, FOREVER, 1.0, 0.3, 1.0, 0.3, 0.3)])
TRADES = (SNAPSHOT, (1050, "trade", -1, 98, 4), (1060, "depth", [(98, 3)], []), (1150, "trade", 1, 102, 4))


class Always:
    """Quote 98 and 102."""

    def quote(self, _view):
        return Quotes(98, 102)


class Asking:
    """A quote model that answers by a function."""

    def __init__(self, answer):
        self.answer = answer

    def quote(self, view):
        return self.answer(view)


class Filling:
    """A fill model that answers trades by a function."""

    def __init__(self, answer):
        self.answer = answer

    def on_trade(self, order, trade):
        return self.answer(order, trade)


class Watching:
    """A fill model that reads the book only."""

    def __init__(self, answer):
        self.answer = answer

    def on_book(self, order, book, elapsed_us):
        return self.answer(order, book, elapsed_us)


def play(quotes, fills, *events):
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
    rules = dataclasses.replace(rules, requote_on_fill=False)
    exchange = PaperExchange(quotes, fills, rules)
    exchange.run(Tape.of(TEST, events))
    return exchange.journal()


@pytest.mark.slow
@drawn(60)
@given(cases(fills=lambda _: st.tuples(st.just("trade_cross"), st.booleans(), st.just(1.0), st.just(0))))
def test_users_fill_model_is_called_and_clipped_like_a_built_in_one(case):
    """The rule of trade_cross in three lines of Python; the engine limits its answer to the order and the print."""
    case = dataclasses.replace(case, answers=((0.5, 1, None, None),), manual=(), to_end=True, follows=False, bound=None)
    strict = case.fills[1]

    def answer(order, trade):
        return 10**6 if trade.side != order.side and order.side * (order.ticks - trade.ticks) >= strict else 0

    exchange = PaperExchange(Scripted(case.answers), Filling(answer), case.rules)
    for tape in case.tapes:
        exchange.run(tape)
    compiled, _ = case.engine()
    compiled.fills = [(*row[:6], "Filling:trade", *row[7:]) for row in compiled.fills]
    assert_same(read_journal(exchange.journal()), compiled)


def test_users_fill_model_may_fill_on_book_events():
    """Called at each book event, bids first, with the time since the order rests, then since the last call."""
    calls = []

    def answer(order, book, elapsed_us):
        calls.append((order.id, order.side, order.ticks, order.lots, order.live_us))
        calls.append((book.us, book.bid_ticks, book.ask_ticks, book.bid_lots, book.mid2_ticks, elapsed_us))
        return 3 if order.side == 1 and book.us == 1060 else 0

    journal = play(Always(), Watching(answer), *TRADES, (1170, "depth", [], [(102, 1)]))
    assert calls == [
        *[(1, 1, 98, 10, 1010), (1060, 99, 101, 5, 200, 50)],
        *[(2, -1, 102, 10, 1010), (1060, 99, 101, 5, 200, 50)],
        *[(1, 1, 98, 7, 1010), (1170, 99, 101, 5, 200, 110)],
        *[(2, -1, 102, 10, 1010), (1170, 99, 101, 5, 200, 110)],
    ]
    assert [row[:5] for row in journal.fills.tolist()] == [[1060, 1, 1, 98, 3]]
    assert journal.fill_reasons[journal.fills[0][6]] == "Watching:book"


def test_users_models_receive_trade_and_account():
    trades, views = [], []

    def answer(order, trade):
        trades.append((trade.us, trade.side, trade.ticks, trade.lots, trade.id, order.id))
        return 2

    def quote(view):
        trade = view.last_trade
        views.append((view.us, view.inventory_lots, view.quote_lots, trade and (trade.us, trade.side, trade.lots)))
        return Quotes(98, None)

    play(Asking(quote), Filling(answer), *TRADES)
    assert trades == [(1050, -1, 98, 4, 2, 1), (1150, 1, 102, 4, 4, 1)]
    assert views == [(1000, 100, 10, None), (1100, 102, 10, (1050, -1, 4))]


@pytest.mark.parametrize(
    "around",
    [PostOnly, lambda quotes: Gated(quotes, EVER), lambda quotes: Mixed([(quotes, 1)])],
)
def test_wrapped_model_receives_the_last_trade(around):
    def trades_seen_by(around):
        trades = []

        def quote(view):
            trades.append((view.us, view.last_trade and view.last_trade.id))
            return Quotes(98, None)

        play(around(Asking(quote)), TradeCross(), *TRADES)
        return trades

    alone = trades_seen_by(lambda quotes: quotes)
    assert alone == [(1000, None), (1100, 2)]
    assert trades_seen_by(around) == alone


def test_views_are_valid_during_their_call_only():
    """A view points into the engine's memory: one that was kept raises instead of showing another order."""
    kept = {}

    def quote(view):
        kept["quote"] = view
        if view.last_trade:
            kept["last_trade"] = view.last_trade
        return Quotes(98, 102)

    def on_trade(order, trade):
        kept.update(order=order, trade=trade)
        return 0

    def on_book(order, book, elapsed_us):
        kept.update(book_order=order, book=book)
        return 0

    play(Asking(quote), Filling(on_trade), *TRADES)
    play(Always(), Watching(on_book), *TRADES)
    fields = {
        "quote": "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks inventory_lots cash sigma_ticks last_trade",
        "last_trade": "us side ticks lots id",
        "order": "id side ticks lots live_us",
        "trade": "us side ticks lots id",
        "book_order": "id side ticks lots live_us",
        "book": "us bid_ticks ask_ticks bid_lots ask_lots mid2_ticks",
    }
    assert kept.keys() == fields.keys()
    for name, names in fields.items():
        for field in names.split():
            with pytest.raises(ReferenceError, match="used after its call"):
                getattr(kept[name], field)
    for name in ("quote", "book"):
        with pytest.raises(ReferenceError, match="used after its call"):
            kept[name].lots_at(1, 98)


@pytest.mark.parametrize(
    "answer",
    [7, (98, 102), Quotes("cheap", None), Quotes(float("nan"), None), Quotes(98, None, "1"), Quotes(98, None, -1)],
)
def test_invalid_answer_of_quote_model_names_the_model(answer):
    with pytest.raises(ModelError, match=r"Asking\.quote returned"):
        play(Asking(lambda _: answer), TradeCross(), *TRADES)


@pytest.mark.parametrize("answer", [-1, -0.5, float("nan"), "3", None])
def test_invalid_answer_of_fill_model_names_the_model(answer):
    with pytest.raises(ModelError, match=r"Filling\.on_trade returned"):
        play(Always(), Filling(lambda *_: answer), *TRADES)
    with pytest.raises(ModelError, match=r"Watching\.on_book returned"):
        play(Always(), Watching(lambda *_: answer), *TRADES)


@pytest.mark.parametrize(
    ("quotes", "fills", "message"),
    [
        (Asking(lambda _: 1 / 0), TradeCross(), r"Asking\.quote raised ZeroDivisionError"),
        (Always(), Filling(lambda *_: 1 / 0), r"Filling\.on_trade raised ZeroDivisionError"),
        (Always(), Watching(lambda *_: 1 / 0), r"Watching\.on_book raised ZeroDivisionError"),
    ],
)
def test_error_in_model_names_the_model_and_keeps_the_cause(quotes, fills, message):
    with pytest.raises(ModelError, match=message) as caught:
        play(quotes, fills, *TRADES)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("quotes", "fills", "near"),
    [
        (Asking(lambda view: view.bid_tick), TradeCross(), "bid_ticks"),
        (Always(), Filling(lambda _, trade: trade.lot), "lots"),
        (Always(), Filling(lambda order, _: order.lot), "lots"),
        (Always(), Watching(lambda _, book, __: book.ask_tick), "ask_ticks"),
    ],
)
def test_missing_attribute_is_told_with_the_nearest_one(quotes, fills, near):
    """Of every view that a hook receives."""
    with pytest.raises(ModelError, match=rf"has no attribute .*; did you mean {near}\?$"):
        play(quotes, fills, *TRADES)


def test_object_that_is_not_a_model_is_rejected_at_once():
    rules = Rules(TEST.tick_e8, TEST.lot_e8)
    with pytest.raises(UsageError, match="quote"):
        PaperExchange(object(), TradeCross(), rules)
    with pytest.raises(UsageError, match="on_trade"):
        PaperExchange(Always(), object(), rules)


# Incompatible tapes


def test_tape_of_another_grid_raises_mismatch():
    exchange = PaperExchange(Always(), TradeCross(), Rules(TEST.tick_e8, 2 * TEST.lot_e8))
    with pytest.raises(Mismatch, match="lot"):
        exchange.attach(Tape.of(TEST, TRADES))


def test_tape_of_the_past_raises_mismatch():
    exchange = PaperExchange(Always(), TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8))
    exchange.run(Tape.of(TEST, TRADES))
    with pytest.raises(Mismatch, match="1000"):
        exchange.attach(Tape.of(TEST, TRADES))
