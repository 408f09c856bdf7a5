"""When the garbage collector looks through everything."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from workbench import sweeping
from workbench.sweeping import Sweeper


class Loop:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.enable()


def left_behind() -> weakref.ref[Loop]:
    return weakref.ref(Loop())


def test_it_waits_for_a_moment_without_keys_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sweeper = Sweeper()
    sweeper.leave_out()
    gc.disable()  # that no young collection takes it
    gone = left_behind()
    gc.enable()
    sweeper.touch()
    sweeper.sweep()
    assert gone() is not None
    now += sweeping.QUIET + 0.1
    sweeper.sweep()
    assert gone() is None
    gone = left_behind()
    now += sweeping.LATEST + 1
    sweeper.touch()
    sweeper.sweep()
    assert gone() is None
