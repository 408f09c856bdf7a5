"""What one model makes of rows: tokens counted and everything odd found, row by row.

Knows rows and what the renderer makes of them. Runs as well in a worker process as here. Does not
know datasets, training or what is done about a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from engine.data.findings.duplicates import content_key
from engine.data.findings.kinds import DROPPED, KINDS, Finding
from engine.data.rows import Row, parse_row
from engine.render.messages import Refused
from engine.render.purposes import Drawn, Method, draw, wrong_shape
from engine.render.rendered import Compact
from engine.render.renderer import Renderer
from store.errors import BadInput

BUCKETS = 24
"""Of a token histogram: 0, 1, 2-3, 4-7, … tokens."""

_REMEMBERED = 4096
_NO_TURNS = re.compile(rb'"(?:messages|conversations?)"\s*:\s*\[\s*\]')
_LONG = re.compile(r"bytes long; expected at most")

Looked = tuple[int, int, int, int, tuple[tuple[str, int], ...], tuple[tuple[str, str], ...]]
"""(ids of the longest sequence, ids, ids kept, ids trained, tokens of each turn, findings as (kind,
detail)) of one row."""


class Tally(msgspec.Struct, array_like=True):
    """Sums over rows, to be added to others.

    Attributes:
        rows, fine, dropped: rows seen, with nothing worse than `info`, and left out by training.
        tokens, trained, cut: ids kept, ids with loss, ids cut.
        lengths: ids of each row that is trained on (of a preference, of its longer sequence) before
            cutting; uint32, in order.
        good: one byte a row: 1 where it is fine.
        keys: 16 bytes a row, see `duplicates`.
        roles: role -> counts of turns by tokens, `BUCKETS` entries.
        findings: in the order of the rows.
    """

    rows: int = 0
    fine: int = 0
    dropped: int = 0
    tokens: int = 0
    trained: int = 0
    cut: int = 0
    lengths: bytes = b""
    good: bytes = b""
    keys: bytes = b""
    roles: dict[str, list[int]] = msgspec.field(default_factory=dict)
    findings: list[Finding] = msgspec.field(default_factory=list)


class Judge:
    """Looks at rows for one model and one length; rows that are alike are rendered once.

    Args:
        max_length: how many ids of a row are kept; None keeps all.
        method: how rows are learned from; plain text is never cut, for it becomes blocks.
    """

    def __init__(self, renderer: Renderer, max_length: int | None, method: Method = "sft") -> None:
        self._renderer = renderer
        self._max_length = None if method == "text" else max_length
        self._method = method
        self._known: dict[bytes, Looked] = {}

    def look_at_raw(self, first: int, lines: Sequence[bytes], errors: Mapping[int, str]) -> Tally:
        """Rows as they are in the file, numbered from `first`.

        Args:
            errors: place -> why only the head of that row is here.
        """
        rows = [
            Row(first + place, raw, "unknown", (), errors[place])
            if place in errors
            else parse_row(first + place, raw)
            for place, raw in enumerate(lines)
        ]
        return self.look(rows)

    def look(self, rows: Sequence[Row]) -> Tally:
        """Count and judge.

        Raises:
            Unsupported: a row needs a chat template and the model has none.
        """
        keys = [content_key(row) for row in rows]
        names = [_train_name(row, key) for row, key in zip(rows, keys, strict=True)]
        new = {name: row for name, row in zip(names, rows, strict=True) if name not in self._known}
        if len(self._known) + len(new) > _REMEMBERED:
            self._known = {name: self._known[name] for name in names if name in self._known}
        drawn = draw(self._renderer, list(new.values()), self._method, details=True)
        for (name, row), rendered in zip(new.items(), drawn, strict=True):
            self._known[name] = self._judged(row, rendered)
        return _summed(rows, keys, [self._known[name] for name in names])

    def _judged(self, row: Row, drawn: Drawn | BadInput) -> Looked:
        if isinstance(drawn, BadInput):
            if wrong_shape(row, self._method) is not None:
                detail = drawn.message.removeprefix(f"line {row.number}: ")
                return 0, 0, 0, 0, (), (("unsupported", detail),)
            return 0, 0, 0, 0, (), (_refused(row, drawn),)
        count, kept, trained, found = self._counted(row, drawn.sequence)
        if (worse := drawn.rejected) is None:
            return count, count, kept, trained, drawn.sequence.parts, tuple(found)
        more = self._counted(row, worse)
        told = [*found, *_of_rejected(found, more[3]), *_of_pair(drawn)]
        parts = drawn.sequence.parts + worse.parts
        longest = max(count, more[0])
        return longest, count + more[0], kept + more[1], trained + more[2], parts, tuple(told)

    def _counted(self, row: Row, seen: Compact) -> tuple[int, int, int, list[tuple[str, str]]]:
        count = len(seen.ids)
        kept = count if self._max_length is None else min(self._max_length, count)
        trained = seen.trained(kept)
        return count, kept, trained, list(_found(row, seen, kept, trained))


def _train_name(row: Row, key: bytes) -> bytes:
    """What the rendering of a row depends on; broken rows are each their own."""
    if row.error is not None:
        return b"%d" % row.number
    flags = tuple((turn.train, turn.flags) for turn in row.turns)
    return key + repr(flags).encode() if any(a is not None or b for a, b in flags) else key


def _refused(row: Row, error: BadInput) -> tuple[str, str]:
    detail = error.message.removeprefix(f"line {row.number}: ")
    if isinstance(error, Refused):
        return ("role_order" if error.on_purpose else "unsupported"), detail
    if row.error is None:
        return "unsupported" if row.purpose not in ("tokens", "segments") else "bad_row", detail
    if not row.raw.strip():
        return "empty", "the line is blank"
    if _LONG.search(detail):
        return "long_line", detail
    return ("empty" if _NO_TURNS.search(row.raw) else "bad_row"), detail


def _found(row: Row, seen: Compact, kept: int, trained: int) -> Iterator[tuple[str, str]]:
    lost, all_trained = len(seen.ids) - kept, seen.trained()
    if _says_nothing(row):
        yield "empty", "no answer has any text" if row.turns else "there is no text"
        return
    if lost:
        yield (
            "cut",
            f"{lost:,} of {len(seen.ids):,} tokens are cut, {all_trained - trained:,} of them "
            "trained",
        )
    untold = [note for note in seen.notes if "no mask can be told" in note]
    if not trained:
        why = " after cutting" if all_trained else ""
        notes = "".join(f" ({note})" for note in untold)
        yield "nothing_trained", f"nothing is trained{why}; expected an assistant turn{notes}"
    else:
        if not lost and not seen.turn_end_trained:
            yield (
                "no_turn_end",
                "the end of a turn is not trained, so the model may not learn to stop",
            )
        for note in untold:
            yield "mask_untold", note[:1].lower() + note[1:].removesuffix(".")
    if seen.bos > 1:
        yield "doubled_bos", f"begins with {seen.bos} begin-of-sequence tokens; expected one"
    yield from seen.lost
    yield from _turns(row)


def _of_rejected(
    of_chosen: Sequence[tuple[str, str]], found: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """What is to be said of the rejected answer alone."""
    for kind, detail in found:
        if (kind, detail) not in of_chosen:
            yield kind, f"the rejected answer: {detail}"


def _of_pair(drawn: Drawn) -> Iterator[tuple[str, str]]:
    if drawn.same:
        yield "same_answers", "the chosen and the rejected answer are the same"
    elif drawn.prompts_differ:
        yield (
            "prompts_differ",
            "the template renders the prompt otherwise before the rejected answer",
        )


def _says_nothing(row: Row) -> bool:
    if row.purpose == "text":
        return not row.text.strip()
    answers = [turn for turn in row.turns if turn.role == "assistant"]
    return bool(answers) and not any(turn.text.strip() or turn.extra for turn in answers)


def _turns(row: Row) -> Iterator[tuple[str, str]]:
    for number, turn in enumerate(row.turns, 1):
        if not turn.text.strip() and not turn.extra:
            yield "empty_turn", f"turn {number} ({turn.role}) has no text"
    if row.turns and row.turns[-1].role in ("user", "tool"):
        yield "unanswered", f"ends with a {row.turns[-1].role} turn that nobody answers"


def _summed(rows: Sequence[Row], keys: Sequence[bytes], looked: Sequence[Looked]) -> Tally:
    tally = Tally(rows=len(rows), keys=b"".join(keys))
    lengths: list[int] = []
    good = bytearray(len(rows))
    for place, (row, (longest, count, kept, trained, parts, found)) in enumerate(
        zip(rows, looked, strict=True)
    ):
        kinds = {kind for kind, _ in found}
        tally.findings += [Finding(row.number, kind, detail) for kind, detail in found]
        good[place] = all(KINDS[kind].level == "info" for kind in kinds)
        if kinds & DROPPED:
            tally.dropped += 1
        else:
            lengths.append(longest)
            tally.tokens += kept
            tally.trained += trained
            tally.cut += count - kept
        for role, tokens in parts:
            counts = tally.roles.setdefault(role, [0] * BUCKETS)
            counts[min(tokens.bit_length(), BUCKETS - 1)] += 1
    tally.fine = sum(good)
    tally.good = bytes(good)
    tally.lengths = np.asarray(lengths, dtype=np.uint32).tobytes()
    return tally
