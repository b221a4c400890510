"""The sensitivity of a backtest is played in a second thread, beside the run itself."""

import threading
from dataclasses import replace

import pytest

import engine_chance
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.rules import Account, Execution
from mm.commands.backtest import beside
from mm.errors import ModelError
from mm.play.knobs import Models, Sensitivity
from mm.play.market import Markets
from mm.play.play import Play
from mm.play.setup import PlayKnobs

SEED = next(seed for seed in range(500) if len(engine_chance.case_of(seed).tapes[0]) > 90)
WAIT_S = 30


def replayed(rows):
    """Return the rows of a sensitivity that are plays: the stressed one is worked out from the run."""
    return [row for row in rows if row["role"] != "stressed"]


class Python(FixedSpread):
    """A user's model: a class that no registry has."""


@pytest.fixture
def whole():
    """A backtest of two rows of further plays and more, on a busy tape."""
    return built()


def built(**knobs):
    tape = engine_chance.case_of(SEED).tapes[0]
    models = Models(**{"quote_model": "fixed_spread", "quote_params_json": '{"delta_ticks": 1}', **knobs})
    setup = PlayKnobs(execution=Execution(), account=Account(), models=models)
    return Play.of(setup, Markets([tape]), sensitivity=Sensitivity(sensitivity=True, bounds=False))


def test_sensitivity_is_played_before_the_run_has_ended(whole):
    """All further backtests end while the run has not begun, and the summary equals that of one after the other."""
    threads, ended = set(), threading.Event()
    span_us = sum(tape.end_us - tape.start_us for tape in whole.tapes)
    played = [0]

    def step(us):
        threads.add(threading.current_thread())
        played[0] += us
        if played[0] == whole.variants.plays() * span_us:
            ended.set()

    with beside(whole, step) as further:
        assert ended.wait(WAIT_S)
        result = further(whole.run_base())
    assert threading.main_thread() not in threads
    assert len(replayed(result.summary["sensitivity"]["rows"])) == whole.variants.plays() + 1
    assert result.summary == whole.run().summary
    assert played[0] == whole.variants.plays() * span_us


@pytest.mark.parametrize("alone", ["own", "many", "long"])
def test_own_model_or_large_day_is_played_after_the_run(alone, monkeypatch):
    """A user's model may share state between its instances; a large day and weeks need the memory of one play only."""
    if alone == "own":
        whole = built(quote_model=f"{__name__}:Python")
    else:
        whole = built()
        name, most = ("MANY_EVENTS", len(whole.tapes[0]) - 1) if alone == "many" else ("LONG", 0)
        monkeypatch.setattr(f"mm.play.play.{name}", most)
    threads = []
    with beside(whole, lambda _us: threads.append(threading.current_thread())) as further:
        base = whole.run_base()
        assert threads == []
        rows = further(base).summary["sensitivity"]["rows"]
    assert len(replayed(rows)) == whole.variants.plays() + 1
    assert set(threads) == {threading.main_thread()}


def test_no_further_backtest_without_sensitivity(whole):
    """The summary has no block then."""
    alone = replace(whole, sensitivity=Sensitivity(sensitivity=False, bounds=False))
    with beside(alone, pytest.fail) as further:
        assert "sensitivity" not in further(alone.run_base()).summary


def test_error_of_a_further_backtest_is_raised_with_the_summary(whole):
    """Not in the other thread, where nobody reads it."""

    def step(_us):
        raise ModelError("broken")

    with beside(whole, step) as further:
        base = whole.run_base()
        with pytest.raises(ModelError, match="broken"):
            further(base)


def test_error_of_the_run_is_raised_when_the_other_thread_has_ended(whole):
    """No thread is left that plays a run without files."""
    before = threading.active_count()
    with pytest.raises(ModelError, match="of the run"), beside(whole, lambda _us: None):
        raise ModelError("of the run")
    assert threading.active_count() == before
