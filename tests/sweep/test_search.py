"""Searches: the space of a grid's text, and the command on a few days."""

import json

import pytest

from mm.backtest.rules import Account, Execution
from mm.errors import UsageError
from mm.play.knobs import Day, Models
from mm.play.setup import Setup
from mm.sweep.findings import PlayedPoint
from mm.sweep.search import Search, Space, held_out
from simulation import simulate_day
from support import run_mm

optuna = pytest.importorskip("optuna", reason="a search needs optuna")
SETUP = Setup(
    day=Day(symbol="SIMUSDT", day="20260105"),
    execution=Execution(),
    account=Account(),
    models=Models(quote_model="inventory_skew", fill_model="trade_cross"),
)


@pytest.mark.parametrize(
    ("text", "log", "whole"),
    [
        ("0.5..4", False, False),
        ("0.01..1", True, False),
        ("1..8", False, True),
        ("1..1000", True, True),
        ("-2..2", False, True),
    ],
)
def test_a_range_is_searched_between_its_ends(text, log, whole):
    """On a logarithmic scale from a factor of ten on, in whole numbers between whole ends."""
    space = Space.of(f"DELTA_TICKS={text};FILL_MODEL=trade_cross,price_cross", SETUP)
    found = space.ranges["DELTA_TICKS"]
    assert (found.log, found.whole) == (log, whole)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    values = [space.ask(study.ask())["DELTA_TICKS"] for _ in range(50)]
    assert all(found.low <= float(value) <= found.high for value in values)
    assert all(("." not in value) == whole for value in values) or not whole
    assert len(set(values)) > 3


@pytest.mark.parametrize(
    ("grid", "text"),
    [
        ("DELTA_TICKS=4..1", "DELTA_TICKS=4..1 is empty"),
        ("FILL_MODEL=trade_cross,price_cross", "every axis is an assumption"),
        ("DELTA_TICKS=1..4;ORDER_LATENCY_MS=1..9", "ORDER_LATENCY_MS is an assumption"),
        ("NO_SUCH=1..4", "NO_SUCH is neither a knob nor a parameter"),
    ],
)
def test_impossible_spaces_are_refused(grid, text):
    with pytest.raises(UsageError, match=text):
        Space.of(grid, SETUP)


def test_points_of_a_design_are_one_per_assumption():
    space = Space.of("DELTA_TICKS=1..9;FILL_MODEL=trade_cross,price_cross", SETUP)
    points = space.points({"DELTA_TICKS": "3"}, SETUP, "refuse", 5)
    assert [(point.number, point.texts) for point in points] == [
        (5, {"DELTA_TICKS": "3", "FILL_MODEL": "trade_cross"}),
        (6, {"DELTA_TICKS": "3", "FILL_MODEL": "price_cross"}),
    ]
    assert [point.setup.models.fill_model for point in points] == ["trade_cross", "price_cross"]


@pytest.mark.parametrize(("rank_by", "expected"), [("pnl_quoting", 1.0), ("max_drawdown", 3.0)])
def test_a_design_is_worth_its_worst_assumption(rank_by, expected):
    """The least PnL, but the largest drawdown."""
    space = Space.of("DELTA_TICKS=1..9;FILL_MODEL=trade_cross,price_cross", SETUP)

    def play(points):
        values = {"trade_cross": 1.0, "price_cross": 3.0}
        found = [values[point.texts["FILL_MODEL"]] for point in points]
        return [
            PlayedPoint(point.number, point.texts, "", "", {"summary": {rank_by: value}})
            for point, value in zip(points, found, strict=True)
        ]

    worths, *_ = Search(space, SETUP, None, play, rank_by, "refuse").worths([{"DELTA_TICKS": "3"}], SETUP, 0)
    assert worths == [expected]


@pytest.mark.parametrize(("days", "share", "held"), [(2, 0.5, 0), (3, 0.3, 1), (10, 0.3, 3), (10, 0, 0), (4, 0.9, 4)])
def test_the_last_days_are_held_out(days, share, held):
    names = [f"2026010{number}" for number in range(days)]
    seen, unseen = held_out(names, share)
    assert [*seen, *unseen] == names
    assert len(unseen) == min(held, days - 1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    for number in range(3):
        day = f"2026010{5 + number}"
        simulate_day(folder / "data", hours=1.1, seed=number, day=day)
    return folder


WORDS = ("sweep", "--symbol", "SIMUSDT", "--day", "20260105:20260107", "--search", "14", "--jobs", "1")
SETTINGS = {"INITIAL_INVENTORY": "1", "MAKER_FEE_RATE": "0", "QUOTE_MODEL": "inventory_skew"}
SETTINGS |= {
    "GRID": "DELTA_TICKS=0.5..20;SKEW_TICKS=0,1;FILL_MODEL=trade_cross,queue_prob_power",
    "FILL_MODEL": "trade_cross",
}
FRESH = ("--rank-by", "pnl_quoting", "--reuse-points", "0")


def content_of(desk, name):
    return json.loads((desk / f"out/sweep/SIMUSDT/20260105-20260107_{name}/sweep.json").read_text())


@pytest.mark.slow
def test_search_is_repeatable_and_its_best_are_played_on_days_it_did_not_see(desk):
    """All designs count as trials; what is held out equals a backtest of those days."""
    for name in ("first", "again"):
        done = run_mm(*WORDS, "--run-id", name, *FRESH, cwd=desk, **SETTINGS)
        assert done.returncode == 0, done.stderr
        assert "held out, 20260107: design" in done.stdout
    found = content_of(desk, "first")
    searched = found["search"]
    assert searched == content_of(desk, "again")["search"]
    assert (searched["designs"], searched["days"], searched["held_out_days"]) == (
        14,
        ["20260105", "20260106"],
        ["20260107"],
    )
    assert found["n_trials"] == 14
    assert len(found["rows"]) == 2 * (14 - searched["stopped"])
    worths = [row["worth"] for row in searched["history"] if row["worth"] is not None]
    best = searched["held_out"][0]
    assert best["pnl_per_day"] == pytest.approx(max(worths) / 2)
    values = {"delta_ticks": float(best["DELTA_TICKS"]), "skew_ticks": float(best["SKEW_TICKS"])}
    alone = [
        run_mm(
            *("backtest", "--symbol", "SIMUSDT", "--day", "20260107", "--json", "--fill-model", fills),
            cwd=desk,
            **(SETTINGS | {"QUOTE_PARAMS_JSON": json.dumps(values), "GRID": ""}),
        )
        for fills in ("trade_cross", "queue_prob_power")
    ]
    assert best["held_out_pnl_per_day"] == min(json.loads(done.stdout)["pnl_quoting"] for done in alone)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"SWEEP_WALKFORWARD": "1"}, "plays no schedule"),
        ({"GRID": "DELTA_TICKS=4..1"}, "is empty"),
        ({"SEARCH": "1"}, "SEARCH"),
    ],
)
def test_wrong_searches_end_with_one_line(tmp_path, more, text):
    words = [word for word in WORDS if word not in ("--search", "14")] if "SEARCH" in more else WORDS
    done = run_mm(*words, cwd=tmp_path, **(SETTINGS | more))
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1]
