import sys
from pathlib import Path

import pytest

from mm.config import Account, Day, Execution, Market, Models
from mm.sweep.identity import sources_of, trial_of
from mm.sweep.setup import Setup
from mm.sweep.store import Store


def setup(**knobs: object) -> Setup:
    groups = (Execution, Account, Models)
    own = [{name: value for name, value in knobs.items() if name in group.__dataclass_fields__} for group in groups]
    day = Day(symbol="SIMUSDT", day="20260105", **{k: v for k, v in knobs.items() if k in ("data_root", "out_root")})
    return Setup(day, Market(), *(group(**values) for group, values in zip(groups, own, strict=True)))


def trial(one: Setup, **more: object) -> str:
    files = {path: path.read_text() for path in one.files()}
    given = {"inputs": ["a", "b"], "files": files, "sources": {}, "fitted": None} | more
    return trial_of(one, **given)


def test_what_changes_a_result_changes_the_trial_and_where_things_lie_does_not(tmp_path):
    """Equal runs are found by what they are."""
    one = trial(setup())
    assert one == trial(setup(data_root=tmp_path, out_root=tmp_path))
    assert one == trial(setup(fill_model="trade_cross", order_latency_ms=50.0))
    others = [
        trial(setup(order_latency_ms=51.0)),
        trial(setup(seed=1)),
        trial(setup(quote_params_json='{"gamma": 1}')),
        trial(setup(fill_model="price_cross")),
        trial(setup(), inputs=["a", "c"]),
        trial(setup(), sources={"my_models": "1"}),
        trial(setup(), fitted={"A": 1}),
    ]
    assert len({one, *others}) == len(others) + 1


def test_a_file_counts_by_its_content(tmp_path):
    """A fit that is fitted anew into the same file is another one; moved elsewhere it is the same."""
    first, second, third = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    for path, text in ((first, "1"), (second, "1"), (third, "2")):
        path.write_text(text)
    assert trial(setup(latency_file=first)) == trial(setup(latency_file=second)) != trial(setup(latency_file=third))
    assert trial(setup(latency_file=first)) != trial(setup(fill_params_file=first))


@pytest.fixture
def own_models(tmp_path, monkeypatch) -> Path:
    """A folder with a model and its helper, from which they are imported."""
    (tmp_path / "sweep_own.py").write_text("import sweep_helper\n\nclass Quote:\n    pass\n")
    (tmp_path / "sweep_helper.py").write_text("VALUE = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("sweep_own", "sweep_helper"):
        sys.modules.pop(name, None)


def test_a_users_model_is_known_by_its_file_and_those_it_imports(own_models):
    """A model that was edited is not taken for the one before, and it is the edited one that is played."""
    models = Models(quote_model="sweep_own:Quote")
    first = sources_of(models)
    assert set(first) == {"sweep_own", "sweep_helper"}
    assert sources_of(models) == first
    (own_models / "sweep_helper.py").write_text("VALUE = 22\n")
    second = sources_of(models)
    assert second["sweep_own"] == first["sweep_own"]
    assert second["sweep_helper"] != first["sweep_helper"]
    assert sys.modules["sweep_helper"].VALUE == 22


def test_a_model_within_the_parameters_counts_too(own_models):
    """A hybrid names its models in FILL_PARAMS_JSON."""
    inside = Models(fill_model="hybrid", fill_params_json='{"models": [["sweep_own:Quote", {}]]}')
    assert "sweep_own" in sources_of(inside)
    assert sources_of(Models()) == {}


def test_the_store_gives_back_what_it_kept_and_nothing_that_is_broken(tmp_path):
    """A torn or foreign file is played again; it is never half believed."""
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
