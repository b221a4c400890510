"""`mm check lookahead` on models that peek, each in its way, and on correct ones."""

import json
import os
import re
import shutil
import sys
import tempfile
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from peekers import AT_IMPORT, COMPILED, PEEKERS

from fill_predictors import written
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, declared
from mm.calibration.schedule import Schedule, Segment
from mm.commands.check import lookahead
from mm.evaluate import lookahead as probe
from rl_agents import agent_at
from support import ROOT, run_python

SYMBOL, DAY = "SIMUSDT", "20260105"
FLAGS = ("--symbol", SYMBOL, "--day", DAY, "--initial-inventory", "5", "--cuts", "6", "--log-level", "ERROR")
HERE = "--skip=fresh,files"  # what needs another process
JOIN = ("--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 0}')


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with two days of three minutes, and the models."""
    folder = tmp_path_factory.mktemp("desk")
    for day in ("20260104", DAY):
        words = ["sim", "day", "--symbol", SYMBOL, "--day", day, "--hours", "0.05", "--seed", "3"]
        made = run_python("-m", "mm", *words, cwd=folder)
        assert made.returncode == 0, made.stderr
    (folder / "peeking.py").write_text(PEEKERS)
    (folder / "at_import.py").write_text(AT_IMPORT)
    return folder


@pytest.fixture(autouse=True)
def _here(desk, monkeypatch):
    """Everything runs in the desk, whose models are imported again."""
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", [str(desk), *sys.path])
    for name in ("peeking", "at_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(probe, "FILE_HORIZONS_S", (10,))
    yield
    (desk / "memory.json").unlink(missing_ok=True)


def found(*words: str, code: int | None = None) -> dict:
    """Return the answer of the command; its exit code reports whether something was found."""
    done = CliRunner().invoke(lookahead, [*words, *FLAGS, "--json"])
    assert done.exit_code in (0, 5), done.stderr
    answer = json.loads(done.stdout)
    assert done.exit_code == (0 if answer["ok"] else 5)
    assert len(done.stderr.splitlines()) == (0 if answer["ok"] else 1)
    return answer


def failed(answer: dict) -> set[str]:
    return {test for test, counts in answer["tests"].items() if counts["failed"]}


PEEKING = {
    "Reads": {"shifted", "opened"},
    "Loads": {"shifted", "opened"},
    "ReadsNatively": {"shifted"},
    "Remembers": {"repeat"},
    "RemembersOnDisk": {"repeat"},
    "Clock": {"repeat"},
    "Dice": {"repeat"},
    "Raises": {"shifted", "opened"},
}


@pytest.mark.parametrize("name", PEEKING)
def test_a_model_that_peeks_is_caught(name):
    """By whichever test its way cannot pass; a run that differs from itself is held against nothing else."""
    answer = found(f"peeking:{name}", HERE)
    assert failed(answer) == PEEKING[name]
    assert ("truncated" in answer["tests"]) == ("repeat" not in PEEKING[name])


def test_the_page_has_the_verdict_the_cuts_and_each_difference(tmp_path):
    """Its crosses are at the instants of the findings, on the day's mid."""
    page = tmp_path / "deep" / "page.html"
    answer = found("peeking:Reads", HERE, "--out", str(page))
    assert answer["page"] == str(page)
    text = unescape(page.read_text())
    for one in answer["findings"]:
        assert one["message"] in text
    for name, counts in answer["tests"].items():
        assert f"<th>{name}: " in text
        assert (counts["failed"] > 0) == (name in {"shifted", "opened"})
    (series,) = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text())
    (panel,) = json.loads(series)["panels"]
    cuts, differing = (one["tip"][0]["words"] for one in panel["marks"])
    assert len(cuts) == answer["cuts"]
    assert differing == sorted({one["test"] for one in answer["findings"] if one["at"]})
    assert ">failed</b>" in text
    honest = tmp_path / "honest.html"
    assert found(*JOIN, HERE, "--out", str(honest))["ok"]
    assert ">passed</b>" in honest.read_text()
    assert "No differences." in honest.read_text()


