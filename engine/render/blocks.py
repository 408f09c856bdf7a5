"""Which characters of a rendered conversation are trained, told exactly or not at all.

A turn's place is told, in this order, by the template's own generation marks; by the difference
between two prefixes (the text up to the generation prompt, and the text with the turn); by the
same difference where the template writes something before a turn only while it is the last; by
writing other texts in its place and seeing what stays the same. Where none of them fits, the turn
is not trained and a note says why: nothing is guessed.

Knows text. Does not know tokens.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.data.rows import Turn
from engine.render.strings import joined, overlap, unchanged
from engine.render.template import Message, TemplateRefused, TemplateText

Range = tuple[int, int]
Render = Callable[[Sequence[Message], bool], TemplateText]
"""(messages, generation prompt) to text; raises TemplateRefused."""

REASONING = ("reasoning_content", "thinking", "reasoning")
_STANDINS = (
    ("qz{:07d}jx", re.compile(r"qz(\d{7})jx")),
    ("Vw{:07d}Kp9", re.compile(r"Vw(\d{7})Kp9")),
)

_TAIL = 4096
"""Characters at the end of a turn in which its stop token is looked for."""

MOST_MESSAGES = 60_000
"""Messages that are rendered for the prefixes of one conversation: about a second. Turns
beyond that (in conversations of more than some 340) are placed by their own texts."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What is trained of a text, in characters.

    Attributes:
        ranges: in order, apart from each other.
        ends: where each trained turn ends; its last token should be a stop token.
        starts: where each trained turn starts.
        notes: a sentence for each turn whose place is not told by marks or prefixes.
    """

    ranges: tuple[Range, ...]
    ends: tuple[int, ...]
    starts: tuple[int, ...]
    notes: tuple[str, ...]


class Conversation:
    """One rendered conversation, and the ways to find a turn in it.

    Args:
        render: renders a part of the messages with the tools of the row.
        messages: what the template read; one a turn.
        whole: the rendering of all messages.
        open_end: `whole` ends with a generation prompt.
        stops: texts of the stop tokens.
    """

    def __init__(
        self,
        render: Render,
        messages: Sequence[Message],
        turns: Sequence[Turn],
        whole: TemplateText,
        *,
        open_end: bool,
        stops: Sequence[str],
    ) -> None:
        self._render = render
        self._messages = messages
        self._turns = turns
        self._text = whole.text
        self._marks = whole.blocks
        self._open_end = open_end
        self._stops = stops
        self._places: dict[int, Range | None] | None = None
        self._rendered = 0
        self.notes: list[str] = []

    def trained(self) -> Trained:
        """Every trained range of the conversation."""
        if self._marks and all(turn.train is None and not turn.flags for turn in self._turns):
            return self._every_mark()
        wanted = [k for k, turn in enumerate(self._turns) if wants(turn)]
        blocks: dict[int, Range] = {}
        answers = [k for k in wanted if self._turns[k].role == "assistant"]
        if answers and self._marks:
            blocks = self._by_marks(answers)
        elif answers:
            for k in answers:
                found = self._by_prefix(k)
                if found is not None:
                    blocks[k] = found
        for k in wanted:
            if self._turns[k].role != "assistant":
                found = self._own_text(k)
                if found is None:
                    self._note(k, "its text cannot be found exactly: no mask can be told")
                else:
                    blocks[k] = found
        ranges: list[Range] = []
        ends: list[int] = []
        starts: list[int] = []
        for k, block in sorted(blocks.items(), key=lambda item: item[1]):
            ranges += self._flagged(k, block) if k >= 0 and self._turns[k].flags else [block]
            starts.append(block[0])
            ends.append(block[1])
        return Trained(joined(ranges), tuple(ends), tuple(starts), tuple(dict.fromkeys(self.notes)))

    # Marks

    def _every_mark(self) -> Trained:
        """The most frequent case: nobody says anything about any turn, so every mark is trained."""
        marks = self._marks if any(turn.role == "assistant" for turn in self._turns) else ()
        return Trained(joined(marks), tuple(b for _, b in marks), tuple(a for a, _ in marks), ())

    def _by_marks(self, answers: list[int]) -> dict[int, Range]:
        every = [k for k, turn in enumerate(self._turns) if turn.role == "assistant"]
        if len(self._marks) == len(every) and all(
            self._turns[k].text.strip() in self._text[a:b]
            for k, (a, b) in zip(every, self._marks, strict=True)
        ):
            found = dict(zip(every, self._marks, strict=True))
            return {k: found[k] for k in answers}
        if answers == every and not any(self._turns[k].flags for k in every):
            # Which turn a mark belongs to does not matter: all of them are trained.
            return {-1 - place: mark for place, mark in enumerate(self._marks)}
        counted = self._counted_marks(every)
        if counted is None:
            self.notes.append(
                "The template marks other turns as generated than the row has: no mask can be "
                "told exactly, so nothing is trained."
            )
            return {}
        return {k: counted[k] for k in answers if k in counted}

    def _counted_marks(self, every: list[int]) -> dict[int, Range] | None:
        """Marks of each answer, by how many there are after it; one a turn at most."""
        found: dict[int, Range] = {}
        before = 0
        if len(every) * len(self._messages) > MOST_MESSAGES:
            return None
        for k in every:
            try:
                part = self._render(self._messages[: k + 1], False)
            except TemplateRefused:
                return None
            count = len(part.blocks)
            if part.blocks != self._marks[:count] or count - before not in (0, 1):
                return None
            if count > before:
                found[k] = self._marks[before]
            before = count
        return found if before == len(self._marks) else None

    # Differences

    def _by_prefix(self, k: int) -> Range | None:
        text, last = self._text, len(self._messages) - 1
        before = after = None
        self._rendered += 2 * k
        if self._rendered > MOST_MESSAGES:
            return self._by_standins(k, None, None)
        try:
            before = self._render(self._messages[:k], True).text
            whole = k == last and not self._open_end
            after = text if whole else self._render(self._messages[: k + 1], False).text
        except TemplateRefused:
            pass
        if before is None or not text.startswith(before):
            return self._by_standins(k, None, after)
        start = len(before)
        if after is not None and after.startswith(before):
            if text.startswith(after):
                return start, self._end(after, start)
            shared = overlap(after[start:], text[start:])
            if shared and self._says_all(k, text[start : start + shared], after[start:]):
                self._note(
                    k,
                    "the template writes it otherwise once another turn follows; it is trained as "
                    "it stands here",
                )
                return start, self._end(text[: start + shared], start)
        return self._by_standins(k, start, after)

    def _end(self, text: str, start: int) -> int:
        """Where a turn that ends `text` ends itself: after its first stop token.

        What follows that (a line break, a second end) is not for the model to say.
        """
        # Only the last piece is looked at: a text may be nothing but stop tokens, half a million.
        low = max(start, len(text) - _TAIL)
        core = text[low:]
        while True:
            shorter = core.rstrip()
            for stop in self._stops:
                shorter = shorter.removesuffix(stop)
            if shorter == core:
                break
            core = shorter
        tail = text[low + len(core) :]
        found = [(tail.find(stop), len(stop)) for stop in self._stops if stop in tail]
        if not found:
            return max(len(text.rstrip()), start)
        place, length = min(found)
        return low + len(core) + place + length

    def _says_all(self, k: int, text: str, alone: str | None) -> bool:
        """Is everything in `text` that the turn says where it is the last one (`alone`)?"""
        turn = self._turns[k]
        said = [turn.text.strip(), *_call_names(turn)]
        said += [str(turn.extra[name]).strip() for name in REASONING if name in turn.extra]
        return all(part in text for part in said if alone is None or part in alone)

    # Other texts in its place

    def _by_standins(self, k: int, start: int | None, alone: str | None) -> Range | None:
        turn = self._turns[k]
        place = self.places().get(k)
        if place is None:
            self._note(k, "the template leaves it out or rewrites it here: no mask can be told")
            return None
        if any(alone is None or name in alone for name in _call_names(turn)):
            self._note(k, "the template writes its calls otherwise here: no mask can be told")
            return None
        begin, end = place
        begin = start if start is not None and start <= begin else self._with_space(begin)
        end = self._with_stop(end)
        if not self._says_all(k, self._text[begin:end], alone):
            self._note(k, "the template drops its reasoning here: no mask can be told")
            return None
        self._note(k, "placed by its own text, as prefixes of this template do not tell it")
        return begin, end

    def _own_text(self, k: int) -> Range | None:
        place = self.places().get(k)
        if place is None:
            return None
        return self._with_space(place[0]), self._with_stop(place[1])

    def _with_space(self, start: int) -> int:
        """The start with the spaces before it, which belong to its first token."""
        return len(self._text[:start].rstrip(" "))

    def _with_stop(self, end: int) -> int:
        """The end with the stop token that directly follows, past blanks."""
        rest = self._text[end:]
        blanks = len(rest) - len(rest.lstrip())
        for stop in self._stops:
            if rest.startswith(stop, blanks):
                return end + blanks + len(stop)
        return end

    def places(self) -> dict[int, Range | None]:
        """Where the text of each turn stands unchanged (blanks around it apart); None: nowhere."""
        if self._places is None:
            self._places = self._find_places()
        return self._places

    def end_of(self, k: int) -> int | None:
        """Where turn `k` ends by its own text: after its stop token and the line it is on.

        Where its text is not there, after the last stop token before the next turn's text.
        """
        place, following = self.places().get(k), self.places().get(k + 1)
        if place is not None:
            end = self._with_stop(place[1])
        elif following is not None:
            ends = [(self._text.rfind(stop, 0, following[0]), len(stop)) for stop in self._stops]
            last = max(ends, default=(-1, 0))
            if last[0] < 0:
                return None
            end = sum(last)
        else:
            return None
        rest = self._text[end:]
        return end + len(rest) - len(rest.lstrip("\n"))

    def _find_places(self) -> dict[int, Range | None]:
        nowhere: dict[int, Range | None] = dict.fromkeys(range(len(self._turns)))
        which = list(range(len(self._turns)))
        skeleton: list[str] | None = None
        for form, pattern in _STANDINS:
            text = self._with_standins({k: form.format(k) for k in which})
            if text is None or pattern.search(self._text):
                return nowhere
            found = list(pattern.finditer(text))
            times = Counter(int(match[1]) for match in found)
            which = [k for k in which if times[k] == 1]
            kept = [match for match in found if times[int(match[1])] == 1]
            if [int(match[1]) for match in kept] != which:
                return nowhere
            edges = [0, *(edge for match in kept for edge in match.span()), len(text)]
            pieces = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
            if skeleton is not None and pieces != skeleton:
                return nowhere
            skeleton = pieces
        assert skeleton is not None
        return nowhere | self._matched(which, skeleton)

    def _with_standins(self, marks: dict[int, str]) -> str | None:
        changed = [
            {**message, "content": marks[k]} if k in marks else message
            for k, message in enumerate(self._messages)
        ]
        try:
            return self._render(changed, self._open_end).text
        except TemplateRefused:
            return None

    def _matched(self, which: list[int], skeleton: list[str]) -> dict[int, Range | None]:
        """The texts between the pieces that stay the same."""
        text, found = self._text, dict[int, Range | None]()
        if not text.startswith(skeleton[0]):
            return {}
        position = len(skeleton[0])
        for place, k in enumerate(which):
            piece = skeleton[place + 1]
            end = unchanged(text, position, self._turns[k].text, piece)
            if end is None:
                found[k] = None
                end = text.find(piece, position)
                if end < 0:
                    return {}
            else:
                found[k] = (position, end)
            position = end + len(piece)
        return found if position == len(text) else {}

    # Parts of a turn

    def _flagged(self, k: int, block: Range) -> list[Range]:
        """The trained parts of a turn whose file decides about ranges of its text."""
        turn = self._turns[k]
        begin, end = block
        first = self._text.find(turn.text, begin, end)
        if first < 0 or self._text.find(turn.text, first + 1, end) >= 0:
            place = self.places().get(k)
            if place is None:
                self._note(
                    k, "its text cannot be found exactly, nor its parts: no mask can be told"
                )
                return []
            first = place[0] - (len(turn.text) - len(turn.text.lstrip()))
        edges = {begin, end}
        flags = [(first + a, first + b, trained) for a, b, trained in turn.flags]
        for a, b, _ in flags:
            edges |= {min(max(a, begin), end), min(max(b, begin), end)}
        ordered = sorted(edges)
        base = trains(turn)
        ranges: list[Range] = []
        for a, b in itertools.pairwise(ordered):
            said = [trained for x, y, trained in flags if x <= a and b <= y]
            if said[-1] if said else base:
                ranges.append((a, b))
        return ranges

    def _note(self, k: int, words: str) -> None:
        untold = ", so it is not trained" if words.endswith("told") else ""
        self.notes.append(f"Turn {k + 1} ({self._turns[k].role}): {words}{untold}.")


def trains(turn: Turn) -> bool:
    """Is the turn trained as a whole: what the file says, else whether it is an answer."""
    return turn.role == "assistant" if turn.train is None else turn.train


def wants(turn: Turn) -> bool:
    """Is any of the turn trained?"""
    return trains(turn) or any(trained for _, _, trained in turn.flags)


def _call_names(turn: Turn) -> list[str]:
    names: list[str] = []
    calls = turn.extra.get("tool_calls")
    for call in calls if isinstance(calls, list | tuple) else ():
        inner = call.get("function", call) if isinstance(call, dict) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(name, str):
            names.append(name)
    return names
