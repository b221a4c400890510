import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from begun_runs import begun, knob_of, plan_of
from mm.commands.runs import runs_compare as compare_command
from mm.commands.runs import runs_list as list_command
from mm.commands.runs import runs_log as log_command
from mm.commands.runs import runs_show as show_command
from mm.commands.runs import write_page
from mm.errors import UsageError
from mm.runs.manifest import MANIFEST, headlines, read_manifest, shown


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_run(run_id: str, kind: str = "backtest", days: str = "20251216") -> Path:
    knobs = {
        "seed": knob_of(3),
        "order_latency_ms": knob_of(50.0, "default"),
        "day": knob_of(days),
    }
    with begun(plan_of(kind, day=days, output={"run_id": run_id}, knobs=knobs)) as run:
        run.path("fills_BTCUSDT.csv").write_text("a\n1\n")
        run.input("BTCUSDT/20251216/t.csv", 10, "aa")
        run.summary = {"pnl_total": 1.5}
    return run.folder


def call(command, *args: str) -> Result:
    return CliRunner().invoke(command, args)


def test_runs_are_listed_oldest_first():
    """Each with its headline numbers."""
    assert call(list_command).stdout == "no runs below out\n"
    first, second = make_run("one"), make_run("two", "walkforward")
    rows = json.loads(call(list_command, "--json").stdout)["runs"]
    assert [(row["kind"], row["run_id"], row["status"], row["path"]) for row in rows] == [
        ("backtest", "one", "ok", str(first)),
        ("walkforward", "two", "ok", str(second)),
    ]
    head, *lines = call(list_command).stdout.splitlines()
    assert head.split() == ["kind", "symbol", "day", "run_id", "status", "started_at", "found", "path"]
    assert [line.split()[3] for line in lines] == ["one", "two"]
    assert [line.split()[6] for line in lines] == ["pnl_total=1.5", "pnl_total=1.5"]


def test_list_names_folders_that_are_not_runs():
    """A partial folder, one without a manifest, and broken manifests: none of them stops the list."""
    make_run("one")
    for name, text in (("x.partial", "{"), ("y", None), ("z", "{"), ("v", '{"run_id": "v"}')):
        folder = Path(f"out/backtest/BTCUSDT/20251216_{name}")
        folder.mkdir()
        if text is not None:
            (folder / MANIFEST).write_text(text)
    done = call(list_command, "--json")
    listed = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [row["run_id"] for row in listed["runs"]] == ["one"]
    assert {Path(entry["path"]).name: entry["why"].partition(" (")[0] for entry in listed["others"]} == {
        "20251216_v": "not a run manifest, kind is missing; make the run again",
        "20251216_x.partial": "not finished: a run is writing it, or was killed",
        "20251216_y": "not a run, it has no run_manifest.json",
        "20251216_z": "cannot be read as a run manifest",
    }
    assert "20251216_y: not a run, it has no run_manifest.json" in call(list_command).stdout


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--kind", "walkforward"], ["two"]),
        (["--symbol", "btcusdt"], ["one", "two"]),
        (["--symbol", "ETHUSDT"], []),
        (["--day", "20251217"], ["two"]),
        (["--day", "20251216", "--kind", "backtest"], ["one"]),
    ],
)
def test_list_filters_by_kind_symbol_and_day(flags, names, monkeypatch):
    """A run of several days matches each of them; variables exported for a backtest filter nothing."""
    make_run("one")
    make_run("two", "walkforward", "20251216:20251218")
    monkeypatch.setenv("SYMBOL", "ETHUSDT")
    assert [row["run_id"] for row in json.loads(call(list_command, *flags, "--json").stdout)["runs"]] == names
    if not names:
        assert call(list_command, *flags).stdout == "no runs below out pass the filters\n"


def test_headlines_depend_on_the_kind_of_run():
    """An unknown kind shows its first numbers."""
    walked = {"pnl_total": 1.25, "n_fills": 3, "sharpe": None, "walkforward": {"segments": 48, "usable": 40}}
    summaries = {
        **dict.fromkeys(
            ("backtest", "shadow", "trade"), ({"gamma": 0.5, **walked}, "pnl_total=1.25 n_fills=3 sharpe=null")
        ),
        "walkforward": (walked, "pnl_total=1.25 n_fills=3 sharpe=null segments=48 usable=40"),
        "calibration": ({"usable": True, "status": "ok", "A": 0.123456789, "k": 0.5}, "status=ok A=0.123457 k=0.5"),
        "sweep": ({"trials": 27, "best": {"pnl_quoting": 2, "pnl_total": 5}}, "trials=27 best.pnl_quoting=2"),
        "dream": ({"best": {"PNL": 2}, "word": "x", "trials": 27}, "best.PNL=2 trials=27"),
        "schedule": ({}, "-"),
    }
    for kind, (summary, expected) in summaries.items():
        manifest = {"kind": kind, "summary": summary}
        assert " ".join(f"{name}={shown(value)}" for name, value in headlines(manifest).items()) == expected.strip("-")


