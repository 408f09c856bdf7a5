"""What a person should know before exporting, in sentences.

Knows how an outlook is worded. Does not know fields, keys or cells.
"""

from __future__ import annotations

from textual.content import Content

from engine.export.advice import quality
from screens.export.ledger import divergence
from screens.export.looking import Offer, Outlook
from screens.export.picture import Point
from screens.safe import line, text
from screens.widgets import words
from screens.widgets.topline import short_path

_QUIET = "$foreground 60%"


def total_words(outlook: Outlook) -> Content:
    """How much will be written, what is recommended and why."""
    plan = outlook.plan
    assert plan is not None
    noun = "file" if outlook.wish.to in ("gguf", "adapter-gguf") else "folder"
    first = Content.assemble(
        (f"{words.plural(len(plan.files), noun)}, about ", _QUIET),
        (words.size(plan.bytes), "bold"),
        (f"; {words.size(outlook.free)} are free on this disk", _QUIET),
    )
    if outlook.replaced:
        there = line(outlook.replaced[0].name) + Content.styled(" is there already", _QUIET)
        first += Content.styled("\n! ", "$text-warning") + there
        return first + Content.styled(": it is replaced only if you say so", _QUIET)
    if not outlook.reason:
        return first
    star = Content.assemble(("★ ", "$accent"), (f"{outlook.best}: {outlook.reason}", _QUIET))
    return first + Content("\n") + star


def about_type(offer: Offer, outlook: Outlook) -> Content:
    """One type in full: size, memory, loss and its limits; then the names that are written."""
    type = offer.type
    lines = [Content.styled(f"{type.bits:g} bits a weight", "bold"), *_running(offer, outlook)]
    if offer.memory is not None:
        lines += [Content(""), *_losing(offer, outlook)]
    if outlook.best == type.name and outlook.reason:
        lines += [Content.assemble(("★ ", "$accent"), f"Recommended: {outlook.reason}.")]
    if outlook.nf4:
        lines += [Content(""), _weights(outlook)]
    if outlook.plan is not None:
        folder = line(short_path(outlook.plan.files[0].out.parent))
        lines += [Content(""), Content.styled("will be written to ", _QUIET) + folder]
        for file in outlook.plan.files:
            size = Content.styled(f"  {words.size(file.bytes)}", _QUIET)
            lines.append(Content("  ") + line(file.out.name) + size)
    return Content("\n").join(lines)


def _running(offer: Offer, outlook: Outlook) -> list[Content]:
    told = f"about {words.size(offer.bytes)} on disk"
    if offer.memory is None:
        return [Content(f"{told}.")]
    told += f"; {words.size(offer.memory)} to run it with {outlook.context:,} tokens held."
    if offer.fits is None:
        return [Content(told)]
    sign = ("✓ ", "$text-success") if offer.fits else ("✗ ", "$text-error")
    fits = f"{'fits in' if offer.fits else 'does not fit in'} "
    return [Content(told), Content.assemble(sign, fits) + line(outlook.wish.memory)]


def _losing(offer: Offer, outlook: Outlook) -> list[Content]:
    type, row = offer.type, offer.row
    lines = []
    if row is not None:
        lines.append(words.state(row.verdict, f"measured of this model: {row.words()}"))
    elif offer.expected is None:
        lines.append(Content("Loses nothing but the rounding of its weights."))
    else:
        judged = (
            "other exports of this model" if outlook.scaled else "llama.cpp's tables, Llama-3-8B"
        )
        told = f"Expect KL {offer.expected:.2g}, {quality(offer.expected)} (by {judged})."
        lines.append(Content(told))
    if type.fitted:
        fitted = "Fitted to half of your held-out chats, and proved on the others."
        lines.append(Content(fitted))
    limits = f"The proof warns over KL {type.kl_warn:g} and fails over {type.kl_fail:g}."
    return [*lines, Content.styled(limits, _QUIET)]


def _weights(outlook: Outlook) -> Content:
    """Which weights the adapter goes on, and which to take."""
    told = outlook.merges or (
        "This run was trained on a base held in 4 bit. Faithful writes exactly that: what you "
        "chatted with. Original puts the adapter on the base's own weights: often a slightly "
        "better base, but not quite what was trained. The proof measures both, and says which."
    )
    return Content.styled("base  ", "bold") + text(told)


def points_of(outlook: Outlook, here: Offer | None) -> list[Point]:
    """Every type that loses something, measured or expected."""
    found = []
    for offer in outlook.offers:
        kl = offer.row.kl if offer.row else offer.expected
        if kl:
            verdict = offer.row.verdict if offer.row else "usual"
            best = offer.type.name == outlook.best
            point = Point(offer.type.name, offer.bytes, kl, verdict, best, offer is here)
            found.append(point)
    return found


def lost_words(offer: Offer) -> tuple[str, str]:
    """What is known of a type's loss in a few words, and their tone."""
    if offer.row is not None:
        sign = words.STATES[offer.row.verdict][0]
        tone = {"pass": "good", "warn": "warn"}.get(offer.row.verdict, "bad")
        return f"{divergence(offer.row.kl):<8}{sign} measured", tone
    if offer.memory is None:
        return "", "muted"
    if offer.expected is None:
        return "–       rounding alone", "muted"
    return f"{offer.expected:<8.2g}{quality(offer.expected)}", "muted"
