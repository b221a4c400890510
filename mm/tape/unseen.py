"""What the stream of a market does not show, for the warnings of every run on its days."""

from collections.abc import Iterator, Sequence

from mm.dayfolder.coverage import PROVABLE
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.dayfolder.recovery import read_schema
from mm.tape.files import Snapshot


def unseen(folder: DayFolder, snapshots: Sequence[Snapshot], tick_e8: int) -> Iterator[str]:
    """Yield a sentence for a book that shows only its best levels, and for trades that nothing proves complete."""
    depth = read_schema(folder).book_depth
    if depth is not None:
        yield (
            f"the book shows the best {depth} levels a side{_reach(snapshots, tick_e8)}: a level that leaves this "
            f"window counts as cancelled, so an order there seems first in its queue, and fills more than it would"
        )
    manifest = read_manifest(folder)
    if manifest is not None and manifest.trades_provable is False:
        yield f"trades: {PROVABLE[False]}"


def _reach(snapshots: Sequence[Snapshot], tick_e8: int) -> str:
    """Return how far from the mid the nearer side of the first book ends."""
    if not snapshots or not tick_e8:
        return ""
    side, price, _ = snapshots[0].rows
    bids, asks = price[side > 0], price[side < 0]
    if not len(bids) or not len(asks):
        return ""
    mid2_e8 = int(bids.max()) + int(asks.min())
    nearest_e8 = min(mid2_e8 - 2 * int(bids.min()), 2 * int(asks.max()) - mid2_e8)
    return f", at its first book {nearest_e8 // (2 * tick_e8):,} ticks from the mid"
