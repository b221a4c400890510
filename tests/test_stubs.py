"""Typing for users: stubs made by the build, stubtest, and ``mypy --strict`` on the public API and on the docs."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console_pages import own_files
from support import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "mm").rglob("*.md")]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
KERNEL = '''\
"""A kernel."""

from mm.room.base cimport Base

WORDS = ("a", "b")


cdef class Thing(Base):
    """What it is."""

    cdef readonly double gamma, k
    cdef readonly tuple names  # type: tuple[str, ...]
    cdef long hidden

    def __cinit__(self, int64_t bound, *, most: int = 3, log: bool = True) -> None:
        self.hidden = 0

    def total(self, const double[:, ::1] rows, bint whole=True, kind=SECRET) -> float:
        """Return the total of *rows*."""
        return 0.0

    def __getitem__(self, at: int) -> str:
        return self.names[at]

    @property
    def last(self) -> str:
        """The last name."""
        return self.names[-1]

    cdef double secret(self) noexcept:
        return 0.0


def read(lines: Iterable[bytes]) -> Thing | None:
    return None
'''
STUB = '''\
"""A kernel."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mm.room.base import Base

WORDS: tuple[str, ...]

class Thing(Base):
    """What it is."""
    @property
    def gamma(self) -> float: ...
    @property
    def k(self) -> float: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def __new__(cls, bound: int, *, most: int = 3, log: bool = True) -> Self: ...
    def total(self, rows: NDArray[np.float64], whole: bool = True, kind: int = ...) -> float:
        """Return the total of *rows*."""
    def __getitem__(self, at: int, /) -> str: ...
    @property
    def last(self) -> str:
        """The last name."""

