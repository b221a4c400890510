"""What the stream of a market does not show, for the warnings of every run on its days."""

from collections.abc import Iterator

from mm.dayfolder.coverage import PROVABLE
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.dayfolder.recovery import read_schema


def unseen(folder: DayFolder) -> Iterator[str]:
    """Yield a sentence for a book that shows only its best levels, and for trades that nothing proves complete."""
    depth = read_schema(folder).book_depth
    if depth is not None:
        yield (
            f"the book shows the best {depth} levels a side: a level that leaves this window counts "
            f"as cancelled, so an order there seems first in its queue, and fills more than it would"
        )
    manifest = read_manifest(folder)
    if manifest is not None and manifest.trades_provable is False:
        yield f"trades: {PROVABLE[False]}"
