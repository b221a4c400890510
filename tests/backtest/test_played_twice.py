"""One object that plays two days, time without a book, and other seams of a run."""

import random

import pytest

import mm
from engine_tapes import BEGIN_US, TEST
from extreme_player import REQUIRED_OF, inner_of, market
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.fills.base import FillModel
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, declared, gueant
from mm.base.settings import REQUIRED
from mm.errors import UsageError
from mm.sim.matching.order_log import LIMIT
from order_cases import market_log, tape_of
from rl_agents import agent_at

RULES = Rules(TEST.tick_e8, TEST.lot_e8, start_cash_e8=10**16, start_lots=10_000, quote_lots=20)
BANDS = {"widen": {"inventory": 1.0, "loss": 5.0}}


def made(build, scratch):
    """Return a registered model with its required parameters."""
    declaration = declared(build)
    own = {one.name: one for one in declaration.of_user()}
    given = {one: REQUIRED_OF[one] for one in own if own[one].default is REQUIRED and one in REQUIRED_OF}
    given |= {"A": 1.0} if "A" in own else {}
    given |= {"k": 0.5} if "k" in own else {}
    given |= inner_of(declaration.name) | BANDS.get(declaration.name, {})
    if declaration.name == "rl":
        given["model_path"] = str(agent_at(scratch / "agent.zip", tick_e8=TEST.tick_e8))
    if declaration.name in QUOTE_STEPS:
        return build(QUOTE_MODELS["fixed_spread"](delta_ticks=1), **given)
    return build(**given)


def rows(tape, quotes, fills=None):
    journal = backtest(tape, quotes, fills or FILL_MODELS["trade_cross"](), RULES).journal
    return journal.orders.tolist(), journal.fills.tolist()


@pytest.mark.parametrize("name", [*QUOTE_MODELS, *QUOTE_STEPS])
def test_quote_model_that_played_a_day_plays_as_a_new_one(tmp_path, name):
    """The same day again, and a later one: state of a run ends with it."""
    build = {**QUOTE_MODELS, **QUOTE_STEPS}[name]
    day, used = market(), made(build, tmp_path)
    later = market(86_400_000_000)
    for tape in (day, day, later, day):
        assert rows(tape, used) == rows(tape, made(build, tmp_path))


def market_of_orders():
    """Return a day with its order log, which `queue_orders` needs."""
    draw = random.Random(3)
    new = [(draw.choice((1, -1)), draw.randint(-2, 3), draw.randint(1, 6)) for _ in range(300)]
    return tape_of(market_log([(1, "submit", *order, LIMIT, 0) for order in new], 100_000), 100_000)


@pytest.mark.parametrize("name", sorted({*FILL_MODELS} - {"hawkes", "predicted"}))  # these need fits of a day
def test_fill_model_that_played_a_day_plays_as_a_new_one(tmp_path, name):
    day, used = market_of_orders() if name == "queue_orders" else market(), made(FILL_MODELS[name], tmp_path)
    assert isinstance(used, FillModel)
    for tape in (day, day):
        fresh = rows(tape, QUOTE_MODELS["fixed_spread"](delta_ticks=1), made(FILL_MODELS[name], tmp_path))
        assert rows(tape, QUOTE_MODELS["fixed_spread"](delta_ticks=1), used) == fresh


@pytest.mark.parametrize("way", ["wake", "again"])
def test_call_that_was_asked_for_survives_an_order_that_ends_without_a_book(way):
    """The book is lost while an order rests, its cancel arrives meanwhile, and the book is back before the instant."""
    events = [
        (0, "snapshot", [(99, 50)], [(101, 50)]),
        (2_000_000, "gap"),
        (3_000_000, "snapshot", [(99, 50)], [(101, 50)]),
    ]
    events += [(second * 1_000_000, "depth", [(98, second)], []) for second in range(4, 12)]
    tape = Tape.of(TEST, [(BEGIN_US + us, *rest) for us, *rest in events])
    wanted, calls = BEGIN_US + 5_500_000, []

    class Quoting:
        def quote(self, view):
            calls.append(view.us)
            return mm.Quotes(view.bid_ticks, None, again_us=wanted if view.us < wanted else None)

    class Ordering:
        def on_event(self, market, orders):
            calls.append(market.us)
            if not len(orders) and market.us < BEGIN_US + 1_000_000:
                orders.submit(1, market.bid_ticks, 20)
            if market.us < wanted:
                orders.wake(wanted)

    model = Quoting() if way == "again" else Ordering()
    mm.backtest(tape, model, requote_interval_ms=60_000, sensitivity=False, quote_qty="0.0002")
    assert wanted in calls


def test_seed_reaches_the_bootstrap():
    found = mm.backtest(market(), seed=7, sensitivity=False).summary["sharpe_bootstrap"]
    assert found["seed"] == 7


@pytest.mark.parametrize(("q_max", "delta"), [(0.3, 0.1), (0.7, 0.1), (0.6, 0.2), (1.1, 0.1)])
def test_bound_that_is_whole_but_for_rounding_is_whole_orders(q_max, delta):
    """0.3 / 0.1 is 2.9999999999999996; at the bound there is no bid, one order below it there is."""
    model = gueant(mode="stationary", q_max=q_max, delta=delta, k=0.5, A=1.0, sigma=1.0)
    orders = round(q_max / delta)
    at_bound = 10 * orders / round(10 / delta)
    assert model.distances(at_bound)[0] == float("inf")
    assert model.distances(-at_bound)[1] == float("inf")
    assert model.distances(at_bound - delta)[0] < 1e6
    with pytest.raises(UsageError, match="needs whole orders"):
        gueant(mode="stationary", q_max=q_max + delta / 3, delta=delta, k=0.5, A=1.0, sigma=1.0)


def test_no_events_of_a_feed_leave_a_tape_as_it_is():
    """Time still ends with the tape."""
    day = market()
    exchange = PaperExchange(QUOTE_MODELS["fixed_spread"](delta_ticks=2), FILL_MODELS["trade_cross"](), RULES)
    exchange.begin(day)
    exchange.feed([])
    exchange.advance(day.end_us + 3_600_000_000)
    assert exchange.journal().state[-1][0] <= day.end_us
