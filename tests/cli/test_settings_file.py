"""Settings in files: allowed keys and values, precedence, and the message of each mistake."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm.__main__ import main
from mm.backtest.rules import Execution
from mm.cli.env_file import env_file
from mm.cli.frame import runner
from mm.cli.settings_file import settings_file
from mm.cli.task_knobs import Sweep
from mm.errors import BrokenFile, DataError, UsageError
from mm.play.knobs import Day, Models
from mm.runs.in_progress import Run
from mm.runs.manifest import read_manifest


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("MM_CONFIG", "MM_ENV_FILE", "SYMBOL", "DATA_ROOT", "ORDER_LATENCY_MS"):
        monkeypatch.delenv(name, raising=False)


def _probe(run: Run, day: Day, execution: Execution, models: Models) -> None:
    """Record the arguments."""
    run.path("seen.json").write_text(json.dumps([day.symbol, execution.order_latency_ms, models.quote_params()]))
    run.artefact = None


probe = runner("backtest", Day, Execution, Models)(_probe)


def knobs(*args: str, **variables: str) -> dict:
    result = CliRunner().invoke(probe, ["--json", *args], env=variables)
    assert result.exit_code == 0, result.output
    return read_manifest(Path(json.loads(result.stdout)["path"]).parent)["knobs"]


def toml(text: str) -> None:
    Path("mm.toml").write_text(text, encoding="utf-8")


def test_flag_beats_environment_beats_file_beats_default():
    """The manifest records the source of each value."""
    toml('symbol = "btcusdt"\n[run]\nday = 20251216\n[execution]\norder_latency_ms = 7\ncancel_latency_ms = 0.10\n')
    runs = [knobs(), knobs(ORDER_LATENCY_MS="8"), knobs("--order-latency-ms", "9", ORDER_LATENCY_MS="8")]
    latencies = [knob["order_latency_ms"] for knob in runs]
    assert [(knob["value"], knob["source"]) for knob in latencies] == [
        (7.0, "file"),
        (8.0, "environment"),
        (9.0, "flag"),
    ]
    assert runs[0]["symbol"] == {"value": "BTCUSDT", "source": "file"}
    assert runs[0]["cancel_latency_ms"] == {"value": 0.1, "source": "file"}
    assert runs[0]["requote_interval_ms"]["source"] == "default"


def test_typed_values_of_a_file_are_read_like_typed_text():
    """Lists, dates, switches, tables and decimals: nothing is lost, not even the last digit of a decimal."""
    toml(
        'grid = ["GAMMA=1,2", "SEED=3"]\nday = 2025-12-16\nfill_per_side = true\nquote_qty = 0.10000001\n'
        '[models]\nquote_params_json = { gamma = 0.5, models = [["glft", {}]] }\n'
    )
    file = settings_file(None)
    assert file is not None
    from mm.base.knobs import knobs as declared

    texts = file.texts(knob for group in (Day, Models, Sweep) for knob in declared(group))
    assert texts["grid"] == ("GAMMA=1,2", "SEED=3")
    assert (texts["day"], texts["fill_per_side"], texts["quote_qty"]) == ("20251216", "1", "0.10000001")
    assert json.loads(str(texts["quote_params_json"])) == {"gamma": 0.5, "models": [["glft", {}]]}


def test_yaml_file_is_read_like_toml():
    """Other projects keep their settings in YAML."""
    pytest.importorskip("yaml")
    Path("mm.yaml").write_text("source:\n  symbol: ethusdt\nday: [20251216, 20251217]\norder_latency_ms: 0.5\n")
    read = knobs()
    assert [read[name]["value"] for name in ("symbol", "day", "order_latency_ms")] == [
        "ETHUSDT",
        "20251216,20251217",
        0.5,
    ]
    toml("")
    with pytest.raises(UsageError, match=r"^mm.toml and mm.yaml are both in this folder"):
        settings_file(None)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('symbl = "X"', 2, "error: mm.toml: there is no knob 'symbl'; did you mean symbol?"),
        ('SYMBOL = "X"', 2, "error: mm.toml: there is no knob 'SYMBOL'; did you mean symbol?"),
        (
            "order_latency_ms = -1",
            2,
            "error: mm.toml: --order-latency-ms (ORDER_LATENCY_MS) was '-1': it must be a num",
        ),
        ("day = [20251217]\n[a]\nday = 20251216", 2, "error: mm.toml: day is set twice"),
        ("run_id = 12:00:00", 2, "error: mm.toml: run_id is datetime.time(12, 0); write text, a number"),
        ("symbol = ", 3, "error: mm.toml: cannot be read as settings (Invalid value"),
    ],
)
def test_invalid_file_gives_one_line(text, code, message):
    """It names the file, the key and the remedy."""
    toml(text)
    result = CliRunner().invoke(probe, ["--symbol", "BTCUSDT"], env={"DAY": "20251216"})
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(message)


def test_overridden_values_of_the_file_are_not_checked():
    """An invalid value in the file does not matter to a run that does not use it."""
    toml('symbol = "BTCUSDT"\nday = 20251216\norder_latency_ms = -1')
    assert knobs("--order-latency-ms", "3")["order_latency_ms"]["value"] == 3.0


def test_keys_of_other_commands_are_accepted_but_unused():
    """One file serves all commands of a project."""
    toml('symbol = "BTCUSDT"\nday = 20251216\nwindow_start = "always"\naround = 3\nscenario = "poisson"')
    assert "window_start" not in knobs()


def show(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(main, [*args, "config", "show", "--json"], env=variables)


def test_config_flag_and_variable_name_the_file_or_none():
    """--config and MM_CONFIG name a file; `none` ignores the folder's file, for example in a cron job."""
    toml('symbol = "BTCUSDT"')
    Path("other.toml").write_text('symbol = "ETHUSDT"')
    results = [show(), show("--config", "other.toml"), show(MM_CONFIG="other.toml"), show("--config", "none")]
    assert [json.loads(result.stdout)["symbol"]["value"] for result in results] == [
        "BTCUSDT",
        "ETHUSDT",
        "ETHUSDT",
        None,
    ]
    missing = show("--config", "nix.toml")
    assert (missing.exit_code, missing.stderr.count("\n")) == (3, 1)
    assert "nix.toml: there is no such file" in missing.stderr
    os.mkfifo("pipe")
    assert "read more than once" in show("--config", "pipe").stderr


