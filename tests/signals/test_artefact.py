"""Fitted predictors on disk: exact round trip, and rejection of changed bytes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import BrokenFile, Mismatch, UsageError
from mm.signals.artefact import ARRAYS, MODEL, Artefact, as_text, hash_of, signal_of, write

FOREST = {
    "0.roots": np.array([0, 3]),
    "0.feature": np.array([1, -1, -1, -1]),
    "0.threshold": np.array([0.5, 0.0, 0.0, 0.0]),
    "0.left": np.array([1, -1, -1, -1]),
    "0.right": np.array([2, -1, -1, -1]),
    "0.value": np.array([0.0, 1.0, 2.0, 5.0]),
}
LINES = {f"{side}.{name}": values for side in "01" for name, values in (("w0", np.ones((2, 1))), ("b0", np.zeros(1)))}
ABOUT = {
    "target": "return",
    "model": "forest",
    "horizon": 10.0,
    "signals": ["imbalance_5", "spread"],
    "distances_ticks": [],
    "scaler": {"mean": [0.0, 1.0], "scale": [1.0, 2.0], "priced": [False, False]},
    "heads": [{"kind": "forest", "inputs": 2}],
    "symbol": "TESTUSDT",
    "tick": "0.01",
}
SIDED = {**ABOUT, "target": "adverse", "heads": [{"kind": "network", "activations": ["logistic"]}] * 2}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, ABOUT, FOREST)
    return tmp_path


def test_artefact_round_trips(folder):
    """The prediction is the mean of the leaves of both trees."""
    found = Artefact.read(folder)
    assert found.signals == ("imbalance_5", "spread")
    assert {name: values.tolist() for name, values in found.arrays.items()} == {
        k: v.tolist() for k, v in FOREST.items()
    }
    # spread is scaled to (2 - 1)/2, which is at most .5; then to (3 - 1)/2
    rows = np.array([[0.0, 2.0], [0.0, 3.0], [np.nan, 3.0]])
    assert found.predictor().predict(rows, np.zeros(3)).tolist()[:2] == [3.0, 3.5]
    assert np.isnan(found.predictor().predict(rows, np.zeros(3))[2])


@given(st.sampled_from([MODEL, ARRAYS]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_changed_byte_is_rejected(tmp_path_factory, name, at, flip):
    """Any byte, including spaces and the container of the arrays."""
    folder = tmp_path_factory.mktemp("model")
    write(folder, ABOUT, FOREST)
    data = bytearray((folder / name).read_bytes())
    data[int(at * len(data))] ^= flip
    (folder / name).write_bytes(data)
    with pytest.raises(BrokenFile) as error:
        Artefact.read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [0, 1, 100])
@pytest.mark.parametrize("name", [MODEL, ARRAYS])
def test_truncated_file_is_rejected(folder, name, cut):
    """For example after a full disk."""
    (folder / name).write_bytes((folder / name).read_bytes()[:cut])
    with pytest.raises(BrokenFile):
        Artefact.read(folder)


def test_missing_file_is_reported(folder):
    """With its path."""
    (folder / ARRAYS).unlink()
    with pytest.raises(BrokenFile, match=r"not a fitted predictor \(No such file.*arrays.npz"):
        Artefact.read(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"hash": 1}', "{}"])
def test_json_that_is_not_a_model_is_rejected(folder, content):
    """For any JSON content."""
    (folder / MODEL).write_text(content)
    with pytest.raises(BrokenFile):
        Artefact.read(folder)


def test_pickled_arrays_are_not_loaded(folder):
    """Even with the correct hash."""
    np.savez(folder / ARRAYS, allow_pickle=True, **{"0.roots": np.array([{}], object)})
    data = (folder / ARRAYS).read_bytes()
    (folder / MODEL).write_text(as_text({**ABOUT, "hash": hash_of(ABOUT, data)}))
    with pytest.raises(BrokenFile, match="not arrays"):
        Artefact.read(folder)


def test_invalid_arrays_are_rejected(tmp_path):
    """A tree with a cycle and a correct hash."""
    write(tmp_path, ABOUT, {**FOREST, "0.left": np.array([0, -1, -1, -1])})
    with pytest.raises(BrokenFile, match="children are not after it"):
        Artefact.read(tmp_path).predictor()


def test_artefact_of_other_market_is_rejected(folder):
    """By its symbol or its tick."""
    found = Artefact.read(folder)
    found.check("TESTUSDT", 1_000_000)
    found.check(None, 1_000_000)
    with pytest.raises(Mismatch, match=r"fitted on TESTUSDT with a tick of 0.01, not on OTHERUSDT"):
        found.check("OTHERUSDT", 1_000_000)
    with pytest.raises(Mismatch, match=r"a tick of 0.001"):
        found.check("TESTUSDT", 100_000)


def test_signal_name_contains_folder_and_side(tmp_path):
    """A colon in the path does not separate a side."""
    one, two = tmp_path / "a:b" / "one", tmp_path / "two"
    for place, about, arrays in ((one, ABOUT, FOREST), (two, SIDED, LINES)):
        place.mkdir(parents=True)
        write(place, about, arrays)
    assert Artefact.read(one).signal_names == (str(one),)
    assert signal_of(str(one))[1] == 0
    assert [signal_of(name)[1] for name in Artefact.read(two).signal_names] == [0, 1]
    with pytest.raises(UsageError, match=f"name {two}:bid or {two}:ask"):
        signal_of(str(two))
    with pytest.raises(UsageError, match="the predictor is of return"):
        signal_of(f"{one}:bid")


def test_hash_covers_both_files(folder):
    """The hash can be recomputed from the files."""
    about = json.loads((folder / MODEL).read_text())
    assert about["hash"] == hash_of(ABOUT, (folder / ARRAYS).read_bytes())
