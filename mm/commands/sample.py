"""``mm data sample``."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.knobs import PATH, base_url, knob
from mm.cli.frame import command
from mm.market_data.samples import SAMPLES, SERVER, fetch_sample, sample_of
from mm.terminal.console import Console


@dataclass(frozen=True, kw_only=True)
class SampleFiles:
    """Where the files of a sample come from, and where they go."""

    mm_samples: Path | None = knob(
        None,
        PATH,
        "Folder that has the published files already, anywhere below it; nothing is downloaded then.",
        flag="--from",
        matters=False,
        common="Folder that has the files",
    )
    sample_url: str = knob(
        SERVER, base_url("http", "https"), "Base URL of the server of the published files.", matters=False
    )


_NAME = click.Argument(["name"], required=False, metavar="[NAME]")


@command(arguments=[_NAME])
def data_sample(console: Console, files: SampleFiles, name: str | None) -> None:
    """Fetch a recorded market from where it was published, into samples/NAME; without NAME, list them.

    Each file is verified by its sha256; a broken download is continued.

    Example: mm data sample nexousdt
    """
    if name is None:
        for one in SAMPLES.values():
            console.print(f"{one.name:<12} {one.size / 1e6:4.1f} MB  {one.what} (licence: {one.licence})")
        listed = [{"name": one.name, "bytes": one.size, "licence": one.licence} for one in SAMPLES.values()]
        console.set_json({"samples": listed})
        return
    sample, folder = sample_of(name), Path("samples") / name
    paths = fetch_sample(sample, folder, files.mm_samples, files.sample_url, console.progress)
    console.print(f"{sample.what}; {sample.size / 1e6:.1f} MB, licence: {sample.licence}")
    for path in paths:
        console.print(str(path))
    console.print(f"import them: {sample.command(folder)}")
    written = [str(path) for path in paths]
    console.set_json({"path": str(folder), "files": written, "licence": sample.licence, "source": sample.source})
