"""The identity of the code behind a result: the hash of every module that it imports, as it is on disk."""

import hashlib
import json
import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fill_predictors import written
from mm import load_day
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
from mm.base.code_identity import (
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
from rl_agents import agent_at
from simulation import simulate_day
from support import run_python

POINT = "mm.sweep.play_point"
REQUIRED_PARAMS = {  # parameters that a model requires
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
}
# Plays a point under each of many models in a fresh process and prints the modules that were loaded.
PLAY_CODE = """
import json, sys
from mm.backtest.rules import Account, Execution
from mm.play.knobs import Day, Market, Models
from mm.sweep.store import code_of
from mm.sweep.play_point import play
from mm.play.setup import Setup

inputs, models = json.loads(sys.argv[1])
for own in models:
    setup = Setup(
        day=Day(symbol="SIMUSDT", day="20260105"),
        execution=Execution(),
        account=Account(),
        models=Models(**own),
    )
    code = code_of(setup.models)
    given = {"fitted": None, "micro_price": None}
    task = {"setup": setup.to_json(), **given, "tapes": "tapes", "folder": ".", "inputs": inputs}
    outcome = play({**task, "code": code.sources, "sources": code.models})
    assert "error" not in outcome, (own, outcome)
print(json.dumps([name for name in sys.modules if name.partition(".")[0] == "mm"]))
"""


@given(st.binary(max_size=200))
def test_hash_file_equals_sha256_of_content(tmp_path_factory, content):
    """Outputs can be checked with sha256sum."""
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
def test_imports_are_parsed_from_source_text(tmp_path, text, expected):
    """Imports are found anywhere in a module, and in Cython kernels."""
    path = tmp_path / "own.py"
    path.write_text(text)
    assert set(imports("room.own", path)) == expected | {"room"}


def test_hashed_file_hashes_content_while_writing(tmp_path):
    """Content and hash cover all written pieces."""
    pieces = [b"recv_ms,order_id\n", memoryview(bytearray(b"1,2\n3,4\n")), b""]
    with HashedFile(tmp_path / "a.csv") as file:
        for piece in pieces:
            file.write(piece)
    assert (tmp_path / "a.csv").read_bytes() == b"".join(pieces)
    assert file.sha256.hexdigest() == hash_file(tmp_path / "a.csv")


def test_relative_import_in_package_resolves_to_its_modules(tmp_path):
    """``from . import x`` in an ``__init__`` means a module of the same package."""
    path = tmp_path / "__init__.py"
    path.write_text("from . import x\n")
    assert "room.x" in set(imports("room", path))


@pytest.mark.slow
def test_code_closure_contains_every_module_a_point_loads(tmp_path):
    """The closure includes every module that a backtest loads, compiled or not, for every registered model."""
    day = simulate_day(tmp_path / "data", hours=0.1, seed=1, A_per_s=1.0, k_per_tick=0.4)
    inputs = [sha256 for _, _, sha256 in load_day(day.path, cache=tmp_path / "tapes").meta.inputs]
    params = REQUIRED_PARAMS | {
        "rl": {"model_path": str(agent_at(tmp_path / "agent.zip"))},
        "predicted": {"predictor": written(tmp_path / "predictor", symbol="SIMUSDT", tick="0.01")},
    }
    models = [
        {f"{kind}_model": name, f"{kind}_params_json": json.dumps(params.get(name, {}))}
        for kind, registry in (("quote", QUOTE_MODELS), ("fill", FILL_MODELS))
        for name in registry
    ]
    done = run_python("-c", PLAY_CODE, json.dumps([inputs, models]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    in_closure, _ = closure([POINT], of_package())
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded - {"mm.__main__"} <= set(in_closure), loaded - set(in_closure)
    assert {"mm.backtest.engine._engine", "mm.backtest.quotes.steps", "mm.play.nested_quotes"} <= loaded


@pytest.fixture
def package_copy(tmp_path) -> Path:
    """Return a copy of the installed package; compiled modules are replaced by short files."""
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


@pytest.mark.slow
def test_edit_of_any_module_changes_code_identity(package_copy):
    """A stored point is not reused after any module was edited or recompiled."""
    first = files_of(package_copy)
    own = {name for name in first if "==" not in name}
    assert {"play/nested_quotes.py", "backtest/engine/_engine.pyx", "backtest/engine/_account.pxd"} <= own
    assert sum(name.endswith(tuple(EXTENSION_SUFFIXES)) for name in own) > 20
    for name in own:
        with (package_copy / name).open("ab") as file:
            file.write(b"\n# edited")
    edited = files_of(package_copy)
    assert set(edited) == set(first)
    assert {name for name in edited if edited[name] != first[name]} == own
    (package_copy / "play/nested_quotes.py").write_bytes(
        (package_copy / "play/nested_quotes.py").read_bytes().removesuffix(b"\n# edited")
    )
    assert digest(files_of(package_copy)) not in (digest(first), digest(edited))


def test_code_identity_ignores_unrelated_modules_and_location(package_copy, tmp_path):
    """Stored points stay valid after a change of the recorder or a move of the folder."""
    first = files_of(package_copy)
    (package_copy / "market_data" / "recorder.py").write_text("other = 1\n")
    assert files_of(package_copy) == first
    package_copy.rename(tmp_path / "moved")
    assert files_of(tmp_path / "moved") == first


def test_sources_hash_covers_names_and_contents_of_all_sources(package_copy):
    """An edit or a new name of any source changes the hash; a compiled module does not."""
    first = sources_hash(package_copy)
    for path in package_copy.rglob(f"*{EXTENSION_SUFFIXES[0]}"):
        path.write_bytes(b"compiled elsewhere")
    assert sources_hash(package_copy) == first
    hashes = [first]
    for name in (
        "play/nested_quotes.py",
        "market_data/recorder.py",
        "backtest/engine/_engine.pyx",
        "backtest/engine/_account.pxd",
    ):
        with (package_copy / name).open("ab") as file:
            file.write(b"#")
        hashes.append(sources_hash(package_copy))
    (package_copy / "play/nested_quotes.py").rename(package_copy / "play/nested_quotes_2.py")
    hashes.append(sources_hash(package_copy))
    assert len(set(hashes)) == len(hashes)


@pytest.mark.slow
def test_sources_alone_ignores_compiled_modules(package_copy):
    """A cluster worker may have its own compiled modules, but its sources must be the same."""
    files = files_of(package_copy)
    assert any(name.startswith("python==") for name in files)
    assert any(name.startswith("numpy==") for name in files)
    first = sources_alone(files)
    for path in package_copy.rglob(f"*{EXTENSION_SUFFIXES[0]}"):
        path.write_bytes(b"compiled elsewhere")
    second = files_of(package_copy)
    assert sources_alone(second) == first
    assert second != files
    assert set(first) == {name for name in files if name.endswith((".py", ".pyx", ".pxd"))}
