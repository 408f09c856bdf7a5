"""A chat template in Jinja learned from what it renders, and written as a template for Ollama.

Knows conversations of marked turns and the text between them: what stands between two turns is
taken to depend on their two roles alone, which holds for nearly every family. Whether it holds for
this one is what `Learned` is checked for afterwards (see `ollama`). Does not read Jinja.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from engine.export.ollama.gotemplate import literal, quoted

Message = tuple[str, str]
Render = Callable[[Sequence[Message]], str | None]
"""The trained template: messages to a prompt that asks for an answer; None where it refuses."""

ROLES = ("system", "user", "assistant")
_LONGEST = 5
_ANSWER = ""
_SPACED = "\n \t{}\t \n"
_SPACES = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f",
    "\x85\xa0",
    "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
)
"""What Python's strip takes away, by the bytes that each takes in UTF-8."""
_REFUSED = "the trained template has no place for this turn"


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of a template.

    Attributes:
        gaps: text between the turn of one role ("" before the first) and that of the next ("" for
            the answer that is asked for); pairs that the template refuses are missing.
        trimmed: roles whose text loses its outer spaces: `both` sides, or the `right` one.
        late: for templates that put the system text before the last question (Mistral): the text
            before and after it, by the role of the turn before that question.
    """

    gaps: dict[tuple[str, str], str]
    trimmed: dict[str, str]
    late: dict[str, tuple[str, str]]


def learn(render: Render) -> Learned | None:
    """Learn a template by rendering marked conversations; None where the marks do not come out."""
    gaps: dict[tuple[str, str], str] = {}
    for roles in _shapes():
        messages = _marked(roles)
        found = _between(render(messages), [mark for _, mark in messages])
        for pair, gap in zip(_pairs(roles), found, strict=False):
            gaps.setdefault(pair, gap)
    if not any(before and not after for before, after in gaps):
        return None
    trimmed = {role: how for role in ROLES if (how := _trimmed(render, gaps, role))}
    return Learned(gaps, trimmed, _late(render))


def _shapes() -> Iterator[tuple[str, ...]]:
    """Orders of roles that ask for an answer, the usual ones first."""
    orders = (
        order
        for length in range(1, _LONGEST)
        for order in product(ROLES, repeat=length)
        if order[-1] != "assistant" and all(a != b for a, b in pairwise(order))
    )
    usual = {("user",): 0, ("user", "assistant", "user"): 1, ("system", "user"): 2}
    return iter(sorted(orders, key=lambda order: (usual.get(order, 3), len(order))))


def _marked(roles: Sequence[str], form: str = "{}") -> list[Message]:
    return [(role, form.format(f"qz{place}marked{place}jx")) for place, role in enumerate(roles)]


def _between(text: str | None, marks: Sequence[str]) -> list[str]:
    """What stands before, between and after marks; empty where they are not there once each."""
    if text is None or any(text.count(mark) != 1 for mark in marks):
        return []
    found = []
    for mark in marks:
        piece, there, text = text.partition(mark)
        if not there:
            return []
        found.append(piece)
    return [*found, text]


def _late(render: Render) -> dict[str, tuple[str, str]]:
    found = {}
    for roles in (("system", "user", "assistant", "user"), ("system", "user")):
        system, *others, asked = [mark for _, mark in _marked(roles)]
        pieces = _between(render(_marked(roles)), [*others, system, asked])
        if not pieces:
            return {}
        found[roles[-2] if others else ""] = (pieces[-3], pieces[-2])
    return found


def _trimmed(render: Render, gaps: dict[tuple[str, str], str], role: str) -> str:
    """How outer spaces of a role's text fare: told in the first usual conversation that has it."""
    roles = next((r for r in _shapes() if role in r and all(p in gaps for p in _pairs(r))), ())
    spaced = [(own, _SPACED.format(text) if own == role else text) for own, text in _marked(roles)]
    text = render(spaced)
    for how, strip in (("", str), ("both", str.strip), ("right", str.rstrip)):
        bare = [(own, strip(said)) for own, said in spaced]
        if text == _joined(gaps, bare):
            return how
    return ""


