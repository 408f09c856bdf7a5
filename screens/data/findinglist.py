"""Findings of every kind about the open dataset: kinds with counts, then the rows of one.

Knows what the store keeps of findings and what kinds are called. Does not look at rows itself: the
room starts what looks, and tells this window how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.content import Content

from screens.data.tables import TableModal, fitted, joined
from screens.safe import line
from screens.widgets import words
from screens.widgets.linelist import Cells

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.data.journal.shift import Shift
    from screens.data.checking import Checking
    from store.findings import Finding, FindingSet

PAGE = 200
BARS = " ▁▂▃▄▅▆▇█"
_SIGNS = {"error": ("✗", "bad"), "warn": ("!", "warn"), "info": ("·", "muted")}
TRAINERS = "trainers"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the first page: a kind of finding, or what a trainer would do."""

    kind: str
    count: int
    level: str
    title: str
    advice: str
    fix: bool = False


class FindingList(TableModal[tuple[str, str | int]]):
    """Answers ("go", row), ("list", kind) or ("fix", kind)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "check", show=False),
        Binding("t", "trainers", show=False),
        Binding("l", "list", show=False),
        Binding("f", "fix", show=False),
        Binding("h", "histograms", show=False),
    ]

    def __init__(self, room: Checking) -> None:
        super().__init__(Content(" findings · ") + line(room.open_document.name, "bold"))
        self.room = room
        self.document: Dataset = room.open_document
        self.kind: Line | None = None
        self.lines: list[Line] = []
        self.sets: dict[str, FindingSet] = {}
        self.histograms: bool | None = None
        self._pages: LRUCache[int, list[Finding]] = LRUCache(16)
        self._shifts: dict[int, Shift] = {}
        self._kind_at = 0

    def on_mount(self) -> None:
        super().on_mount()
        self.read()

    # What there is

    def read(self) -> None:
        """Read counts anew: a check has ended."""
        from store import findings

        cat = self.room.catalogue
        self.sets = {found.source: found for found in findings.sets(cat, self.document.dataset_id)}
        self.lines = [*self._kinds(), *self._trainers()]
        self._pages.clear()
        self.tell()

    def _kinds(self) -> list[Line]:
        from engine.data.findings.kinds import KINDS

        order = {"error": 0, "warn": 1, "info": 2}
        found: list[Line] = []
        for source, kept in self.sets.items():
            if source == TRAINERS:
                continue
            for kind, count in kept.counts.items():
                known = KINDS.get(kind)
                if known is None:
                    found.append(Line(kind, count, "warn", kind.replace("_", " "), source))
                else:
                    fix = known.fix is not None
                    found.append(Line(kind, count, known.level, known.title, known.advice, fix))
        return sorted(found, key=lambda entry: (order[entry.level], -entry.count))

    def _trainers(self) -> list[Line]:
        kept = self.sets.get(TRAINERS)
        if kept is None:
            return []
        found = []
        for name, said in kept.summary.items():
            counts: dict[str, int] = said["counts"]
            parts = [f"{counts[key]:,} {key}" for key in ("keep", "altered", "drop", "error")
                     if counts.get(key)]  # fmt: skip
            level = "error" if said["stops"] else "warn" if kept.counts.get(name) else "info"
            title = f"{said['title']}: {'stops: ' if said['stops'] else ''}{', '.join(parts)}"
            remarks = "; ".join(remark["reason"] for remark in said["file"])
            advice = remarks or f"assumes {said['assumes']}"
            found.append(Line(name, kept.counts.get(name, 0), level, title, advice))
        return found

    # What is shown

    def tell(self) -> None:
        """Show the kinds, or the rows of one."""
        if not self.ready:
            return
        running = self.room.check_words()
        if self.kind is None:
            self.summary_is(joined([running, self._numbers()], "\n"))
            self.table.show(len(self.lines), self._kind_cells)
            keys = "⏎ rows  l list  f fix  r preflight  t trainers  h lengths  esc"
        else:
            title = Content.styled(f"{self.kind.count:,} ", "bold") + line(self.kind.title)
            advice = line(self.kind.advice, "$text-muted", limit=400)
            self.summary_is(joined([running, title, advice], "\n"))
            self.table.show(self.kind.count, self._row_cells)
            keys = "⏎ go to the row  l list them  f fix  esc kinds"
        self.query_one(".dialog").border_subtitle = Content(keys)
        self.note_is(self._histograms() if self._wants_histograms else self._about())

    @property
    def _wants_histograms(self) -> bool:
        if self.kind is not None:
            return False
        return self.app.size.height >= 35 if self.histograms is None else self.histograms

    def _numbers(self) -> Content:
        """What preflight says of the dataset as a whole."""
        kept = self.sets.get("preflight")
        if kept is None:
            said = "Nothing was checked yet: r looks at every row as training would"
            return Content.styled(f"{said}, t asks what other trainers would do.", "$text-muted")
        seen: dict[str, Any] = kept.summary
        fine = Content.styled(
            f"✓ {seen['fine']:,} of {seen['rows']:,} rows are fine", "$text-success"
        )
        first = [fine]
        if seen["dropped"]:
            first.append(Content.styled(f"✗ {seen['dropped']:,} are left out", "$text-error"))
        stale = kept.moment != self.document.moment
        first.append(line(f"{seen['model']} · at most {seen['max_length'] or '–'}", "$text-muted"))
        first.append(Content.styled(words.age(words.now() - kept.created), "$text-muted"))
        if stale or _written(self.document) > kept.created:
            since = "rows were edited" if stale else "the file was written"
            first.append(Content.styled(f"! {since} since: r looks again", "$text-warning"))
        cost = (
            f"one epoch: {seen['total_tokens']:,} tokens, {seen['trained_tokens']:,} trained, "
            f"{seen['cut_tokens']:,} cut · {words.plural(seen['epoch_steps'], 'step')}"
        )
        if seen["packed_steps"]:
            packed = words.plural(seen["packed_steps"], "step")
            cost += f" · packed {packed}, {seen['packing_efficiency']:.0%} full"
        return joined(first) + Content("\n") + Content(cost)

    def _histograms(self) -> Content:
        kept = self.sets.get("preflight")
        if kept is None:
            return Content("")
        shown = []
        for role, found in kept.summary["histograms"].items():
            counts, edges = found["counts"], found["edges"]
            most = max(counts, default=0) or 1
            bars = "".join(
                BARS[0 if not count else max(1, round(count / most * 8))] for count in counts
            )
            head = f"{role:>12} "
            tail = f" {sum(counts):,} · up to {edges[-1]:,} tokens" if edges else ""
            shown.append(
                line(head, "$text-muted") + Content.styled(bars, "$accent")
                + Content.styled(tail, "$text-muted")
            )  # fmt: skip
        title = Content.styled("tokens 0 1 2 4 8 16 … doubling to the right", "$text-muted")
        return Content("\n").join([title, *shown])

    def _about(self) -> Content:
        if self.kind is None and self.lines:
            return line(self.lines[self.table.cursor].advice, "$text-muted", limit=600)
        return Content("")

    def _kind_cells(self, index: int, width: int) -> Cells:
        entry = self.lines[index]
        sign, tone = _SIGNS[entry.level]
        lead = "▸" if index == self.table.cursor else " "
        count = f"{entry.count:,}" if entry.count else "–"
        return (
            (f"{lead} ", "accent"),
            (f"{sign} ", tone),
            (f"{count:>11}  ", "plain"),
            (fitted(entry.title, width - 22), "plain"),
            (" fix f" if entry.fix else "", "muted"),
        )

    def _row_cells(self, index: int, width: int) -> Cells:
        found = self._finding(index)
        lead = "▸" if index == self.table.cursor else " "
        if found is None:
            return ((f"{lead} …", "muted"),)
        now, touched = self._now(found)
        sign, tone = _SIGNS[found.level]
        place = f"{now:,}" if now is not None else "deleted"
        note = "edited since · " if touched and now is not None else ""
        return (
            (f"{lead} ", "accent"),
            (f"{sign} ", tone),
            (f"{place:>11}  ", "muted"),
            (fitted(note + found.detail, width - 18), "muted" if touched else "plain"),
        )

    def _finding(self, index: int) -> Finding | None:
        from store import findings

        assert self.kind is not None
        number, place = divmod(index, PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = findings.page(
                self.room.catalogue, self.document.dataset_id, kind=self.kind.kind,
                offset=number * PAGE, limit=PAGE,
            )  # fmt: skip
        return page[place] if place < len(page) else None

    def _now(self, found: Finding) -> tuple[int | None, bool]:
        """Where the row of a finding is now, and whether it was edited since."""
        shift = self._shifts.get(found.moment)
        if shift is None:
            shift = self._shifts[found.moment] = self.document.shift(found.moment)
        return shift.now(found.line), shift.touched(found.line)

    def on_line_list_moved(self) -> None:
        if self.kind is None and not self._wants_histograms:
            self.note_is(self._about())

    # What is done

    def chosen(self, index: int) -> None:
        if self.kind is None:
            entry = self.lines[index]
            if entry.count:
                self.kind, self._kind_at = entry, index
                self._pages.clear()
                self.table.cursor = 0
                self.tell()
            return
        found = self._finding(index)
        row = self._now(found)[0] if found is not None else None
        if row is not None:
            self.dismiss(("go", row))

    def _chosen_kind(self) -> Line | None:
        if self.kind is not None:
            return self.kind
        return self.lines[self.table.cursor] if self.lines else None

    def action_close(self) -> None:
        if self.kind is None:
            self.dismiss(None)
            return
        self.kind = None
        self.tell()
        self.table.cursor = self._kind_at

    def action_list(self) -> None:
        """List these rows, and only them."""
        entry = self._chosen_kind()
        if entry is not None and entry.count:
            self.dismiss(("list", entry.kind))

    def action_fix(self) -> None:
        """Repair all of them, after a look at every change."""
        entry = self._chosen_kind()
        if entry is None:
            return
        if entry.fix:
            self.dismiss(("fix", entry.kind))
        else:
            self.note_is(Content.styled("There is no bulk fix: ", "$text-warning")
                         + line(entry.advice, limit=400))  # fmt: skip

    def action_histograms(self) -> None:
        self.histograms = not self._wants_histograms
        self.tell()

    def action_check(self) -> None:
        """Look at every row as training would, or stop looking."""
        self.room.toggle_check("preflight")
        self.tell()

    def action_trainers(self) -> None:
        """Ask what other trainers would do, or stop asking."""
        self.room.toggle_check(TRAINERS)
        self.tell()


def _written(document: Dataset) -> float:
    """When the newest of its files was written; 0 where they are gone."""
    from engine.data.dataset import Several

    files = document.files if isinstance(document, Several) else [document]
    try:
        return max(file.path.stat().st_mtime for file in files)
    except OSError:
        return 0.0
