"""The page of a trained agent: learning curve, and quotes by inventory and time left beside a closed form."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from mm.backtest.quotes.agent_file import OFFSETS, SIZES, AgentTerms, SavedAgent
from mm.base.arrays import Floats
from mm.base.numbers import short
from mm.report import figures
from mm.report.figures import Figure
from mm.report.frame import About, card, chart, document, header, in_row, notes, origin, tile, tiles

HEIGHT = 240
TIMES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Remaining shares of an episode, one row each."""
COLUMNS = 11
SKEW_SHARE = 0.1
"""Share of the half-spread by which a clip moves the closed form's quotes: the default of avellaneda_stoikov."""


def agent_page(agent: SavedAgent, curve: Sequence[float], about: About) -> str:
    terms, trained = agent.terms, agent.about
    days = ", ".join(trained.get("days", ()))
    line = f"agent of {escape(str(trained.get('algorithm', 'an unknown algorithm')))}, seed {trained.get('seed', '–')}"
    inventories = np.linspace(-terms.q_max, terms.q_max, COLUMNS)
    actions = actions_at(agent, inventories, TIMES)
    return document(
        f"{terms.symbol} agent",
        [
            header(terms.symbol, days, line),
            _tiles(agent, curve),
            notes(
                [
                    f"It was trained on {days or 'days that are not recorded'}: results there are in sample. "
                    "mm rl evaluate tests it on other days against benchmark strategies.",
                    "The maps show one state of the market: signals at their means, our quotes at the usual distance, "
                    "queue positions unknown. Its actions in other states depend on the signals.",
                ]
            ),
            card(
                "Learning curve",
                f"Mean {trained.get('reward', 'reward')} of an episode.",
                chart(curve_figure(curve), "too few episodes for a curve"),
            ),
            *policy_cards(terms, actions, inventories, trained.get("fit")),
            origin(about),
        ],
        about.plotly,
    )


def actions_at(agent: SavedAgent, inventories: Floats, times: Sequence[float]) -> Floats:
    """Return float64[times, inventories, 3]: bid offset, ask offset and size.

    Signals are at their means, our quotes at the usual distance, queue positions unknown.
    """
    terms = agent.terms
    rows = np.zeros((len(times), len(inventories), terms.inputs))
    own = rows[:, :, len(terms.signals) :]
    own[:, :, 0] = inventories / terms.q_max
    own[:, :, 1] = np.asarray(times)[:, None]
    own[:, :, 2:4] = 1.0
    answers = agent.network().predict(rows.reshape(-1, terms.inputs))
    if not terms.discrete:
        return np.clip(answers, -1.0, 1.0).reshape(len(times), len(inventories), 3)
    best = answers.argmax(axis=1)
    sides = np.asarray(OFFSETS)
    chosen = np.stack([sides[best % 5], sides[best // 5 % 5], np.asarray(SIZES)[best // 25]], axis=1)
    return chosen.reshape(len(times), len(inventories), 3)


def policy_cards(terms: AgentTerms, actions: Floats, inventories: Floats, fit: Any) -> list[str]:
    base = terms.distance_ticks
    unit = "ticks from the mid" if base is not None else "ticks behind the best price of its side, less one"
    own = [actions[:, :, side] * terms.max_offset_ticks + (base or 0.0) for side in (0, 1)]
    quoted = actions[:, :, 2] >= -0.5
    maps: list[tuple[str, str, Any]] = [
        (f"{name} of the agent", unit, np.where(quoted, values, np.nan))
        for name, values in zip(("Bids", "Asks"), own, strict=True)
    ]
    if fit is not None:
        hint = f"ticks from the mid: 1/k·(1 ± {SKEW_SHARE:g}·q), Avellaneda-Stoikov for a small γ, q in clips"
        closed = [(1.0 + sign * SKEW_SHARE * inventories) / fit["k"] for sign in (1.0, -1.0)]
        maps += [
            (f"{name} of the closed form", hint, np.repeat(values[None, :], len(TIMES), axis=0))
            for name, values in zip(("Bids", "Asks"), closed, strict=True)
        ]
    cells = [
        (name, hint, [[None if np.isnan(distance) else float(distance) for distance in row] for row in v])
        for name, hint, v in maps
    ]
    span = [abs(value) for *_, values in cells for value in figures.known(values)]
    across = ("inventory, clips", [short(inventory) for inventory in inventories.tolist()])
    down = ("time left", [f"{share:.0%}" for share in TIMES])
    digits = 2 if max(span, default=0.0) < 10 else 1
    cards = []
    for name, hint, values in cells:
        shown = figures.heat(
            across, down, values, span=(0.0, max(span, default=1.0)), texttemplate=f"%{{z:.{digits}f}}"
        )
        cards.append(card(name, hint, chart(shown)))
    return [in_row(*cards[at : at + 2]) for at in range(0, len(cards), 2)]


def curve_figure(curve: Sequence[float]) -> Figure | None:
    if len(curve) < 2:
        return None
    x = (np.arange(len(curve)) + 0.5) / len(curve)
    axis = figures.numbers_axis("share of the training", tickformat=".0%", hoverformat=".0%")
    line = figures.line("mean return", x, np.asarray(curve, dtype=np.float64))
    return figures.chart([line], axis, HEIGHT, title="Mean return", unit="of an episode")


def _tiles(agent: SavedAgent, curve: Sequence[float]) -> str:
    trained, terms = agent.about, agent.terms
    shown = [
        tile("Episodes", f"{trained.get('episodes', 0):,}", f"{trained.get('timesteps', 0):,} decisions"),
        tile("Decision", f"{terms.step_s:g} s", f"episodes of {terms.episode_s:,.0f} s"),
        tile("Inventory", f"± {terms.q_max:g} clips", "bound"),
    ]
    if len(curve) > 1:
        more = f"from {curve[0]:.4g} at the start"
        shown.append(tile("Reward of an episode", f"{curve[-1]:.4g}", more))
    return tiles(*shown)
