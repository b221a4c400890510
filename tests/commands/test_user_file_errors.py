"""An error in a user's file is one line at every door: his file, the line in it, and the rule."""

import re
from pathlib import Path

import pytest

import mm
from mm.errors import MMError
from simulation import simulate_day
from support import run_mm, run_python

SYMBOL, DAY = "SIMUSDT", "20260105"

# Name of the module, its text, and what its line must say; line 4 is the one to be named.
FILES = {
    "nan": (
        "import mm\nclass Mine:\n\n    def quote(self, view):\n        return mm.Quotes(float('nan'), None)\n",
        "nan",
    ),
    "negative": (
        "import mm\nclass Mine:\n\n    def quote(self, view):\n        return mm.Quotes(9, None, bid_lots=-3)\n",
        "bid_lots=-3",
    ),
    "pair": (
        "class Mine:\n\n\n    def quote(self, view):\n        return view.bid_ticks, view.ask_ticks\n",
        "mm.Quotes",
    ),
    "lacking": ("class Mine:\n    pass\n\nimport no_such_package\n", "no_such_package"),
    "raising": ("class Mine:\n    def quote(self, view):\n        x = 0\n        return 1 / x\n", "ZeroDivisionError"),
    "library": (
        "import json\nclass Mine:\n    def quote(self, view):\n        return json.loads('{')\n",
        "JSONDecodeError",
    ),
    "syntax": ("class Mine:\n    def quote(self, view):\n        pass\n    return = 3\n", "SyntaxError"),
    "signature": ("class Mine:\n\n\n    def quote(self):\n        return None\n", "signature"),
    "building": (
        "class Mine:\n    def quote(self, view): ...\n    def __init__(self):\n        raise ValueError('no\\nidea')\n",
        "no idea",
    ),
    "hookless": ("\n\n\nclass Mine:\n    pass\n", "not a quote model"),
    "arguments": (
        "class Mine:\n    def quote(self, view): ...\n    def __init__(self):\n        self.x = {}['a']\n",
        "KeyError",
    ),
    "undeclared": ("class Mine:\n    def quote(self, view):\n        \n        view.signal('spread')\n", "spread"),
    "order": ("class Mine:\n    def on_event(self, market, orders):\n\n        orders.submit(3, 1)\n", "side=3"),
    "kept": (
        "class Mine:\n    a = 0\n    def quote(self, view):\n        _, Mine.a = self.a and self.a.us, view\n",
        "after its call",
    ),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Return a folder with a day and the files."""
    folder = tmp_path_factory.mktemp("desk")
    simulate_day(folder / "data", hours=0.1, seed=1, symbol=SYMBOL, day=DAY)
    for name, (text, _) in FILES.items():
        (folder / f"user_{name}.py").write_text(text)
    (folder / "user_fills.py").write_text("class Mine:\n\n\n    def on_trade(self, order, trade):\n        return -5\n")
    return folder


def lines_of(done):
    """Return what a command said, without its log."""
    assert done.returncode in (1, 2), done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("name", FILES)
def test_backtest_says_one_line_with_file_and_line(desk, name):
    words = ("backtest", "--symbol", SYMBOL, "--day", DAY, "--quote-model", f"user_{name}:Mine")
    (line,) = lines_of(run_mm(*words, cwd=desk, LOG_LEVEL="ERROR"))
    assert re.match(rf"error: .*user_{name}\.py:4: ", line), line
    assert FILES[name][1] in line


def test_fill_model_and_sweep_and_walkforward_say_the_same(desk):
    fills = ("--fill-model", "user_fills:Mine")
    raising = ("--quote-model", "user_raising:Mine")
    doors = [
        ("backtest", *fills),
        ("walkforward", *raising, "--wf-train-window-min", "2", "--wf-step-min", "1", "--fill-model", "trade_cross"),
        ("sweep", *raising, "--grid", "FILL_MODEL=trade_cross"),
        ("evaluate", *raising),
        ("check", "lookahead", "user_raising:Mine", "--cuts", "1"),
        ("sweep", *fills, "--grid", "QUOTE_MODEL=fixed_spread", "--grid", "DELTA_TICKS=1"),
    ]
    for words in doors:
        (line,) = lines_of(run_mm(*words, "--symbol", SYMBOL, "--day", DAY, cwd=desk, LOG_LEVEL="ERROR"))
        named = "user_fills" if "user_fills:Mine" in words else "user_raising"
        assert f"{named}.py:4: Mine." in line, (words, line)


def test_whole_traceback_is_in_the_log_and_shown_at_debug(desk):
    words = ("backtest", "--symbol", SYMBOL, "--day", DAY, "--quote-model", "user_raising:Mine", "--run-id", "R")
    done = run_mm(*words, cwd=desk, LOG_LEVEL="DEBUG")
    assert "Traceback (most recent call last)" in done.stderr
    (log,) = (desk / "out" / "logs" / "backtest" / SYMBOL / DAY / "R").glob("run.log")
    assert "ZeroDivisionError" in log.read_text()


@pytest.mark.parametrize("name", ["nan", "pair", "raising", "order", "signature"])
def test_python_says_one_line(desk, name, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(desk))
    tape = mm.load_day(Path("data") / SYMBOL / DAY)
    with pytest.raises(MMError, match=rf"^(\S+/)?user_{name}\.py:4: [^\n]*$"):
        mm.backtest(tape, f"user_{name}:Mine")


def test_uncaught_in_a_script_it_is_short(desk):
    """The interpreter shows where the script called, and the line; none of our frames below."""
    script = "import mm, user_raising\nmm.backtest(mm.load_day('data/SIMUSDT/20260105'), user_raising.Mine())\n"
    (desk / "script.py").write_text(script)
    done = run_python("script.py", cwd=desk)
    lines = done.stderr.splitlines()
    assert "user_raising.py:4: Mine.quote raised ZeroDivisionError" in lines[-1]
    assert len(lines) <= 8, done.stderr
