"""Write docs/configuration.md from the knobs: ``make docs`` runs this module and keeps what it prints."""

from mm.cli.config import GROUPS
from mm.cli.knobs import REQUIRED, Knob, knobs, shown

PIPE = "\\|"  # a bar inside a table's cell
_HEAD = """\
# Configuration

This page is generated from `mm/cli/config.py` by `make docs`; a test compares the two.

One knob is one dataclass field, one flag, one environment variable and one entry of `run_manifest.json`.
A flag wins over the environment, and the environment over the default.
A flag that the run does not use (`--deltas` with `CALIB_METHOD=marks`) is refused.
A variable that it does not use may be exported for another command; the log notes it (`knob_not_used`).
Numbers are range-checked, and a message about a wrong one names the flag, the variable and the value.
A variable that is set but empty counts as not set.
`mm COMMAND --help` lists the knobs that a command takes.
A walk-forward fills by `poisson` where nothing else is said.
`mm fit` applies a least exposure and a largest distance only when asked.

Every command also takes `--json`.
The one line on stdout is then one JSON object, the main artefact of the run with its `path` added.
Results go to stdout, logs to stderr and to `run.log`; `NO_COLOR` turns colours off.
"""

_TAIL = """\
## What does not change a result

The digest of a run covers its inputs, its outputs and the knobs that matter.
These do not: {free}.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | unforeseen, or a user's model raised |
| 2 | a knob is wrong, a `RUN_ID` was used before, the output cannot be written, or an extra is not installed |
| 3 | a file is missing, broken or does not match |
| 4 | the fit is not usable; the outputs are written |
| 5 | refused by a safety rule |
| 75 | try later: a lock is held, or there is no space |
| 130 | Ctrl-C |

A failure is one line on stderr; with `LOG_LEVEL=ERROR` nothing else is there.
Where a model of your own raised, its traceback follows the line.
The traceback of anything unforeseen is in `run.log`, and on stderr with `LOG_LEVEL=DEBUG` where a command makes no run.
"""


def main() -> None:
    """Print the page."""
    print(page(), end="")


def page() -> str:
    """Return docs/configuration.md."""
    free = ", ".join(f"`{one.variable}`" for group in GROUPS for one in knobs(group) if not one.matters)
    return "\n".join([_HEAD, *map(_section, GROUPS), _TAIL.format(free=free)])


def _section(group: type) -> str:
    rows = [_row(one) for one in knobs(group)]
    head = ["| variable | flag | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {group.__name__}", "", str(group.__doc__), "", *head, *rows, ""])


def _row(one: Knob) -> str:
    default = "required" if one.default is REQUIRED else f"`{shown(one.default)}`" if shown(one.default) else "–"
    text = one.help.replace("<", "&lt;")
    cells = (f"`{one.variable}`", f"`{one.flag} {one.reader.metavar}`", default, text)
    return f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |"


if __name__ == "__main__":
    main()
