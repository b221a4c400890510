import importlib
import json
import sys
from pathlib import Path

import pytest

from mm.backtest.rules import Account, Execution
from mm.base import own_modules
from mm.errors import UsageError
from mm.play.knobs import Day, Models, OtherMarkets
from mm.play.setup import Setup
from mm.sweep.store import Store, code_of, trial_of


def setup(**knobs: object) -> Setup:
    groups = (Execution, Account, Models)
    values_of_groups = [
        {name: value for name, value in knobs.items() if name in group.__dataclass_fields__} for group in groups
    ]
    day = Day(symbol="SIMUSDT", day="20260105", **{k: v for k, v in knobs.items() if k in ("data_root", "out_root")})
    execution, account, models = (group(**values) for group, values in zip(groups, values_of_groups, strict=True))
    others = OtherMarkets(others=knobs.get("others"))
    return Setup(day=day, execution=execution, account=account, models=models, others=others)


def trial(configured: Setup, **changes: object) -> str:
    files = {path: path.read_text() for path in configured.files}
    arguments = {"inputs": ["a", "b"], "files": files, "sources": {}, "fitted": None} | changes
    return trial_of(configured, **arguments)


def test_trial_depends_on_settings_but_not_on_paths(tmp_path):
    """Equal runs are found by their content."""
    reference = trial(setup())
    assert reference == trial(setup(data_root=tmp_path, out_root=tmp_path))
    assert reference == trial(setup(fill_model="queue_prob_power", order_latency_ms=50.0))
    others = [
        trial(setup(order_latency_ms=51.0)),
        trial(setup(seed=1)),
        trial(setup(quote_params_json='{"gamma": 1}')),
        trial(setup(fill_model="price_cross")),
        trial(setup(), inputs=["a", "c"]),
        trial(setup(), sources={"my_models": "1"}),
        trial(setup(), fitted={"A": 1}),
    ]
    assert len({reference, *others}) == len(others) + 1


def test_file_counts_by_its_content(tmp_path):
    """A new fit in the same file is another trial; the same fit in another file is the same trial."""
    first, second, third = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    for path, text in ((first, "1"), (second, "1"), (third, "2")):
        path.write_text(text)
    assert trial(setup(latency_file=first)) == trial(setup(latency_file=second)) != trial(setup(latency_file=third))
    assert trial(setup(latency_file=first)) != trial(setup(fill_params_file=first))


@pytest.mark.parametrize("changed", ["own", "lead", "last"])
def test_file_of_each_leg_counts_by_its_content(tmp_path, changed):
    """Beside the file of the first symbol, and in whatever place the leg stands."""
    paths = {name: tmp_path / f"{name}.csv" for name in ("own", "lead", "last")}
    for path in paths.values():
        path.write_text("1")
    legs = {name: {"symbol": f"{name}USDT", "orders": {"latency_file": str(paths[name])}} for name in ("lead", "last")}
    found = setup(latency_file=paths["own"], others=json.dumps(legs))
    before = trial(found)
    paths[changed].write_text("2")
    assert trial(found) != before


def sources_of(models: Models) -> dict[str, str]:
    """Return the sha256 of a user's modules, by name."""
    return code_of(models).models


