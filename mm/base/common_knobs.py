"""Knobs that many commands take, each declared once; a command says only how its own differs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.knobs import DAYS, ONE_DAY, PATH, REQUIRED, SYMBOL, SYMBOLS, integer, knob, matching, one_of


def symbol_knob(
    text: str = "Symbol, in any case.", default: Any = REQUIRED, *, many: bool = False, common: str | None = None
) -> Any:
    usual = "Symbol, or a list" if many else "Symbol"
    return knob(default, SYMBOLS if many else SYMBOL, text, common=usual if common is None else common)


def day_knob(text: str = "The day, YYYYMMDD.", default: Any = REQUIRED, *, many: bool = False, common: str = "") -> Any:
    return knob(default, DAYS if many else ONE_DAY, text, common=common)


def data_root_knob(
    text: str = "Folder of the day folders <SYMBOL>/<YYYYMMDD>.",
    default: Any = Path("data"),
    *,
    common: str = "Folder of the recorded days",
) -> Any:
    return knob(default, PATH, text, matters=False, common=common)


def moved_data_root_knob() -> Any:
    return data_root_knob("Folder of the day folders, if moved since the run.", None, common="")


def seed_knob(text: str = "Seed of all random draws.", *, high: int = 2**63 - 1, common: str = "") -> Any:
    return knob(0, integer(0, high), text, common=common)


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Log level of the terminal."""

    log_level: str = knob(
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", upper=True),
        "Lowest level that is logged to the terminal; run.log contains INFO and above, or DEBUG.",
        matters=False,
    )


@dataclass(frozen=True, kw_only=True)
class Name:
    """The name of a run."""

    run_id: str | None = knob(
        None,
        matching(r"(?!.*\.partial$)\w[\w.-]{0,99}", "letters, digits and ._- (at most 100, not ending in .partial)"),
        "Name of the run; without it a UTC time stamp. A name that was used before is refused.",
        matters=False,
        common="Name of the run",
    )


@dataclass(frozen=True, kw_only=True)
class Output(Name, Terminal):
    """The name of a run, and its logs."""

    log_root: Path | None = knob(None, PATH, "Folder of the run logs; without it <OUT_ROOT>/logs.", matters=False)
