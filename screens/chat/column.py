"""One column of the chat: a model, its conversation, and the answer that is being written.

Knows turns as they look. Does not know sessions; the room feeds it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from engine.chat.protocol import Done, Failed, StopReason
from engine.data.rows import Turn
from screens.chat.answer import LEGEND, Answer, Likelihoods, Look, marked, plain, raw
from screens.chat.question import Question
from screens.chat.transcript import SHOWN, Rounds, Transcript, past, spoken_by
from screens.safe import line, text
from screens.widgets.pane import Pane, empty_state

if TYPE_CHECKING:
    from store.chats import Turn as Recorded

NAMES = ("A", "B", "C", "D")
NEAR = 2
"""Lines from the end within which the view follows what is written."""
_WELCOME = (
    ("⏎", "send what you wrote"),
    ("esc m", "choose the model"),
    ("esc b", "another column, up to four"),
    ("esc /", "go on with an old chat"),
    ("ctrl+l", "a prompt that you kept"),
)
_ENDS: dict[StopReason, str] = {
    "turn end": "✓ end",
    "length": "✂ limit",
    "stopped": "■ stopped",
    "died": "✗ died",
    "edited": "✎ written by hand",
}


def stats(done: Done) -> str:
    """`38 tok · 61/s · first 0.12 s · ✓ end`."""
    if done.stop == "edited":
        return _ENDS[done.stop]
    if not done.seconds:
        return f"{done.tokens:,} tok · {_ENDS[done.stop]}"
    speed = f" · {done.tokens / done.seconds:,.0f}/s" if done.seconds > 0 else ""
    words = f"{done.tokens:,} tok{speed} · first {done.first_token_seconds:.2f} s"
    return f"{words} · {_ENDS[done.stop]}"


def as_done(place: int, answer: Recorded) -> Done:
    """An answer as it was when it was given, but for its ids, which are not recorded."""
    stop: StopReason = next((reason for reason in _ENDS if reason == answer.stop), "stopped")
    seconds, first = answer.seconds or 0.0, answer.first_token_seconds or 0.0
    return Done(0, place, answer.model or "", answer.text, [], answer.tokens or 0, seconds, first,
                stop)  # fmt: skip


class Column(Pane):
    """A titled transcript. `place` is 0 for A (blue), 1 for B (orange), 2 for C and 3 for D."""

    def __init__(self, place: int, ref: str) -> None:
        super().__init__(id=f"column-{NAMES[place].lower()}", classes=f"-{NAMES[place].lower()}")
        self.place = place
        self.ref = ref
        self.label = ref
        self.model = ref
        self.turns: list[Turn] = []
        self.answer = ""
        self.before: Done | None = None
        """The answer that was here before the question was asked again."""
        self.seen: dict[object, Done] = {}
        """Answers to the last question, by who gave them and how; see `Columns`."""
        self.proofs: dict[str, tuple[str, bool | None, bool]] = {}
        """Label, seal and `alone` of every model that has answered here."""
        self.seal: bool | None = None
        self.alone = False
        """Whether it is answered after the others, as it cannot share their batch."""
        self.hidden = False
        """Whether nothing may tell which model answers."""
        self.done: Done | None = None
        """The last answer, where the last question was answered."""
        self.context: tuple[Turn, ...] = ()
        """The conversation that the last answer continues."""
        self.asked: list[int] = []
        """The ids of the last question, as the model saw it."""
        self.mark = Content("")
        """What a vote says of the last answer."""
        self.compared: str | None = None
        """The answer that the last one is compared with; what differs is underlined."""
        self.corrected = ""
        """The last answer as somebody wrote it; kept so that it can be written on."""
        self.look: Look = "rendered"
        self.answering = False
        """Whether an answer is being written."""
        self._trouble = Content("")
        self._spoke = ""
        self._still = False
        self._answer: Answer | None = None

    def compose(self) -> ComposeResult:
        with Transcript():
            yield Static(
                empty_state("Ask, and read the answer of each model side by side.", _WELCOME),
                classes="welcome",
            )

    def on_mount(self) -> None:
        self.retitle()

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    def set_model(self, ref: str) -> None:
        """Answer with another model from now on; the conversation stays."""
        self.ref = self.model = ref
        unknown = (ref, None, False)
        # A seal that one column has and others have not would tell who is who.
        known = unknown if self.hidden else self.proofs.get(ref, unknown)
        self.label, self.seal, self.alone = known
        self.retitle()

    def seated(self, model: str, label: str) -> None:
        """What the reference stands for: `run:12` is `run:12@400`."""
        if model != self.model:
            self.seal = None
        self.model, self.label = model, label
        self.retitle("waiting for the model")

    def retitle(self, note: str = "") -> None:
        """Title: side, reference, seal, and what is going on."""
        side = NAMES[self.place]
        name = "?" if self.hidden else self.said_name
        title = Content.styled(f"{side} ", f"$side-{side.lower()} bold") + line(name)
        if self.seal is not None:
            sign = ("sealed ✓", "$text-success") if self.seal else ("not sealed ✗", "$text-error")
            title += Content("  ") + Content.styled(*sign)
        if self.alone and self.answering and not self.hidden:
            note = "after the others"
        if note:
            title += Content("  ") + line(note, "$text-muted")
        self.title_is(title)

    @property
    def said_name(self) -> str:
        """The model in few words: `run:12@400 · habit-r8`, the name alone of a file or folder."""
        run, at, _ = self.model.removeprefix("run:").partition("@")
        if self.label in (self.model, f"run {run} {at}{self.model.rpartition('@')[2]}"):
            return self.model
        if self.model.startswith("run:"):
            return f"{self.model} · {self.label.rpartition(' @')[0] or self.label}"
        return self.label

    def begin(self, question: str, turn: int = 0, by: str = "") -> None:
        """Show the question and make room for its answer.

        Args:
            turn: its number in the records. by: who answers; empty for the model of the column.
        """
        for welcome in self.query(".welcome"):
            welcome.remove()
        self.turns.append(Turn("user", question))
        self.context = tuple(self.turns)
        self.before, self.asked = None, []
        self.seen.clear()
        asked = Question(question, turn)
        same = (by,) if by else (self.ref, self.model)
        by = by or self.ref
        if self._spoke not in ("", *same) and not self.hidden:
            # what stands above was said by another model
            self.transcript.mount(spoken_by(by))
        self._answer = Answer()
        self.transcript.mount(asked, self._answer)
        self.transcript.trim()
        self._start()
        self._spoke = by

    async def replay(self, rounds: Rounds, shown: int = SHOWN, *, follow: bool = True) -> None:
        """Show a conversation as it was recorded, the last so many rounds of it.

        Args:
            follow: bring the end into view.
        """
        await self.clear()
        self.transcript.shown, self._still = shown, not follow
        if not rounds:
            return
        for question, answer in rounds[:-1]:
            if answer is not None:
                self.turns += [Turn("user", question.text), Turn("assistant", answer.text)]
        over, (question, answer) = rounds[:-1], rounds[-1]
        kept = over[-shown:]
        await self.transcript.remove_children()
        await self.transcript.mount_all(
            [*self.transcript.leave_out(len(over) - len(kept)), *past(kept, hidden=self.hidden)]
        )
        by = answer.model if answer is not None and answer.model else ""
        self._spoke = next((a.model for _, a in kept[::-1] if a is not None and a.model), by)
        self.begin(question.text, question.id, by)
        system = (Turn("system", question.system),) if question.system else ()
        self.context = (*system, *self.turns)
        if answer is None:
            self.fail("not answered here")
        else:
            self.finish(as_done(self.place, answer))
        self._spoke, self._still = by, False
        if follow:  # once what is new has its place, and then its height
            transcript = self.transcript
            end = partial(transcript.scroll_end, animate=False)
            transcript.call_after_refresh(transcript.call_after_refresh, end)

    def again(self) -> None:
        """Take the last answer back and make room for another one, at the same place."""
        self.turns = [turn for turn in self.context if turn.role != "system"]
        self.before = self.done or self.before  # a step that was stopped half way is none
        if self._answer is not None:
            self._answer.begin()
        self._start()

    def _start(self) -> None:
        self.answer, self.done, self.corrected = "", None, ""
        self.mark, self.compared, self._trouble = Content(""), None, Content("")
        self._spoke, self.answering = self.ref, True
        self._follow()
        self._glow(self.app.theme_variables[f"side-{NAMES[self.place].lower()}"])

    def _glow(self, colour: str | None) -> None:
        """The border of a column that is being written; a class would style all its turns anew."""
        self.styles.border_top = ("solid", colour) if colour is not None else None

    def feed(self, more: str) -> None:
        """Add streamed text to the answer."""
        self.answer += more
        if self._answer is not None and self.answering:
            self._follow(only_near_end=True)
            self._answer.feed(more)

    def _follow(self, *, only_near_end: bool = False) -> None:
        """Keep the end in view, unless the reader has scrolled away from it."""
        transcript = self.transcript
        if self._still:
            return
        if not only_near_end or transcript.max_scroll_y - transcript.scroll_offset.y <= NEAR:
            transcript.follow()

    def finish(self, done: Done) -> None:
        """The answer is complete: show it as it was said, with its numbers."""
        self.answer, self.done = done.text, done
        self.proofs[self.model] = self.label, self.seal, self.alone
        self.turns.append(Turn("assistant", done.text))
        if self.before is not None:
            self.compared = self.before.text
        self._end()

    def broke(self, failed: Failed) -> Done | None:
        """The worker is gone: what it had said stays, marked, and is returned as the answer."""
        if not failed.text:
            self.fail(f"{failed.message}. {failed.hint}")
            return None
        half = Done(failed.id or 0, self.place, self.model, failed.text, [], failed.tokens,
                    0.0, 0.0, "died")  # fmt: skip
        self._trouble = text(f"{failed.message}. {failed.hint}", "$text-error")
        self.finish(half)
        return half

    def fail(self, message: str, *, stopped: bool = False) -> None:
        """The answer came to nothing; the question is taken back from the conversation."""
        if self.turns and self.turns[-1].role == "user":
            self.turns.pop()
        sign = ("■ ", "$text-warning") if stopped else ("✗ ", "$text-error")
        self._trouble = Content.styled(*sign) + text(message, "$text-muted")
        self._end()

    def _end(self) -> None:
        self.answering = False
        if self._answer is not None:
            self._answer.finish(self.answer)
            self.show()
        self._glow(None)
        self.retitle()

    # How the last answer looks

    def show(self) -> None:
        """Draw the last answer again: its vote, look, comparison, or what is hidden changed."""
        answer, done = self._answer, self.done
        if answer is None or self.answering:
            return
        self._follow(only_near_end=True)
        answer.look, answer.likelihoods = self.look, None
        if self.look == "likely":
            if done is not None and done.logprobs is not None and done.pieces is not None:
                answer.likelihoods = Likelihoods(done.pieces, done.logprobs)
            else:
                answer.look = "raw"
        answer.against = None if self.compared is None else plain(self.compared, answer.look)
        answer.close(self._below(answer))

    def _below(self, answer: Answer) -> Content:
        """The lines below an answer: its vote, its numbers, what changed, how likely it was."""
        done = self.done
        if done is None:
            return self._trouble
        words = _ENDS[done.stop] if self.hidden else stats(done)  # speed would tell who is who
        if not done.text:
            words = f"(nothing) · {words}"
        lines = [(self.mark + Content("  ") if self.mark else self.mark)
                 + Content.styled(words, "$text-muted")]  # fmt: skip
        if self.alone:
            lines.append(line("answered after the others", "$text-muted"))
        if self._trouble:
            lines.append(self._trouble)
        if self.before is not None and self.compared == self.before.text:
            lines.append(self._since(self.before, done))
        likely = answer.likelihoods
        if likely is not None:
            said = "  n N each" if answer.cursor is None else f"  {likely.said(answer.cursor)}"
            lines.append(Content.styled("p ", "$text-muted") + LEGEND
                         + Content.styled(said, "$text-muted"))  # fmt: skip
        elif self.look == "likely":
            lines.append(line("no probabilities are known of it", "$text-muted"))
        return Content("\n").join(lines)

    def _since(self, before: Done, done: Done) -> Content:
        """`≠ run:1@20: 4 places changed`."""
        name = "the answer before" if self.hidden or before.model == done.model else before.model
        blocks = zip(raw(done.text), marked(raw(done.text), before.text), strict=True)
        changed = sum(len(new.content.spans) - len(old.content.spans) for old, new in blocks)
        if before.text == done.text:
            return line(f"= as {name}", "$text-muted")
        places = "1 place" if changed == 1 else f"{changed:,} places"
        return line(f"≠ {name}, {places}", "$text-warning")

    def look_at(self, by: int) -> None:
        """Another token of the last answer, where likelihoods are shown."""
        answer = self._answer
        if answer is None or answer.likelihoods is None or not answer.likelihoods.pieces:
            return
        last = len(answer.likelihoods.pieces) - 1
        here = -1 if answer.cursor is None and by > 0 else answer.cursor or 0
        answer.cursor = min(max(here + by, 0), last)
        answer.close(self._below(answer))

    async def clear(self) -> None:
        """Forget the conversation."""
        self.turns.clear()
        self.answer = self._spoke = ""
        self.done = self.before = self._answer = None
        self.context = ()
        self.seen.clear()
        await self.transcript.remove_children()
        welcome = Static(empty_state("A new conversation.", _WELCOME), classes="welcome")
        await self.transcript.mount(welcome)
