"""One backtest as its knobs: the words that play it, and JSON that takes it to another process."""

import json
from pathlib import Path

import pytest

from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.config import Day, Market, Models
from mm.commands.setup import Setup, users_models


def setup(day=None, **models):
    day = day or Day(symbol="SIMUSDT", day="20260105")
    return Setup(day, Market(), Execution(order_latency_ms=7.5), Account(seed=3), Models(**models))


def test_models_of_a_users_own_are_found_at_any_depth():
    """Names and parameters hold them; each is named once, in the order of their first place."""
    params = {"model": ["my.quotes:Inner", {}], "steps": [["own:Step", {"by": "own:Step"}], ["widen", {"ticks": 1}]]}
    assert users_models("my.quotes:Outer", params) == ["my.quotes:Outer", "my.quotes:Inner", "own:Step"]
    assert users_models("fixed_spread", {"at": "12:30", "path": "a/b:c"}, None, 3) == []


def test_json_brings_a_setup_to_another_folder(tmp_path, monkeypatch):
    """Paths become absolute, so that a process that runs elsewhere means the same files."""
    monkeypatch.chdir(tmp_path)
    one = setup(
        Day(symbol="SIMUSDT", day="20260105", data_root=Path("days")),
        fill_params_file=Path("fit.json"),
        quote_params_json='{"gamma": 2}',
    )
    content = json.loads(json.dumps(one.to_json()))
    again = Setup.from_json(content)
    assert (again.day.data_root, again.models.fill_params_file) == (tmp_path / "days", tmp_path / "fit.json")
    assert (again.execution, again.account, again.risk) == (one.execution, one.account, Risk())
    assert again.models.quote_params() == {"gamma": 2}
    assert again.to_json() == one.to_json()


def test_the_command_names_what_is_not_the_default():
    """As shell words; paths only where they are requested."""
    words = setup(quote_model="fixed_spread").command((), places=False)
    assert words[:2] == ["mm", "backtest"]
    pairs = dict(zip(words[2::2], words[3::2], strict=True))
    wanted = {"--symbol": "SIMUSDT", "--day": "20260105", "--order-latency-ms": "7.5", "--seed": "3"}
    assert pairs == wanted | {"--quote-model": "fixed_spread"}
    placed = setup(Day(symbol="SIMUSDT", day="20260105", data_root=Path("days")))
    assert "days" in placed.command((), places=True)
    assert "days" not in placed.command((), places=False)


def test_the_command_names_defaults_that_are_wanted():
    """By the variable of a knob, or all of them."""
    words = setup().command(("CANCEL_LATENCY_MS",), places=False)
    assert words[words.index("--cancel-latency-ms") + 1] == "25"
    every = setup().command(None, places=False)
    assert {"--cancel-latency-ms", "--maker-fee-rate", "--quote-model"} <= set(every)


OWN = ({"fill_params_json": '{"A": 1, "k": 1}'}, {"fill_params_file": Path("own.json")})


@pytest.mark.parametrize(("models", "named"), [({}, True), *((own, False) for own in OWN)])
def test_the_fit_of_a_study_is_named_where_the_setup_has_none(models, named):
    """Parameters of its own come first."""
    words = setup(**models).command((), places=False, fit=Path("fit.json"))
    assert ("fit.json" in words) is named
    assert setup(**models).fitted is not named


def test_files_count_by_content_and_knobs_by_value(tmp_path):
    """What a result depends on is either a value of ``work`` or a file."""
    table = tmp_path / "latency.csv"
    one = Setup(
        Day(symbol="SIMUSDT", day="20260105"),
        Market(),
        Execution(latency_file=table),
        Account(),
        Models(fill_params_file=tmp_path / "fit.json"),
    )
    assert one.files == [table, tmp_path / "fit.json"]
    work = one.work()
    assert "latency_file" not in work
    assert "out_root" not in work
    assert work["seed"] == 0
