"""Audit logs of a trader below an output folder, without waiting for the disk."""

from mm.base.audit_chain import audit_path, read_rows
from mm.live.audit.log import AuditLog


def path_of(out, symbol="BTCUSDT", run_id="R", day="20260105"):
    """Return the path of a run's log."""
    return audit_path(out, symbol, day, run_id)


def open_log(out, symbol="BTCUSDT", run_id="R", day="20260105", **options):
    """Return the open log of a run."""
    return AuditLog(path_of(out, symbol, run_id, day), sync=False, **options)


def rows_of(path):
    """Return the rows of a log."""
    return list(read_rows(path))
