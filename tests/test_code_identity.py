"""What identifies the code that a result was made by: every module that it imports, as it is on the disk."""

import hashlib
import json
import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fill_predictors import written
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
from mm.code_identity import (
    PACKAGE,
    HashedFile,
    closure,
    code_files,
    digest,
    hash_file,
    imports,
    of_package,
    sources_alone,
    sources_hash,
)
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session
from mm.tape.load import load_day
from rl_agents import agent_at
from support import run_python

POINT = "mm.sweep.play"
NEEDED = {  # parameters without which a model cannot be made
    "adaptive": {"least_ticks": 1, "per_sigma": 1},
    "adaptive_spread": {"least_ticks": 1, "per_sigma": 1},
    "cartea_jaimungal": {"phi": 0.1, "A": 1, "k": 0.4},
    **{name: {"A": 1, "k": 0.4} for name in ("expected_value", "glft", "gueant", "optimal_curve")},
    "fixed_spread": {"delta_ticks": 2},
    "imbalance": {"delta_ticks": 2, "shift_ticks": 1},
    "grid": {"delta_ticks": 2, "levels": 2, "step_ticks": 1},
    "glft_grid": {"levels": 2},
    "inventory_skew": {"delta_ticks": 2, "skew_ticks": 1},
    "microprice": {"delta_ticks": 2},
    "mixed": {"models": [["symmetric", {}, 1]]},
    "steps": {"model": ["symmetric", {}], "steps": [["post_only", {}]]},
    "poisson": {"A": 1, "k": 0.4},
    "hawkes": {"A": 1, "k": 0.4, "clustering": {"mu_per_s": {"bid": 1, "ask": 1}, "kernels": []}},
    "hybrid": {"models": [["price_cross", {}]]},
    "queue_hazard": {"coefficients": [-2.0, 0.1, 0.1, -0.5, 0.2, -0.1, 0.05, 0.3, -0.3]},
}
# Plays a point under each of many models in a fresh process, and prints the modules that this has loaded.
PLAYED = """
import json, sys
from mm.backtest.rules import Account, Execution
from mm.cli.config import Day, Market, Models
from mm.sweep.store import code_of
from mm.sweep.play import play
from mm.commands.setup import Setup

inputs, models = json.loads(sys.argv[1])
for own in models:
    setup = Setup(Day(symbol="SIMUSDT", day="20260105"), Market(), Execution(), Account(), Models(**own))
    code = code_of(setup.models)
    given = {"fitted": None, "micro_price": None}
    task = {"setup": setup.to_json(), **given, "tapes": "tapes", "folder": ".", "inputs": inputs}
    outcome = play({**task, "code": code.sources, "sources": code.models})
    assert "error" not in outcome, (own, outcome)
print(json.dumps([name for name in sys.modules if name.partition(".")[0] == "mm"]))
"""


@given(st.binary(max_size=200))
def test_a_hash_is_that_of_the_whole_file(tmp_path_factory, content):
    """Anyone can check an output with sha256sum."""
    path = tmp_path_factory.mktemp("hash") / "x.bin"
    path.write_bytes(content)
    assert hash_file(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b, c as d; import e\n", {"a.b", "c", "e"}),
        ("from a import b, c as d\n", {"a", "a.b", "a.c"}),
        ("from a import (  # why\n    b,\n    c,  # what\n)\n", {"a", "a.b", "a.c"}),
        ("from a import b, \\\n    c\n", {"a", "a.b", "a.c"}),
        ("try: import a\nexcept ImportError: from b import c\n", {"a", "b", "b.c"}),
        ("def f():\n    from a import b\n", {"a", "a.b"}),
        ("from . import x\nfrom .y import z\nfrom ..w import v\n", {"room.x", "room.y", "room.y.z", "w", "w.v"}),
        ("from a cimport b\ncimport c.d\n", {"a", "a.b", "c.d"}),
        ("if TYPE_CHECKING:\n    from a import b\n\nimport c\n", {"c"}),
        ('KNOWN = {"x": "mm.room.part:Thing"}\n', {"mm.room.part"}),
        ("important = 1\nfrom_a = 2\n# the import of a thing\n", set()),
    ],
)
def test_imports_are_read_from_the_text(tmp_path, text, expected):
    """Wherever in a module they stand, and in a kernel too."""
    path = tmp_path / "own.py"
    path.write_text(text)
    assert set(imports("room.own", path)) == expected | {"room"}


def test_a_file_is_hashed_as_it_is_written(tmp_path):
    """Its content is all that was given, and so is its hash."""
    pieces = [b"recv_ms,order_id\n", memoryview(bytearray(b"1,2\n3,4\n")), b""]
    with HashedFile(tmp_path / "a.csv") as file:
        for piece in pieces:
            file.write(piece)
    assert (tmp_path / "a.csv").read_bytes() == b"".join(pieces)
    assert file.sha256.hexdigest() == hash_file(tmp_path / "a.csv")


