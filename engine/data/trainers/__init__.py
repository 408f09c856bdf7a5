"""What other trainers would do with a file, row by row and as a whole.

Knows the trainers and asks them. Does not run them, nor change anything. Rows are read one after
the other and none is kept: memory is flat. One module a trainer, and `arrow` for the loader that
three of them share.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from engine.data.row.strict import WrongError, load
from engine.data.trainers.arrow import CHUNK, Columns
from engine.data.trainers.axolotl import AXOLOTL
from engine.data.trainers.base import Facts, FileVerdict, Outcome, Trainer, Value, Verdict
from engine.data.trainers.llama_factory import LLAMA_FACTORY
from engine.data.trainers.mlx import MLX
from engine.data.trainers.together import TOGETHER
from engine.data.trainers.trl import TRL
from store.errors import BadInput

__all__ = [
    "TRAINERS", "FileVerdict", "Reason", "Summary", "Verdict", "glance", "judge", "survey",
    "trainers_of",
]  # fmt: skip

TRAINERS: dict[str, Trainer] = {
    one.name: one for one in (TRL, AXOLOTL, LLAMA_FACTORY, MLX, TOGETHER)
}
_TOLD = 2048
_LINES = 1000
"""Lines that are named of rows that go the same way."""
_FORMS = 4096
"""Forms of rows that are remembered."""


class Rows(Protocol):
    """What is needed of a dataset."""

    @property
    def count(self) -> int: ...
    @property
    def format(self) -> str: ...
    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]: ...


class Reason(msgspec.Struct, frozen=True):
    """Rows that go the same way: how many, the first thousand of them, the words of the first."""

    rule: str
    outcome: Outcome
    count: int
    lines: list[int]
    reason: str
    remedy: str


class Summary(msgspec.Struct, frozen=True):
    """What a trainer would do with a file.

    Attributes:
        counts: rows by outcome.
        stops: would it stop before it trains on anything?
        reasons: of rows, the most frequent first. file: of the file as a whole.
    """

    trainer: str
    title: str
    source: str
    assumes: str
    rows: int
    counts: dict[str, int]
    stops: bool
    reasons: list[Reason]
    file: list[FileVerdict]

    @property
    def words(self) -> str:
        """The summary in a line."""
        parts = [f"{self.counts[name]:,} {name}" for name in ("keep", "altered", "drop", "error")
                 if self.counts[name]]  # fmt: skip
        return ("stops: " if self.stops else "") + (", ".join(parts) or "no rows")


def trainers_of(names: Sequence[str] = ()) -> list[Trainer]:
    """Trainers by name; all without any.

    Raises:
        BadInput: no such trainer.
    """
    for name in names:
        if name not in TRAINERS:
            raise BadInput(f"trainer '{name}': not known", f"expected one of {', '.join(TRAINERS)}")
    return [TRAINERS[name] for name in dict.fromkeys(names)] or list(TRAINERS.values())


def judge(rows: Rows | Iterable[tuple[int, bytes]], trainer: str) -> Iterator[Verdict]:
    """A verdict on every row, in order; see `survey` for the file as a whole."""
    source = rows if isinstance(rows, Iterable) else rows.iter_raw()
    [one] = trainers_of([trainer])
    asked = _Asked(one)
    for n, raw in source:
        yield asked.row(n, _read(raw))


def glance(n: int, raw: bytes, first: bytes | None = None) -> dict[str, Verdict]:
    """Every trainer's verdict on one row, for a column beside it.

    Args:
        first: the first row of the file, by which trainers guess the shape of all.
    """
    read, before = _read(raw), _read(first) if first is not None else None
    found = {}
    for trainer in TRAINERS.values():
        asked = _Asked(trainer)
        if before is not None:
            asked.row(1, before)
        found[trainer.name] = asked.row(n, read)
    return found


def survey(
    data: Rows,
    names: Sequence[str] = (),
    tell: Callable[[str, Verdict], None] = lambda _name, _verdict: None,
) -> Generator[float, None, list[Summary]]:
    """Ask the trainers about a whole dataset.

    Args:
        tell: is told every verdict that is not `keep`, with the trainer's name.
    Yields:
        How far it is, 0 to 1.
    Returns:
        A summary for each trainer, in the order of `TRAINERS`.
    """
    asked = [_Asked(trainer) for trainer in trainers_of(names)]
    columns = Columns(CHUNK if data.format == "jsonl" else None)
    for count, (n, raw) in enumerate(data.iter_raw(), start=1):
        read = _read(raw)
        columns.see(n, len(raw), read.value)
        for one in asked:
            verdict = one.row(n, read)
            one.count(verdict)
            if verdict.outcome != "keep":
                tell(one.trainer.name, verdict)
        if not count % _TOLD:
            yield count / max(data.count, 1)
    return [one.summary(columns) for one in asked]


@dataclass(frozen=True, slots=True)
class _Read:
    """A line as it was read: a value, or what is wrong; `odd` where readers differ."""

    value: Value | None
    wrong: str = ""
    blank: bool = False
    odd: str = ""
    form: tuple[object, ...] | None = None


def _form(value: Value) -> tuple[object, ...] | None:
    """What the rules can tell of a plain row, so that rows of one form are judged once: keys and
    roles, or keys and which texts are empty. None for a row that is not as plain."""
    turns = value.get("messages") if len(value) == 1 else None
    if type(turns) is list:
        roles: list[object] = ["messages"]
        for turn in turns:
            if type(turn) is not dict or len(turn) != 2:
                return None
            role = turn.get("role")
            if type(role) is not str or type(turn.get("content")) is not str:
                return None
            roles.append(role)
        return tuple(roles)
    form: list[object] = []
    for key, text in value.items():
        if type(text) is not str:
            return None
        form += (key, not text)
    return tuple(form)


def _read(raw: bytes) -> _Read:
    try:
        value = load(raw)
    except WrongError as wrong:
        return _odd(raw, str(wrong))
    if not isinstance(value, dict):
        return _Read(None, "not an object")
    return _Read(value, form=_form(value))


def _odd(raw: bytes, wrong: str) -> _Read:
    """What is read by other readers though it is not by ours."""
    if not raw.strip():
        return _Read(None, wrong, blank=True)
    twice: list[str] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(items)
        if len(found) < len(items):
            twice.append(next(key for key, n in Counter(k for k, _ in items).items() if n > 1))
        return found

    try:
        value = json.loads(raw, object_pairs_hook=pairs)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return _Read(None, wrong)
    if not isinstance(value, dict):
        return _Read(None, wrong)
    return _Read(value, wrong if twice else "", odd=f"key `{twice[0]}` twice" if twice else "")


@dataclass(slots=True)
class _Tally:
    """Rows that go the same way, while they are counted."""

    first: Verdict
    count: int = 0
    lines: list[int] = field(default_factory=list)


class _Asked:
    """A trainer that is asked about one file."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.facts = Facts()
        self.counts: Counter[str] = Counter()
        self.tallies: dict[tuple[str, str], _Tally] = {}
        self.known: dict[tuple[object, ...], Verdict] = {}

    def row(self, n: int, read: _Read) -> Verdict:
        """The verdict on the next row."""
        self.facts.line = n
        by_arrow = self.trainer.reader == "arrow"
        if read.blank:
            if by_arrow:
                return Verdict(n, "drop", "blank", "a blank line is no row", "delete the line")
            return Verdict(n, "error", "blank", "a blank line: JSONDecodeError", "delete the line")
        if read.value is None or (read.odd and by_arrow):
            who = "the loader stops here and loads nothing" if by_arrow else "it stops here"
            return Verdict(n, "error", "unreadable", f"{read.wrong}: {who}", "repair the row")
        if self.facts.first is None:
            self.facts.first = read.value
        if read.form is None:
            verdict = self.trainer.judge(read.value, self.facts)
        else:
            known = self.known.get(read.form)
            if known is None:
                known = self.trainer.judge(read.value, self.facts)
                if len(self.known) < _FORMS:
                    self.known[read.form] = known
            verdict = Verdict(n, known.outcome, known.rule, known.reason, known.remedy)
        if read.odd and verdict.outcome == "keep":
            why, remedy = f"{read.odd}: the last one counts", "keep one of them"
            return Verdict(n, "altered", "key_twice", why, remedy)
        return verdict

    def count(self, verdict: Verdict) -> None:
        """Take a verdict into the summary."""
        self.counts[verdict.outcome] += 1
        if verdict.outcome == "keep":
            return
        tally = self.tallies.setdefault((verdict.outcome, verdict.rule), _Tally(verdict))
        tally.count += 1
        if len(tally.lines) < _LINES:
            tally.lines.append(verdict.line)

    def summary(self, columns: Columns) -> Summary:
        """All of it."""
        trainer = self.trainer
        of_file = list(columns.found) if trainer.reader == "arrow" else []
        if self.facts.first is not None:
            of_file = [*trainer.remarks(self.facts.first), *of_file]
        reasons = [
            Reason(rule, tally.first.outcome, tally.count, tally.lines, tally.first.reason,
                   tally.first.remedy)
            for (_, rule), tally in self.tallies.items()
        ]  # fmt: skip
        order: Mapping[Outcome, int] = {"error": 0, "drop": 1, "altered": 2, "keep": 3}
        reasons.sort(key=lambda reason: (order[reason.outcome], -reason.count))
        stops = bool(self.counts["error"]) or any(one.outcome == "error" for one in of_file)
        outcomes: tuple[Outcome, ...] = ("keep", "altered", "drop", "error")
        return Summary(
            trainer.name,
            trainer.title,
            trainer.source,
            trainer.assumes,
            sum(self.counts.values()),
            {name: self.counts[name] for name in outcomes},
            stops,
            reasons,
            of_file,
        )