def variables(**environment: str) -> dict[str, str]:
    """Those of the folder's file that count as exported."""
    found = env_file(environment)
    assert found is not None
    return dict(found.values)


def test_env_file_has_comments_behind_values_and_spaces_in_quotes():
    """As shells and containers read the same file."""
    Path(".env").write_text('A="0"  # none\nB = \'a # b\'\nC= # empty\nD=a#b\nE="a b"#c\nF=x  # "y"\n')
    assert variables() == {"A": "0", "B": "a # b", "C": "", "D": "a#b", "E": "a b", "F": "x"}


def test_quote_without_an_end_in_env_file_is_refused():
    """A symbol with a quote before it is nobody's."""
    Path(".env").write_text("A='\"b'\nSYMBOL=\"BTCUSDT\n")
    result = show()
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "error: .env:2: the quote of SYMBOL has no end; close it\n"


def test_invalid_variable_says_where_it_was_set():
    """Who forgot that it is exported, or in a file, looks for it there."""
    exported = show(ORDER_LATENCY_MS="abc")
    assert exported.stderr.startswith("error: the environment: --order-latency-ms (ORDER_LATENCY_MS) was 'abc'")
    Path(".env").write_text("ORDER_LATENCY_MS=abc\n")
    assert show().stderr.startswith("error: .env: --order-latency-ms (ORDER_LATENCY_MS) was 'abc'")


def test_env_file_ranks_between_environment_and_settings_file():
    """Its variables count as exported, and are gone when the command ends."""
    toml('symbol = "BTCUSDT"\norder_latency_ms = 1')
    Path(".env").write_text("# local\nexport ORDER_LATENCY_MS=2\nSYMBOL='ETHUSDT'\nTOKEN=a=b # mine\n")
    with_env_file = json.loads(show(MM_ENV_FILE=".env", ORDER_LATENCY_MS="3").stdout)
    assert with_env_file["order_latency_ms"] == {"value": 3.0, "source": "environment"}
    assert with_env_file["symbol"] == {"value": "ETHUSDT", "source": "environment"}
    assert json.loads(show().stdout)["symbol"] == {"value": "ETHUSDT", "source": "environment"}
    assert json.loads(show(MM_ENV_FILE="none").stdout)["symbol"] == {"value": "BTCUSDT", "source": "file"}
    assert variables(SYMBOL="") == {
        "ORDER_LATENCY_MS": "2",
        "SYMBOL": "ETHUSDT",
        "TOKEN": "a=b",
    }
    Path(".env").write_text("no variable\n")
    with pytest.raises(BrokenFile, match=r"^.env:1: 'no variable' does not set a variable; .*MM_ENV_FILE=none$"):
        env_file({})
    with pytest.raises(DataError, match="there is no such file"):
        env_file({"MM_ENV_FILE": "nix"})