@pytest.fixture
def own_models(tmp_path, monkeypatch) -> Path:
    """A folder with a model and its helper, from which they are imported."""
    quotes = "    def quote(self, view): ...\n"
    files = {
        "sweep_own.py": f"import json\nimport numpy as np\nfrom sweep_helper import VALUE\n\nclass Quote:\n{quotes}",
        "sweep_helper.py": "VALUE = 1\n",
        "sweep_other.py": f"class Quote:\n{quotes}",
        "sweep_room/__init__.py": "",
        "sweep_room/deep/__init__.py": "",
        "sweep_room/deep/quote.py": (
            f"from . import near\nfrom ..far import X\nclass Quote:\n    import sweep_helper\n{quotes}"
        ),
        "sweep_room/deep/near.py": "",
        "sweep_room/far.py": "X = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("sweep_") and name != "sweep_desk"]:
        del sys.modules[name]


def test_user_model_is_identified_by_its_file_and_imports(own_models):
    """An edited model differs from the one before, and the edited version is played."""
    models = Models(quote_model="sweep_own:Quote")
    first = sources_of(models)
    assert set(first) == {"sweep_own", "sweep_helper"}
    assert sources_of(models) == first
    (own_models / "sweep_helper.py").write_text("VALUE = 22\n")
    second = sources_of(models)
    assert second["sweep_own"] == first["sweep_own"]
    assert second["sweep_helper"] != first["sweep_helper"]
    assert sys.modules["sweep_own"].VALUE == 22


def test_another_model_in_the_same_folder_does_not_count(own_models):
    """A point is the same whichever other models its grid plays."""
    alone = sources_of(Models(quote_model="sweep_own:Quote"))
    sources_of(Models(quote_model="sweep_other:Quote"))
    assert sources_of(Models(quote_model="sweep_own:Quote")) == alone


def test_package_counts_with_its_own_imports(own_models):
    """Relative imports, imports within a class, and the parent packages."""
    sources = sources_of(Models(quote_model="sweep_room.deep.quote:Quote"))
    package = {"sweep_room", "sweep_room.deep", "sweep_room.deep.quote", "sweep_room.deep.near", "sweep_room.far"}
    assert set(sources) == package | {"sweep_helper"}


def test_imported_module_is_reloaded_from_its_current_file(own_models):
    """A notebook has imported the model already; its file was edited since."""
    sys.path.insert(0, str(own_models))
    importlib.import_module("sweep_own")
    (own_models / "sweep_helper.py").write_text("VALUE = 333\n")
    sources_of(Models(quote_model="sweep_own:Quote"))
    assert sys.modules["sweep_own"].VALUE == 333


def test_model_without_a_file_is_rejected(own_models):
    """A model defined in a notebook cannot be found by other processes, and its changes cannot be detected."""
    sys.modules["__main__"].Quote = type("Quote", (), {"quote": lambda _self, _view: None})
    try:
        with pytest.raises(UsageError, match="is not defined in a file"):
            sources_of(Models(quote_model="__main__:Quote"))
    finally:
        del sys.modules["__main__"].Quote
    installed = "mm.backtest.quotes.simple"
    assert set(sources_of(Models(quote_model=f"{installed}:FixedSpread"))) == {installed}


def test_model_within_the_parameters_counts_too(own_models):
    """A hybrid names its models in FILL_PARAMS_JSON."""
    inside = Models(fill_model="hybrid", fill_params_json='{"models": [["sweep_own:Quote", {}]]}')
    assert "sweep_own" in sources_of(inside)
    assert sources_of(Models()) == {}


def test_store_returns_kept_content_and_ignores_broken_files(tmp_path):
    """A torn or foreign file is ignored and its point played again."""
    store = Store.of(tmp_path, "SIMUSDT", "20260105")
    assert store.find("k") is None
    content = {"trial": "t", "inputs": [], "walkforward": False, "summary": {}, "series": {}}
    store.keep("k", content)
    assert store.find("k") == {"schema_version": 1, "key": "k", **content}
    (path,) = store.folder.iterdir()
    text = path.read_text()
    for broken in (text[:-5], "", "[]", text.replace('"key": "k"', '"key": "other"'), text.replace('"trial"', '"x"')):
        path.write_text(broken)
        assert store.find("k") is None
        assert list(store.every()) == []


def test_changed_agent_is_another_trial(tmp_path):
    """Its name is in the parameters; its content counts."""
    agent = tmp_path / "agent.zip"
    agent.write_text("one")
    configured = setup(quote_model="rl", quote_params_json=json.dumps({"model_path": str(agent)}))
    first = trial(configured)
    agent.write_text("another")
    assert configured.files == [agent]
    assert trial(configured) != first


def test_folders_of_installed_packages_are_resolved():
    """Paths of modules are, so an environment behind a symbolic link is recognised."""
    assert all(folder == folder.resolve() for folder in own_modules.INSTALLED)
