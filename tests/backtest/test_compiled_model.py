"""A user's compiled model in its own file: the example of docs/models.md, word for word, and possible errors."""

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, play, sold
from test_glft_grid import RULES, market

from mm import PaperExchange, Rules, Tape
from mm import backtest as run
from mm.backtest.fills.base import TradeCross
from mm.backtest.fills.intensity import Hybrid, Intensity, IntensityPiece
from mm.backtest.quotes.steps import Gated
from mm.errors import ModelError
from mm.instrument import Instrument
from support import ROOT, run_python

PAGE = ROOT / "docs" / "models.md"
SECTION = "## Your own compiled model"
WRONG = """
from libc.stdint cimport int64_t

from mm.backtest.engine._own_orders cimport Ended
from mm.backtest.fills.base cimport LIMIT_MAKER, NEEDS_TRADES, FillModel, Order, Trade
from mm.backtest.quotes.base cimport QuoteModel, View, Want
from mm.backtest.strategy cimport Strategy


cdef class Broken(FillModel):
    def __init__(self) -> None:
        self.needs = NEEDS_TRADES

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        with gil:
            return {}["no such lots"]


cdef class Minus(FillModel):
    def __init__(self) -> None:
        self.needs = NEEDS_TRADES

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        return -1


cdef class Touchy(FillModel):
    def __init__(self, share: float) -> None:
        if share > 1:
            raise ValueError(f"share is {share}; it must be 1 or less")


cdef class Flagged(FillModel):
    def __init__(self) -> None:
        self.needs_trades = True


cdef class Fails(QuoteModel):
    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        with gil:
            raise LookupError("no quotes today")


cdef class Follows(Strategy):
    # Keeps one bid at the best price: sends it, cancels it once it is off, and counts its ends.

    cdef readonly int64_t ends

    cdef int on_end(self, const View* view, const Ended* ended) except -1 nogil:
        self.ends += 1
        return 0

    cdef int on_event(self, const View* view) except -1 nogil:
        if self.count() == 0:
            self.submit(1, view.top.bid_ticks, 2, LIMIT_MAKER)
        elif self.order_at(0).ticks != view.top.bid_ticks:
            self.cancel(self.order_at(0).id)
        self.wake_on_best = True
        return 0
"""


def compiler() -> str | None:
    """Return the C compiler that builds extensions here, None if it is not installed."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return shutil.which(command.split()[0])


pytestmark = pytest.mark.skipif(
    (compiler() is None or find_spec("Cython") is None) and "CI" not in os.environ,
    reason="no C compiler or no cython here; a compiled model of one's own needs both",
)


def code_block(language: str) -> str:
    """Return the block in that language from the page's section."""
    section = PAGE.read_text(encoding="utf-8").split(f"{SECTION}\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return block


def commands() -> list[str]:
    """Return the commands of the section as they are typed."""
    joined = code_block("console").replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def run_line(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the page in a folder, with this interpreter's programs and this checkout's package."""
    line = command.replace("cythonize ", f"{sys.executable} -m Cython.Build.Cythonize ", 1)
    line = re.sub(r"(^| )mm backtest", rf"\1{sys.executable} -m mm backtest", line, count=1)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CFLAGS": "-O0"}
    return subprocess.run(line, shell=True, cwd=folder, env=env, text=True, capture_output=True, check=False)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with a simulated day, the page's model and some faulty models, all compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    day = ["sim", "day", "--symbol", "NEXOUSDT", "--day", "20240724", "--hours", "0.1", "--scenario", "poisson"]
    simulated = run_python("-m", "mm", *day, cwd=folder)
    assert simulated.returncode == 0, simulated.stderr
    (folder / "quick_models.pyx").write_text(code_block("cython"), encoding="utf-8")
    (folder / "wrong_models.pyx").write_text(WRONG, encoding="utf-8")
    for file in ("quick_models.pyx", "wrong_models.pyx"):
        built = run_line(commands()[0].replace("quick_models.pyx", file), folder)
        assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_compiled_model_of_docs_page_fills_by_its_own_rule(desk):
    """Built and run by the page's own commands; its rule is the only reason of all fills."""
    result = run_line(commands()[1], desk)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "out/backtest/NEXOUSDT/20240724_quick/summary.json"
    with next(desk.rglob("fills_NEXOUSDT.csv")).open(newline="", encoding="utf-8") as file:
        fills = list(csv.DictReader(file))
    assert fills
    assert {row["reason"] for row in fills} == {"ThroughOrOld:trade"}


def backtest(desk, fills, params):
    """Run a backtest with a compiled fill model in the desk folder."""
    return run_python(
        *("-m", "mm", "backtest", "--symbol", "NEXOUSDT", "--day", "20240724"),
        cwd=desk,
        FILL_MODEL=fills,
        FILL_PARAMS_JSON=params,
        QUOTE_MODEL="fixed_spread",
        QUOTE_PARAMS_JSON='{"delta_ticks": 1}',
        INITIAL_INVENTORY="1000",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("Broken", "{}", "wrong_models.pyx:16: wrong_models.Broken.on_trade raised KeyError: 'no such lots'"),
        ("Touchy", '{"share": 2}', "Touchy raised ValueError: share is 2.0; it must be 1 or less"),
        ("Flagged", "{}", "no attribute 'needs_trades'; declare a field with cdef, and set what the model needs"),
        ("Touchy", '{"other": 2}', "Touchy raised TypeError"),
    ],
)
def test_error_in_compiled_model_names_the_model(desk, model, params, message):
    """Exit 1 and one line, as for a model in Python."""
    result = backtest(desk, f"wrong_models:{model}", params)
    assert result.returncode == 1, result.stderr
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in error


@pytest.mark.slow
def test_compiled_model_rejects_unknown_parameters(desk):
    """As any model does: exit code 2, with the names of the known ones."""
    result = backtest(desk, "quick_models:ThroughOrOld", '{"share": 0.5, "old": 1}')
    assert result.returncode == 2, result.stderr
    assert "ThroughOrOld has no parameter 'old'; known are share, old_s" in result.stderr


@pytest.fixture
def wrong_models(desk, monkeypatch):
    monkeypatch.syspath_prepend(str(desk))
    return import_module("wrong_models")


@pytest.mark.slow
def test_error_names_the_hook_inside_a_hybrid(wrong_models):
    """The message names the hook, not the hybrid that called it; the original error is the cause."""
    with pytest.raises(
        ModelError, match=r"^wrong_models\.pyx:\d+: wrong_models\.Broken\.on_trade raised KeyError"
    ) as caught:
        play(Hybrid([TradeCross(), wrong_models.Broken()]), [sold(100, 100, 4)])
    assert isinstance(caught.value.__cause__, KeyError)
    exchange = PaperExchange(wrong_models.Fails(), TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8))
    with pytest.raises(
        ModelError, match=r"^wrong_models\.pyx:\d+: wrong_models\.Fails\.quote raised LookupError: no quotes today"
    ):
        exchange.run(Tape.of(TEST, [(BEGIN_US, "snapshot", BIDS, ASKS)]))