def read(lines: Iterable[bytes]) -> Thing | None: ...
'''
API_USE = """\
import mm
from mm import backtest, load_day
from mm.backtest.models import fixed_spread, trade_cross
from mm.backtest.rules import Rules

reveal_type(mm.backtest)
tape = load_day("data/BTCUSDT/20251216", cache="out/tapes")
result = backtest(tape, fixed_spread(delta_ticks=1), trade_cross(), Rules(tick_e8=1, lot_e8=1, quote_lots=1))
result = mm.backtest(tape, "glft", maker_fee_rate=0, order_latency_ms=50, quote_params_json={"gamma": 0.1})
mm.fit_poisson(result.fills)
view: type[mm.BookView] | type[mm.OrderView] | type[mm.TradeView] | type[mm.QuoteView] = mm.BookView
mm.does_not_exist
mm.backtest(1, 2, 3, nonsense=4)
mm.backtest(tape, maker_fee=0)
mm.backtest(tape, feed_latency="recorder")
"""


def run(*args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python with *args*; mypy finds this project as ``mm``."""
    env = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, check=False, timeout=600)


def strict(folder: Path, *files: str) -> list[str]:
    """Return the output lines of ``mypy --strict`` for *files*."""
    options = ["--strict", "--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]
    return run("-m", "mypy", *options, "--no-error-summary", *files, cwd=folder).stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with the public ``__init__`` and one kernel."""
    subpackage = tmp_path / "mm" / "room"
    subpackage.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "mm" / "__init__.py", tmp_path / "mm")
    (subpackage / "thing.pyx").write_text(KERNEL.replace("kind=SECRET", "kind: int = SECRET"))
    return tmp_path


@pytest.mark.slow
def test_stub_of_the_package_has_its_public_names() -> None:
    """``make stubs`` must be run after a change of the public names or of a knob of a backtest."""
    done = run("tools/stubs.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_stubs_match_compiled_kernels_in_stubtest() -> None:
    """Stubs and compiled modules define the same names."""
    done = run("tools/stubs.py", "--stubtest")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_generated_stub_matches_the_kernel(project: Path) -> None:
    """Names, parameters, defaults and docstrings are copied; C types become Python types."""
    orphan = project / "mm/room/moved.pyi"
    orphan.touch()
    assert run("tools/stubs.py", "--root", project).returncode == 0
    made = (project / "mm/room/thing.pyi").read_text()
    made, stub = ([ast.unparse(node) for node in ast.parse(text).body] for text in (made, STUB))
    assert sorted(made) == sorted(stub)  # in any order of the imports
    assert not orphan.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("kind: int = SECRET", "kind=SECRET", "parameter kind of total has no type"),
        ("at: int) -> str:", "at: int):", "__getitem__ has no return type"),
        ("  # type: tuple[str, ...]", "", "tuple needs the type of its items"),
        ('("a", "b")', "words()", "WORDS is not a literal"),
        ("Iterable[bytes]", "Counter[str]", "Counter is not imported"),
    ],
)
def test_stub_generation_rejects_untyped_kernel(project: Path, before: str, after: str, message: str) -> None:
    """Types are never guessed: the error names the file and the problem."""
    kernel = project / "mm/room/thing.pyx"
    kernel.write_text(kernel.read_text().replace(before, after))
    done = run("tools/stubs.py", "--root", project)
    assert done.returncode == 1
    assert done.stderr.startswith("mm/room/thing.pyx")
    assert message in done.stderr


@pytest.mark.slow
def test_public_api_passes_mypy_strict_and_rejects_misuse(tmp_path: Path) -> None:
    """The type checker reports wrong names and wrong arguments."""
    (tmp_path / "face.py").write_text(API_USE)
    revealed, *errors = strict(tmp_path, "face.py")
    assert "Tape | typing.Iterable[mm.tape.tape.Tape]" in revealed
    assert "-> mm.backtest.result.Result" in revealed
    assert {line.partition(": ")[0] for line in errors} == {f"face.py:{line}" for line in range(12, 16)}
    assert '"does_not_exist"' in errors[0]
    assert '"nonsense"' in "".join(errors[1:])


TABLES_USE = """\
import numpy as np

from mm.backtest.journal import Fills, Journal


def read(journal: Journal) -> Fills:
    print(journal.fills.mid2[3:], journal.state.array[:, 2], len(journal.mids), np.asarray(journal.spans)[0])
    return journal.fills[journal.fills.side > 0][1:]


def misspelt(journal: Journal) -> None:
    print(journal.fills.mid3)


def numbered(journal: Journal) -> None:
    print(journal.fills[:, 4])


def chosen(journal: Journal) -> None:
    print(journal.orders[3])


def unpacked(journal: Journal) -> None:
    print([us for us, *_ in journal.state])


def listed(journal: Journal) -> None:
    print(journal.fills.tolist())


def turned(journal: Journal) -> None:
    print(len(journal.mids.T))
"""


@pytest.mark.slow
def test_columns_of_a_runs_tables_have_names_for_mypy(tmp_path: Path) -> None:
    """Outside of the declaration and the kernels none is read by its number, and no row by position."""
    (tmp_path / "tables.py").write_text(TABLES_USE)
    marked = {at for at, line in enumerate(TABLES_USE.splitlines(), 1) if line.startswith("    print(") and at > 8}
    found = strict(tmp_path, "tables.py")
    assert {int(line.split(":")[1]) for line in found} == marked, found


OWN_FOLDER = """\
import mm


class Join:
    def quote(self, view: mm.QuoteView) -> mm.Quotes:
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


class Mute:
    def answer(self, view: mm.QuoteView) -> mm.Quotes:
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


class Deaf:
    def quote(self, view: str) -> mm.Quotes:
        return mm.Quotes(1, 2)


tapes = mm.load_capture("capture.gz", "BTCUSDT", data_root="days")
earned = mm.backtest(tapes, Join(), maker_fee_rate=0, order_latency_ms=5).summary["pnl_quoting"]
mm.backtest(tapes, Join, "poisson")
mm.backtest(tapes, ("glft", {"gamma": 0.1}))
days: list[str] = mm.evaluate("BTCUSDT", "20260105:20260109", quote_model="glft")["days"]
mm.backtest(tapes, Mute())
mm.backtest(tapes, Mute)
mm.backtest(tapes, Deaf())
mm.backtest(tapes, Join(), order_latency_ms="fast")
mm.evaluate("BTCUSDT", "20260105", order_latency=5)
mm.evaluate("BTCUSDT", "20260105", order_latency_ms=[5])
mm.load_capture("capture.gz", "BTCUSDT", ticksize="0.01")
mm.load_capture("capture.gz", "BTCUSDT", top_n="many")
"""


@pytest.mark.slow
def test_installed_package_is_typed_in_any_folder(tmp_path: Path) -> None:
    """``mypy --strict`` finds it by itself, and refuses a strategy without ``quote`` and a knob of a wrong type."""
    (tmp_path / "own.py").write_text(OWN_FOLDER)
    words = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "own.py"]
    env = {name: text for name, text in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    done = subprocess.run(words, cwd=tmp_path, env=env, text=True, capture_output=True, check=False, timeout=600)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.partition(": ")[0] for line in errors] == [f"own.py:{line}" for line in range(24, 32)], done.stdout
    assert '"order_latency_ms"' in errors[3]


@pytest.mark.slow
def test_every_python_block_of_the_docs_passes_mypy_strict(tmp_path: Path) -> None:
    """The blocks of a page form one module and keep their line numbers."""
    names = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [""] * text.count("\n")
        own = [f"from {Path(name).stem} import" for name, _ in own_files(page)]
        for found in BLOCK.finditer(text):
            if any(line in found[1] for line in own):  # a user's tests and scripts, which are run by tests/test_docs.py
                continue
            at = text[: found.start(1)].count("\n")
            lines[at : at + found[1].count("\n")] = found[1].splitlines()
        if any(lines):
            names.append(page.relative_to(ROOT).as_posix().replace("/", "_").replace(".md", ".py"))
            (tmp_path / names[-1]).write_text("\n".join(lines), encoding="utf-8")
    assert {"docs_models.py", "docs_write_a_strategy.py"} <= set(names)
    assert strict(tmp_path, *names) == []
