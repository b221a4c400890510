"""The file of an agent: its contents, and the files that are rejected."""

import json
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.backtest.quotes.agent_file import TERMS, TRAINING, read_agent, write_agent
from mm.errors import BrokenFile, DataError
from rl_agents import agent_at, saved, terms


@pytest.mark.parametrize("discrete", [False, True])
def test_written_agent_file_is_read_back(tmp_path, discrete):
    """Terms, arrays, description of the training, and the trainer's own data."""
    agent = saved(terms(discrete=discrete))
    digest = write_agent(tmp_path / "a.zip", agent)
    loaded = read_agent(tmp_path / "a.zip")
    assert (loaded.terms, loaded.about, loaded.training, loaded.sha256) == (
        agent.terms,
        agent.about,
        agent.training,
        digest,
    )
    for layer, original in zip(loaded.layers, agent.layers, strict=True):
        assert np.array_equal(layer[0], original[0])
        assert np.array_equal(layer[1], original[1])
        assert layer[2] == original[2]


def test_equal_agents_have_equal_bytes(tmp_path):
    """The digest of a run covers the agent and not the time it was written."""
    first, second = (agent_at(tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_agent_file_with_one_changed_byte_is_rejected(tmp_path_factory, data):
    """Wherever the byte is: in the terms, the arrays, the zip's own tables or the hash."""
    path = tmp_path_factory.mktemp("agents") / "a.zip"
    content = bytearray(agent_at(path).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=r"no agent|not an agent"):
        read_agent(path)


def test_path_without_an_agent_is_rejected(tmp_path):
    """No file, no zip file, a zip file with other contents, and a directory."""
    path = tmp_path / "a.zip"
    with pytest.raises(DataError, match="no such agent"):
        read_agent(path)
    path.write_bytes(b"not a zip at all")
    with pytest.raises(BrokenFile, match="not a zip file"):
        read_agent(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", b"pickled")
    with pytest.raises(BrokenFile, match="the file was changed"):
        read_agent(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BrokenFile, match="cannot be read"):
        read_agent(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signals": ("imbalance_1",)},
        {"scales": (0.5, 0.0)},
        {"step_s": -1.0},
        {"means": (0.0, float("nan"))},
        {"discrete": True},
    ],
)
def test_inconsistent_terms_are_rejected(tmp_path, wrong):
    """A network of another shape, a scale of 0, a negative or undefined number."""
    write_agent(tmp_path / "a.zip", replace(saved(terms()), terms=terms(**wrong)))
    with pytest.raises(BrokenFile, match="not an agent of this version"):
        read_agent(tmp_path / "a.zip")


def test_agent_file_holds_json_terms_and_raw_training_data(tmp_path):
    """Terms are JSON; the trainer's data is stored unchanged."""
    path = agent_at(tmp_path / "a.zip")
    with zipfile.ZipFile(BytesIO(path.read_bytes())) as archive:
        assert json.loads(archive.read(TERMS))["signals"] == list(terms().signals)
        assert archive.read(TRAINING) == b"the trainer's own"
