"""The part of the Data room that finds and replaces, and that divides the rows into parts.

Knows what is asked of a person and what is shown before anything is changed. Planning
and dividing are done in another process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from textual.content import Content

from screens.data.checking import Checking
from screens.safe import line
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent
    from engine.data.find import Pattern
    from engine.data.split.dividing import Divide

_PART = re.compile(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")


class Replacing(Checking):
    """`R` and `P`."""

    def action_replace(self) -> None:
        """Replace words in the marked rows, or in all that are listed."""
        from engine.data.find import Pattern
        from screens.widgets.modals import LineModal

        def compiled(words: str) -> Pattern:
            regex = len(words) > 2 and words.startswith("/") and words.endswith("/")
            return Pattern.compile(words[1:-1] if regex else words, regex)

        def complaint(words: str) -> str | None:
            try:
                compiled(words)
            except BadInput as error:
                return error.message
            return None

        def found(words: str | None) -> None:
            if words is not None:
                pattern = compiled(words)
                title = f"Replace {words[:40]} by · $1 is a group of a /pattern/"

                def by_what(by: str | None) -> None:
                    self._review_replace(pattern, by)

                modal = LineModal(title, placeholder="empty takes it away")
                self.app.push_screen(modal, self.guarded(by_what))

        where = self.target_words() if self.selected else "all rows that are listed"
        self.app.push_screen(
            LineModal(f"Replace in {where}", placeholder="words, or /a pattern/", check=complaint),
            self.guarded(found),
        )

    def _review_replace(self, pattern: Pattern, by: str | None) -> None:
        from engine.data.background.client import Planning
        from engine.data.find.replace import Maker
        from engine.data.row.strict import WrongError
        from screens.data.review import Planned, Review

        if by is None:
            return
        maker, raw = Maker(pattern, by), self.open_document.raw

        def look(row: int) -> tuple[bytes, bytes | None]:
            before = raw(row)
            try:
                planned = maker.plan(row, before)
            except WrongError:
                planned = None
            return before, before if planned is None else planned.raw

        title = Content(" replace ") + line(pattern.text, "bold") + Content(" by ")
        window = Review(title + line(by, "bold") + Content(" "), Planned(look), offer="change")
        rows = self.targets() if self.selected else self.rows.order
        wanted = None if rows is None else rows.astype("uint64").tobytes()
        request = Planning(pattern.text, by, pattern.regex, rows=wanted)
        self.propose(window, request, f"replace {pattern.text[:40]}")

    # Parts

    def action_split(self) -> None:
        """Record which rows train, which evaluate, and which are kept for the end."""
        from engine.data.split import parts
        from screens.widgets.modals import LineModal

        known = parts.recorded(self.catalogue, self.open_document)
        value, title = "80/10/10 seed 0", "Split · train/eval/test seed N by FIELD,FIELD"
        if known is not None:
            rule, counts = known.rule, known.counts
            shares = "/".join(f"{100 * share:g}" for share in (rule.train, rule.eval, rule.test))
            value = f"{shares} seed {rule.seed}"
            value += f" by {','.join(rule.group_by)}" if rule.group_by else ""
            title = (
                f"Split · {counts['train']:,} train · {counts['eval']:,} eval · "
                f"{counts['test']:,} test"
            )

        def asked(words: str | None) -> None:
            if words is not None:
                self.scan("split", divide_of(words), self._hear_split, "splitting")

        def complaint(words: str) -> str | None:
            try:
                divide_of(words)
            except BadInput as error:
                return f"{error.message}; {error.hint}"
            return None

        self.app.push_screen(
            LineModal(title, value=value, placeholder="80/10/10 seed 0 by source", check=complaint),
            self.guarded(asked),
        )

    def _hear_split(self, events: list[AnyEvent]) -> None:
        from engine.data.background.client import Failed, Report

        for event in events:
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, Report) and event.kind == "split":
                counts = event.body["counts"]
                said = " · ".join(f"{counts[part]:,} {part}" for part in ("train", "eval", "test"))
                warnings = "".join(f"\n! {words}" for words in event.body["warnings"])
                self.say(f"Split: {said}. part:eval filters.{warnings}")


def divide_of(words: str) -> Divide:
    """Read `80/10/10 seed 7 by source,conversation`.

    Raises:
        BadInput: it is not that.
    """
    from engine.data.split.assign import rule_of
    from engine.data.split.dividing import Divide

    hint = "write train/eval/test, as 80/10/10 seed 0 by source, or by conversation"
    shares, *rest = words.split() or [""]
    found = _PART.fullmatch(shares)
    if found is None or len(rest) % 2:
        raise BadInput(f"{words}: expected three shares", hint)
    train, evaluate, test = (float(part) for part in found.groups())
    total = train + evaluate + test
    if total <= 0:
        raise BadInput(f"{shares}: expected shares above 0", hint)
    seed, group_by = 0, tuple[str, ...]()
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        if name == "seed" and value.lstrip("-").isdecimal():
            seed = int(value)
        elif name == "by":
            group_by = tuple(part for part in value.split(",") if part)
        else:
            raise BadInput(f"{name} {value}: expected seed N, or by FIELD", hint)
    rule = rule_of(train / total, evaluate / total, test / total, seed=seed, group_by=group_by)
    return Divide(rule.train, rule.eval, rule.test, seed, group_by)
