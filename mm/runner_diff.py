"""``mm runs diff``: what tells two runs apart."""

import click

from mm.cli.console import Console
from mm.cli.frame import command
from mm.config import Results
from mm.run_diff import compare
from mm.run_finder import find_run

_NAMES = [click.Argument(["first"], metavar="A"), click.Argument(["second"], metavar="B")]


@command(Results, arguments=_NAMES)
def main(console: Console, results: Results, first: str, second: str) -> None:
    """Name what differs between two runs: knobs, version, inputs, outputs, and what they found.

    A and B are run folders, RUN_IDs, or how those or digests begin. Whether they are equal is an answer and no
    failure: the exit code is 0, and --json says "equal".

    Example: mm runs diff base wide
    """
    found = compare(find_run(first, results.out_root), find_run(second, results.out_root))
    console.answer(found.answer())
    for line in found.lines():
        console.say(line)
