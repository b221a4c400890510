"""Files by content: complete, verified and fetched once; and points played without access to their original disk."""

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from sweep_desk import write_own_model

from mm.backtest.rules import Account, Execution
from mm.errors import BrokenFile, DataError, Mismatch, MissingExtra, UsageError
from mm.play.knobs import Day, Market, Models
from mm.play.market import Markets
from mm.play.setup import Setup
from mm.signals.artefact import ARRAYS, MODEL
from mm.sweep import objects
from mm.sweep.engines import in_process
from mm.sweep.grid import Point
from mm.sweep.objects import ObjectStore, Shipment, run_tasks
from mm.sweep.store import Store
from mm.sweep.work import Work, check, shared_inputs
from mm.tape.kept_tapes import kept_days
from mm.trials.on_record import Recording

fsspec = pytest.importorskip("fsspec", reason="needs the extra [cluster]")
CONTENT = b"a tape, say" * 100_000
SHA256 = sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> ObjectStore:
    return ObjectStore(f"{request.param}://{tmp_path}/objects")


def names(store: ObjectStore) -> list[str]:
    files, folder = fsspec.core.url_to_fs(store.url)
    return [Path(name).name for name in files.ls(folder, detail=False)]


def test_fetched_file_equals_the_source_and_objects_are_written_once(store, source, tmp_path):
    store.put(source, SHA256)
    source.write_bytes(b"another content, which is not read: the object is there")
    store.put(source, SHA256)
    assert names(store) == [f"{SHA256}.gz"]
    assert store.fetch(SHA256, tmp_path / "here" / "tape").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["tape"]


def test_file_changed_since_hashing_is_not_put(store, source):
    source.write_bytes(b"another content")
    with pytest.raises(Mismatch, match=r"source has changed since the sweep began; run the command again"):
        store.put(source, SHA256)
    assert names(store) == []


def test_file_is_fetched_once_per_machine(source, tmp_path, monkeypatch):
    """Threads stand in for processes: each has its own descriptor, which the lock is on."""
    store, opened, together = ObjectStore(f"memory://{tmp_path}/objects"), [], threading.Barrier(8)
    store.put(source, SHA256)
    kind = type(fsspec.filesystem("memory"))
    original_open = kind.open
    monkeypatch.setattr(kind, "open", lambda *words, **more: opened.append(words[1]) or original_open(*words, **more))

    def fetch(_number: int) -> bytes:
        together.wait()
        return store.fetch(SHA256, tmp_path / "here" / "tape").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(8))) == {CONTENT}
    assert len(opened) == 1


