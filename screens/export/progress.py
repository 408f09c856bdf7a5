"""A job under way: which files, which stages of each, how far, for how long.

Knows stages as they arrive. Does not know who does the work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from textual.content import Content

from engine.export.stages import Stage, worst
from screens.export.ledger import divergence
from screens.export.proof import stage_lines, stage_name
from screens.safe import visible
from screens.widgets import words

_QUIET = "$foreground 60%"


@dataclass(slots=True)
class Progress:
    """What a window is writing or proving.

    Attributes:
        what: in a few words, e.g. `export run:1@240`.
        types: of the files, in order; one empty name where a single file is verified.
        began: Unix seconds.
    """

    what: str
    types: tuple[str, ...]
    began: float
    stages: dict[tuple[str, str], Stage] = field(default_factory=dict)
    at: str = ""
    """The type whose turn it is."""
    newest: Stage | None = None

    def take(self, stage: Stage) -> None:
        """A stage began, moved on or was decided."""
        self.stages[stage.of, stage.name] = self.newest = stage
        if stage.of:
            self.at = stage.of

    def title(self) -> Content:
        """What is done, and for how long."""
        files = f" → {', '.join(self.types)}" if any(self.types) else ""
        spent = words.duration(words.now() - self.began)
        return Content(visible(f"{self.what}{files}")) + Content.styled(f" · {spent}", _QUIET)

    def status(self) -> Content:
        """One short line for the foot of the room."""
        doing = stage_name(self.newest) if self.newest else "starting"
        place = ""
        if len(self.types) > 1 and self.at in self.types:
            place = f"{self.types.index(self.at) + 1} of {len(self.types)} · "
        spent = words.duration(words.now() - self.began)
        return Content.assemble(("▶ ", "$accent")) + Content(visible(f"{place}{doing} · {spent}"))

    def lines(self, width: int) -> list[Content]:
        """What concerns all files, then each file: one line when done, in full while it works."""
        if not self.stages:
            return [Content.styled("starting …", _QUIET)]
        if len(self.types) == 1:
            return stage_lines(self._told(self.stages.values()), width)
        found = stage_lines(self._told(self._of("")), width)
        for name in self.types:
            own = self._of(name)
            if name == self.at:
                found += [Content(""), Content.styled(visible(name), "$accent bold")]
                found += [*stage_lines(own, width), Content("")]
            elif any(stage.name == "load" for stage in own):
                found.append(_proved(name, own))
            else:
                refused = [stage for stage in own if stage.state == "fail"]
                waits = "is written, waits for its proof" if own else "waits"
                found += stage_lines(refused, width) or [
                    Content.styled(f"· {visible(name):<16}{waits}", _QUIET)
                ]
        return found

    def _told(self, stages: Iterable[Stage]) -> list[Stage]:
        """What is decided, and what runs now; what ran before has become something else."""
        return [s for s in stages if s.state != "running" or s is self.newest]

    def _of(self, name: str) -> list[Stage]:
        return [stage for (of, _), stage in self.stages.items() if of == name]


def _proved(name: str, stages: list[Stage]) -> Content:
    """A file whose turn is over, in one line."""
    numbers = next((s.numbers for s in reversed(stages) if "kl_mean" in s.numbers), {})
    told = [f"KL {divergence(numbers['kl_mean'])}"] if numbers else []
    told += [f"top-1 {numbers['top1']:.1%}"] if "top1" in numbers else []
    sign, colour = words.STATES[worst(stages)]
    return Content.assemble(
        (f"{sign} ", f"{colour} bold"), f"{visible(name):<16}", " · ".join(told)
    )
