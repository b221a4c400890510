"""Settings that were not typed are said: those of the environment, of files, and a fit that was found by name."""

import json
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from mm.backtest.rules import Execution
from mm.base.knobs import knob, matching
from mm.cli.frame import command
from mm.terminal.console import Console


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """A setting that nobody must read."""

    alert_webhook: str | None = knob(None, matching(r".+", "text"), "Address with a token in it.")


def _main(console: Console, execution: Execution, secrets: Secrets) -> None:
    """Say two things."""
    console.print("first")
    console.print("second")
    console.set_json({"latency": execution.order_latency_ms})


main = command(Execution, Secrets)(_main)


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def lines(*words: str, **variables: str) -> list[str]:
    result = CliRunner(env=variables).invoke(main, list(words))
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_settings_of_the_environment_are_said_once_and_before_the_results():
    assert lines() == lines("--order-latency-ms", "20") == ["first", "second"]
    said = "set by environment: ORDER_LATENCY_MS=20 REQUOTE_INTERVAL_MS=100"
    assert lines(ORDER_LATENCY_MS="20", REQUOTE_INTERVAL_MS="100") == [said, "first", "second"]
    assert lines("--order-latency-ms", "30", ORDER_LATENCY_MS="20") == ["first", "second"]


def test_settings_of_files_are_said_with_the_file(tmp_path):
    (tmp_path / "mm.toml").write_text("order_latency_ms = 20\n")
    (tmp_path / ".env").write_text("CANCEL_LATENCY_MS=7\n")
    head, *_ = lines(MM_ENV_FILE=".env", REQUOTE_INTERVAL_MS="100")
    assert sorted(head.removeprefix("set by ").split("; ")) == [
        ".env: CANCEL_LATENCY_MS=7",
        "environment: REQUOTE_INTERVAL_MS=100",
        "mm.toml: ORDER_LATENCY_MS=20",
    ]
    answer = json.loads(lines("--json", MM_ENV_FILE=".env", REQUOTE_INTERVAL_MS="100")[0])
    sources = {"CANCEL_LATENCY_MS": ".env", "REQUOTE_INTERVAL_MS": "environment", "ORDER_LATENCY_MS": "mm.toml"}
    assert answer == {"latency": 20.0, "settings_from": sources}


def test_env_file_of_the_folder_is_named(tmp_path):
    """It is read without MM_ENV_FILE."""
    (tmp_path / ".env").write_text("CANCEL_LATENCY_MS=7\n")
    assert lines()[0] == "set by .env: CANCEL_LATENCY_MS=7"


def test_secrets_are_named_and_not_shown():
    head, *_ = lines(ALERT_WEBHOOK="https://example.org/abc")
    assert head == "set by environment: ALERT_WEBHOOK=…"