def test_env_file_is_read_as_compose_reads_it():
    """The same file is handed to containers: one text must not be two values."""
    Path(".env").write_text(
        "A=${BASE}/a\nB=\"$BASE/$A\"\nC='${BASE}'\nD=a$$b\nE=${NONE:-x${BASE}}\nF=${NONE-}\n"
        'G="a\\nb\\"c\\$d"\nH="-----BEGIN\nend"\nI= spaced \n export J = 1\nK=it\\\'s\nL=${A:+set}\n'
    )
    assert variables(BASE="/b") == {
        "A": "/b/a",
        "B": "/b//b/a",
        "C": "${BASE}",
        "D": "a$b",
        "E": "x/b",
        "F": "",
        "G": 'a\nb"c$d',
        "H": "-----BEGIN\nend",
        "I": "spaced",
        "J": "1",
        "K": "it\\'s",
        "L": "set",
    }


@pytest.mark.parametrize("value", ["a$b", "${NONE}", "a$1", "cost$", "$(pwd)", "${NONE:?give one}", "${"])
def test_dollar_that_is_no_variable_is_refused_with_its_line(value):
    """Compose puts in nothing, a shell runs it: neither is what a password with a dollar means."""
    Path(".env").write_text(f"A=1\nSTATE_URL={value}\n")
    with pytest.raises(BrokenFile, match=r"^.env:2: STATE_URL: \$.* write \$\$ for a dollar, or .* single quotes$"):
        env_file({})


def test_secret_with_a_dollar_and_a_repeated_name_are_said():
    """A secret is not shown, so nobody would see that it changed."""
    Path(".env").write_text("A=1\nBINANCE_API_SECRET=a$$b\nOUT_ROOT=$$x\nA=2\n")
    found = env_file({})
    assert found is not None
    assert found.notes == (
        ".env:2: BINANCE_API_SECRET: its $ was read as docker compose reads it; single quotes keep it as it is",
        ".env:4: A is set a second time; this line counts, not line 1",
    )


def test_files_of_settings_may_begin_with_a_byte_order_mark_but_not_be_utf_16():
    """Editors write it unasked."""
    Path("mm.toml").write_text('\ufeffsymbol = "BTCUSDT"\n', encoding="utf-8")
    Path(".env").write_text("\ufefforder_latency_ms=1\r\nORDER_LATENCY_MS=2\r\n", encoding="utf-8")
    shown = json.loads(show().stdout)
    assert (shown["symbol"]["value"], shown["order_latency_ms"]["value"]) == ("BTCUSDT", 2.0)
    for name in (".env", "mm.toml"):
        Path(name).write_text("SYMBOL=1", encoding="utf-16")
        result = show()
        assert (result.exit_code, "it is UTF-16; save it as UTF-8" in result.stderr) == (3, True)
        Path(name).unlink()


@pytest.mark.parametrize(
    ("name", "text", "character"),
    [
        (".env", "OUT_ROOT=\u201cruns\u201d\n", r"U\+201C \(left double quotation mark\)"),
        (".env", "SYMBOL\u00a0=BTCUSDT\n", r"U\+00A0 \(no-break space\)"),
        (".env", "INITIAL_INVENTORY=\u22121\n", r"U\+2212 \(minus sign\)"),
        ("mm.toml", "seed =\u00a05\n", r"U\+00A0 \(no-break space\)"),
    ],
)
def test_characters_that_a_page_put_in_are_named(name, text, character):
    """They look like what they stand for."""
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(BrokenFile, match=character):
        env_file({}), settings_file(None)


def test_one_setting_twice_in_an_object_is_refused():
    """JSON keeps the last in silence."""
    result = CliRunner().invoke(probe, ["--symbol", "A", "--day", "20251216", "--quote-params-json", '{"k":1,"k":2}'])
    assert (result.exit_code, "a name twice, such as 'k'" in result.stderr) == (2, True)