def _pairs(roles: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(("", *roles), (*roles, _ANSWER), strict=True))


def _joined(gaps: dict[tuple[str, str], str], messages: Sequence[Message]) -> str:
    said = [text for _, text in messages] + [""]
    pairs = _pairs([role for role, _ in messages])
    return "".join(gaps[pair] + text for pair, text in zip(pairs, said, strict=True))


def written(learned: Learned) -> str:
    """The Go template that renders as was learned.

    A turn that the trained template refuses makes Ollama answer with an error.
    """
    gaps, late = learned.gaps, learned.late
    known = [role for role in ROLES if not (late and role == "system")]
    turn = ""
    for role in known:
        before = ["", *(one for one in known if one != role)]
        gap = _choice("$before", {one: _told(gaps.get((one, role))) for one in before})
        if late and role == "user":
            after = {one: _system(*late[one]) for one in late}
            last = _do("if and $.System (eq (len (slice $.Messages $i)) 1)")
            gap = last + _choice("$before", after) + _ELSE + gap + _END
        turn += _do(f"{'else ' * bool(turn)}if eq .Role {quoted(role)}") + gap
    turn += _ELSE + _told(None) + _END
    turn += _content(learned.trimmed) + _do("$before = .Role")
    if late:
        turn = _do('if ne .Role "system"') + turn
        turn += _do("else if ne $i 0") + _told(None) + _END
    asked = {one: _told(gaps.get((one, _ANSWER))) for one in ("system", "user")}
    every = _do('$before := ""') + _do("range $i, $_ := .Messages") + turn + _END
    return _definitions(learned) + every + _choice("$before", {**asked, "assistant": ""})


def _do(action: str) -> str:
    return f"{{{{ {action} }}}}"


_ELSE, _END = _do("else"), _do("end")


def _choice(value: str, texts: dict[str, str]) -> str:
    """Template source by what `value` is; the commonest source comes last, without a question."""
    sources = list(texts.values())
    usual = max(sources, key=sources.count)
    choice = ""
    for source in dict.fromkeys(sources):
        if source != usual:
            roles = " ".join(quoted(role) for role, one in texts.items() if one == source)
            choice += _do(f"{'else ' * bool(choice)}if eq {value} {roles}") + source
    return choice + _ELSE + usual + _END if choice else usual


def _told(gap: str | None) -> str:
    """Template source of a text; of what the trained template refuses, one that fails."""
    return literal(gap) if gap is not None else _do(f"index $.Messages {quoted(_REFUSED)}")


def _system(before: str, after: str) -> str:
    return literal(before) + _do("$.System") + literal(after)


def _content(trimmed: dict[str, str]) -> str:
    plain = _do(".Content")
    calls = {role: _do(f'template "{how}" .Content') for role, how in trimmed.items()}
    return _choice(".Role", {role: calls.get(role, plain) for role in ROLES})


def _definitions(learned: Learned) -> str:
    """Go has no function that trims: templates that take off one space and call themselves."""
    if not learned.trimmed:
        return ""
    right = _peeled(
        "right", "slice . 0 (len (slice . {n}))", "slice . (len (slice . {n}))", _do(".")
    )
    if "both" not in learned.trimmed.values():
        return right
    return right + _peeled("both", "slice . {n}", "slice . 0 {n}", _do('template "right" .'))


def _peeled(name: str, rest: str, end: str, otherwise: str) -> str:
    """A definition that prints its text without the spaces at one end.

    Args:
        rest, end: the text without `{n}` bytes there, and those bytes.
    """
    text = _do(f'define "{name}"')
    for n, spaces in enumerate(_SPACES, 1):
        listed = " ".join(map(quoted, spaces))
        test = f"and (ge (len .) {n}) (eq ({end.format(n=n)}) {listed})"
        text += _do(f"{'else ' * (n > 1)}if {test}")
        text += _do(f'template "{name}" ({rest.format(n=n)})')
    return text + _ELSE + otherwise + _END + _END
