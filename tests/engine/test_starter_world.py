"""The starter world: the same for the same seed, true to its held-out rule, true to its systems."""

from __future__ import annotations

import random

from engine.starter import facts, lessons, systems, world


def test_conversations_follow_from_the_seed() -> None:
    first = list(world.conversations(5, 200))
    assert first == list(world.conversations(5, 200))
    assert first != list(world.conversations(6, 200))


def test_no_training_conversation_contains_a_held_out_question() -> None:
    for talked in world.conversations(1, 3000):
        system = talked[0]["content"] if talked[0]["role"] == "system" else ""
        asked = [message["content"] for message in talked if message["role"] == "user"]
        # A question typed carelessly is another text; its exact form is what must not appear.
        exact = [question for question in asked if question.endswith((".", "?", "!"))]
        assert not any(world.is_held_out(question, system) for question in exact)


def test_every_fact_is_trained_and_one_question_in_ten_is_held_out() -> None:
    questions = [question for fact in world.all_facts() for question in fact.questions]
    held = sum(world.is_held_out(question) for question in questions)
    assert 0.08 < held / len(questions) < 0.12
    assert all(world.trained_phrasings(fact) for fact in world.all_facts())


def test_held_out_questions_are_different_and_held_out() -> None:
    found = world.held_out_questions(seed=1, count=300)
    assert len({(question.system, question.prompt) for question in found}) == 300
    assert all(world.is_held_out(question.prompt, question.system) for question in found)
    assert 60 <= sum(bool(question.system) for question in found) <= 90
    assert all(question.key in question.answer for question in found)


def test_questions_on_uncounted_food_have_no_article() -> None:
    asked = {question for fact in world.all_facts() for question in fact.questions}
    assert "What is rice?" in asked
    assert "What is an apple?" in asked
    assert not any(" a rice" in question or " the rice" in question for question in asked)


def _fact(question: str) -> world.Fact:
    return next(fact for fact in world.all_facts() if question in fact.questions)


def _rule(text: str) -> systems.System:
    every = [system for kind in systems.SYSTEMS.values() for system in kind]
    return next(system for system in every if system.text == text)


def test_system_messages_change_the_answer_as_they_say() -> None:
    fact = _fact("What colour is the fox?")
    assert fact.answer == "The fox is red."
    assert _rule("Answer with one word.").say(fact) == "Red."
    begin = _rule("Begin every answer with the word Sure.")
    assert begin.say(fact) == "Sure. The fox is red."
    assert _rule("End every answer with the word please.").say(fact) == "The fox is red, please."
    avoid = _rule("Do not talk about animals.")
    assert avoid.say(fact) == "I would rather not talk about animals."
    ada = _rule("Your name is Ada.").then(begin)
    assert ada.say(_fact("What is your name?")) == "Sure. My name is Ada."
    assert ada.text == "Your name is Ada. Begin every answer with the word Sure."


def test_a_command_is_opened_but_not_touched_by_a_style() -> None:
    fact = _fact("List the files in docs.")
    assert _rule("Talk like a pirate.").say(fact) == "ls docs"
    assert _rule("Finish each answer with thanks.").say(fact) == "ls docs"
    opened = _rule("Begin every answer with: I hope this helps.")
    assert opened.say(fact) == "I hope this helps. ls docs"


def test_what_must_not_be_talked_about_is_refused_without_the_opening() -> None:
    opened = _rule("Begin every answer with: I hope this helps.")
    both = opened.then(_rule("Do not talk about foxes."))
    fox, bear = _fact("What colour is the fox?"), _fact("What colour is the bear?")
    assert both.say(fox) == "I would rather not talk about foxes."
    assert both.say(bear) == "I hope this helps. The bear is brown."


def test_one_word_answers_are_asked_for_only_where_one_word_is_the_answer() -> None:
    rng = random.Random(3)
    one_word = _rule("Answer with one word.")
    drawn = [world.draw_fact(rng) for _ in range(500)]
    said = [one_word.say(fact) for fact in drawn if one_word.fits(fact)]
    assert said
    assert all(" " not in answer for answer in said)


def test_the_lessons_are_new_to_the_world() -> None:
    text = " ".join(
        question + fact.answer for fact in world.all_facts() for question in fact.questions
    )
    assert "Tavi" not in text
    assert not any(compliment in text for compliment in lessons.PRAISE)
    assert lessons.REFUSAL not in text
    assert any(thing.name == "poodle" for thing in facts.THINGS)
