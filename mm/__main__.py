"""The ``mm`` program."""

import os
import signal
import sys
import threading

from mm.base.process_list import hide_secrets

if __name__ == "__main__" or sys.argv[0].endswith("mm"):
    hide_secrets(sys.argv, os.environ)

# An interrupt during the imports ends the process by the signal, without a traceback.
_INTERRUPTED = signal.getsignal(signal.SIGINT)
_EARLY = _INTERRUPTED is signal.default_int_handler and threading.current_thread() is threading.main_thread()
if _EARLY:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click

import mm
from mm.cli.commands import COMMANDS, SECTIONS
from mm.cli.frame import Program

# Before numpy is imported: for matrices as small as here more BLAS threads only wait for each other, and with one
# thread the order of summation is the same on every machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

main = click.version_option(mm.__version__, prog_name="mm")(
    Program("mm", "Record, calibrate and backtest market making, from bytes to a result.", COMMANDS, SECTIONS)
)

if _EARLY:
    signal.signal(signal.SIGINT, _INTERRUPTED)
if __name__ == "__main__":
    main()
