"""Stores fitted predictors: plain arrays, and ``model.json`` with a hash over both."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.base.user_code import refuse_code_of
from mm.errors import BrokenFile, Mismatch, UsageError
from mm.instrument import e8
from mm.signals.predictor import Forest, Network, Predictor

MODEL, ARRAYS = "model.json", "arrays.npz"
SCHEMA_VERSION = 1
SIDES = ("bid", "ask")
FOLDER = "/"
"""Character that marks a signal name as a predictor's folder."""
Arrays = Mapping[str, NDArray[Any]]
_TREES = ("roots", "feature", "threshold", "left", "right", "value")


@dataclass(frozen=True, eq=False)
class Artefact:
    """*arrays* are ``<head>.w<layer>`` and ``<head>.b<layer>``, or a forest's."""

    about: Mapping[str, Any]
    arrays: Arrays
    path: str

    @classmethod
    def read(cls, folder: Path) -> "Artefact":
        try:
            text, data = (folder / MODEL).read_bytes(), (folder / ARRAYS).read_bytes()
        except OSError as error:
            why = f"not a fitted predictor ({error.strerror}: {error.filename})"
            raise BrokenFile(f"{folder}: {why}; give a folder that mm predict fit wrote") from error
        try:
            about = json.loads(text)
            unchanged = text == as_text(about).encode() and about["hash"] == hash_of(about, data)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenFile(f"{folder / MODEL}: not a model of a predictor ({error}); fit it again") from error
        if not unchanged:
            raise BrokenFile(f"{folder}: {MODEL} or {ARRAYS} has changed since the fit; fit it again")
        return cls(about, _arrays(data, folder), str(folder))

    @property
    def signals(self) -> tuple[str, ...]:
        """BrokenFile if it names another predictor, SafetyError for a user's signal whose module is not imported: a
        predictor may be foreign.
        """
        names: tuple[str, ...] = tuple(self.about["signals"])
        if nested := [name for name in names if FOLDER in name]:
            raise BrokenFile(f"{Path(self.path) / MODEL}: its signal {nested[0]!r} is a predictor itself; fit it again")
        refuse_code_of(Path(self.path) / MODEL, names)
        return names

    @property
    def sides(self) -> tuple[str, ...]:
        return SIDES[: len(self.about["heads"])] if len(self.about["heads"]) > 1 else ()

    @property
    def distance_ticks(self) -> float | None:
        distances: Sequence[float] = self.about["distances_ticks"]
        return float(distances[len(distances) // 2]) if distances else None

    @property
    def signal_names(self) -> tuple[str, ...]:
        name = self.path if FOLDER in self.path else f".{FOLDER}{self.path}"
        return tuple(f"{name}:{side}" for side in self.sides) or (name,)

    def predictor(self) -> Predictor:
        about, scaler = self.about, self.about["scaler"]
        try:
            heads = [kernel_of(head, str(place), self.arrays) for place, head in enumerate(about["heads"])]
            mean, scale = (np.array(scaler[key], np.float64) for key in ("mean", "scale"))
            return Predictor(heads, mean, scale, scaler["priced"], e8(about["tick"]) / 1e8)
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFile(f"{self.path}: its arrays are not a predictor's ({error}); fit it again") from error

    def check(self, symbol: str | None, tick_e8: int) -> None:
        fitted = self.about["symbol"], e8(self.about["tick"])
        if (symbol or fitted[0], tick_e8) != fitted:
            raise Mismatch(
                f"{self.path}: fitted on {fitted[0]} with a tick of {self.about['tick']}, not on "
                f"{symbol or fitted[0]} with a tick of {tick_e8 / 1e8:g}; fit one on this market"
            )

    def terms(self, begin_us: int) -> dict[str, Any]:
        about = self.about
        return {
            **{name: about[name] for name in ("target", "model", "horizon", "days", "hash", "usable")},
            "does_not_beat": None if about["usable"] else about["score"]["best_baseline"],
            "in_sample": begin_us >= 0 and self.is_in_sample(begin_us),
        }

    def is_in_sample(self, begin_us: int) -> bool:
        return int(self.about["train_window"]["end_us"]) > begin_us


def signal_of(name: str) -> tuple[Artefact, int]:
    folder, colon, side = name.rpartition(":")
    if not colon or FOLDER in side:
        folder, side = name, ""
    artefact = Artefact.read(Path(folder))
    if side not in (artefact.sides or ("",)):
        wanted = " or ".join(artefact.signal_names)
        raise UsageError(f"signal {name!r}: the predictor is of {artefact.about['target']}; name {wanted}")
    return artefact, artefact.sides.index(side) if side else 0


def predictors_of(model: object) -> dict[str, Artefact]:
    """Return the predictors that a quote or fill model uses, by their folders; raises BrokenFile.

    *model* has ``signals``, and perhaps a further ``predictor_folder``.
    """
    declared = getattr(model, "signals", ())
    names = [name for name in declared if FOLDER in name] if isinstance(declared, tuple | list) else []
    predictors = {artefact.path: artefact for artefact in (signal_of(name)[0] for name in names)}
    folder = getattr(model, "predictor_folder", None)
    return predictors if folder is None else {**predictors, folder: Artefact.read(Path(folder))}


def predictor_files(*values: object) -> Iterator[Path]:
    for value in values:
        if isinstance(value, str):
            folder = Path(value.removesuffix(":bid").removesuffix(":ask"))
            yield from (folder / name for name in (MODEL, ARRAYS) if (folder / MODEL).is_file())
        elif isinstance(value, Mapping | list | tuple):
            inside: Iterable[object] = value.values() if isinstance(value, Mapping) else value
            yield from predictor_files(*inside)


def write(folder: Path, about: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Return the content of ``model.json``, with the hash; equal arguments, equal bytes."""
    room = io.BytesIO()
    np.savez(room, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    content = {**about, "hash": hash_of(about, room.getvalue())}
    (folder / ARRAYS).write_bytes(room.getvalue())
    (folder / MODEL).write_text(as_text(content), encoding="utf-8")
    return content


def as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def hash_of(about: Mapping[str, Any], arrays: bytes) -> str:
    rest = {key: value for key, value in about.items() if key != "hash"}
    return hashlib.sha256(arrays + as_text(rest).encode()).hexdigest()


def kernel_of(head: Mapping[str, Any], name: str, arrays: Arrays) -> Network | Forest:
    """Raises KeyError or ValueError for arrays that are missing or invalid."""
    if head["kind"] == "forest":
        return Forest(int(head["inputs"]), *(arrays[f"{name}.{part}"] for part in _TREES))
    layers = range(len(head["activations"]))
    weights, biases = ([arrays[f"{name}.{part}{layer}"] for layer in layers] for part in "wb")
    return Network(weights, biases, head["activations"])


def _arrays(data: bytes, folder: Path) -> Arrays:

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise BrokenFile(f"{folder / ARRAYS}: not arrays ({error}); fit it again") from error
