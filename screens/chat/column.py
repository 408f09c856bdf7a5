"""One column of the chat: a model, its conversation, and the answer that is being written.

Knows turns as they look. Does not know sessions; the room feeds it.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.chat.protocol import Done
from engine.data.rows import Turn
from screens.safe import line, text
from screens.widgets.differing import differing
from screens.widgets.pane import Pane, empty_state

NAMES = ("A", "B")
NEAR = 2
"""Lines from the end within which the view follows what is written."""
_WELCOME = (
    ("⏎", "send what you wrote"),
    ("esc m", "choose the model"),
    ("esc b", "one column or two"),
)
_ENDS = {"turn end": "✓ end", "length": "✂ limit", "stopped": "■ stopped"}


def stats(done: Done) -> str:
    """`38 tok · 61/s · first 0.12 s · ✓ end`."""
    speed = f" · {done.tokens / done.seconds:,.0f}/s" if done.seconds > 0 else ""
    words = f"{done.tokens:,} tok{speed} · first {done.first_token_seconds:.2f} s"
    return f"{words} · {_ENDS[done.stop]}"


class Transcript(VerticalScroll, can_focus=True):
    """The turns of a column; keeps to the bottom until the reader scrolls away."""


class Column(Pane):
    """A titled transcript. `place` is 0 for A (left, blue) and 1 for B (right, orange)."""

    def __init__(self, place: int, ref: str) -> None:
        super().__init__(id=f"column-{NAMES[place].lower()}", classes=f"-{NAMES[place].lower()}")
        self.place = place
        self.ref = ref
        self.label = ref
        self.model = ref
        self.turns: list[Turn] = []
        self.answer = ""
        self.before = ""
        """The answer that was here before the question was asked again."""
        self.seal: bool | None = None
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
        self._spoke = ""
        self._live: Static | None = None
        self._shown: Static | None = None

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
        self.ref, self.model, self.label, self.seal = ref, ref, ref, None
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

    def begin(self, question: str) -> None:
        """Show the question and make room for its answer."""
        for welcome in self.query(".welcome"):
            welcome.remove()
        self.turns.append(Turn("user", question))
        self.context = tuple(self.turns)
        self.answer, self.before, self.done, self.corrected = "", "", None, ""
        self.asked, self.mark, self.compared = [], Content(""), None
        asked = Static(Content.styled("› ", "$text-muted") + text(question, "bold"))
        asked.add_class("question")
        self._live = Static(Content.styled("▏", "$accent"), classes="answer")
        if (
            self._spoke not in ("", self.ref) and not self.hidden
        ):  # what stands above was said by another model
            other = Static(Content.styled("from here ", "$text-muted") + line(self.ref, "bold"))
            self.transcript.mount(other)
        self._spoke = self.ref
        self.transcript.mount(asked, self._live)
        self._follow()
        self.add_class("-alive")

    def again(self) -> None:
        """Take the last answer back and make room for another one, at the same place."""
        self.turns = [turn for turn in self.context if turn.role != "system"]
        self.before, self.answer = self.answer, ""
        self.done, self.corrected, self.mark, self.compared = None, "", Content(""), None
        self._live = self._shown
        self._spoke = self.ref
        if self._live is not None:
            self._live.update(Content.styled("▏", "$accent"))
        self.add_class("-alive")

    def feed(self, more: str) -> None:
        """Add streamed text to the answer."""
        self.answer += more
        if self._live is not None:
            self._follow(only_near_end=True)
            self._live.update(text(self.answer) + Content.styled("▏", "$accent"))

    def _follow(self, *, only_near_end: bool = False) -> None:
        """Keep the end in view, unless the reader has scrolled away from it."""
        transcript = self.transcript
        if not only_near_end or transcript.max_scroll_y - transcript.scroll_offset.y <= NEAR:
            transcript.call_after_refresh(transcript.scroll_end, animate=False)

    def finish(self, done: Done) -> None:
        """The answer is complete: show it as it was said, with its numbers."""
        self.answer, self.done = done.text, done
        self.turns.append(Turn("assistant", done.text))
        self._close(self._said(done))

    def show(self) -> None:
        """Draw the last answer again: its vote, what is compared, or what is hidden changed."""
        if self.done is not None and self._shown is not None:
            self._shown.update(self._said(self.done))

    def _said(self, done: Done) -> Content:
        said = text(done.text) if done.text else Content.styled("(nothing)", "$text-muted italic")
        if self.compared is not None and done.text:
            said = differing(self.compared, done.text)
        words = _ENDS[done.stop] if self.hidden else stats(done)  # speed would tell who is who
        mark = self.mark + Content("  ") if self.mark else self.mark
        return said + Content("\n") + mark + Content.styled(words, "$text-muted")

    def fail(self, message: str, *, stopped: bool = False) -> None:
        """The answer came to nothing; the question is taken back from the conversation."""
        if self.turns and self.turns[-1].role == "user":
            self.turns.pop()
        sign = ("■ ", "$text-warning") if stopped else ("✗ ", "$text-error")
        self._close(Content.styled(*sign) + text(message, "$text-muted"))

    def _close(self, said: Content) -> None:
        if self._live is not None:
            self._follow(only_near_end=True)
            self._live.update(said)
            self._shown, self._live = self._live, None
        self.remove_class("-alive")
        self.retitle()

    @property
    def answering(self) -> bool:
        """Whether an answer is being written."""
        return self._live is not None

    async def clear(self) -> None:
        """Forget the conversation."""
        self.turns.clear()
        self.answer = self._spoke = ""
        self.done = self._shown = None
        await self.transcript.remove_children()
        welcome = Static(empty_state("A new conversation.", _WELCOME), classes="welcome")
        await self.transcript.mount(welcome)
