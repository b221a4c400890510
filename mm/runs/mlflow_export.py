"""Exports finished runs to MLflow: knobs, numbers, tags and files; exporting again updates."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from mm.clock import us_of
from mm.errors import UsageError
from mm.report.as_of_now import as_of_now, home_of
from mm.runs.finished import RunFolder
from mm.runs.manifest import MANIFEST, flat
from mm.runs.tags import Tagged

KEY = "mm.run"  # tag that identifies a run: a second export finds the first one by it
TAG = "mm.tag."
MOST_BYTES = 32_000_000  # of a file; larger ones stay where they are
MOST_LETTERS = 6_000  # of a parameter's value in MLflow
BATCH = 100
_NOT_IN_NAMES = re.compile(r"[^/\w.\- :]")  # of metrics; an account's correlation of two symbols has a comma
# Without these, an address where nothing listens is tried for minutes, and each import reports its use to the vendor.
SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


class MlflowExport:
    """Writes runs into one experiment of an MLflow store; UsageError if it cannot be used."""

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.left_out: list[str] = []
        with _readable(uri):
            self._client: MlflowClient = MlflowClient(tracking_uri=uri or None)
            self.uri = str(self._client.tracking_uri)
            known_experiment = self._client.get_experiment_by_name(experiment)
            self._experiment = (
                known_experiment.experiment_id if known_experiment else self._client.create_experiment(experiment)
            )

    def write(self, run: RunFolder, said: Tagged) -> bool:
        """Return whether the run is new there; UsageError if the store cannot be written."""
        from mlflow.entities import Metric, Param, RunTag

        manifest = run.manifest
        started_ms, finished_ms = (us_of(manifest[name]) // 1_000 for name in ("started_at", "finished_at"))
        key = " ".join(str(manifest[name]) for name in ("kind", "symbol", "day", "run_id", "started_at"))
        with _readable(self.uri):
            quoted = key.replace("'", "\\'")
            known = self._client.search_runs([self._experiment], filter_string=f"tags.`{KEY}` = '{quoted}'")
            there = known[0] if known else self._client.create_run(
                self._experiment, start_time=started_ms, tags={KEY: key}, run_name=str(manifest["run_id"])
            )  # fmt: skip
            own = there.info.run_id
            params = [Param(*param) for param in _params(manifest) if param[0] not in there.data.params]
            numbers = [
                Metric(name, value, finished_ms, 0)
                for name, value in _numbers(run)
                if there.data.metrics.get(name) != value
            ]
            tags = _tags(manifest, said)
            for name in there.data.tags:
                if name.startswith(TAG) and name not in tags:
                    self._client.delete_tag(own, name)
            batches = {"params": params, "metrics": numbers, "tags": [RunTag(*tag) for tag in tags.items()]}
            for kind, entries in batches.items():
                for begin in range(0, len(entries), BATCH):
                    self._client.log_batch(own, **{kind: entries[begin : begin + BATCH]})
            self._write_files(run, own)
            self._client.set_terminated(own, "FINISHED", end_time=finished_ms)
        return not known

    def _write_files(self, run: RunFolder, own: str) -> None:
        for name in (MANIFEST, *(entry["path"] for entry in run.manifest["outputs"])):
            path = run.folder / name
            if not path.is_file() or path.stat().st_size > MOST_BYTES:
                self.left_out.append(str(path))
                continue
            folder = name.rpartition("/")[0]
            self._client.log_artifact(own, str(path), folder or None)


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError, ValueError) as error:
        why = shorten(str(error), 160, placeholder=" …")
        raise UsageError(
            f"--mlflow {uri or '(MLFLOW_TRACKING_URI)'}: {why}; give the address of a tracking store that can be "
            f"written, such as sqlite:///mlflow.db"
        ) from error


def _params(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, knob in manifest["knobs"].items():
        if knob["value"] is not None:
            yield name, str(knob["value"])[:MOST_LETTERS]


def _numbers(run: RunFolder) -> Iterator[tuple[str, float]]:
    manifest = run.manifest
    now = as_of_now(manifest["summary"], home_of(run.folder, run.knob("out_root")))
    for name, value in flat({**now, "timings": manifest["timings"]}):
        if "[" not in name and isinstance(value, int | float):
            yield _NOT_IN_NAMES.sub("_", name), float(value)


def _tags(manifest: dict[str, Any], said: Tagged) -> dict[str, str]:
    names = ("kind", "symbol", "day", "status", "digest", "version", "commit")
    about = {f"mm.{name}": str(manifest[name]) for name in names if manifest[name] is not None}
    return {**about, "mlflow.note.content": said.note, **{f"{TAG}{tag}": "true" for tag in said.tags}}
