"""``make notebooks``: execute notebooks and store the outputs of their cells."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from mm.cli.frame import command
from mm.errors import BrokenFile, ModelError
from mm.terminal.console import Console

_LONGEST_CELL_S = 300
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@command(
    arguments=[
        click.Argument(
            ["notebooks"], nargs=-1, required=True, type=click.Path(path_type=Path), metavar="NOTEBOOK.ipynb…"
        )
    ],
)
def main(console: Console, notebooks: tuple[Path, ...]) -> None:
    """Execute each notebook in its own empty folder, and write it back with its outputs."""
    for path in notebooks:
        path.write_text(executed(path), encoding="utf-8")
        console.print(str(path))
    console.set_json({"notebooks": [str(path) for path in notebooks]})


def executed(path: Path) -> str:
    """Return the text of the notebook at *path* with the outputs of a new run, without times and paths.

    Raises:
        BrokenFile: If the file is not a notebook.
        ModelError: If a cell raises.
        MissingExtra: If a package is not installed (raised by the frame of the command line).
    """
    import ipykernel  # noqa: F401 - the kernel that is started by name below
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise BrokenFile(f"{path}: not a notebook ({error}); give an .ipynb file") from error
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=_LONGEST_CELL_S,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=_environment(folder))
        except CellExecutionError as error:
            raise ModelError(f"{path}: a cell raised {error.ename}: {error.evalue}") from error
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if "image/svg+xml" in output.get("data", {}):  # one format is enough; repository pages display SVG
            output["data"].pop("text/html", None)
    notebook.metadata = nbformat.from_dict(_METADATA)
    return str(nbformat.writes(notebook)) + "\n"


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of the kernel: it imports this package, and writes only inside *folder*."""
    import mm

    paths = [str(Path(mm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "IPYTHONDIR": folder,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return {**os.environ, **own}


if __name__ == "__main__":
    main()
