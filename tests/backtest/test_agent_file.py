"""The file of an agent: what it holds, and what is refused."""

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
def test_what_is_written_is_read(tmp_path, discrete):
    """Terms, arrays, how it was trained, and the trainer's own data."""
    agent = saved(terms(discrete=discrete))
    digest = write_agent(tmp_path / "a.zip", agent)
    found = read_agent(tmp_path / "a.zip")
    assert (found.terms, found.about, found.training, found.sha256) == (
        agent.terms,
        agent.about,
        agent.training,
        digest,
    )
    for one, other in zip(found.layers, agent.layers, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
        assert one[2] == other[2]


def test_equal_agents_are_equal_bytes(tmp_path):
    """So that a digest of a run covers the agent, and not when it was written."""
    first, second = (agent_at(tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_one_changed_byte_is_refused(tmp_path_factory, data):
    """Wherever it is: in the terms, the arrays, the zip's own tables or the hash."""
    path = tmp_path_factory.mktemp("agents") / "a.zip"
    content = bytearray(agent_at(path).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=r"no agent|not an agent"):
        read_agent(path)


def test_what_is_no_agent_is_refused(tmp_path):
    """Each in one line: no file, no zip, a zip of something else."""
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
def test_terms_that_do_not_go_together_are_refused(tmp_path, wrong):
    """A network of another shape, a scale of nothing, a time that runs backwards."""
    write_agent(tmp_path / "a.zip", replace(saved(terms()), terms=terms(**wrong)))
    with pytest.raises(BrokenFile, match="not an agent of this version"):
        read_agent(tmp_path / "a.zip")


def test_nothing_but_numbers_is_loaded(tmp_path):
    """Terms are JSON, arrays are numpy's own form; the trainer's data stays as it is."""
    path = agent_at(tmp_path / "a.zip")
    with zipfile.ZipFile(BytesIO(path.read_bytes())) as archive:
        assert json.loads(archive.read(TERMS))["signals"] == list(terms().signals)
        assert archive.read(TRAINING) == b"the trainer's own"