@pytest.mark.slow
def test_return_of_minus_one_without_error_is_rejected(wrong_models):
    """-1 is Cython's sign that an error was raised."""
    with pytest.raises(ModelError, match="returned -1 without raising"):
        play(wrong_models.Minus(), [sold(100, 100, 4)])


class Follows:
    """The twin in Python of the compiled strategy."""

    ends = 0

    def on_event(self, market, orders):
        self.ends += len(orders.ended)
        order = next(iter(orders), None)
        if order is None:
            orders.submit(1, market.bid_ticks, 2)
        elif order.ticks != market.bid_ticks:
            order.cancel()
        orders.wake_on_best()


@pytest.mark.slow
@pytest.mark.parametrize("scheduled", [False, True])
def test_compiled_strategy_equals_its_twin_in_python(wrong_models, scheduled):
    """On a schedule as well, in whose pieces alone both trade."""
    events, _, _ = market(300)
    tape = Tape.of(Instrument("TEST", tick_e8=RULES.tick_e8, lot_e8=RULES.lot_e8), events)
    quarter_us = (tape.end_us - tape.start_us) // 4
    starts = [tape.start_us + part * quarter_us for part in (1, 3)]
    schedule = Intensity([IntensityPiece(us, us + quarter_us, 1.0, 0.5, 1.0, 0.5, 0.5) for us in starts])
    strategies = wrong_models.Follows(), Follows()
    played = [Gated(one, schedule) if scheduled else one for one in strategies]
    ours, theirs = (run(tape, strategy, TradeCross(), RULES).journal for strategy in played)
    assert strategies[0].ends == strategies[1].ends > 10
    np.testing.assert_array_equal(ours.orders, theirs.orders)
    np.testing.assert_array_equal(ours.fills, theirs.fills)


@pytest.mark.slow
def test_compiled_model_works_inside_a_hybrid(desk):
    """A hybrid of a model compiled here and one of the package, on the command line."""
    models = '{"models": [["quick_models:ThroughOrOld", {"share": 0.5, "old_s": 0}], ["price_cross", {}]]}'
    assert backtest(desk, "hybrid", models).returncode == 0


def test_pxd_declarations_are_package_data():
    """Every declaration that a model may cimport is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    for path in (ROOT / "mm").rglob("*.pxd"):
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path
        assert (path.parent / "__init__.py").exists(), path
