"""(heavy) Does an export read texts as training did? The proof's first question.

Knows what has to be done to texts for llama.cpp. Does not know how an export is opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.rows import Turn
from engine.export.proof.candidates import Candidate
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import State
from store.errors import WorkbenchError, WorkerDied

MAX_CHATS = 64
_SHOWN = 60

Verdict = tuple[State, str, dict[str, float]]


def compare(candidate: Candidate, yard: Yardstick) -> Verdict:
    """The held-out texts and the hostile ones, then held-out chats just as they are."""
    texts, given = yard.texts, candidate.given
    expected = [yard.encode(text, framed=False) for text in texts]
    found = candidate.encode([given.text(text) for text in texts], framed=False)
    wrong = [i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b]
    numbers = {"texts": float(len(texts)), "different": float(len(wrong))}
    parts = [f"{len(texts)} texts give the same ids."]
    state: State = "pass"
    if wrong:
        first = f"first: {texts[wrong[0]]!r:.{_SHOWN}}"
        parts = [f"{len(wrong)} of {len(texts)} texts give other ids; {first}."]
        # What llama.cpp is known to read otherwise is told, unless held-out texts show it.
        known = bool(candidate.unmended) and wrong[0] >= len(yard.samples)
        state = "warn" if known else "fail"
    parts += [*candidate.unmended, *given.mended()]
    chats = [sample.turns for sample in yard.samples if sample.turns][:MAX_CHATS]
    needing = _chats(candidate, yard, chats) if chats else _plain(candidate, yard)
    if needing is None and state != "fail":
        parts = ["Text is framed with other begin or end tokens than in training."]
        state = "fail"
    elif needing and state != "fail":
        parts.append(f"{needing} held-out texts need that.")
        state = "warn"
    return state, " ".join(parts).rstrip("."), numbers


def _chats(candidate: Candidate, yard: Yardstick, chats: Sequence[Sequence[Turn]]) -> int | None:
    """How many chats have other ids, rendered and read by the export alone; None: framed wrongly.

    Those that its template renders otherwise are another stage's.
    """
    pairs = []
    for turns in chats:
        wanted = yard.renderer.render(turns, spans=False).text
        try:
            found = candidate.render(turns, generation_prompt=False)
        except WorkerDied:
            raise
        except WorkbenchError:
            continue
        if candidate.given.text(found) == candidate.given.text(wanted):
            pairs.append((yard.encode(wanted, framed=False), found))
    ids = [wanted for wanted, _ in pairs]
    if candidate.read_chats([candidate.given.text(text) for _, text in pairs]) != ids:
        return None
    raw = candidate.read_chats([text for _, text in pairs])
    return sum(a != b for a, b in zip(ids, raw, strict=True))


def _plain(candidate: Candidate, yard: Yardstick) -> int | None:
    """The same for plain text."""
    texts = [sample.text for sample in yard.samples][:MAX_CHATS]
    ids = [yard.encode(text, framed=True) for text in texts]
    if candidate.encode([candidate.given.text(text) for text in texts], framed=True) != ids:
        return None
    raw = candidate.encode(texts, framed=True)
    return sum(a != b for a, b in zip(ids, raw, strict=True))
