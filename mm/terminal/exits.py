"""The end of a command: any error becomes one of ours, with a way out and an exit code."""

import errno
import signal
from collections.abc import Mapping

import click

from mm.errors import DataError, MissingExtra, MMError, TryLater
from mm.terminal.interrupts import Interrupted

DISTRIBUTION = "mm-research"
"""The name of the package, whose import is mm."""
EXTRAS = dict.fromkeys(("isal", "numpy", "polars", "pyarrow", "scipy"), "research")
EXTRAS |= dict.fromkeys(("cryptography", "h11"), "sim") | dict.fromkeys(("distributed", "fsspec"), "cluster")
EXTRAS |= dict.fromkeys(("fastapi", "starlette", "uvicorn"), "api")
EXTRAS |= dict.fromkeys(("psycopg", "redis"), "state") | {
    "yaml": "yaml",
    "sklearn": "ml",
    "streamlit": "dashboard",
    "optuna": "search",
}
EXTRAS |= dict.fromkeys(("mlflow", "sqlalchemy", "alembic"), "mlflow")
EXTRAS |= dict.fromkeys(("gymnasium", "stable_baselines3", "torch"), "rl")
EXTRAS |= dict.fromkeys(("ipykernel", "nbclient", "nbformat"), "notebooks")
_BROKEN_DISK = (errno.EIO, errno.EROFS)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, *_BROKEN_DISK)
_PATHS: Mapping[type[OSError], str] = {
    FileNotFoundError: "there is no such file or folder",
    NotADirectoryError: "a part of the path is a file, not a folder; give another folder",
}


def exit_code_of(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
    return error.exit_code if isinstance(error, click.ClickException) else named(error).exit_code


def named(error: BaseException) -> MMError:
    if isinstance(error, MMError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in EXTRAS:
            extra = f"[{EXTRAS[package]}]'"
            return MissingExtra(
                f"this command needs {package}; install it with: pip install '.{extra} in the checkout, or pip install "
                f"'{DISTRIBUTION}{extra}"
            )
        if package == "mm":
            return MissingExtra(
                f"{error.name} is not compiled; build it with: make build in a checkout, else install again with a C "
                "compiler and without MM_KERNELS=0"
            )
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        what = "the disk cannot be written: {}; repair it" if error.errno in _BROKEN_DISK else "no space: {}; free some"
        return TryLater(f"{what.format(error)} and try again")
    if isinstance(error, OSError) and error.filename and type(error) in _PATHS:
        return DataError(f"{error.filename}: {_PATHS[type(error)]}")
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return MMError(f"unforeseen {type(error).__name__}: {error}{notes}")
