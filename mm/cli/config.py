"""Knobs that many tasks have beside a backtest's: servers, the orders file, and the fit of an earlier run.

``make docs`` writes docs/lookup/configuration.md from the groups in mm/cli/task_knobs.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.base.knobs import SWITCH, knob, matching, one_of
from mm.errors import Sentence
from mm.play.knobs import Models

if TYPE_CHECKING:
    from mm.base.doors import Door, Report

_FILE_NAME = matching(r"\S.*", "a path", "PATH", "path")


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Who may call a server that this program runs: its pages of metrics, its trading interface, its dashboard."""

    tokens_file: str | None = knob(
        None, _FILE_NAME, "File of the tokens that requests need, mode 600; mm token add writes it.", matters=False
    )
    tls_cert_file: str | None = knob(
        None, _FILE_NAME, "PEM certificate of the server, for https; its key may be in it.", matters=False
    )
    tls_key_file: str | None = knob(None, _FILE_NAME, "PEM key of that certificate.", matters=False)
    allowed_hosts: str | None = knob(
        None,
        matching(r"[\w.-]+(,[\w.-]+)*", "names, separated by commas"),
        "Names by which other machines call the server, also through a proxy.",
        matters=False,
    )
    plain_http: bool = knob(
        False, SWITCH, "1 allows http beyond this machine, only where a proxy ends TLS before it.", matters=False
    )

    def door(self, host: str, name: Sentence, report: "Report") -> "Door":
        """Raises SafetyError or UsageError."""
        from mm.base.doors import Door, DoorFiles

        files = [
            Path(file).expanduser() if file else None
            for file in (self.tls_cert_file, self.tls_key_file, self.tokens_file)
        ]
        names = self.allowed_hosts.split(",") if self.allowed_hosts else ()
        of_server = DoorFiles(
            certificate=files[0], key=files[1], tokens=files[2], allowed_hosts=names, plain_http=self.plain_http
        )
        return Door(host, of_server, name=name, report=report)


@dataclass(frozen=True, kw_only=True)
class OrdersFile:
    """The format of the orders file."""

    orders_format: str = knob(
        "csv", one_of("csv", "parquet"), "Format of the orders file; parquet takes a tenth of the disk space."
    )


def named_fit(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file for a ``--fit`` of ``last`` or a RUN_ID; DataError if there is none."""
    given = params["fill_params_file"]
    symbols = (params.get("symbol") or "").split(",")
    if given is None or len(symbols) > 1 or given.exists():  # several symbols have a fit each, see `account_knobs`
        return {}
    from mm.runs.find import find_fit

    fit = find_fit(str(given), symbols[0], params.get("out_root") or Path("out"))
    return {} if fit is None else {"fill_params_file": fit}


FROM_RUNS: Mapping[type, Callable[[Mapping[str, Any]], dict[str, Any]]] = {Models: named_fit}
"""What resolves the knobs of a group by finished runs; other groups have it as ``resolved``."""
