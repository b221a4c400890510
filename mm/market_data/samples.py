"""Recorded captures that others have published: source, terms, download and import."""

import bz2
import gzip
import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mm.base.atomic_file import atomic_file, write_atomic
from mm.base.code_identity import hash_file
from mm.errors import BrokenFile, DataError, UsageError

if TYPE_CHECKING:
    from mm.market_data.downloads import Bar

SERVER = "https://raw.githubusercontent.com"
MOST_BYTES = 50_000_000
_PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress}


@dataclass(frozen=True)
class SampleFile:
    place: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


@dataclass(frozen=True)
class Sample:
    name: str
    what: str
    source: str
    licence: str
    flags: str
    files: tuple[SampleFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def url(self, file: SampleFile) -> str:
        return f"/{self.source}/{quote(file.place)}"

    def command(self, folder: Path) -> str:
        return " ".join(("mm data import", *(str(folder / file.name) for file in self.files), self.flags))


_NEXO, _BTC, _USDM = "prepare_combined_data/data/raw/spot", "examples/spot", "examples/usdm"
_HL_TABLE = (
    "--time-column timestamp --exchange-time-column exchange_timestamp --trade-files 'trades*' "
    "--levels 'bid_price_{n},bid_size_{n},ask_price_{n},ask_size_{n}'"
)
_LISTED = (
    Sample(
        "nexousdt",
        "Binance Spot NEXOUSDT, 2024-07-23 15:39 to 2024-07-24 16:00 UTC: depth, trades, best prices",
        "jeffrey82221/hftbacktest_playground/7ac2e77f3f61331ecd60c4240ea6c5ac38762a8a",
        "MIT",
        "--symbol NEXOUSDT",
        (
            SampleFile(
                f"{_NEXO}/nexousdt_20240723.dat.gz",
                49_091,
                "58a4d9277b3430c766686918dc6ed666dc9c73ac984f232d18b7fa6be24f4f4e",
            ),
            SampleFile(
                f"{_NEXO}/nexousdt_20240724.dat.gz",
                2_492_275,
                "995c30acb6815780d6a0b7cfd1989520c8ff2d3a22445e8844fbdce71353359c",
            ),
        ),
    ),
    Sample(
        "btcusdt",
        "Binance Spot BTCUSDT, eleven minutes around midnight of 2024-08-09 UTC: depth, trades, best prices",
        "nkaz001/hftbacktest/f82fc11e6a55f47687b94e7f96cd61f51c0513b6",
        "MIT",
        "--symbol BTCUSDT",
        (
            SampleFile(
                f"{_BTC}/btcusdt_20240808.gz",
                1_274_097,
                "5d263f4c5379cfc27379ef0e22779aa33804463d1b69c292e9c0714e31f2e1b4",
            ),
            SampleFile(
                f"{_BTC}/btcusdt_20240809.gz",
                1_754_087,
                "2981a27474b8903133cc66e25f4da561140dd061c942b84801b9d8c60e4b3599",
            ),
        ),
    ),
    Sample(
        "usdm",
        "Binance USD-M BTCUSDT, nine minutes around midnight of 2023-04-05 UTC: depth, trades, mark prices",
        "nkaz001/hftbacktest/b73eae70c674050dca294e1a1f53e4e2d0221ff0",
        "MIT",
        "--symbol BTCUSDT",
        (
            SampleFile(
                f"{_USDM}/btcusdt_20230404.dat.gz",
                578_568,
                "85c1c350353bc5d73c8d48daf1519d1a7ce8d0bbe703be0b45278171876e110d",
            ),
            SampleFile(
                f"{_USDM}/btcusdt_20230405.dat.gz",
                2_313_536,
                "f08860355a5924f7220dc26836485ea0f36dc3dabb22948d0d36af00e08e89c0",
            ),
        ),
    ),
    Sample(
        "bitstamp",
        "Bitstamp BTCUSD, the UTC day 2015-05-01: every order, trades",
        "phil8192/ob-analytics/cb8c22d819f26bfc7e862aa0ddf44fe01d237b16",
        "GPL (>= 2)",
        "--format bitstamp --symbol BTCUSD",
        (
            SampleFile(
                "inst/extdata/2015-05-01.log.bz2",
                3_400_673,
                "d6468d7f0e804b1e0a4ffd46dd3022a6e1e0177f633588c9715694f0cbb62e6d",
            ),
        ),
    ),
    Sample(
        "hyperliquid",
        "Hyperliquid BTC perpetual, 35 minutes of 2025-09-04: books of 20 levels, trades",
        "djienne/Avellaneda_Stoikov_Market_Making_parameter_calibration/9702e58c766ed565126109c58595cbab038b78db",
        "none stated: do not pass it on",
        f"--format table --symbol BTC {_HL_TABLE}",
        (
            SampleFile(
                "HL_data/orderbooks_BTC.csv",
                2_745_275,
                "79f07ebfb565c86c53a67a4ccb80000a8a818631de671d5d8bcb4ca67e40aa4d",
            ),
            SampleFile(
                "HL_data/trades_BTC.csv", 472_452, "59239d938891069b07bffd554f10b7500853fedfac892125882434f1795851ed"
            ),
        ),
    ),
)
SAMPLES = {sample.name: sample for sample in _LISTED}


def sample_of(name: str) -> Sample:
    if name not in SAMPLES:
        raise UsageError(f"there is no sample {name!r}; NAME is one of {', '.join(SAMPLES)}")
    return SAMPLES[name]


def fetch_sample(sample: Sample, folder: Path, kept: Path | None, server: str, bar: "Bar") -> list[Path]:
    """Write a sample's files into *folder*, verified; complete ones are kept, broken downloads continued.

    Args:
        kept: A folder with the published files, at any depth; None downloads them.
    """
    from mm.market_data.downloads import CHECKSUM, Downloads

    folder.mkdir(parents=True, exist_ok=True)
    if kept is not None:
        return [_copied(file, folder, kept) for file in sample.files]
    for file in sample.files:  # the server publishes none
        write_atomic(folder / (file.name + CHECKSUM), f"{file.sha256}  {file.name}\n".encode())
    instead = "give a folder that has {name}: --from (MM_SAMPLES)"
    with Downloads(server, folder, MOST_BYTES, bar, instead=instead) as downloads:
        paths = [downloads.load(sample.url(file)).path for file in sample.files]
    for file in sample.files:
        (folder / (file.name + CHECKSUM)).unlink(missing_ok=True)
    return paths


def _copied(file: SampleFile, folder: Path, kept: Path) -> Path:
    target = folder / file.name
    if target.is_file() and hash_file(target) == file.sha256:
        return target
    for path in _candidates(file, kept):
        if path.name == file.name and hash_file(path) == file.sha256:
            with atomic_file(target) as unfinished:
                shutil.copyfile(path, unfinished)
            return target
        if path.name != file.name:
            content = _PACKED[path.suffix](path.read_bytes())
            if hashlib.sha256(content).hexdigest() == file.sha256:
                write_atomic(target, content)
                return target
        raise BrokenFile(f"{path}: its bytes are not those that were published (sha256 {file.sha256}); remove it")
    raise DataError("{} ({mm_samples}) has no {}; unset {mm_samples} to download it", kept, file.name)


def _candidates(file: SampleFile, kept: Path) -> Iterator[Path]:
    for name in (file.name, *(file.name + suffix for suffix in _PACKED)):
        yield from sorted(kept.rglob(name))
