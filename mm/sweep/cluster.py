"""Play points on the workers of a Dask cluster: the same calls, by its executor.

The cluster is somebody else's: it is neither started nor stopped here.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import TYPE_CHECKING

from mm.errors import TryLater
from mm.sweep.engines import Outcomes, died
from mm.sweep.play import Outcome, Task, play

if TYPE_CHECKING:
    from distributed import Client

WAIT_S = 5.0  # for an answer, and for a first worker
PATIENCE_S = 30.0  # without any worker, before a sweep gives up
_LOOK_S = 1.0
_TALKING = ("asyncio", "distributed", "tornado")


def on_cluster(tasks: Sequence[Task], address: str) -> Outcomes:
    """Play *tasks* on the cluster whose scheduler listens at *address*.

    A task whose worker dies is played by another one; the scheduler gives up on a task that outlives several workers.

    Raises:
        TryLater: If there is no cluster, or it goes away; what was played before is known by then.
    """
    with _client(address) as client:
        executor = client.get_executor(pure=False)
        places = {executor.submit(play, dict(task)): place for place, task in enumerate(tasks)}
        waiting: set[Future[Outcome]] = set(places)
        alone_s = 0.0
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            for future in done:
                yield places[future], _outcome(future, address)
            alone_s = 0.0 if done or _workers(client, address) else alone_s + _LOOK_S
            if alone_s >= PATIENCE_S:
                raise _gone(address, f"it has had no worker for {PATIENCE_S:.0f} s")


def _client(address: str) -> "Client":
    """Return a connection to the scheduler, when it has a worker."""
    from distributed import Client

    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKING]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is told here, in one line
    try:
        client = Client(address, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _gone(address, f"no Dask scheduler answered within {WAIT_S:.0f} s") from error
    try:
        client.wait_for_workers(1, timeout=WAIT_S)
    except TimeoutError as error:
        client.close()
        raise _gone(address, f"it has no worker after {WAIT_S:.0f} s") from error
    return client


def _outcome(future: "Future[Outcome]", address: str) -> Outcome:
    try:
        return future.result()
    except CancelledError as error:
        raise _gone(address, "its scheduler is gone") from error
    except Exception as error:  # whatever the cluster says of a task that its workers could not play
        return died(" ".join(f"the cluster could not play it ({type(error).__name__}: {error})".split()))


def _workers(client: "Client", address: str) -> int:
    """Return how many workers the cluster has; refuse where it does not answer."""
    if client.status != "running":
        raise _gone(address, "its scheduler is gone")
    return len(client.scheduler_info()["workers"])


def _gone(address: str, why: str) -> TryLater:
    return TryLater(
        f"--cluster (CLUSTER) {address}: {why}; what was played is kept, and the same command goes on with the rest, "
        f"also without --cluster"
    )
