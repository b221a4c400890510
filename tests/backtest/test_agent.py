"""The quote model of a trained agent."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from engine_tapes import TEST
from mm import Rules, Tape, backtest
from mm.__main__ import main
from mm.backtest.models import QUOTE_MODELS
from mm.backtest.quotes.agent_file import CHOICES, OFFSETS, SIZES, SavedAgent
from mm.backtest.quotes.simple import Agent, strategy_of
from mm.errors import Mismatch
from named import model_of
from rl_agents import agent_at, sim_day, terms

EVENTS = [
    (1_000_000, "snapshot", [(100, 50), (99, 50)], [(110, 50), (111, 50)]),
    *((1_000_000 + 100_000 * i, "depth", [(98, i)], []) for i in range(1, 40)),
]


def constant_agent(answer, agent_terms=None) -> SavedAgent:
    """Return an agent that always gives this answer."""
    agent_terms = agent_terms or terms(signals=(), means=(), scales=())
    layers = ((np.zeros((agent_terms.inputs, agent_terms.outputs)), np.array(answer, float), "identity"),)
    return SavedAgent(agent_terms, layers, {})


def first_orders(saved: SavedAgent, **changed):
    """Return side, price and quantity of the first two orders."""
    rules = Rules(
        tick_e8=TEST.tick_e8, lot_e8=TEST.lot_e8, quote_lots=4, enforce_balances=False, order_latency_us=0, **changed
    )
    orders = backtest(
        Tape.of(TEST, EVENTS), strategy_of(Agent(saved.terms, saved)), model_of("trade_cross"), rules
    ).orders
    placed = [i for i in range(len(orders)) if orders["action"][i] == "PLACE"]
    return [(orders["side"][i], orders["price"][i], orders["qty"][i]) for i in placed[:2]]


def with_test_tick(agent_terms, **changed):
    values = {name: getattr(agent_terms, name) for name in agent_terms.__dataclass_fields__}
    return type(agent_terms)(**{**values, "tick_e8": TEST.tick_e8, **changed})


NO_SIGNALS = with_test_tick(terms(signals=(), means=(), scales=()))


def first_prices(saved: SavedAgent, **changed) -> list[tuple[int, int]]:
    """Return ticks and lots of the first buy and sell."""
    tick, lot = TEST.tick_e8 * 1e-8, TEST.lot_e8 * 1e-8
    return [(round(price / tick), round(qty / lot)) for _, price, qty in first_orders(saved, **changed)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([0, 0, 0], [(99, 4), (111, 4)]),
        ([1, -1, 0], [(97, 4), (109, 4)]),
        ([-1, -0.5, 0.4], [(101, 4), (110, 4)]),
        ([9, 9, 0.5], [(97, 8), (113, 8)]),
        ([0, 0, -0.6], []),
    ],
)
def test_action_sets_offsets_and_size(answer, expected):
    """Without a fit, offsets count from one tick behind the touch: more offset is farther away; 1 is the limit."""
    assert first_prices(constant_agent(answer, NO_SIGNALS)) == expected


def test_distance_ticks_count_from_mid():
    """The mid is 105; bids are floored, asks ceiled."""
    assert first_prices(constant_agent([0, 0, 0], with_test_tick(NO_SIGNALS, distance_ticks=2.5))) == [
        (102, 4),
        (108, 4),
    ]


def test_orders_never_cross_the_spread():
    """However far inwards the offsets are, the order is a maker order when it is sent."""
    assert first_prices(constant_agent([-1, -1, 0], with_test_tick(NO_SIGNALS, max_offset_ticks=50.0))) == [
        (109, 4),
        (101, 4),
    ]


@pytest.mark.parametrize("choice", [0, 1, 7, 24, 25, 49, 74])
def test_discrete_choice_sets_offsets_and_size(choice):
    """The number of a choice is bid + 5·(ask + 5·size), the zero action first."""
    answer = np.zeros(CHOICES)
    answer[choice] = 1.0
    chosen = first_prices(constant_agent(answer, with_test_tick(NO_SIGNALS, discrete=True)))
    bid, ask, size = OFFSETS[choice % 5], OFFSETS[choice // 5 % 5], SIZES[choice // 25]
    lots = {0.0: 4, 1.0: 8, -1.0: 0}[size]
    assert chosen == ([(99 - round(2 * bid), lots), (111 + round(2 * ask), lots)] if lots else [])


def test_agent_trained_on_other_tick_size_raises_mismatch():
    """Offsets in ticks would have another meaning."""
    with pytest.raises(Mismatch, match="trained on SIMUSDT with ticks of 7"):
        first_orders(constant_agent([0, 0, 0], with_test_tick(NO_SIGNALS, tick_e8=700_000_000)))


def test_command_repeats_orders_and_rejects_changed_agent_file(tmp_path):
    """Two runs of one agent write equal orders; a changed byte or another tick gives exit code 3 and one line."""
    sim_day(tmp_path / "data")
    agent = agent_at(tmp_path / "agent.zip")
    flags = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(tmp_path / "data"), "--quote-model", "rl"]
    flags += ["--maker-fee-rate", "0"]  # a fee that the quotes cannot earn would be said in another line

    def run(path, name):
        flags_of = [*flags, "--out-root", str(tmp_path / "out"), "--run-id", name, "--sensitivity", "0"]
        return CliRunner().invoke(
            main, ["backtest", *flags_of, "--quote-params-json", json.dumps({"model_path": str(path)})]
        )

    for name in ("one", "two"):
        result = run(agent, name)
        assert result.exit_code == 0, result.output
    orders = [
        (tmp_path / f"out/backtest/SIMUSDT/20260105_{name}/orders_SIMUSDT.csv").read_bytes() for name in ("one", "two")
    ]
    assert orders[0] == orders[1]
    assert orders[0].count(b"\n") > 100
    changed = bytearray(agent.read_bytes())
    changed[300] ^= 1
    (tmp_path / "changed.zip").write_bytes(changed)
    other = agent_at(tmp_path / "other.zip", tick_e8=7_000_000)
    for path, message in (
        (tmp_path / "changed.zip", "changed"),
        (other, "ticks of 0.07"),
        (tmp_path / "none.zip", "no such"),
    ):
        result = run(path, path.stem)
        assert result.exit_code == 3, result.output
        (line,) = [line for line in result.stderr.splitlines() if " info " not in line]
        assert line.startswith("error: ")
        assert message in line


def test_rl_model_is_registered_with_model_path():
    """The registry lists it like any quote model."""
    assert [key.name for key in QUOTE_MODELS["rl"].declared.of_user()] == ["model_path"]
