"""A trader's interpreter: settings that hold inside the block alone, and a thread that computes delays nobody long."""

import gc
import statistics
import sys
import threading
import time

from mm.live.promptness import SWITCH_S, YOUNG_OBJECTS, prompt


def test_settings_hold_inside_and_are_put_back_after_an_error():
    before = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    try:
        with prompt():
            assert abs(sys.getswitchinterval() - SWITCH_S) < 1e-6
            assert gc.get_threshold()[0] == YOUNG_OBJECTS
            assert gc.get_freeze_count() > 1_000
            raise KeyError
    except KeyError:
        pass
    assert (sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()) == before


def waited_s():
    """Return the median time of short naps until the interpreter was had beside a thread that computes."""
    over = threading.Event()

    def compute():
        while not over.is_set():
            sum(range(50))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        naps = []
        for _ in range(20):
            began_s = time.perf_counter()
            time.sleep(0.0001)
            naps.append(time.perf_counter() - began_s)
    finally:
        over.set()
        thread.join()
    return statistics.median(naps)


def test_a_thread_that_computes_hands_the_interpreter_over_soon():
    plain_s = waited_s()
    with prompt():
        prompt_s = waited_s()
    assert prompt_s < plain_s / 2, (prompt_s, plain_s)
