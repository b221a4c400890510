"""``mm bench``: entry point of `benchmarks/`, the project's own measurements, in the folder next to this package."""

import sys
from importlib import import_module
from pathlib import Path

import click

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def command(folder: Path) -> click.Command:
    """Without the folder, a command that prints where to get it and exits with 2."""
    if not (folder / "__main__.py").is_file():
        return _absent(folder)
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    main: click.Command = import_module("benchmarks.__main__").main
    return main


def _absent(folder: Path) -> click.Command:
    @click.command("bench", context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def absent(words: tuple[str, ...]) -> None:
        """Measure the project's own speed; the measurements are in a checkout of the repository, not in the wheel."""
        if {"-h", "--help"} & set(words):
            click.echo(click.get_current_context().get_help())
            return
        text = f"there is no folder {folder}; the measurements are not in the wheel, run them from a checkout"
        click.echo(f"error: {text} of the repository (pip install -e .)", err=True)
        raise click.exceptions.Exit(2)

    return absent


main = command(FOLDER)

if __name__ == "__main__":
    main()
