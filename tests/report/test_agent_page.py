"""The page of an agent: its maps show the network's actions, beside the closed form if there is a fit."""

from dataclasses import replace

import numpy as np
import pytest

from mm.backtest.quotes.agent_file import CHOICES, OFFSETS, OWN_INPUTS, SIZES, SavedAgent
from mm.report.agent_page import TIMES, actions_at, agent_page, curve_figure, policy_cards
from mm.report.frame import About
from pages import figures_of
from rl_agents import saved, terms

INVENTORIES = np.linspace(-5.0, 5.0, 11)


def network_output(agent, inventory, left):
    """Return the network's output in plain Python: signals at their means, quotes at the usual distance."""
    values = [0.0] * len(agent.terms.signals) + [inventory / agent.terms.q_max, left, 1.0, 1.0, 0.0, 0.0]
    assert len(values) == len(agent.terms.signals) + len(OWN_INPUTS)
    for weights, biases, activation in agent.layers:
        values = [
            sum(x * w for x, w in zip(values, column, strict=True)) + b
            for column, b in zip(weights.T, biases, strict=True)
        ]
        values = [np.tanh(value) for value in values] if activation == "tanh" else values
    return values


@pytest.mark.parametrize("discrete", [False, True])
def test_actions_are_those_of_the_network(discrete):
    agent = saved(terms(discrete=discrete), hidden=4)
    actions = actions_at(agent, INVENTORIES, TIMES)
    for row, left in enumerate(TIMES):
        for column, inventory in enumerate(INVENTORIES.tolist()):
            answer = network_output(agent, inventory, left)
            if discrete:
                best = int(np.argmax(answer))
                assert len(answer) == CHOICES
                expected = [OFFSETS[best % 5], OFFSETS[best // 5 % 5], SIZES[best // 25]]
            else:
                expected = [min(max(value, -1.0), 1.0) for value in answer]
            assert actions[row, column] == pytest.approx(expected)


def test_agent_with_a_fit_is_shown_beside_the_closed_form():
    agent = saved(terms(distance_ticks=4.0))
    fitted = replace(agent, about={"fit": {"k": 0.25}, "days": ["20260105"], "reward": "pnl"})
    page = agent_page(fitted, [-3.0, -1.0, 2.5], About())
    assert [figure["data"][0]["type"] for figure in figures_of(page)] == ["scatter", *["heatmap"] * 4]
    assert "Bids of the closed form" in page
    assert "20260105" in page
    assert len(figures_of(agent_page(agent, [-3.0, 2.5], About()))) == 3


def test_withdrawn_quote_is_an_empty_cell():
    actions = np.zeros((len(TIMES), 11, 3))
    actions[0, 0, 2] = -1.0
    cards = "".join(policy_cards(terms(distance_ticks=4.0), actions, INVENTORIES, None))
    for figure in figures_of(cards):
        cells = [cell for row in figure["data"][0]["z"] for cell in row]
        assert (cells.count(None), cells.count(4.0)) == (1, len(TIMES) * 11 - 1)


def test_untrained_agent_has_a_page():
    assert "too few episodes" in agent_page(SavedAgent(terms(), saved(terms()).layers, {}), [], About())


def test_curve_of_rising_rewards_rises():
    (line,) = curve_figure([1.0, 2.0, 3.0])["data"]
    assert line["y"].tolist() == [1.0, 2.0, 3.0]
    assert line["x"] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
