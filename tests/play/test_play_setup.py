"""One backtest as its knobs: the shell command that plays it, and JSON that carries it to another process."""

import json
from pathlib import Path

import pytest

from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.play.knobs import Day, Models
from mm.play.setup import Setup, users_models


def setup(day=None, **models):
    day = day or Day(symbol="SIMUSDT", day="20260105")
    return Setup(day=day, execution=Execution(order_latency_ms=7.5), account=Account(seed=3), models=Models(**models))


def test_user_models_are_found_at_any_depth():
    """In names and parameters; each is listed once, in the order of first occurrence."""
    params = {"model": ["my.quotes:Inner", {}], "steps": [["own:Step", {"by": "own:Step"}], ["widen", {"ticks": 1}]]}
    assert users_models("my.quotes:Outer", params) == ["my.quotes:Outer", "my.quotes:Inner", "own:Step"]
    assert users_models("fixed_spread", {"at": "12:30", "path": "a/b:c"}, None, 3) == []


def test_json_carries_a_setup_to_another_folder(tmp_path, monkeypatch):
    """Paths become absolute, so that a process in another folder uses the same files."""
    monkeypatch.chdir(tmp_path)
    original = setup(
        Day(symbol="SIMUSDT", day="20260105", data_root=Path("days")),
        fill_params_file=Path("fit.json"),
        quote_params_json='{"gamma": 2}',
    )
    content = json.loads(json.dumps(original.to_json()))
    restored = Setup.from_json(content)
    assert (restored.day.data_root, restored.models.fill_params_file) == (tmp_path / "days", tmp_path / "fit.json")
    assert (restored.execution, restored.account, restored.risk) == (original.execution, original.account, Risk())
    assert restored.models.quote_params() == {"gamma": 2}
    assert restored.to_json() == original.to_json()


def test_command_contains_values_that_are_not_defaults():
    """As shell words; paths only where requested."""
    words = setup(quote_model="fixed_spread").command((), places=False)
    assert words[:2] == ["mm", "backtest"]
    pairs = dict(zip(words[2::2], words[3::2], strict=True))
    expected = {"--symbol": "SIMUSDT", "--day": "20260105", "--order-latency-ms": "7.5", "--seed": "3"}
    assert pairs == expected | {"--quote-model": "fixed_spread"}
    placed = setup(Day(symbol="SIMUSDT", day="20260105", data_root=Path("days")))
    assert "days" in placed.command((), places=True)
    assert "days" not in placed.command((), places=False)


def test_command_contains_requested_defaults():
    """By the variable of a knob, or all of them."""
    words = setup().command(("CANCEL_LATENCY_MS",), places=False)
    assert words[words.index("--cancel-latency-ms") + 1] == "25"
    all_words = setup().command(None, places=False)
    assert {"--cancel-latency-ms", "--maker-fee-rate", "--quote-model"} <= set(all_words)


OWN = ({"fill_params_json": '{"A": 1, "k": 1}'}, {"fill_params_file": Path("own.json")})


@pytest.mark.parametrize(("models", "included"), [({}, True), *((own, False) for own in OWN)])
def test_command_names_the_fit_of_a_study_unless_setup_has_one(models, included):
    """The setup's own parameters take precedence."""
    words = setup(**models).command((), places=False, fit=Path("fit.json"))
    assert ("fit.json" in words) is included
    assert setup(**models).fitted is not included


def test_files_count_by_content_and_knobs_by_value(tmp_path):
    """Everything that a result depends on is either a value of ``work`` or a file."""
    table = tmp_path / "latency.csv"
    configured = Setup(
        day=Day(symbol="SIMUSDT", day="20260105"),
        execution=Execution(latency_file=table),
        account=Account(),
        models=Models(fill_params_file=tmp_path / "fit.json"),
    )
    assert configured.files == [table, tmp_path / "fit.json"]
    work = configured.work()
    assert "latency_file" not in work
    assert "out_root" not in work
    assert work["seed"] == 0
