"""A light process that works on shares: `python -m engine.data.background.parallel_process NAME`.

Reads frames from standard input (first a setting, then shares) and answers each on standard
output. Imports neither torch nor an interface. Ends when its input does.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from engine.data.background.parallel import Answer, read_frame, write_frame
from store.errors import WorkbenchError

Work = Callable[[bytes], object]

_OBJECTS = 50_000
"""New objects after which cycles are looked for."""


class Judging(msgspec.Struct, frozen=True):
    """The setting of `judge`: a model's folder, how many ids of a row are kept, and the method."""

    folder: str
    max_length: int | None
    method: Literal["sft", "text", "dpo", "kto"] = "sft"


class Lines(msgspec.Struct, frozen=True, array_like=True):
    """A share of `judge`: rows as they are in the file, numbered from `first`.

    `errors`: place -> why only the head of that row is here.
    """

    first: int
    lines: list[bytes]
    errors: dict[int, str] = {}


def judge(setting: bytes) -> Work:
    """Shares are `Lines`, answers `engine.data.findings.judge.Tally`."""
    from engine.data.findings.judge import Judge
    from engine.render.renderer import Renderer

    told = msgspec.msgpack.decode(setting, type=Judging)
    decoder = msgspec.msgpack.Decoder(Lines)
    judge = Judge(Renderer.load(Path(told.folder)), told.max_length, told.method)

    def work(share: bytes) -> object:
        lines = decoder.decode(share)
        return judge.look_at_raw(lines.first, lines.lines, lines.errors)

    return work


WORKS: dict[str, Callable[[bytes], Work]] = {"judge": judge}


def main() -> int:
    """Answer every share until there is none."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    encoder = msgspec.msgpack.Encoder()
    setting = read_frame(source)
    if setting is None:
        return 0
    work: Work | None = None
    while (share := read_frame(source)) is not None:
        try:
            if work is None:
                work = WORKS[sys.argv[1]](setting)
                # A share is many small objects that all go when it is answered: looking through
                # them for cycles as often as usual takes a tenth of the time.
                gc.freeze()
                gc.set_threshold(_OBJECTS)
            answer = Answer(msgspec.Raw(encoder.encode(work(share))))
        except WorkbenchError as error:
            answer = Answer(error=(type(error).__name__, error.message, error.hint))
        write_frame(target, encoder.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
