"""A run folder from anyone: no command imports what it names, or opens what is no input of it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import mm
from fill_predictors import written
from mm.__main__ import main as program
from mm.live.run.live_terms import ShadowTerms
from mm.runs.manifest import MANIFEST, read_manifest, write_manifest
from rl_agents import agent_at
from support import ROOT, run_mm

SYMBOL, DAY = "SIMUSDT", "20260105"
DAYS = ["--symbol", SYMBOL, "--day", DAY]
WINDOWS = ["--wf-train-window-min", "1", "--wf-step-min", "1"]
RUNS = {
    "played": ["backtest", *DAYS, "--sensitivity", "0"],
    "measured": ["calibrate", *DAYS, "--min-exposure-s", "0.1"],
    "planned": ["schedule", *DAYS, *WINDOWS],
    "walked": ["walkforward", *DAYS, *WINDOWS],
    "swept": ["sweep", *DAYS, "--grid", "GAMMA=0.1,1", "--jobs", "1"],
    "rated": ["evaluate", *DAYS, "--jobs", "1"],
}
PLANTED = """
from pathlib import Path

Path({marker!r}).write_text("imported")


class Evil:
    def quote(self, view):
        return None

    def on_trade(self, order, trade):
        return 0


class Signal:
    def on_book(self, book):
        return 0.0
"""
EVIL = "planted:Evil"
NAMED = {  # where a manifest may name code: the knobs that do
    "quote_model": {"quote_model": EVIL},
    "blanks": {"quote_model": f" {EVIL} "},
    "fill_model": {"fill_model": EVIL},
    "step": {"quote_model": "steps", "quote_params_json": json.dumps({"model": ["glft", {}], "steps": [[EVIL, {}]]})},
    "mixed": {"quote_model": "mixed", "quote_params_json": json.dumps({"models": [[EVIL, {}, 1.0]]})},
    "escaped": {"quote_model": "mixed", "quote_params_json": '{"models": [["planted\\u003aEvil", {}, 1.0]]}'},
    "hybrid": {"fill_model": "hybrid", "fill_params_json": json.dumps({"models": [[EVIL, {}]]})},
    "measured fills": {"calib_method": "ladder", "calib_fills": EVIL},
    "leg": {"others": json.dumps({"lead": {"symbol": SYMBOL, "orders": {"quote_model": EVIL}}})},
    "grid": {"grid": f"QUOTE_MODEL={EVIL}"},
    "trusts itself": {"quote_model": EVIL, "trust": "planted.py"},
}
READERS: dict[str, list[list[str]]] = {  # what is given to each command that takes runs
    "report": [["RUN"], ["RUN", "--sensitivity", "1"]],
    "runs show": [["RUN"]],
    "runs log": [["RUN"]],
    "runs diff": [["RUN", "played"]],
    "runs compare": [["RUN", "played"]],
    "runs tag": [["RUN", "--add", "seen"]],
    "runs reproduce": [["RUN"]],
    "runs explain": [["RUN"]],
    "shadow reconcile": [["RUN"]],
    "compare": [["RUN", "played"]],
}
OTHERS = (["runs", "list"], ["runs", "export", "--out", "all.csv"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with a short day, and a run of each kind."""
    folder = tmp_path_factory.mktemp("desk")
    assert run_mm("sim", "day", *DAYS, "--hours", "0.05", "--seed", "7", cwd=folder).returncode == 0
    for name, words in RUNS.items():
        made = run_mm(*words, "--run-id", name, cwd=folder, LOG_LEVEL="ERROR")
        assert made.returncode in (0, 4), made.stderr
    shadow = folder / "out" / "shadow" / SYMBOL / f"{DAY}_shadowed"
    shutil.copytree(folder_of(folder, "played"), shadow)
    write_manifest(shadow, read_manifest(shadow) | {"kind": "shadow", "run_id": "shadowed"})
    filters = json.loads((folder / "data" / SYMBOL / DAY / "instrument.json").read_text())
    ShadowTerms(SYMBOL, DAY, filters, "99.99", "100.01", 1).write(shadow)
    return folder