def test_what_it_did_when_and_what_it_knew_is_told():
    """In words that can be looked up in the run's files."""
    answer = found("peeking:Reads", HERE)
    assert answer["models"] == {"quote": "peeking:Reads", "fill": "queue_prob_power"}
    first = next(one for one in answer["findings"] if one["test"] == "shifted")
    assert first["at"] in first["message"]
    for words in ("PLACE order", "the first run:", "market: bid 99.", "ask 10", "inventory 5"):
        assert words in first["message"]
    opened = next(one for one in answer["findings"] if one["test"] == "opened")
    assert f"data/{SYMBOL}/{DAY}/trades_ws_{SYMBOL}_{DAY}.csv at " in opened["message"]
    assert "peeking.py:" in opened["message"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("Reads", {}),
        ("Reads", {"path": "data/{trades}"}),
        ("Reads", {"path": "{root}/data/{trades}"}),
        ("ReadsByVariable", {}),
        ("LooksAround", {}),
        ("Raises", {}),
    ],
)
def test_a_day_that_ends_on_the_disk_too_leaves_nothing_to_read(desk, monkeypatch, name, params):
    """By a relative path, an absolute one in its parameters, a variable, or in the memory of the process."""
    monkeypatch.setenv("DATA_ROOT", str(desk / "data"))
    place = {"trades": f"{SYMBOL}/{DAY}/trades_ws_{SYMBOL}_{DAY}.csv", "root": str(desk)}
    text = json.dumps({key: value.format(**place) for key, value in params.items()})
    answer = found(f"peeking:{name}", "--quote-params-json", text, "--skip", "fresh,shifted,opened")
    assert failed(answer) == {"files"}
    assert " before the cut: " in answer["findings"][0]["message"] or "raised" in answer["findings"][0]["message"]


def test_a_module_that_reads_when_it_is_imported_is_seen():
    """Before anybody plays."""
    assert "opened" in failed(found("at_import:ReadsAtImport", HERE))