def test_damaged_or_missing_object_raises_and_leaves_no_file(source, tmp_path):
    store, here = ObjectStore(f"file://{tmp_path}/objects"), tmp_path / "here" / "tape"
    with pytest.raises(BrokenFile, match=rf"objects: tape \({SHA256}\.gz\): there is no such object; run the sweep"):
        store.fetch(SHA256, here)
    store.put(source, SHA256)
    place = tmp_path / "objects" / f"{SHA256}.gz"
    packed = place.read_bytes()
    other = sha256(b"").hexdigest()
    place.rename(place.with_name(f"{other}.gz"))
    with pytest.raises(BrokenFile, match=rf"objects: tape \({other}\.gz\) has the sha256 {SHA256}; remove the object"):
        store.fetch(other, here)
    for damage in (packed[: len(packed) // 2], packed[:100] + bytes(100) + packed[200:], b"no gzip"):
        place.write_bytes(damage)
        with pytest.raises(DataError, match=rf"tape \({SHA256}\.gz\): .*; check the address, the credentials"):
            store.fetch(SHA256, here)
    assert list(here.parent.iterdir()) == []


def test_store_that_cannot_be_opened_raises_with_reason(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"s3://bucket/mm: .* Install s3fs to access S3, where the"):
        ObjectStore("s3://bucket/mm").put(source, SHA256)
    with pytest.raises(DataError, match=r"nowhere://x: .* Protocol not known: nowhere; check the address"):
        ObjectStore("nowhere://x").put(source, SHA256)
    (tmp_path / "objects").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"object_store file://.*Error"):
        ObjectStore(f"file://{tmp_path}/objects").put(source, SHA256)


def test_tape_without_kept_file_cannot_be_shipped(sweep_data, tmp_path):
    tape = Markets.open(Day(symbol="SIMUSDT", day="20260105", data_root=sweep_data, out_root=tmp_path), Market()).first
    loose = replace(tape, meta=replace(tape.meta, file=""))
    with pytest.raises(UsageError, match="the tape of 20260105 is not stored; set out_root to a folder with space"):
        Shipment("memory://x", [loose])


@pytest.fixture
def own_modules(monkeypatch) -> Iterator[None]:
    """Let a test import the user's modules again, and remove them afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(objects, "_FETCHED", [])
    yield
    for name in ("my_own", "my_helper"):
        sys.modules.pop(name, None)


def play_far(tasks: list, monkeypatch, root: Path) -> list:
    """Play *tasks* with another OUT_ROOT and from another folder, in chunks of one."""
    monkeypatch.setenv("OUT_ROOT", str(root / "out"))
    (root / "cwd").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(root / "cwd")
    sent = json.loads(json.dumps(tasks))
    return [run_tasks([task], 0.0)[0] for task in sent]


def work_of(setups: list[Setup], store: str | None) -> Work:
    points = [Point(number, {}, setup) for number, setup in enumerate(setups, 1)]
    day, out = setups[0].day, setups[0].day.out_root
    markets = Markets.open(day, Market())
    shared = check(None, points, markets, shared_inputs(None, points, markets, out / "tapes", store))
    return Work(points, shared, Store.of(out, day.symbol, day.label()), Recording(out, "sweep"))


def test_points_are_played_without_their_original_disk(sweep_data, tmp_path, monkeypatch, own_modules):
    """Day, tape, the user's modules and latencies are out of reach when they are played."""
    original = tmp_path / "made"
    original.mkdir()
    (original / "data").symlink_to(sweep_data)
    write_own_model(original)
    (original / "latencies.csv").write_text("order_ms\n20\n80\n")
    place = Day(symbol="SIMUSDT", day="20260105", data_root=original / "data", out_root=original / "out")
    monkeypatch.chdir(original)
    account, execution = Account(maker_fee_rate="0"), Execution(latency_file=Path("latencies.csv"))
    setups = [
        Setup(
            day=place,
            execution=execution,
            account=account,
            models=Models(quote_model="my_own:Own", quote_params_json=json.dumps(params)),
        )
        for params in ({"delta": 1.0}, {"delta": 2.0}, {"ill": "raises"})
    ]
    url = f"file://{tmp_path}/objects"
    local = [outcome for _, outcome in in_process([job.task for job in work_of(setups, None).jobs.values()])]
    assert [sorted(outcome) for outcome in local[:2]] == [["series", "summary"]] * 2
    work = work_of(setups, url)
    tasks = [job.task for job in work.jobs.values()]
    work._shared.shipment.put()
    assert len(list((tmp_path / "objects").iterdir())) == 4  # the tape, two modules, latencies
    original.rename(tmp_path / "gone")
    remote = play_far(tasks, monkeypatch, tmp_path / "far")
    assert remote[:2] == local[:2]
    (kept,) = kept_days(tmp_path / "far" / "out" / "tapes")  # listed and pruned by mm tapes
    assert (kept.symbol, kept.day) == ("SIMUSDT", "20260105")
    messages = [outcomes[2]["error"].partition(" at ")[0] for outcomes in (local, remote)]
    assert [one.partition(": ")[2] for one in messages] == ["Own.quote raised RuntimeError: no idea"] * 2
    # Another sweep brings other modules of the same names to the same process.
    other = tmp_path / "gone"
    (other / "my_helper.py").write_text("LOTS = 120  # more\n")
    other.rename(original)
    monkeypatch.chdir(original)
    objects._search("", ["my_own", "my_helper"])  # this process creates tasks again
    work = work_of(setups[:1], url)
    work._shared.shipment.put()
    changed = play_far([job.task for job in work.jobs.values()], monkeypatch, tmp_path / "far")
    assert changed[0]["summary"]["pnl_total"] != local[0]["summary"]["pnl_total"]
    replayed = play_far(tasks[:1], monkeypatch, tmp_path / "far")
    assert replayed == local[:1]


def test_tape_damaged_after_fetching_is_fetched_again(sweep_data, tmp_path, monkeypatch):
    """The point that detects it fails, the file is removed, and the next start fetches a complete tape."""
    day = Day(symbol="SIMUSDT", day="20260105", data_root=sweep_data, out_root=tmp_path / "out")
    work = work_of(
        [Setup(day=day, execution=Execution(), account=Account(maker_fee_rate="0"), models=Models())],
        f"file://{tmp_path}/objects",
    )
    (job,) = work.jobs.values()
    work._shared.shipment.put()
    monkeypatch.setattr(objects, "play", lambda task: {"kept": task["kept"]})
    (kept,) = play_far([job.task], monkeypatch, tmp_path / "far")[0]["kept"]
    monkeypatch.undo()
    damaged = bytearray(Path(kept).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    Path(kept).write_bytes(damaged)
    with pytest.MonkeyPatch.context() as patch:
        (outcome,) = play_far([job.task], patch, tmp_path / "far")
        assert "damaged (" in outcome["error"]
        assert outcome["error"].endswith("the tape is removed; run the command again")
        assert outcome["exit_code"] == 3
        (outcome,) = play_far([job.task], patch, tmp_path / "far")
    assert outcome == next(outcome for _, outcome in in_process([{**job.task, "store": None}]))


def test_modules_of_the_project_are_not_shipped(tmp_path):
    """A worker has the same version of them."""
    assert Shipment("memory://x", []).task_entry({}, {"mm.signals.predictor": "1"})["modules"] == {}


def test_predictor_is_fetched_into_one_folder_and_keeps_its_name(tmp_path, monkeypatch):
    """Its folder is in the parameters, followed by the side, and in the summary."""
    (tmp_path / "fits").mkdir()
    for name in (MODEL, ARRAYS):
        (tmp_path / "fits" / name).write_text(name)
    store = ObjectStore(f"memory://{tmp_path}")
    hashes = {str(tmp_path / "fits" / name): sha256(name.encode()).hexdigest() for name in (MODEL, ARRAYS)}
    for path, digest in hashes.items():
        store.put(Path(path), digest)
    monkeypatch.setenv("OUT_ROOT", str(tmp_path / "out"))
    text = f"{tmp_path}/fits:bid"
    models = Models(quote_params_json=json.dumps({"signal": text}))
    setup = Setup(day=Day(symbol="SIMUSDT", day="20260105"), execution=Execution(), account=Account(), models=models)
    task = {"setup": setup.to_json(), "folder": "", "sources": {}, "kept": None}
    needs = {"url": store.url, "tapes": [], "orders": [], "modules": {}, "files": hashes}
    sent = {}
    monkeypatch.setattr(
        objects, "play", lambda task_here: sent.update(task_here) or {"summary": {"of": [task_here["setup"]]}}
    )
    (outcome,) = run_tasks([{**task, "store": needs}], 0.0)
    folder, side = json.loads(sent["setup"]["models"]["quote_params_json"])["signal"].rsplit(":", 1)
    assert sorted(path.name for path in Path(folder).iterdir()) == [ARRAYS, MODEL]
    assert (Path(folder).is_relative_to(tmp_path / "out"), side) == (True, "bid")
    assert json.loads(outcome["summary"]["of"][0]["models"]["quote_params_json"]) == {"signal": text}


def test_chunk_ends_by_time_and_has_at_least_one_point(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(objects, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(objects, "play", lambda task: {"number": task["number"]})
    tasks = [{"store": None, "number": number} for number in range(5)]
    assert [outcome["number"] for outcome in run_tasks(tasks, 0.0)] == [0]
    assert [outcome["number"] for outcome in run_tasks(tasks, 3.0)] == [0, 1, 2]
    assert len(run_tasks(tasks, 50.0)) == 5
