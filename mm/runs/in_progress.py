"""A run: one folder, written completely or not at all, and its log."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import mm
from mm.backtest.run_terms import EXCLUDED
from mm.base.code_identity import closure, hash_file
from mm.base.own_modules import file_of, module_file, own_file
from mm.clock import iso, now_us
from mm.errors import FitError, Incomplete, RunExists, parameter
from mm.report.contents import PAGE, SUMMARY
from mm.runs.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Entry,
    checkout_commit,
    output_entry,
    peak_rss_mb,
    work_digest,
    write_manifest,
)
from mm.runs.plan import CHECKPOINT, Plan, cannot_write, checkpoint, claim, lock_run, partial_folder, remove, resume
from mm.terminal.console import Console, Log
from mm.terminal.exits import exit_code_of
from mm.terminal.interrupts import deferred

if TYPE_CHECKING:
    from mm.backtest.account_result import AccountResult
    from mm.backtest.result import Result
    from mm.report.frame import About
    from mm.report.run_columns import RunColumns

SOURCE = "source"
"""Folder in a run with the files of a user's modules, as they were played; the digest has them as inputs."""
_UNDECLARED = (None, True, None, None)  # rows, whether it is in the digest, sha256, own sha256


class Run:
    """A run in progress, made by :func:`new_run`.

    *artefact* is the main output; ``--json`` prints it if it is JSON, else the summary. A run with an unusable fit is
    kept if it exists.
    """

    def __init__(self, plan: Plan, run_id: str, console: Console) -> None:
        self._plan, self._console = plan, console
        self.id = run_id
        self.folder = plan.folder(run_id)
        self.kind, self.out_root = plan.kind, plan.day.out_root
        self.tapes = plan.day.out_root / "tapes"
        self.summary: dict[str, Any] = {}
        self.artefact: str | None = None
        self.timings: dict[str, Any] = {"import_s": round(time.process_time(), 4)}
        self._began, self._started_at = time.perf_counter(), iso(now_us())
        self._inputs: dict[str, Entry] = {}
        self._excluded: list[str] = []
        self._declared: dict[str, tuple[int | None, bool, str | None, str | None]] = {}
        self._lock: int | None = None
        self.symbol = plan.day.symbol
        self._log = Log(plan.log_file(run_id), console.level, console.prefix, run_id=run_id, symbol=self.symbol)
        self.log = self._log.logger

    def logging_behind(self) -> AbstractContextManager[None]:
        return self._log.behind()

    def hold(self, lock: int | None) -> None:
        self._lock = lock

    @property
    def log_file(self) -> Path | None:
        return self._log.path

    @property
    def partial(self) -> Path:
        return partial_folder(self.folder)

    def path(self, name: str) -> Path:
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def checkpoint(self) -> Path:
        """Intermediate results of a resumable run; call after all inputs are noted."""
        folder, discarded = checkpoint(self.partial, self._inputs.values())
        if discarded:
            self.log.warning("checkpoint_thrown_away", message="the inputs or the code have changed; starting again")
        return folder

    def output(
        self,
        name: str,
        rows: int | None = None,
        *,
        digest: bool = True,
        sha256: str | None = None,
        own_sha256: str | None = None,
    ) -> Path:
        """Return an output's path, and set what the manifest cannot derive.

        Args:
            rows: Counted from a CSV file if not given.
            own_sha256: Hash of the content without what allows for trials on record.
        """
        self._declared[name] = (rows, digest, sha256, own_sha256)
        return self.path(name)

    def set_knobs(self, source: str, **values: Any) -> None:
        """Set values that differ from the start's, and their source."""
        changed = {name: replace(self._plan.knobs[name], value=value, source=source) for name, value in values.items()}
        self._plan = replace(self._plan, knobs={**self._plan.knobs, **changed})

    def input(self, path: str, size: int, sha256: str) -> None:
        """*path* is relative to DATA_ROOT."""
        self._inputs[path] = {"path": path, "bytes": size, "sha256": sha256}

    def has_input(self, path: str) -> bool:
        return path in self._inputs

    def exclude(self, sentence: str, *, warned: bool = False) -> None:
        """*warned*: its cause was logged."""
        self._excluded.append(sentence)
        (self.log.info if warned else self.log.warning)("excluded", message=sentence)

    def input_file(self, path: Path) -> None:
        relative = Path(os.path.relpath(path, self._plan.day.data_root)).as_posix()
        self.input(relative, path.stat().st_size, hash_file(path))

    def keep_source(self, modules: Iterable[str]) -> None:
        given = list(modules)
        own, _ = closure(given, own_file)
        for name in dict.fromkeys([*given, *own]):
            if (path := file_of(name)) is not None:
                self.input_file(path)
            if name in own and path is not None and path.suffix == ".py":
                place, _ = module_file(name)
                self.output(f"{SOURCE}/{place}", digest=False).write_bytes(path.read_bytes())

    @property
    def about(self) -> "About":
        return self.about_page(self.folder)

    def about_page(self, folder: Path) -> "About":
        from mm.report.frame import About, plotly_address

        day = self._plan.day
        plotly = plotly_address(day.plotlyjs, day.out_root, folder)
        knobs = {key: knob.entry() for key, knob in self._plan.knobs.items()}
        names = {"run_id": self.id, "version": mm.__version__}
        return About(self._plan.command(), knobs, excluded=self._excluded, plotly=plotly, **names)

    def write_page(self, html: str) -> None:
        """The page shows command and sources of knobs, so it is not in the digest."""
        self.output(PAGE, digest=False).write_text(html, encoding="utf-8")

    def write_result(
        self,
        result: "Result",
        name: str = "",
        further: "Callable[[Result], Result] | None" = None,
        orders_format: str = "csv",
        columns: "RunColumns | None" = None,
    ) -> "Result":
        """Write into the run, or its subfolder *name*; the summary becomes the run's main output."""

        # half of the imports of a run, and many write no backtest
        from mm.report.backtest import write_summary
        from mm.report.run_columns import columns_of

        place, hashes = PurePosixPath(name), dict[str, str]()
        folder = self.partial / place
        folder.mkdir(parents=True, exist_ok=True)
        # The tables are written beside the summary and the page: text, hashes and files need no lock of the
        # interpreter, and a backtest of a kept day takes a fifth less.
        with self.timing("write"), ThreadPoolExecutor(1) as other:
            tables = other.submit(result.write_tables, folder, hashes, orders_format)
            columns = columns or columns_of(result)
            result = further(result) if further else result
            said = result.summary["warnings"]  # of a run on days before it, and of a live run, its own
            said += [note for sentence in self._excluded if (note := f"{EXCLUDED}{sentence}") not in said]
            written = write_summary(result, folder, columns, self.about_page(self.folder / place))
            rows = {**tables.result(), **written}
        for file, count in rows.items():
            self.output(str(place / file), count, digest=file != PAGE, sha256=hashes.get(file))
        self.artefact, self.summary = str(place / SUMMARY), dict(result.summary)
        return result

    def write_account(self, result: "AccountResult", orders_format: str = "csv") -> "AccountResult":
        """Write the summary as main output, with a page of the account and of each symbol."""
        from mm.report.account import write_account_pages
        from mm.report.run_columns import columns_of

        hashes = dict[str, str]()
        with self.timing("write"):
            rows: dict[str, int | None] = {**result.write_tables(self.partial, hashes, orders_format)}
            columns = {symbol: columns_of(one) for symbol, one in result.results.items()}
            said = result.summary["warnings"]
            said += [note for sentence in self._excluded if (note := f"{EXCLUDED}{sentence}") not in said]
            rows |= write_account_pages(result, self.partial, columns, self.about_page(self.folder))
        for file, count in rows.items():
            self.output(file, count, digest=not file.endswith(".html"), sha256=hashes.get(file))
        self.artefact, self.summary = SUMMARY, dict(result.summary)
        return result

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        before = time.perf_counter()
        try:
            yield
        finally:
            key = f"{name}_s"
            self.timings[key] = round(self.timings.get(key, 0.0) + time.perf_counter() - before, 4)

    def print(self, text: str) -> None:
        self._console.print(text)

    def progress(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return self._console.progress(label, total)

    def has_artefact(self) -> bool:
        return self.artefact is not None and (self.partial / self.artefact).exists()

    def finish(self, status: str, exit_code: int = 0) -> None:
        self._name_excluded()
        self._name_slow()
        manifest = self._manifest(status)
        write_manifest(self.partial, manifest)
        self.partial.rename(self.folder.resolve())
        for link, table in self._plan.links(self.folder):
            link.symlink_to(table)
        # Last: a run killed before this point can be resumed; one killed here is complete.
        remove(self.folder / CHECKPOINT, ignore_errors=True)
        if self._console.as_json:
            self._console.set_json(self._answer(manifest))
        self.print(str(self.folder / (self.artefact or "")))
        ended = (self.summary.get("ended") or {}).get("reason")  # of a shadow or a trade
        self.log.info(
            "run_finished", status=status, exit_code=exit_code, **({"ended": ended} if ended else {}), **self.timings
        )
        self._close()

    def _name_excluded(self) -> None:
        for sentence in self._excluded:
            self.print(f"excluded: {sentence}")
        outputs = (self.partial / output["path"] for output in self._outputs()) if self._excluded else ()
        for path in [path for path in outputs if path.suffix == ".json"]:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict):
                text = json.dumps({**content, "excluded": self._excluded}, indent=1, ensure_ascii=False)
                path.write_text(text + "\n", encoding="utf-8")

    def _name_slow(self) -> None:
        """Name hooks that took longer than a trade allows by default."""
        calls = sys.modules.get("mm.base._calls")  # without it no model was called
        for hook, (count, longest_s) in (calls.slow_calls() if calls else {}).items():
            self.log.warning("slow_calls", hook=hook, calls=count, longest_s=round(longest_s, 2))

    def fail(self, error: BaseException) -> None:
        """Remove the outputs; an unexpected error's message gets the log's path."""
        remove(self.partial, ignore_errors=True)
        self._log.failed(error, exit_code_of(error))
        self._close()
        error.add_note(f"the traceback is in {self._log.path}")

    def _close(self) -> None:
        self._log.close()
        if self._lock is not None:
            os.close(self._lock)

    def _manifest(self, status: str) -> dict[str, Any]:
        day, by_path = self._plan.day, itemgetter("path")
        inputs, outputs = sorted(self._inputs.values(), key=by_path), sorted(self._outputs(), key=by_path)
        counted = [output for output in outputs if self._declared.get(output["path"], _UNDECLARED)[1]]
        self.timings["total_s"] = round(self.timings["import_s"] + time.perf_counter() - self._began, 4)
        self.timings["peak_rss_mb"] = peak_rss_mb()
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self._plan.kind,
            "symbol": day.symbol,
            "day": day.label(),
            "run_id": self.id,
            "status": status,
            "started_at": self._started_at,
            "finished_at": iso(now_us()),
            "version": mm.__version__,
            "commit": checkout_commit(Path(mm.__file__).parent),
            "knobs": {name: knob.entry() for name, knob in self._plan.knobs.items()},
            "inputs": inputs,
            "outputs": outputs,
            "digest": work_digest(self._plan.kind, day.days(), self._plan.knobs, inputs, counted),
            "timings": self.timings,
            "summary": self.summary,
            **({"excluded": self._excluded} if self._excluded else {}),
        }

    def _outputs(self) -> Iterator[Entry]:
        for path in self.partial.rglob("*"):
            if path.is_file() and path.relative_to(self.partial).parts[0] != CHECKPOINT:
                name = path.relative_to(self.partial).as_posix()
                rows, _, sha256, own = self._declared.get(name, _UNDECLARED)
                yield output_entry(self.partial, path, rows, sha256) | ({"own_sha256": own} if own else {})

    def _answer(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        if self.artefact is None:
            return {**manifest, "path": str(self.folder.resolve() / MANIFEST)}
        path = self.folder.resolve() / self.artefact
        content = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else self.summary
        return {**content, "path": str(path)}


@contextmanager
def new_run(plan: Plan, console: Console) -> Iterator[Run]:
    """Open a run; finish it, or remove its outputs on an error.

    After the main output a FitError leaves the status ``unusable``, Incomplete ``incomplete``; any other error, Ctrl-C
    included, leaves only the log.
    """
    run: Run | None = None
    outcome: FitError | Incomplete | None = None
    try:
        with deferred():  # until there is a run that Ctrl-C can remove
            run = _open(plan, console)
        run.log.info("run_started", kind=plan.kind, day=plan.day.label(), version=mm.__version__)
        try:
            yield run
        except (FitError, Incomplete) as error:
            if not run.has_artefact():
                raise
            outcome = error
        if outcome is None:
            run.finish("ok")
        else:
            run.finish("unusable" if isinstance(outcome, FitError) else "incomplete", outcome.exit_code)
    except BaseException as error:
        if run is None:
            raise
        run.fail(error)
        if outcome is not None and isinstance(error, OSError):
            raise Incomplete(f"{outcome}; nor can the run folder be written ({error})", outcome.exit_code) from error
        raise
    if outcome:
        raise outcome


def _open(plan: Plan, console: Console) -> Run:
    run_id = claim(plan)
    lock = lock_run(plan, run_id) if plan.resumable else None
    try:
        resumed = plan.resumable and resume(plan, run_id)
        run = Run(plan, run_id, console)
    except RunExists:
        if lock is not None:
            os.close(lock)
        raise
    except OSError as error:
        remove(partial_folder(plan.folder(run_id)))
        raise cannot_write(plan.log_file(run_id), error, parameter("log_root")) from error
    run.hold(lock)
    if resumed:
        run.log.info("run_resumed", folder=str(run.partial))
    return run
