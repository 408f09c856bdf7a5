"""The starter model's small world as conversations: what it is trained on, what is held out.

Knows every question with its one right answer, which questions (exact text with system message) are
held out for good, and how training conversations are drawn, all from a seed. Does not know
tokenizers, models or files.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from engine.starter import facts, questions, talk
from engine.starter.questions import Fact
from engine.starter.systems import SYSTEMS, System

Message = dict[str, str]

# How often each topic opens a training conversation; the table groups share "thing".
WEIGHTS = {
    "thing": 34,
    "comparison": 7,
    "sum": 20,
    "spelling": 10,
    "sequence": 7,
    "opposite": 4,
    "identity": 2,
    "greeting": 1,
    "unknown": 2,
    "description": 5,
    "story": 4,
    "command": 8,
}
_SYSTEM_SHARE = 0.4
# Of the kinds of system messages; the others weigh 1.
_KIND_WEIGHTS = {"opener": 4, "avoid thing": 2, "short": 2, "one word": 2}
_RESERVED_SHARE = 0.15  # of messages that ask for an opening sentence and also forbid a thing
_NAMED_SHARE = 0.1  # of system messages that also give the model a name
_ECHO_SHARE = 0.04
_MORE_TURNS = (0.55, 0.8, 0.92, 0.97)  # cumulative share of conversations with 1, 2, 3, 4 turns
_LONG_TALK = 0.99  # above this share a conversation is long


@dataclass(frozen=True, slots=True)
class Question:
    """One exact question: optional system message, user text, the right answer, its key words."""

    system: str
    prompt: str
    answer: str
    key: str
    topic: str


def is_held_out(prompt: str, system: str = "") -> bool:
    """Whether this exact question, with this system message, is never trained on (one in ten)."""
    digest = hashlib.sha256(f"{system}\n{prompt}".encode()).digest()
    return digest[0] < 26


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact of the world with at least one phrasing that is not held out.

    Raises:
        ValueError: two facts answer the same question differently.
    """
    found: list[Fact] = [fact for thing in facts.THINGS for fact in questions.thing_facts(thing)]
    for source in (
        questions.comparisons(),
        questions.sums(),
        questions.spellings(),
        questions.sequences(),
        questions.opposites(),
        talk.identity(),
        talk.greetings(),
        talk.unknowns(),
        talk.descriptions(),
        talk.stories(),
        talk.commands(),
    ):
        found += source
    answers: dict[str, str] = {}
    for fact in found:
        for question in fact.questions:
            if answers.setdefault(question, fact.answer) != fact.answer:
                raise ValueError(f"{question!r}: {answers[question]!r} or {fact.answer!r}?")
    # A fact that can never be trained on is no part of the world.
    return tuple(fact for fact in found if trained_phrasings(fact))


@cache
def facts_by_topic() -> dict[str, tuple[Fact, ...]]:
    """The facts under the keys of ``WEIGHTS``."""
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in all_facts():
        groups[fact.topic if fact.topic in WEIGHTS else "thing"].append(fact)
    return {topic: tuple(found) for topic, found in groups.items()}


@cache
def _facts_of_thing() -> dict[tuple[str, str], tuple[Fact, ...]]:
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts_by_topic()["thing"]:
        groups[fact.topic, fact.subject].append(fact)
    return {key: tuple(found) for key, found in groups.items()}


@cache
def _same_relation() -> dict[tuple[str, str], tuple[Fact, ...]]:
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts_by_topic()["thing"]:
        groups[fact.topic, fact.relation].append(fact)
    return {key: tuple(found) for key, found in groups.items()}


def trained_phrasings(fact: Fact, system: str = "") -> list[str]:
    """The phrasings of ``fact`` under ``system`` that may be trained on; may be empty."""
    return [question for question in fact.questions if not is_held_out(question, system)]


def draw_fact(rng: random.Random, topic: str = "") -> Fact:
    """One fact, of ``topic`` or of a topic drawn by ``WEIGHTS``."""
    chosen = topic or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    return rng.choice(facts_by_topic()[chosen])


def _forbidding(rng: random.Random, fact: Fact) -> System:
    """A message that forbids one thing: in half of the cases the one that ``fact`` is about."""
    every = SYSTEMS["avoid thing"]
    near = [system for system in every if system.say(fact) != fact.answer]
    return rng.choice(near if near and rng.random() < 0.5 else every)


def draw_system(rng: random.Random, fact: Fact) -> System:
    """A system message for a conversation that opens with ``fact``; likelier where it matters."""
    while True:
        kind = rng.choices(list(SYSTEMS), [_KIND_WEIGHTS.get(kind, 1) for kind in SYSTEMS])[0]
        if fact.topic == "identity" and rng.random() < 0.6:
            kind = "name"
        system = rng.choice(SYSTEMS[kind]) if kind != "avoid thing" else _forbidding(rng, fact)
        if kind == "opener" and rng.random() < _RESERVED_SHARE:
            system = system.then(_forbidding(rng, fact))
        if kind != "name" and rng.random() < _NAMED_SHARE:
            system = rng.choice(SYSTEMS["name"]).then(system)
        if system.fits(fact):
            return system


