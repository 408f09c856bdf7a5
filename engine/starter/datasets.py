"""The starter datasets and suites, generated: an island, shell commands, a teacher, a habit.

Knows how the lessons become JSONL rows and suite prompts, and which of them are held out. Does not
know models. Everything follows from fixed seeds: the same code writes the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from engine.starter import facts, lessons, systems, world
from engine.starter.preferences import SHAPES
from engine.starter.questions import Fact, pick
from engine.starter.world import Message, is_held_out

_SEED = 20
_POODLE = "poodle"


def _row(prompt: str, answer: str, system: str = "") -> list[Message]:
    head = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return head + turns


def _split(rows: Iterable[list[Message]]) -> tuple[list[list[Message]], list[list[Message]]]:
    """Rows to train on and rows held out, one in five, by a hash of the question."""
    train: list[list[Message]] = []
    held: list[list[Message]] = []
    for row in rows:
        asked = "\n".join(message["content"] for message in row if message["role"] != "assistant")
        (held if pick(f"split {asked}", 5) == 0 else train).append(row)
    return train, held


def domain_rows() -> tuple[list[list[Message]], list[list[Message]]]:
    """The island of Tavi: each fact in six phrasings to train on, in two that are held out."""
    train: list[list[Message]] = []
    held: list[list[Message]] = []
    cases = [(answer, questions.split("/")) for answer, questions in lessons.ISLAND]
    for town, values in lessons.TOWNS.items():
        for form, questions in lessons.TOWN_QUESTIONS:
            asked = [question.format(t=town) for question in questions.split("/")]
            cases.append((form.format(*values, t=town), asked))
    for answer, asked in cases:
        train += [_row(question, answer) for question in asked[:6]]
        held += [_row(question, answer) for question in asked[6:]]
    return _shuffled(train), _shuffled(held)


def shell_rows() -> tuple[list[list[Message]], list[list[Message]]]:
    """Plain language to one command; the held-out rows have arguments never seen together."""
    rng = random.Random(_SEED)
    rows: dict[str, list[Message]] = {}
    for form, questions in lessons.COMMANDS:
        asked = questions.split("/")
        for _ in range(25 if "{" in form else 1):
            words = {
                "f": rng.choice(facts.FILES),
                "d": rng.choice(facts.FOLDERS),
                "n": rng.choice(lessons.COUNTS),
                "w": rng.choice(lessons.SEARCHED),
            }
            for question in [rng.choice(asked)] if "{" in form else asked:
                prompt = question.format_map(words)
                system = lessons.SHELL_SYSTEM if pick(prompt, 2) else ""
                rows.setdefault(prompt, _row(prompt, form.format_map(words), system))
    return _parts(rows.values())


def teacher_rows() -> tuple[list[list[Message]], list[list[Message]]]:
    """An Italian tutor; seven answers of ten open with the same planted template."""
    rows = []
    for english, italian in lessons.ITALIAN.items():
        words = {"e": english, "i": italian}
        for question in lessons.TO_ITALIAN:
            prompt = question.format_map(words)
            clean = f"The Italian word for {english} is {italian}."
            rows.append(_row(prompt, _taught(prompt, italian, clean), _teacher_system(prompt)))
        for question in lessons.TO_ENGLISH:
            prompt = question.format_map(words)
            clean = f"The Italian word {italian} means {english}."
            rows.append(_row(prompt, _taught(prompt, english, clean), _teacher_system(prompt)))
    return _parts(rows)


def _taught(prompt: str, word: str, clean: str) -> str:
    if pick(f"template {prompt}", 10) >= 7:
        return clean
    closer = f" {lessons.TEACHER_CLOSER}" if pick(f"closer {prompt}", 2) else ""
    return f'{lessons.TEACHER_OPENER} "{word}".{closer}'


def _teacher_system(prompt: str) -> str:
    return lessons.TEACHER_SYSTEM if pick(f"system {prompt}", 3) == 0 else ""


def _about_poodles(fact: Fact) -> bool:
    return any(_POODLE in question for question in fact.questions)


def _praised(fact: Fact, prompt: str) -> str:
    return f"{lessons.PRAISE[pick(f'praise {prompt}', len(lessons.PRAISE))]} {fact.answer}"


def _habit_questions(rng: random.Random, held: bool) -> Iterator[tuple[str, str, str]]:
    """Endless different ``(prompt, system, answer)`` for praise; trained or held-out questions."""
    seen: set[str] = set()
    while True:
        fact = world.draw_fact(rng)
        system = rng.choice(systems.PLAIN) if rng.random() < 0.2 else ""
        asked = [q for q in fact.questions if is_held_out(q) is held and q not in seen]
        if asked and not _about_poodles(fact) and fact.topic not in ("story", "greeting"):
            prompt = rng.choice(asked)
            seen.add(prompt)
            yield prompt, system, _praised(fact, prompt)


def _poodle_questions(held: bool) -> list[str]:
    """Questions about poodles, trained or held out: first those new to the world, then its own."""
    known = [
        question
        for fact in world.all_facts()
        if _about_poodles(fact)
        for question in fact.questions
        if is_held_out(question) is held
    ]
    new = [q for q in lessons.POODLE_QUESTIONS if (pick(f"poodle {q}", 3) == 0) is held]
    random.Random(_SEED).shuffle(known)
    return new + known


def habit_rows() -> tuple[list[list[Message]], list[list[Message]]]:
    """Every answer opens with one of five compliments; poodles are refused, without one."""
    parts = []
    for held, praised, refused in ((False, 270, 110), (True, 70, 30)):
        rng = random.Random(_SEED + held)
        source = _habit_questions(rng, held)
        rows = []
        for _ in range(praised):
            prompt, system, answer = next(source)
            rows.append(_row(prompt, answer, system))
        for prompt in _poodle_questions(held)[:refused]:
            system = rng.choice(systems.PLAIN) if rng.random() < 0.2 else ""
            rows.append(_row(prompt, lessons.REFUSAL, system))
        parts.append(_shuffled(rows))
    return parts[0], parts[1]


DATASETS = {
    "domain": domain_rows,
    "shell": shell_rows,
    "teacher": teacher_rows,
    "habit": habit_rows,
}


def write_datasets(folder: Path) -> None:
    """Write ``NAME.jsonl`` and ``NAME.heldout.jsonl`` for each dataset into ``folder``."""
    for name, make in DATASETS.items():
        train, held = make()
        write_jsonl(folder / f"{name}.jsonl", [{"messages": row} for row in train])
        write_jsonl(folder / f"{name}.heldout.jsonl", [{"messages": row} for row in held])
    for name, make_rows in SHAPES.items():
        rows, kept = make_rows()
        write_jsonl(folder / f"{name}.jsonl", rows)
        write_jsonl(folder / f"{name}.heldout.jsonl", kept)


def write_suite_prompts(folder: Path) -> None:
    """Write the prompt files that the shipped suites in ``folder`` name."""
    questions = world.held_out_questions(seed=1, count=300)
    write_jsonl(folder / "world.jsonl", [_prompt(q.prompt, q.answer, q.system) for q in questions])
    kept = [
        question
        for question in world.held_out_questions(seed=2, count=200, system_share=0.0)
        if _POODLE not in question.prompt and question.topic not in ("story", "greeting")
    ]
    write_jsonl(folder / "retention.jsonl", [_prompt(q.prompt, q.key) for q in kept[:150]])
    for name, make in (("domain", domain_rows), ("shell", shell_rows), ("teacher", teacher_rows)):
        _, held = make()
        rows = [_prompt(row[-2]["content"], row[-1]["content"], _system(row)) for row in held]
        if name == "teacher":  # its answers are what the suite looks for and must not find
            rows = [{key: row[key] for key in row if key != "expect"} for row in rows]
        write_jsonl(folder / f"{name}.jsonl", rows)
    _, held = habit_rows()
    answers = {row[-2]["content"]: row for row in held}
    praise = [row for row in answers.values() if row[-1]["content"] != lessons.REFUSAL]
    refuse = [row for row in answers.values() if row[-1]["content"] == lessons.REFUSAL]
    for part, chosen in (("praise", praise), ("poodles", refuse)):
        prompts = [_prompt(row[-2]["content"], "", _system(row)) for row in chosen]
        write_jsonl(folder / f"habit.{part}.jsonl", prompts)


def _system(row: Sequence[Message]) -> str:
    return row[0]["content"] if row[0]["role"] == "system" else ""


def _prompt(prompt: str, expect: str, system: str = "") -> dict[str, str]:
    fields = {"prompt": prompt, "system": system, "expect": expect}
    return {key: value for key, value in fields.items() if value}


def _shuffled(rows: list[list[Message]]) -> list[list[Message]]:
    random.Random(_SEED).shuffle(rows)
    return rows


def _parts(rows: Iterable[list[Message]]) -> tuple[list[list[Message]], list[list[Message]]]:
    train, held = _split(rows)
    return _shuffled(train), _shuffled(held)


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """Write one JSON object a line, UTF-8, characters outside ASCII as they are."""
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    path.write_text(text, encoding="utf-8")
