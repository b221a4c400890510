import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.backtest.rules import Account, Execution
from mm.base.knobs import axes_of, knobs
from mm.cli.task_knobs import Sweep
from mm.errors import UsageError
from mm.play.knobs import Day, Models
from mm.play.setup import Setup
from mm.sweep.grid import Point, axes_for, invalid_point, points_of

GRID = next(one for one in knobs(Sweep) if one.name == "grid")


def base(**models: str) -> Setup:
    day = Day(symbol="SIMUSDT", day="20260105")
    return Setup(day=day, execution=Execution(), account=Account(), models=Models(**models))


def points(text: str, unfit: str = "refuse", **models: str) -> list[Point]:
    setup = base(**models)
    return points_of(axes_for(text, setup), setup, unfit)


def rejection_message(text: str, **models: str) -> str:
    with pytest.raises(UsageError) as caught:
        points(text, **models)
    return str(caught.value)


VALUES = st.recursive(
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(min_size=1),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_json_value_with_separators_is_one_value(axes):
    """A list, an object or a quoted text may contain commas and semicolons."""
    text = ";".join(f"A{i}=" + ",".join(json.dumps(value) for value in values) for i, values in enumerate(axes))
    read = axes_of(text)
    assert [name for name, _ in read] == [f"A{i}" for i in range(len(axes))]
    for (_, texts), values in zip(read, axes, strict=True):
        # The quotes around a whole text are removed; its content stays unchanged.
        assert [
            json.loads(f'"{t}"') if isinstance(v, str) else json.loads(t) for t, v in zip(texts, values, strict=True)
        ] == values


@pytest.mark.parametrize(
    ("text", "intended"),
    [("A=1,2 B=3", "A=1,2;B=3"), ("A=1 QUOTE.b=3,4  c=5", "A=1;QUOTE.b=3,4;c=5"), ("A=x B=1;C=2", "A=x;B=1;C=2")],
)
def test_axes_separated_by_blanks_raise_with_the_intended_grid(text, intended):
    """A value of "2 B=3" would not be a value of anything."""
    with pytest.raises(ValueError, match=re.escape(f"write {intended!r}")):
        axes_of(text)
    assert axes_of(intended)
    assert axes_of('A=" B=3"') == [("A", (" B=3",))]


def test_grid_is_the_product_of_its_axes_last_axis_fastest():
    """The order of points, and so of ties, is that of the command."""
    grid = points("ORDER_LATENCY_MS=10,20;GAMMA=0.1,1,2")
    assert [point.number for point in grid] == [1, 2, 3, 4, 5, 6]
    assert [(point.setup.execution.order_latency_ms, point.setup.models.quote_params()["gamma"]) for point in grid] == [
        (10, 0.1), (10, 1), (10, 2), (20, 0.1), (20, 1), (20, 2)
    ]  # fmt: skip
    assert grid[4].texts == {"ORDER_LATENCY_MS": "20", "GAMMA": "1"}


def test_bare_name_is_a_knob_before_a_parameter():
    """GAMMA and QUOTE.gamma are the same parameter; FILL.x is a parameter of the fill model."""
    for name in ("GAMMA", "gamma", "QUOTE.gamma", "quote.GAMMA"):
        assert points(f"{name}=0.5")[0].setup.models.quote_params() == {"gamma": 0.5}
    point = points("FILL.exponent=2", fill_model="queue_prob_power")[0]
    assert point.setup.models.fill_params() == {"exponent": 2}
    assert points("EXPONENT=2", fill_model="queue_prob_power")[0].setup == point.setup


def test_axis_adds_to_given_parameters():
    """QUOTE_PARAMS_JSON holds for every point unless the axis overrides it; it may be an axis itself."""
    given_params = {"quote_params_json": '{"gamma": 3, "k": 0.5}'}
    assert points("GAMMA=1", **given_params)[0].setup.models.quote_params() == {"gamma": 1, "k": 0.5}
    grid_points = points('QUOTE_PARAMS_JSON={"gamma": 1, "k": 2},{"gamma": 2};HORIZON_S=10')
    assert [point.setup.models.quote_params() for point in grid_points] == [
        {"gamma": 1, "horizon_s": 10, "k": 2}, {"gamma": 2, "horizon_s": 10}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "models", "message"),
    [
        ("GAMMX=1", {}, "GAMMX is neither a knob nor a parameter of the models; did you mean GAMMA"),
        ("ORDER_LATENCY=1", {}, "did you mean ORDER_LATENCY_MS or "),
        ("NO_SUCH=1", {"quote_model": "glft"}, "mm models glft and mm models queue_prob_power parameters"),
        ("GAMMA=1;QUOTE.gamma=2", {}, "axis QUOTE.gamma was given twice"),
        ("SEED=1;seed=2", {}, "axis SEED was given twice"),
        ("DAY=20260105,20260106", {}, "DAY cannot be an axis, because all points must use one tape"),
        ("TICK_SIZE=1", {}, "TICK_SIZE cannot be an axis"),
        ("ORDER_LATENCY_MS=1,-1", {}, "order_latency_ms was '-1': it must be a number between 0"),
        ("SEED=1.5", {}, "seed was '1.5': it must be a whole number"),
        ("FILL_MODEL=trade_cros", {}, "did you mean trade_cross?"),
        ("K=1", {"fill_model": "poisson"}, "K is a parameter of quotes and of fills; write QUOTE.k or FILL.k"),
        ("QUOTE.gama=1", {}, "no model takes QUOTE.gama"),
        ("FILL.share=1", {}, "no model takes FILL.share; fill model queue_prob_power takes"),
        ("GAMMA=1;QUOTE_MODEL=avellaneda_stoikov,fixed_spread", {}, "QUOTE_MODEL=fixed_spread is invalid"),
        (";".join(f"{name}={','.join(map(str, range(20)))}" for name in ("SEED", "GAMMA", "K", "HORIZON_S")), {},
         "160,000 points, more than the 20,000 of one sweep"),
    ],
)  # fmt: skip
def test_invalid_grid_is_rejected(text, models, message):
    """The message names the axis and a valid alternative."""
    assert message in rejection_message(text, **models)


