"""What a filter must know that is not in the rows: edits, tags, findings, parts, a model's tokens.

Knows where each of these is kept, and reads only what is asked for. Does not know expressions.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.annotations import Note
from store.errors import BadInput, Unsupported

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.data.filter.fields import Need
    from engine.data.rows import Row
    from store.catalogue import Catalogue

_NOTHING = Note()
_PAGE = 10_000


def _no_tokens(_row: Row) -> int:
    raise BadInput("filter: tokens are a model's: name one", "add --model REF, as --model starter")


def _no_part(_row: Row) -> str:
    return ""


@dataclass(frozen=True)
class Context:
    """Use `Context.of`.

    Attributes:
        status: row number -> same, edited, added.
        tokens: row -> tokens a model sees of it, -1 where it sees none.
        notes: what is noted, by content hash.
        findings: kind -> rows with such a finding, in order: 8 bytes each.
        stale: how many rows are not among them, as they were edited since they were looked at.
        part: row -> its part of the recorded split; "" for none.
    """

    status: Callable[[int], str] = lambda _row: "same"
    tokens: Callable[[Row], int] = _no_tokens
    notes: Callable[[bytes], Note] = lambda _raw: _NOTHING
    findings: Mapping[str, array[int]] = field(default_factory=dict)
    stale: int = 0
    part: Callable[[Row], str] = _no_part

    @classmethod
    def of(
        cls, cat: Catalogue, data: Dataset, needs: Iterable[Need], model: str | None = None
    ) -> Context:
        """Read what an expression needs.

        Raises:
            BadInput: tokens are asked for and no model is named, or no split is recorded.
            NotFound, Unsupported: there is no such model, or it has no tokenizer.
        """
        wanted = set(needs)
        known: dict[str, object] = {}
        if "edits" in wanted:
            known["status"] = data.status
        if "model" in wanted and model is not None:
            known["tokens"] = _counter(cat, model)
        if "notes" in wanted:
            known["notes"] = _notes(data)
        if "findings" in wanted:
            known["findings"], known["stale"] = _findings(cat, data)
        if "part" in wanted:
            known["part"] = _parts(cat, data)
        return cls(**known)  # type: ignore[arg-type]  # each value is that attribute's

    def noted(self, raw: bytes) -> Note:
        """Tags and note of a row."""
        return self.notes(raw)

    def found(self, number: int) -> Iterator[str]:
        """Kinds of the findings on a row."""
        for kind, rows in self.findings.items():
            at = bisect_left(rows, number)
            if at < len(rows) and rows[at] == number:
                yield kind


def _counter(cat: Catalogue, model: str) -> Callable[[Row], int]:
    from engine.models.refs import resolve
    from engine.render.renderer import Renderer

    folder = resolve(cat, model).renderer_folder
    if folder is None:
        raise Unsupported(
            f"{model}: a GGUF file has no template that rows can be rendered with",
            "name the model folder or the run that the file was made from",
        )
    renderer = Renderer.load(folder)

    def count(row: Row) -> int:
        if row.error is not None:
            return -1
        # A row that the template refuses is a finding of the preflight, and has no number here.
        rendered = renderer.render_rows([row])[0]
        return -1 if isinstance(rendered, BadInput) else len(rendered.ids)

    return count


def _findings(cat: Catalogue, data: Dataset) -> tuple[dict[str, array[int]], int]:
    """Kind -> rows as they are numbered now, and how many were edited since: those are left out."""
    from store import findings

    kept: dict[str, array[int]] = {}
    stale: set[int] = set()
    for source in findings.sets(cat, data.dataset_id):
        shift = data.shift(source.moment)
        after = None
        while page := findings.page(
            cat, data.dataset_id, source=source.source, after=after, limit=_PAGE
        ):
            after = page[-1].place
            for found in page:
                row = shift.now(found.line)
                if row is not None and shift.touched(found.line):
                    stale.add(row)
                elif row is not None:
                    kept.setdefault(found.kind, array("Q")).append(row)
    return {kind: array("Q", sorted(rows)) for kind, rows in kept.items()}, len(stale)


def _notes(data: Dataset) -> Callable[[bytes], Note]:
    from engine.data.journal.planned import content_hash

    known = data.noted()

    def noted(raw: bytes) -> Note:
        return known.get(content_hash(raw), _NOTHING)

    return noted if known else lambda _raw: _NOTHING


def _parts(cat: Catalogue, data: Dataset) -> Callable[[Row], str]:
    from engine.data.split.parts import placer

    found = placer(cat, data)
    if found is None:
        raise BadInput(
            f"{data.path}: no split is recorded, so rows have no part",
            "make one first: workbench data split FILE --train .9 --eval .1",
        )
    return lambda row: found.part_of(row) or ""
