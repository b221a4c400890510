"""The file of an agent: terms and network as plain arrays, in a zip with a checksum.

It holds ``agent.json``, ``arrays.npz``, and from `mm.rl` ``training.zip``, the trainer's data. The zip's comment is the
SHA-256 of all bytes before it. Reading needs only numpy and loads no pickle.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.base.atomic_file import write_atomic
from mm.base.user_code import refuse_code_of
from mm.errors import BrokenFile, DataError, Mismatch, MMError
from mm.instrument import short_text
from mm.signals.predictor import Network

AGENT = "rl"
"""Name of the quote model that runs an agent."""
VERSION = 1
TERMS, ARRAYS, TRAINING = "agent.json", "arrays.npz", "training.zip"
DIGEST = hashlib.sha256().digest_size * 2  # characters
OWN_INPUTS = ("inventory", "time_left", "bid_distance", "ask_distance", "bid_queue", "ask_queue")
OFFSETS, SIZES = (0.0, -1.0, 1.0, -0.5, 0.5), (0.0, -1.0, 1.0)
"""The components of a discrete action, the zero action first; its index is ``bid + 5·(ask + 5·size)``."""
CHOICES = len(OFFSETS) ** 2 * len(SIZES)

Arrays = NDArray[np.float64]
Layers = tuple[tuple[Arrays, Arrays, str], ...]  # weights[inputs, outputs], biases[outputs], activation


@dataclass(frozen=True, kw_only=True)
class AgentTerms:
    """The observations of an agent, and the meaning of its actions.

    Attributes:
        episode_s: Time after which ``time_left`` restarts at 1.
        max_offset_ticks: Ticks that an offset of 1 adds to a quote's distance.
        distance_ticks: Distance from the mid of a quote without offset; None is one tick behind the touch.
        usual_queue: Quantity ahead of a quote that is mapped to one half, in the base asset.
        discrete: Whether an action is one of `CHOICES`; else bid offset, ask offset and size, each in [-1, 1].
    """

    symbol: str
    tick_e8: int
    signals: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    step_s: float
    episode_s: float
    max_offset_ticks: float
    distance_ticks: float | None
    q_max: float
    usual_distance_ticks: float
    usual_queue: float
    discrete: bool = False

    @property
    def inputs(self) -> int:
        return len(self.signals) + len(OWN_INPUTS)

    @property
    def outputs(self) -> int:
        return CHOICES if self.discrete else 3

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "AgentTerms":
        """ValueError, KeyError or TypeError if malformed."""
        values = {field.name: content[field.name] for field in fields(cls)}
        for name in ("signals", "means", "scales"):
            values[name] = tuple(values[name])
        terms = cls(**values)
        numbers = (*terms.means, *terms.scales, terms.max_offset_ticks, terms.q_max)
        positive = (*terms.scales, terms.step_s, terms.episode_s, terms.usual_distance_ticks, terms.usual_queue)
        if not len(terms.signals) == len(terms.means) == len(terms.scales):
            raise ValueError(f"{len(terms.signals)} signals, {len(terms.means)} means, {len(terms.scales)} scales")
        if not all(math.isfinite(value) for value in numbers) or not all(0.0 < value < math.inf for value in positive):
            raise ValueError("a mean, a scale or a duration is not a usable number")
        return terms

    def check_tick(self, tick_e8: int) -> None:
        if tick_e8 != self.tick_e8:
            raise Mismatch(
                f"the agent (QUOTE_MODEL=rl) was trained on {self.symbol} with ticks of {short_text(self.tick_e8)}, "
                f"and this market has ticks of {short_text(tick_e8)}; train one on days with this tick size"
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SavedAgent:
    terms: AgentTerms
    layers: Layers
    about: Mapping[str, Any]
    training: bytes = b""
    sha256: str = ""

    @property
    def requote_interval_ms(self) -> float:
        return float(self.about.get("requote_interval_ms", 1e3 * self.terms.step_s))

    @property
    def days(self) -> frozenset[str]:
        return frozenset(self.about.get("days", ()))

    def network(self) -> Network:
        """Raises ValueError if the arrays do not fit the terms."""
        weights, biases, activations = zip(*self.layers, strict=True)
        network = Network(weights, biases, activations)
        if (network.shape[0], network.shape[-1]) != (self.terms.inputs, self.terms.outputs):
            raise ValueError(
                f"its network has {network.shape[0]} inputs and {network.shape[-1]} outputs; its terms have "
                f"{self.terms.inputs} and {self.terms.outputs}"
            )
        return network


def write_agent(path: Path, agent: SavedAgent) -> str:
    """Return its SHA-256; equal agents give equal bytes."""
    arrays = io.BytesIO()
    named: dict[str, Any] = {}
    for place, (weights, biases, _) in enumerate(agent.layers):
        named |= {f"weights_{place}": weights, f"biases_{place}": biases}
    np.savez(arrays, **named)
    content = {
        "version": VERSION,
        **agent.terms.to_json(),
        "activations": [activation for *_, activation in agent.layers],
        "about": dict(agent.about),
    }

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        parts = {TERMS: (json.dumps(content, indent=1) + "\n").encode(), ARRAYS: arrays.getvalue()}
        if agent.training:
            parts[TRAINING] = agent.training
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        archive.comment = b"0" * DIGEST
    data = packed.getvalue()[:-DIGEST]
    digest = hashlib.sha256(data).hexdigest()
    write_atomic(path, data + digest.encode())
    return digest


def read_agent(path: Path) -> SavedAgent:
    """Read an agent.

    Raises:
        DataError: If there is no such file.
        BrokenFile: If it was changed.
        SafetyError: If it names a user's signal whose module is not imported: a file may be foreign.
    """

    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such agent; train one with mm rl train --save-path {path}") from error
    except OSError as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); give the zip of mm rl train") from error
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise BrokenFile(f"{path}: not a zip file; give the zip that mm rl train writes")
    if hashlib.sha256(data[:-DIGEST]).hexdigest().encode() != data[-DIGEST:]:
        raise BrokenFile(f"{path}: not an agent of mm rl train, or the file was changed; train it again")
    try:
        agent = _unpacked(data)
    except MMError:
        raise
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise BrokenFile(f"{path}: not an agent of this version ({error}); train it again") from error
    refuse_code_of(path, agent.terms.signals)
    return agent


def _unpacked(data: bytes) -> SavedAgent:

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = json.loads(archive.read(TERMS))
        digest = archive.comment.decode()
        training = archive.read(TRAINING) if TRAINING in archive.namelist() else b""
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, but this program reads version {VERSION}")
        with np.load(io.BytesIO(archive.read(ARRAYS)), allow_pickle=False) as arrays:
            layers = tuple(
                (arrays[f"weights_{place}"], arrays[f"biases_{place}"], str(activation))
                for place, activation in enumerate(content["activations"])
            )
    agent = SavedAgent(AgentTerms.from_json(content), layers, content["about"], training, digest)
    agent.network()
    return agent