def test_a_name_of_a_package_is_relative_to_itself(tmp_path):
    """``from . import x`` in an ``__init__`` means a module beside it."""
    path = tmp_path / "__init__.py"
    path.write_text("from . import x\n")
    assert "room.x" in set(imports("room", path))


def test_whatever_a_point_loads_is_in_its_code(tmp_path):
    """No module that plays a backtest is left out, compiled or not, under any model of the registries."""
    day = DayFolder(tmp_path / "data", "SIMUSDT", "20260105")
    make_day(day, PoissonMarket(A_per_s=1.0, k_per_tick=0.4), Session("SIMUSDT", "20260105", 0.1, 1))
    inputs = [sha256 for _, _, sha256 in load_day(day.path, cache=tmp_path / "tapes").meta.inputs]
    needed = NEEDED | {
        "rl": {"model_path": str(agent_at(tmp_path / "agent.zip"))},
        "predicted": {"predictor": written(tmp_path / "predictor", symbol="SIMUSDT", tick="0.01")},
    }
    models = [
        {f"{kind}_model": name, f"{kind}_params_json": json.dumps(needed.get(name, {}))}
        for kind, registry in (("quote", QUOTE_MODELS), ("fill", FILL_MODELS))
        for name in registry
    ]
    done = run_python("-c", PLAYED, json.dumps([inputs, models]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    known, _ = closure([POINT], of_package())
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded - {"mm.__main__"} <= set(known), loaded - set(known)
    assert {"mm.backtest._engine", "mm.backtest.quotes.steps", "mm.quote_tree"} <= loaded


@pytest.fixture
def copy(tmp_path) -> Path:
    """The project's files as an installation has them, elsewhere; compiled modules are short."""
    kinds = (".py", ".pyx", ".pxd", *EXTENSION_SUFFIXES)
    for path in PACKAGE.rglob("*"):
        if path.name.endswith(kinds) and "__pycache__" not in path.parts:
            target = tmp_path / "mm" / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                target.write_bytes(path.name.encode())
            else:
                shutil.copyfile(path, target)
    return tmp_path / "mm"


def files_of(folder: Path) -> dict[str, str]:
    return dict(code_files.__wrapped__(POINT, folder=folder))


def test_an_edit_of_any_module_of_the_code_changes_its_identity(copy):
    """A kept point is never taken for one of other code, whichever module was edited or compiled again."""
    first = files_of(copy)
    own = {name for name in first if "==" not in name}
    assert {"quote_tree.py", "backtest/_engine.pyx", "backtest/_account.pxd"} <= own
    assert sum(name.endswith(tuple(EXTENSION_SUFFIXES)) for name in own) > 20
    for name in own:
        with (copy / name).open("ab") as file:
            file.write(b"\n# edited")
    edited = files_of(copy)
    assert set(edited) == set(first)
    assert {name for name in edited if edited[name] != first[name]} == own
    (copy / "quote_tree.py").write_bytes((copy / "quote_tree.py").read_bytes().removesuffix(b"\n# edited"))
    assert digest(files_of(copy)) not in (digest(first), digest(edited))


def test_other_code_and_other_places_do_not_count(copy, tmp_path):
    """Points outlive a change of the recorder, and a move of the folder."""
    first = files_of(copy)
    (copy / "market_data" / "recorder.py").write_text("other = 1\n")
    assert files_of(copy) == first
    copy.rename(tmp_path / "moved")
    assert files_of(tmp_path / "moved") == first


def test_every_source_of_the_package_counts_once_by_name_and_content(copy):
    """What one walk over all sources returns: an edit, a new module or another name of one is other code."""
    first = sources_hash(copy)
    for path in copy.rglob(f"*{EXTENSION_SUFFIXES[0]}"):
        path.write_bytes(b"compiled elsewhere")
    assert sources_hash(copy) == first
    seen = [first]
    for name in ("quote_tree.py", "market_data/recorder.py", "backtest/_engine.pyx", "backtest/_account.pxd"):
        with (copy / name).open("ab") as file:
            file.write(b"#")
        seen.append(sources_hash(copy))
    (copy / "quote_tree.py").rename(copy / "quote_tree_2.py")
    seen.append(sources_hash(copy))
    assert len(set(seen)) == len(seen)


def test_sources_are_the_same_wherever_they_are_compiled(copy):
    """A worker of a cluster may have compiled modules of its own; its sources must be the same."""
    files = files_of(copy)
    assert any(name.startswith("python==") for name in files)
    assert any(name.startswith("numpy==") for name in files)
    first = sources_alone(files)
    for path in copy.rglob(f"*{EXTENSION_SUFFIXES[0]}"):
        path.write_bytes(b"compiled elsewhere")
    second = files_of(copy)
    assert sources_alone(second) == first
    assert second != files
    assert set(first) == {name for name in files if name.endswith((".py", ".pyx", ".pxd"))}
