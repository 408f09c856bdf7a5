"""Rows read strictly and with their shape, against JSON decoding alone; and converted.

Prints microseconds of processor time a row and ratios; asserts nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import msgspec

from engine.data.convert.rows import Target, convert
from engine.data.row.strict import load, load_strictly
from engine.data.rows import parse_row

ROWS = 5_000
_SAID = "the model answers in one short sentence and then it stops " * 12
_ANSWER = "because a good example shows what to say and where\n" * 14


def main() -> None:
    """Measure every family and print a table."""
    header = ("shape", "bytes", "msgspec", "json", "load", "strict", "parse_row", "x msgspec")
    print(("{:>22}" + "{:>11}" * 7).format(*header))
    for name, value in _shapes().items():
        row = json.dumps(value).encode()
        decode = msgspec.json.Decoder().decode
        found = [_micros(read, row) for read in (decode, json.loads, load, load_strictly, _parsed)]
        cells = [f"{micros:.2f}" for micros in found]
        print(f"{name:>22}{len(row):>11}" + "".join(f"{cell:>11}" for cell in cells), end="")
        print(f"{found[-1] / found[0]:>11.1f}")
    print("\nconverted, microseconds a row")
    targets: tuple[tuple[str, Target], ...] = (
        ("messages", "sharegpt"),
        ("messages", "prompt_completion"),
        ("sharegpt", "messages"),
        ("alpaca", "messages"),
        ("preference", "openai_preference"),
    )
    for name, to in targets:
        row = json.dumps(_shapes()[name]).encode()
        micros = _micros(lambda raw, to=to: convert(parse_row(1, raw), to), row)  # type: ignore[misc]
        print(f"{name:>22} -> {to:<20}{micros:>8.1f}")


def _shapes() -> dict[str, object]:
    chat = [{"role": "user", "content": _SAID}, {"role": "assistant", "content": _ANSWER}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    return {
        "messages": {"messages": chat},
        "sharegpt": {
            "conversations": [
                {"from": "human", "value": _SAID},
                {"from": "gpt", "value": _ANSWER},
            ]
        },
        "alpaca": {"instruction": _SAID, "input": "", "output": _ANSWER},
        "prompt and completion": {"prompt": _SAID, "completion": _ANSWER},
        "preference": {"prompt": chat[:1], "chosen": chat[1:], "rejected": chat[1:]},
        "text": {"text": _SAID + _ANSWER},
        "tools": {
            "messages": [*chat, {"role": "assistant", "content": None, "tool_calls": [call]}],
            "tools": [tool],
        },
        "many small turns": {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
            * 10
        },
    }


def _parsed(raw: bytes) -> object:
    return parse_row(1, raw)


def _micros(read: Callable[[bytes], object], raw: bytes) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(ROWS):
            read(raw)
        best = min(best, time.process_time() - start)
    return best / ROWS * 1e6


if __name__ == "__main__":
    main()
