"""What a guardian does beside a process whose loop, model and signals follow a script; its looks set the clock."""

import os
import signal
from types import SimpleNamespace

import pytest
from test_emptying_alone import Script

from mm.base._calls import ENDING
from mm.live.account.kill_switch import KillSwitch
from mm.live.run import guardian
from mm.live.run.forced_end import GuardedRun
from mm.live.run.guardian import HUNG_S, LATE_S, NOTHING_OPEN, SILENT_S, TAKE_OVER, Guarded, GuardedExchange, Guardian
from mm.live.venues.canceller import KeyRefused, NoAnswer
from mm.live.venues.keys import Credentials

PARENT, LIMIT_S, BEGUN_S, LONGEST_S = 4_321, 1.0, 100.0, 400.0
TERM, KILL = bytes([signal.SIGTERM]), bytes([signal.SIGUSR1])


class Timed(Script):
    """A script of sweeps that keeps the instants of its sweeps, from the first."""

    def __init__(self, scene, *found):
        super().__init__(*found)
        self.scene, self.swept_s = scene, []

    def sweep(self, may=lambda: True):
        self.swept_s.append(round(self.scene.passed_s, 3))
        return super().sweep(may)


class Scene:
    """A process and its guardian.

    Args:
        words: What the process sends, by the instant.
        silent: From when its loop gives no sign of life, and until when.
        call: From when a call of its model runs, and until when.
        dies: When it is gone by itself.
        found: What the sweeps of each exchange find; without one it is a shadow.
        interrupted: Whether SIGUSR1 ends the call: it is in Python code.
    """

    def __init__(
        self, monkeypatch, out, *, words=(), silent=(), call=(), dies=LONGEST_S, found=((0,),), interrupted=False
    ):
        self.now_s, self.words, self.silent, self.call, self.dies = BEGUN_S, dict(words), silent, call, dies
        self.sent, self.ended, self.recorded, self.noted = [], None, [], []
        self._interrupted, self._out = interrupted, out
        fakes = {
            "time": SimpleNamespace(monotonic=lambda: self.now_s, sleep=self._pass),
            "select": SimpleNamespace(select=lambda _r, _w, _x, wait_s: self._pass(wait_s)),
            "read_shared": lambda _memory: self._shared(),
            "order_end": lambda _memory, *end: setattr(self, "ended", end),
            "record_end": lambda runs, _locks, *end: self.recorded.append((len(runs), *end)),
            "note_none_open": lambda _root, symbol, _us: self.noted.append(symbol),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(guardian, name, fake)
        monkeypatch.setattr(os, "getppid", lambda: 1 if self.passed_s >= self.dies else PARENT)
        monkeypatch.setattr(os, "kill", self._signalled)
        markets = ["spot", "usdm"][: len(found)]
        exchange = {"locks": [], "quiet_file": "", "window_s": 5.0, "box": False, "symbols": ["S"], "runs": ["mm-a"]}
        key = Credentials("k", secret="s").handed()
        told = Guarded(
            [GuardedRun(f"S{one}", "r", "", "", "", f"S{one}", one, str(out)) for one in markets or ["spot"]],
            LIMIT_S,
            [GuardedExchange("http://127.0.0.1:9", key, market=one, **exchange) for one in markets],
        )
        self.guardian = Guardian(told, SimpleNamespace(recv=self._recv), bytearray(8), PARENT)
        self.exchanges = [Timed(self, *each) for each in found]
        for orders, script in zip(self.guardian._orders, self.exchanges, strict=True):
            orders.canceller = script

    @property
    def passed_s(self):
        return self.now_s - BEGUN_S

    def _pass(self, seconds):
        self.now_s += max(seconds, 0.001)
        assert self.passed_s < LONGEST_S, "it never ends"

    def _shared(self):
        began, over = self.call or (0.0, 0.0)
        calls = self.call and began <= self.passed_s < over
        first, last = self.silent or (LONGEST_S, LONGEST_S)
        beat_s = BEGUN_S + first if first <= self.passed_s < last else self.now_s
        call_ns = round((BEGUN_S + began) * 1e9) if calls else 0
        return {"beat_ns": round(beat_s * 1e9), "call_ns": call_ns, "depth": 1, "label": "Model.quote"}

    def _recv(self, _most):
        due = [at_s for at_s in self.words if at_s <= self.passed_s]
        if not due:
            raise BlockingIOError
        return b"".join(self.words.pop(at_s) for at_s in due)

    def _signalled(self, process, number):
        assert process == PARENT
        self.sent.append((number, round(self.passed_s, 3)))
        if number == ENDING:
            self.dies = self.passed_s
        elif self._interrupted:
            self.call = self.silent = ()

    def throw(self):
        for symbol in {run.symbol for run in self.guardian._told.runs}:
            KillSwitch(self._out, symbol).trigger("by hand", 1)

    def run(self):
        return self.guardian.run()


@pytest.fixture
def scene(monkeypatch, tmp_path):
    return lambda **terms: Scene(monkeypatch, tmp_path, **terms)


OVER = {60.0: bytes([NOTHING_OPEN])}


def test_a_process_that_says_that_nothing_is_open_ends_it_without_a_request(scene):
    """Calls within their limit, and a loop that is silent although nothing has come, are its own affair."""
    found = scene(words=OVER, call=(3.0, 3.0 + LIMIT_S + LATE_S - 0.06), silent=(10.0, 50.0))
    assert found.run() == 0
    assert found.exchanges[0].swept_s == []
    assert found.sent == found.noted == []


@pytest.mark.parametrize("word", [TERM, KILL])
def test_a_silent_loop_that_was_told_to_end_is_emptied_until_it_lives_again(scene, word):
    """It is not ended: no call of a model holds it."""
    found = scene(words={5.0: word} | OVER, silent=(4.9, 20.0))
    assert found.run() == 0
    assert 4.9 + SILENT_S < found.exchanges[0].swept_s[0] < 4.9 + SILENT_S + 0.2
    assert 18.5 < found.exchanges[0].swept_s[-1] < 20.0
    assert found.sent == []


def test_a_kill_by_the_switch_is_seen_without_a_word(scene):
    found = scene(words=OVER, silent=(0.0, 20.0))
    found.throw()
    assert found.run() == 0
    assert SILENT_S < found.exchanges[0].swept_s[0] < 1.0


def test_a_shadow_has_nothing_to_empty_and_is_ended_by_its_hung_model_alone(scene):
    """Its kill switch only stops paper orders: the day is recorded on."""
    found = scene(words={5.0: KILL} | OVER, silent=(4.0, 30.0), found=())
    found.throw()
    assert (found.run(), found.sent) == (0, [])
    hung = scene(call=(2.0, 99.0), found=())
    assert hung.run() == 0
    assert [number for number, _ in hung.sent] == [ENDING]
    assert hung.ended[0] == guardian.MODEL_CODE
    assert "cancelled" not in hung.ended[1]


def test_a_call_beyond_its_limit_is_emptied_at_once_and_ended_after_a_while(scene):
    """Once nothing is open; the end stands in the shared memory before the signal, and then in the logs."""
    found = scene(call=(2.0, 99.0), found=((3, 3, 0),))
    assert found.run() == 0
    swept_s = found.exchanges[0].swept_s
    assert 2.0 + LIMIT_S + LATE_S < swept_s[0] < 2.0 + LIMIT_S + LATE_S + 0.2
    ((number, at_s),) = found.sent
    assert number == ENDING
    assert 2.0 + LIMIT_S + HUNG_S < at_s < 2.0 + LIMIT_S + HUNG_S + 0.3
    code, text = found.ended
    assert code == guardian.MODEL_CODE
    assert "Model.quote has not returned for" in text
    assert "its orders are cancelled" in text
    ((runs, recorded, why, _us),) = found.recorded
    assert (runs, recorded, why in text) == (1, code, True)


def test_it_does_not_end_a_process_whose_orders_may_be_open(scene):
    """Of two exchanges one has not answered for long; a key that is refused is no reason to wait."""
    away = [NoAnswer("503", 1.0)] * 12
    found = scene(call=(2.0, 99.0), found=((0,), (*away, 0)))
    assert found.run() == 0
    assert found.sent[0][1] > 2.0 + LIMIT_S + HUNG_S + 6
    refused = scene(call=(2.0, 99.0), found=((0,), (KeyRefused("no such key"),)))
    assert refused.run() == KeyRefused.exit_code
    assert refused.sent[0][1] < 2.0 + LIMIT_S + HUNG_S + 0.3
    assert "no such key" in refused.ended[1]
    assert "its orders are cancelled" not in refused.ended[1]


def test_a_killed_process_is_interrupted_first(scene):
    """In Python code its own handler ends the call; one that holds the interpreter is ended, with a kill's code."""
    python = scene(words={3.0: KILL} | OVER, call=(2.5, 40.0), silent=(2.5, 40.0), interrupted=True)
    assert python.run() == 0
    assert [number for number, _ in python.sent] == [signal.SIGUSR1]
    native = scene(words={3.0: KILL}, call=(2.5, 99.0), silent=(2.5, 99.0))
    assert native.run() == 0
    assert [number for number, _ in native.sent] == [signal.SIGUSR1, ENDING]
    assert native.sent[1][1] < 3.0 + HUNG_S + 0.5
    assert native.ended[0] == guardian.KILLED_CODE
    assert "was killed (SIGUSR1)" in native.ended[1]
    assert KillSwitch(native._out, "Sspot").triggered


def test_a_signal_to_a_hung_process_ends_it_as_the_model_s_fault(scene):
    """Before its limit: the time counts from the signal."""
    found = scene(words={2.6: TERM}, call=(2.5, 99.0), silent=(2.5, 99.0))
    assert found.run() == 0
    assert [number for number, _ in found.sent] == [ENDING]
    assert found.ended[0] == guardian.MODEL_CODE
    assert not KillSwitch(found._out, "Sspot").triggered


def test_what_a_process_that_is_gone_has_left_is_emptied_at_each_exchange(scene):
    """And noted for the watchdog, each where it is known; one that refuses the key gives its code."""
    found = scene(dies=7.0, found=((2, 0), (1, 0)))
    assert found.run() == 0
    assert sorted(found.noted) == ["Sspot", "Susdm"]
    assert min(found.exchanges[0].swept_s) >= 7.0
    assert found.passed_s > 7.0 + 5.0 + guardian.SETTLED_S
    refused = scene(dies=7.0, found=((KeyRefused("no"),), (1, 0)))
    assert refused.run() == KeyRefused.exit_code
    assert refused.noted == ["Susdm"]


def test_what_it_is_handed_over_is_emptied_without_a_wait(scene):
    found = scene(words={5.0: bytes([TAKE_OVER])}, found=((4, 1, 0),))
    assert found.run() == 0
    assert found.passed_s < 7.0
    assert len(found.exchanges[0].swept_s) == 3
    assert found.noted == ["Sspot"]