def test_show_takes_a_folder_a_name_or_a_digest():
    """Or the beginning of a name or a digest; all print the same."""
    folder = make_run("one")
    digest = read_manifest(folder)["digest"]
    by_name = call(show_command, "one")
    for name in (str(folder), "on", digest, digest[:6]):
        assert call(show_command, name).stdout == by_name.stdout
    assert call(show_command, digest[:5]).exit_code == 3
    for line in (
        "backtest BTCUSDT 20251216  one  ok",
        "  seed = 3  (flag)",
        "  BTCUSDT/20251216/t.csv  10 bytes",
        "  fills_BTCUSDT.csv  1 rows",
        "  pnl_total = 1.5",
    ):
        assert line in by_name.stdout.splitlines()
    assert "order_latency_ms" not in by_name.stdout
    shown_run = json.loads(call(show_command, "one", "--json").stdout)
    assert shown_run["path"] == str(folder.resolve() / MANIFEST)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "'nobody' is neither a run folder nor a RUN_ID under out"),
        ("out", "out: not a run, it has no run_manifest.json"),
        ("one", "2 runs match 'one'"),
        ("on", "3 runs match 'on': "),
        ("", "'' is neither a run folder nor a RUN_ID under out"),
    ],
)
def test_show_rejects_unknown_and_ambiguous_names(name, message):
    """Nothing is guessed."""
    make_run("one")
    make_run("one", "walkforward")
    make_run("one_more")
    result = call(show_command, name)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"error: {message}")


def test_log_prints_the_log_of_a_run_by_level_and_text():
    """`show` prints the path of the log, and `log` its lines."""
    make_run("one")
    path = Path("out/logs/backtest/BTCUSDT/20251216/one/run.log")
    assert f"log      {path}" in call(show_command, "one").stdout
    with path.open("w") as file:
        file.write('{"ts": "s", "level": "info", "event": "run_started", "run_id": "one", "kind": "backtest"}\n')
        file.write(
            '{"ts": "t", "level": "error", "event": "run_failed", "run_id": "one", "traceback": "Trace\\nback"}\n'
        )
        file.write('{"ts": "t", "lev')
    assert call(log_command, "one", "--level", "ERROR").stdout == "t  error    run_failed\nTrace\nback\n"
    assert "s  info     run_started  kind=backtest" in call(log_command, "one").stdout.splitlines()
    assert "run_started" not in call(log_command, "one", "--search", "FAILED").stdout
    assert call(log_command, "one", "--search", "nowhere").stdout == f"no matching line in {path}\n"
    events = json.loads(call(log_command, "one", "--json", "--search", "run_").stdout)["events"]
    assert [event["event"] for event in events] == ["run_started", "run_failed"]
    path.unlink()
    assert "(no longer exists)" in call(show_command, "one").stdout
    gone = call(log_command, "one")
    assert gone.exit_code == 3
    assert "cannot be read" in gone.stderr


def test_compare_rejects_runs_without_backtest_files():
    """The message names the run and its kind."""
    make_run("one")
    make_run("two", "calibration")
    result = call(compare_command, "one", "two")
    assert result.exit_code == 3
    assert "a run of the kind backtest without the files of a backtest" in result.stderr


BROWSER = """#!/bin/sh
for word in "$@"; do
  case $word in
    --print-to-pdf=*) to=${word#*=} ;;
    file://*) from=${word#file://} ;;
  esac
done
{ printf %%PDF; cat "$from"; } > "$to"
"""


def test_a_page_is_printed_by_the_browser_of_the_machine(tmp_path, monkeypatch):
    """One file for a mail, in a folder that need not exist; nothing else is left beside it."""
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text(BROWSER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    sheet = tmp_path / "mail" / "sheet.pdf"
    write_page(sheet, "<p>sheet</p>")
    assert sheet.read_text() == "%PDF<p>sheet</p>"
    assert list(sheet.parent.iterdir()) == [sheet]


@pytest.mark.parametrize(("program", "said"), [(None, "needs a browser"), ("#!/bin/sh\necho broken >&2\n", "broken")])
def test_without_a_printed_page_the_way_out_is_a_page(tmp_path, monkeypatch, program, said):
    """No browser, or one that fails: the message names the file, and HTML."""
    if program:
        (tmp_path / "chromium").write_text(program)
        (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=rf"sheet\.pdf.*{said}.*FILE\.html|{said}.*FILE\.html"):
        write_page(tmp_path / "sheet.pdf", "<p>sheet</p>")
    assert not (tmp_path / "sheet.pdf").exists()