def test_answers_by_heart_do_not_move_with_the_day(desk):
    """They were written down by their instants: a week later nothing of them fits."""
    start_us = 1_767_596_400_000_000
    answers = {str(start_us + 60_000 + 250_000 * number): (-1) ** (number // 8) for number in range(700)}
    answer = found("peeking:Knows", "--quote-params-json", json.dumps({"answers": answers}), HERE)
    assert failed(answer) == {"shifted"}


@pytest.mark.parametrize("skip", ["fresh,files", "fresh,shifted,opened"])
def test_a_fill_model_that_peeks_is_caught(skip):
    """It is known for one by its hooks; the quotes are given as to a backtest."""
    answer = found("peeking:FillsGood", *JOIN, "--skip", skip)
    assert answer["models"] == {"quote": "fixed_spread", "fill": "peeking:FillsGood"}
    assert failed(answer) == ({"shifted", "opened"} if "files" in skip else {"files"})
    assert "FILL order" in " ".join(one["message"] for one in answer["findings"])


@pytest.mark.parametrize(("name", "notes"), [("SeededDice", 0), ("TimeOfDay", 0), ("Momentum", 0), ("Reader", 1)])
def test_an_honest_model_passes(name, notes):
    """The seed, the hour, its own past and yesterday are no secrets; what it read is noted."""
    answer = found(f"peeking:{name}", HERE)
    assert failed(answer) == set()
    assert len(answer["notes"]) == notes
    assert answer["tests"]["truncated"] == answer["tests"]["perturbed"] == {"played": 6, "failed": 0}


VALUES = {
    **dict.fromkeys(("delta_ticks", "shift_ticks", "least_ticks", "per_sigma"), 1.0),
    "skew_ticks": 0.2,
    "phi": 0.01,
    "A": 0.8,
    "k": 0.35,
    "q_max": 6,
    "levels": 2,
    "step_ticks": 1,
    "window_s": 10.0,
    "coefficients": [-2.0, 0.1, 0.1, -0.5, 0.2, -0.1, 0.05, 0.3, -0.3],
    "clustering": {
        "mu_per_s": {"bid": 0.5, "ask": 0.5},
        "kernels": [{"beta_per_s": 2, "branching": {"bid": {"bid": 0.4, "ask": 0.1}, "ask": {"bid": 0, "ask": 0.5}}}],
    },
}
NESTED = {
    "mixed": {"models": [["fixed_spread", {"delta_ticks": 1}, 1], ["microprice", {"delta_ticks": 1}, 2]]},
    "steps": {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": []},
    "hybrid": {"models": [["queue_prob_power", {}], ["poisson", {"A": 0.8, "k": 0.35}]]},
}


def params(registry, name: str) -> str:
    """Return parameters with which a model of the project can be made."""
    if name in NESTED:
        return json.dumps(NESTED[name])
    if name == "rl":
        return json.dumps({"model_path": str(agent_at(Path(tempfile.mkdtemp()) / "agent.zip"))})
    if name == "predicted":
        return json.dumps({"predictor": written(Path(tempfile.mkdtemp()) / "predictor", symbol=SYMBOL, tick="0.01")})
    accepted = {one.name for one in declared(registry[name]).keys}
    return json.dumps({key: value for key, value in VALUES.items() if key in accepted})


@pytest.mark.parametrize("name", QUOTE_MODELS)
def test_every_quote_model_of_the_project_passes(name):
    """Those to come, too."""
    assert found(name, "--quote-params-json", params(QUOTE_MODELS, name), HERE)["ok"]


@pytest.mark.parametrize("name", FILL_MODELS)
def test_every_fill_model_of_the_project_passes(name):
    """With draws, queues, and orders at the touch."""
    assert found(name, "--fill-params-json", params(FILL_MODELS, name), *JOIN, HERE)["ok"]


LEANING = ["shift_by", {"signal": "micro_price", "by": 1}]


@pytest.mark.parametrize("skip", ["--skip=files", HERE])
def test_the_micro_price_is_fitted_on_the_days_before(skip):
    """As a signal, and as the signal of a step, in this process and in another: it uses nothing of the day itself."""
    answer = found("micro_price", skip)
    assert answer["ok"]
    assert answer["tests"]["truncated"] == {"played": 6, "failed": 0}
    quotes = {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": [LEANING]}
    answer = found("steps", "--quote-params-json", json.dumps(quotes), skip)
    assert answer["ok"]
    assert answer["tests"]["perturbed"] == {"played": 6, "failed": 0}
    assert ("fresh" in answer["tests"]) is (skip != HERE)


def test_without_a_day_before_the_micro_price_cannot_be_checked():
    """Its signal is defined nowhere, and the model that reads it is refused, as by a backtest."""
    quotes = {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": [LEANING]}
    words = [["micro_price"], ["steps", "--quote-params-json", json.dumps(quotes)]]
    for one, told in zip(words, ("signal micro_price has no defined value", "micro_price"), strict=True):
        done = CliRunner().invoke(lookahead, [*FLAGS, *one, "--day", "20260104"])
        assert done.exit_code == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")] or done.stderr.splitlines()
        assert told in line


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_fitted_predictor_is_checked_by_its_folder(tmp_path, side):
    """As `mm signals compute` would name it."""
    folder = written(tmp_path / "predictor", symbol=SYMBOL, tick="0.01")
    answer = found(f"{folder}:{side}", HERE)
    assert answer["ok"]
    assert answer["tests"]["shifted"] == {"played": 1, "failed": 0}


def test_the_program_says_it_in_one_line_and_ends_with_five(desk, tmp_path):
    """All tests, in processes of their own; nothing is left behind."""
    for name, code in (("Dice", 5), ("Momentum", 0)):
        words = ["-m", "mm", "check", "lookahead", f"peeking:{name}", *FLAGS]
        done = run_python(*words, cwd=desk, TMPDIR=str(tmp_path))
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == (code > 0)
        head, *lines = done.stdout.splitlines()
        assert head == f"peeking:{name}, queue_prob_power on {SYMBOL} {DAY}, 6 cuts"
        assert lines[0].split()[:2] == ["FAILED" if code else "passed", "repeat"]
        tests = [line.split()[1] for line in lines if line.startswith(("passed", "FAILED"))]
        honest = ["repeat", "fresh", "truncated", "perturbed", "shifted", "files", "opened"]
        assert tests == (["repeat", "fresh", "opened"] if code else honest)
        assert ("fresh: " in done.stderr or "repeat: " in done.stderr) == (code > 0)
        assert list(tmp_path.iterdir()) == []


def schedule(train_lag_us: int) -> dict:
    """Return a schedule of three segments over the day, each fitted on what came that long before it."""
    start_us = 1_767_596_400_000_000
    bounds = [start_us + minute * 60_000_000 for minute in range(4)]
    fitted = (0.8, 0.35, 0.1, 0.1, 50, True, "ok", "fitted", 0.0, "")
    segments = [Segment(at, end, at - 60_000_000, at - train_lag_us, *fitted) for at, end in pairwise(bounds)]
    return Schedule(SYMBOL, DAY, 0.01, 1.0, 1.0, "carry_forward", tuple(segments)).to_json()


def test_a_schedule_moves_with_the_day_and_may_not_know_what_comes(tmp_path):
    """That of a walk-forward passes; one whose segments were fitted on what came later is refused when it is read."""
    path = tmp_path / "poisson_schedule.json"
    words = ["avellaneda_stoikov", "--fill-model", "poisson", "--fill-params-file", str(path), HERE]
    path.write_text(json.dumps(schedule(50_000)))
    assert failed(found(*words)) == set()
    path.write_text(json.dumps(schedule(-1)))
    done = CliRunner().invoke(lookahead, [*words, *FLAGS])
    assert done.exit_code == 3
    assert "it would look ahead" in done.stderr


def test_a_fit_of_the_day_itself_is_told(tmp_path):
    """Its A and k know the day: no fault of a model, but worth a line."""
    made = run_python(
        "-m", "mm", "calibrate", "--symbol", SYMBOL, "--day", DAY, "--out-dir", str(tmp_path / "c"), cwd=Path()
    )
    assert made.returncode == 0, made.stderr
    words = [
        "avellaneda_stoikov",
        "--fill-model",
        "poisson",
        "--fill-params-file",
        str(tmp_path / "c/poisson_fit.json"),
    ]
    answer = found(*words, HERE)
    assert answer["ok"]
    assert any("in-sample" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["peeking:Never"], 2, "peeking:Never sends no order on SIMUSDT 20260105, so there is nothing to compare"),
        (["peeking:quotes_nothing"], 2, "no class 'quotes_nothing'"),
        (["peeking:Future"], 2, "'peeking:Future' is not a quote model or a fill model"),
        (["fixed_spred"], 2, "'fixed_spred' is neither a quote model nor a fill model; known are"),
        (["fixed_spread"], 2, "needs delta_ticks"),
        (["fixed_spread", "--day", "20260104:20260105"], 2, "this command takes one day"),
        (["fixed_spread", "--day", "20260107"], 3, "20260107"),
        (["fixed_spread", "--skip", "truncated"], 2, "--skip (CHECK_SKIP) was 'truncated'"),
        (["peeking:Reads", "--quote-params-json", '{"path": "nowhere.csv"}'], 1, "No such file"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(words, code, told):
    """As by a backtest."""
    done = CliRunner().invoke(lookahead, [*FLAGS, *words])
    assert done.exit_code == code
    assert told in done.stderr.splitlines()[0]


@pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc").split()[0]) is None and "CI" not in os.environ, reason="no C compiler here"
)
def test_a_compiled_model_that_remembers_is_caught(desk):
    """In memory of its module, out of Python's sight."""
    (desk / "quick_peeker.pyx").write_text(COMPILED)
    built = run_python("-m", "Cython.Build.Cythonize", "-i", "-3", "quick_peeker.pyx", cwd=desk, CFLAGS="-O0")
    assert built.returncode == 0, built.stderr
    assert failed(found("quick_peeker:Remembers", HERE)) == {"repeat"}