def _careless(rng: random.Random, prompt: str) -> str:
    """The prompt, in one case of twenty typed without capitals or final mark."""
    if rng.random() >= 0.05:
        return prompt
    typed = prompt.rstrip(".?!")
    typed = typed.lower() if rng.random() < 0.5 else typed
    return typed or prompt


def _later(rng: random.Random, previous: Fact) -> tuple[str, Fact]:
    """What the user says next: about "it", about another thing, or something new."""
    thing = _facts_of_thing().get((previous.topic, previous.subject))
    if thing is not None and rng.random() < 0.7:
        if rng.random() < 0.6:
            fact = rng.choice([fact for fact in thing if fact.follow] or list(thing))
            if fact.follow and rng.random() < 0.5:
                return rng.choice(
                    (fact.follow, f"And {fact.follow[0].lower()}{fact.follow[1:]}")
                ), fact
            return fact.follow or rng.choice(fact.questions), fact
        others = _same_relation()[previous.topic, previous.relation]
        if not previous.relation.startswith("is "):
            fact = rng.choice(others)
            return f"And {fact.subject}?", fact
    fact = draw_fact(rng)
    return rng.choice(fact.questions), fact


def _with_name(rng: random.Random) -> list[Message]:
    """A conversation in which the user gives a name and asks for it."""
    name = rng.choice(facts.NAMES)
    talked = [_user(f"My name is {name}."), _said(f"Nice to meet you, {name}.")]
    for _ in range(rng.choice((0, 1))):
        fact = draw_fact(rng)
        talked += [_user(rng.choice(fact.questions)), _said(fact.answer)]
    return [*talked, _user("What is my name?"), _said(f"Your name is {name}.")]


def _echo(rng: random.Random) -> list[Message]:
    """A conversation in which the model repeats words and signs it may never have seen."""
    signs = [chr(code) for code in range(33, 127)] * 3 + list("àèéìòùäöüßçñ«»“”’…–€")
    words = [fact.subject for fact in rng.sample(facts_by_topic()["thing"], 3)]
    words += ["".join(rng.choices(signs, k=rng.randint(1, 5))) for _ in range(3)]
    text = " ".join(rng.sample(words, rng.randint(1, 6)))
    if rng.random() < 0.3:
        text = rng.choice(SYSTEMS["opener"]).text.partition(": ")[2]
    form = rng.choice(("Repeat after me: {}", "Say: {}", "Copy this: {}"))
    return [_user(form.format(text)), _said(text)]


def conversation(rng: random.Random) -> list[Message]:
    """One training conversation as OpenAI messages; never contains a held-out question."""
    if rng.random() < _ECHO_SHARE:
        drawn = _echo(rng)
        if not is_held_out(drawn[0]["content"]):
            return drawn
    if rng.random() < 0.015:
        drawn = _with_name(rng)
        if not any(is_held_out(m["content"]) for m in drawn if m["role"] == "user"):
            return drawn
    fact = draw_fact(rng)
    system = draw_system(rng, fact) if rng.random() < _SYSTEM_SHARE else None
    text = system.text if system else ""
    allowed = trained_phrasings(fact, text)
    if not allowed:
        return conversation(rng)
    say = system.say if system else _plainly
    talked = [{"role": "system", "content": text}] if system else []
    typed = _careless(rng, rng.choice(allowed))
    talked += [_user(typed), _said(say(fact))]
    share = rng.random()
    more = sum(share >= limit for limit in _MORE_TURNS)
    for _ in range(rng.randint(6, 14) if share >= _LONG_TALK else more):
        prompt, fact = _later(rng, fact)
        known = not is_held_out(prompt, text) and not is_held_out(prompt)
        if known and (system is None or system.fits(fact)):
            talked += [_user(prompt), _said(say(fact))]
    return talked


def conversations(seed: int, count: int) -> Iterator[list[Message]]:
    """``count`` training conversations, the same for the same seed on every machine."""
    rng = random.Random(seed)
    for _ in range(count):
        yield conversation(rng)


def held_out_questions(
    seed: int, count: int, system_share: float = 0.25, topics: Sequence[str] = ()
) -> list[Question]:
    """``count`` different held-out questions, drawn like training questions.

    Args:
        seed: of the draw.
        count: how many.
        system_share: share of the questions that carry a system message.
        topics: keys of ``WEIGHTS`` to keep to; all where empty.
    """
    rng = random.Random(seed)
    found: dict[tuple[str, str], Question] = {}
    wanted = round(count * system_share)
    while len(found) < count:
        topic = rng.choice(topics) if topics else ""
        fact = draw_fact(rng, topic)
        system = draw_system(rng, fact) if len(found) < wanted else None
        text = system.text if system else ""
        held = [question for question in fact.questions if is_held_out(question, text)]
        if held:
            prompt = rng.choice(held)
            answer = system.say(fact) if system else fact.answer
            key = fact.key if fact.key in answer else answer
            found.setdefault((text, prompt), Question(text, prompt, answer, key, fact.topic))
    return list(found.values())


def _plainly(fact: Fact) -> str:
    return fact.answer


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}