def test_unknown_axis_is_not_answered_with_every_knob():
    """The few nearest, and the commands that list all."""
    assert sum((knob.variable in rejection_message("ORDER_LATENC=1")) for knob in knobs(Execution)) <= 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an axis with values"),
        ("GAMMA", "'GAMMA' is not an axis with values"),
        ("=1,2", "is not an axis with values"),
        ("GAMMA=", "axis GAMMA has no value"),
        ("GAMMA=1,,2", "axis GAMMA has an empty value"),
        ("GAMMA=[1,2", "brackets without an end"),
        ('MODE="rolling', "a quote without an end"),
    ],
)
def test_unreadable_grid_is_rejected(text, message):
    """The message names flag and variable, and shows the form."""
    with pytest.raises(UsageError, match=r"^grid was .*NAME=value,value") as caught:
        GRID.read(text)
    assert message in str(caught.value)


def test_parameter_that_a_model_lacks_can_be_left_out():
    """Models of different parameters share a grid; the points of a model without the axis are equal."""
    text = "QUOTE_MODEL=avellaneda_stoikov,fixed_spread;GAMMA=0.1,1;DELTA_TICKS=1,2"
    grid_points = points(text, "leave_out")
    assert len(grid_points) == 8
    assert len({point.setup for point in grid_points}) == 4
    assert [point.texts["GAMMA"] for point in grid_points[:4]] == ["0.1", "0.1", "1", "1"]
    assert {(point.texts["GAMMA"], point.texts["DELTA_TICKS"]) for point in grid_points[4:]} == {("", "1"), ("", "2")}


def test_command_of_a_point_contains_all_that_differs(tmp_path):
    """Pasted into any shell it plays this point: values of an axis are included even if they are the default."""
    setup = base(quote_model="fixed_spread", quote_params_json='{"delta_ticks": 2}')
    axes = axes_for("FILL_MODEL=trade_cross,price_cross;LATENCY_FILE=a b.csv", setup)
    point = points_of(axes, setup, "refuse")[0]
    assert point.setup.command(point.texts, places=False) == [
        "mm", "backtest", "--symbol", "SIMUSDT", "--day", "20260105", "--latency-file", "a b.csv",
        "--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}', "--fill-model", "trade_cross",
    ]  # fmt: skip
    moved = replace(setup, day=Day(symbol="S", day="20260105", data_root=tmp_path))
    assert "--data-root" in moved.command((), places=True)
    assert "--data-root" not in moved.command((), places=False)


def test_setup_survives_json():
    """Paths are absolute paths again, since another process may run in another folder."""
    setup = base(fill_params_file=Path("fit.json"))
    restored = Setup.from_json(json.loads(json.dumps(setup.to_json())))
    assert restored.models.fill_params_file == Path.cwd() / "fit.json"
    assert restored.day.data_root == Path.cwd() / "data"
    assert (restored.execution, restored.account, restored.market) == (setup.execution, setup.account, setup.market)


def test_range_in_a_grid_names_the_search():
    """A range is an axis of a search alone."""
    with pytest.raises(UsageError, match=r"GAMMA=0\.01\.\.1 is a range.*search"):
        axes_for("GAMMA=0.01..1", Models())


@pytest.mark.parametrize(
    ("value", "way"), [("1:5", "1..5"), ("5-2e1", "5..2e1"), ("1:0.5:2", "1..2"), ("1 2 3", "1,2,3")]
)
def test_a_range_of_another_kind_names_how_it_is_written(value, way):
    """Of a knob and of a model's parameter; names and hours that look alike are no ranges."""
    assert f"QUOTE_LEVELS={way}" in rejection_message(f"QUOTE_LEVELS={value}")
    assert f"GAMMA={way}" in str(invalid_point({"GAMMA": value}, UsageError("no number")))
    assert str(invalid_point({"GAMMA": "09:30-16:00"}, UsageError("none"))).endswith("none")


def test_an_axis_over_any_knob_of_a_group_reaches_its_points() -> None:
    """A knob of each group that may be swept: timers, account, margin, models, limits."""
    for text, group, values in (
        ("REQUOTE_INTERVAL_MS=100,200", "execution", [100.0, 200.0]),
        ("INITIAL_CASH=10,20", "account", ["10", "20"]),
        ("LEVERAGE=3,50", "margin", [3, 50]),
        ("QUOTE_LEVELS=1,2", "models", [1, 2]),
        ("MAX_POSITION=1,2", "risk", ["1", "2"]),
    ):
        found, name = points(text), text.partition("=")[0].lower()
        assert [getattr(getattr(point.setup, group), name) for point in found] == values
        assert len({str(point.setup.work()) for point in found}) == 2