@pytest.fixture
def place(desk, tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of the desk with a module whose import leaves a file."""
    folder = shutil.copytree(desk, tmp_path / "desk", symlinks=True)
    (folder / "planted.py").write_text(PLANTED.format(marker=str(marker(folder))))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield folder
    sys.modules.pop("planted", None)
    sys.path[:] = [path for path in sys.path if path != str(folder)]


def marker(place: Path) -> Path:
    return place / "was imported"


def folder_of(desk: Path, name: str) -> Path:
    return next(path.parent for path in desk.rglob(MANIFEST) if read_manifest(path.parent)["run_id"] == name)


def claim(place: Path, folder: Path, knobs: dict[str, object]) -> None:
    """Let the manifest of a run claim other knobs, keep the planted module in it, and forget its sensitivity."""
    manifest = read_manifest(folder)
    manifest["knobs"] |= {name: {"value": value, "source": "flag"} for name, value in knobs.items()}
    write_manifest(folder, manifest)
    for path in folder.rglob("summary.json"):
        summary = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in summary.items() if name != "sensitivity"}))
    for kept in (folder / "source", folder):
        kept.mkdir(exist_ok=True)
        shutil.copy(place / "planted.py", kept)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name."""

    def walk(found: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        if isinstance(found, click.Group):
            for name in found.list_commands(context):
                inside = found.get_command(context, name)
                assert inside is not None
                yield from walk(inside, (*words, name))
        yield " ".join(words), found

    context = click.Context(program)
    return walk(program, ())


def test_every_command_that_takes_a_run_is_tried_here():
    """A new one needs a row in READERS."""
    runs = {name for name, one in commands() if any(p.metavar in ("RUN", "RUN RUN…", "A") for p in one.params)}
    assert runs == set(READERS)


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("kind", [*RUNS, "shadowed"])
def test_no_command_imports_what_a_run_names(place, kind, named):
    folder = folder_of(place, kind)
    claim(place, folder, NAMED[named])
    for words, given in READERS.items():
        if words == "runs reproduce" and kind not in ("played", "measured"):
            continue  # one check for all kinds; the processes take long
        for arguments in given:
            texts = [str(folder) if one == "RUN" else one for one in arguments]
            run_mm(*words.split(), *texts, cwd=place, LOG_LEVEL="ERROR")
            assert not marker(place).exists(), (words, arguments)
    for words in OTHERS:
        assert run_mm(*words, cwd=place, LOG_LEVEL="ERROR").returncode == 0
    assert not marker(place).exists()


@pytest.mark.parametrize("kind", ["played", "walked"])
def test_page_of_a_foreign_run_is_drawn_and_says_what_is_left_out(place, kind):
    """The rest comes from its files; --trust plays the rest as well."""
    claim(place, folder_of(place, kind), {"quote_model": EVIL})
    drawn = run_mm("report", kind, cwd=place, LOG_LEVEL="ERROR")
    assert drawn.returncode == 0, drawn.stderr
    (note,) = [line for line in drawn.stdout.splitlines() if line.startswith("note: ")]
    assert "'planted:Evil'" in note
    assert "add --trust FILE" in note
    assert not marker(place).exists()
    assert run_mm("report", kind, "--trust", "planted.py", cwd=place, LOG_LEVEL="ERROR").returncode == 0
    assert marker(place).exists()


@pytest.mark.parametrize("words", [["runs", "reproduce", "played"], ["shadow", "reconcile", "shadowed"]])
def test_command_that_must_play_refuses_a_foreign_run(place, words):
    claim(place, folder_of(place, words[-1]), {"quote_model": EVIL})
    refused = run_mm(*words, cwd=place)
    assert refused.returncode == 5
    (line,) = refused.stderr.splitlines()
    assert "names code that was not trusted: 'planted:Evil'" in line
    run_mm(*words, "--trust", "planted.py", cwd=place)
    assert marker(place).exists()


def test_kept_source_is_trusted_by_its_content_alone(place):
    """A file of the same name in the current folder says nothing of the one in a foreign run, nor of its neighbours."""
    folder = folder_of(place, "played")
    claim(place, folder, {"quote_model": EVIL})
    kept = folder / "source" / "planted.py"
    kept.write_text(kept.read_text() + "\n# changed\n")
    refused = run_mm("runs", "reproduce", "played", "--trust", "planted.py", cwd=place)
    assert (refused.returncode, "source/planted.py" in refused.stderr) == (5, True)
    shutil.copy(place / "planted.py", kept)
    (kept.parent / "json.py").write_text("raise SystemExit(9)")
    refused = run_mm("runs", "reproduce", "played", "--trust", "planted.py", cwd=place)
    assert (refused.returncode, "json.py" in refused.stderr) == (5, True)
    assert not marker(place).exists()


@pytest.mark.parametrize("knob", ["fill_params_file", "latency_file"])
def test_file_that_is_no_input_of_the_run_is_not_opened(place, knob):
    """A pipe would block whoever opens it."""
    os.mkfifo(place / "pipe")
    for name in ("played", "shadowed"):
        claim(place, folder_of(place, name), {knob: "pipe"})
    assert run_mm("report", "played", cwd=place).returncode == 0
    for words in (["runs", "reproduce", "played"], ["shadow", "reconcile", "shadowed"]):
        refused = run_mm(*words, cwd=place)
        assert (refused.returncode, "which is no input of the run" in refused.stderr) == (5, True), refused.stderr


@pytest.mark.parametrize(
    ("knob", "params"),
    [
        ("quote", {"quote_model": "rl", "quote_params_json": '{"model_path": "pipe"}'}),
        ("quote", {"quote_model": "rl", "quote_params_json": '{"model_path": "other.zip"}'}),
        ("leg", {"others": json.dumps({"lead": {"symbol": SYMBOL, "orders": {"latency_file": "pipe"}}})}),
    ],
)
def test_file_in_parameters_that_is_no_input_is_not_opened(place, knob, params):
    os.mkfifo(place / "pipe")
    agent_at(place / "other.zip")
    for name in ("played", "shadowed"):
        claim(place, folder_of(place, name), params)
    assert run_mm("report", "played", cwd=place).returncode == 0
    for words in (["runs", "reproduce", "played"], ["shadow", "reconcile", "shadowed"]):
        refused = run_mm(*words, cwd=place)
        assert (refused.returncode, "which is no input of the run" in refused.stderr) == (5, True), refused.stderr


@pytest.mark.parametrize("part", ["symbol", "run_id", "output"])
def test_manifest_with_a_path_that_leaves_the_folder_is_refused(place, part):
    """A reader would take a file elsewhere for a table of the run, and an export would publish it."""
    folder = folder_of(place, "played")
    manifest = read_manifest(folder)
    if part == "output":
        manifest["outputs"][0]["path"] = "../../../../../secret.txt"
    else:
        manifest[part] = f"../{manifest[part]}"
    write_manifest(folder, manifest)
    for words in (["report"], ["runs", "show"], ["runs", "explain"], ["runs", "reproduce"]):
        refused = run_mm(*words, str(folder), cwd=place)
        assert refused.returncode == 3
        (line,) = refused.stderr.splitlines()
        assert ".." in line


class TestFilesThatNameCode:
    """A fit, a predictor and an agent are files that may come from anyone as well."""

    def refused(self, place: Path, *words: str) -> None:
        done = run_mm(*words, cwd=place, LOG_LEVEL="ERROR")
        assert done.returncode == 5, done.stderr
        (line,) = done.stderr.splitlines()
        assert "names code, planted:" in line
        assert not marker(place).exists()

    def test_fit(self, place):
        fit = folder_of(place, "measured") / "poisson_fit.json"
        content = json.loads(fit.read_text())
        content |= {"calib_fills": "hybrid", "calib_fill_params": {"models": [[EVIL, {}]]}, "usable": True}
        fit.write_text(json.dumps(content | {"status": "ok", "A": 1.0, "k": 0.3}))
        for way in (str(fit), "measured"):
            self.refused(place, "backtest", *DAYS, "--fit", way, "--fill-model", "hybrid")

    def test_predictor(self, place):
        market = {"symbol": SYMBOL, "tick": "0.01", "signals": ["imbalance_1", "spread", "planted:Signal"]}
        folder = written(place / "foreign", **market)
        params = json.dumps({"predictor": folder})
        self.refused(place, "backtest", *DAYS, "--fill-model", "predicted", "--fill-params-json", params)
        self.refused(place, "predict", "apply", folder, *DAYS)
        self.refused(place, "predict", "score", folder, *DAYS)
        assert run_mm("predict", "apply", folder, *DAYS, "--trust", "planted.py", cwd=place).returncode == 0
        assert marker(place).exists()

    def test_agent(self, place):
        agent_at(place / "agent.zip", signals=("imbalance_1", "planted:Signal"))
        words = [*DAYS, "--quote-model", "rl", "--quote-params-json", '{"model_path": "agent.zip"}']
        self.refused(place, "backtest", *words)
        self.refused(place, "rl", "evaluate", "--model-path", "agent.zip", "--symbol", SYMBOL)
        assert run_mm("backtest", *words, "--trust", "planted.py", cwd=place).returncode == 0
        assert marker(place).exists()


SCRIPT = "</script><img src=x onerror=alert(1)>"


def with_script(content):
    """Return JSON values with a script after every text that is no name of a file, an instant or a day."""
    if isinstance(content, dict):
        return {key: with_script(value) for key, value in content.items()}
    if isinstance(content, list):
        return [with_script(value) for value in content]
    return content + SCRIPT if isinstance(content, str) else content


@pytest.mark.parametrize("kind", RUNS)
def test_page_of_a_foreign_run_runs_no_script(place, kind):
    """Texts of the manifest and of the results are shown as text, in report and tear sheet."""
    folder = folder_of(place, kind)
    manifest = read_manifest(folder)
    for name in ("status", "version", "commit"):
        manifest[name] = f"{manifest[name]}{SCRIPT}"
    for name, knob in manifest["knobs"].items():
        if isinstance(knob["value"], str) and name not in ("data_root", "out_root", "day", "symbol", "grid"):
            manifest["knobs"][name] = {"value": knob["value"] + SCRIPT, "source": "flag"}
    manifest["summary"] = with_script(manifest["summary"])
    write_manifest(folder, manifest)
    drawn = 0
    for path in [*folder.rglob("summary.json"), *folder.glob("*.json")]:
        if path.name == MANIFEST:
            continue
        before = path.read_text()
        content = json.loads(before)
        for changed in (with_script(content), content | {"warnings": [SCRIPT], "reason": SCRIPT, "note": SCRIPT}):
            path.write_text(json.dumps(changed))
            for words in (["report", str(folder)], ["runs", "compare", str(folder), "played", "--out", "sheet.html"]):
                done = run_mm(*words, cwd=place, LOG_LEVEL="ERROR")
                drawn += done.returncode == 0
                assert done.returncode in (0, 2, 3), done.stderr
        path.write_text(before)
    drawn += run_mm("report", str(folder), cwd=place, LOG_LEVEL="ERROR").returncode == 0
    assert drawn
    pages = [path.read_text() for path in place.rglob("*.html")]
    assert not any("<img src=x" in page for page in pages)


@pytest.mark.parametrize("kind", RUNS)
def test_run_opened_in_python_imports_nothing(place, kind):
    folder = folder_of(place, kind)
    claim(place, folder, NAMED["quote_model"])
    run = mm.open_run(folder)
    assert run._repr_html_()
    assert run.plot() is not None
    assert list(run.lines())
    assert not marker(place).exists()
