"""Votes: the newest counts, one can be taken back, and each becomes a row of a dataset once."""

from __future__ import annotations

from store import chats, votes
from store.catalogue import Catalogue
from store.votes import Answer

QUESTION = [("system", "Be brief."), ("user", "Why is the sky blue? \ud800")]


def test_a_review_keeps_its_place(cat: Catalogue) -> None:
    asked = [(QUESTION, ("b", "a")), (QUESTION[1:], ("a", "b"))]
    review = votes.create_review(cat, "a and b", ["a", "b"], {"sampling": {"seed": 3}}, asked)
    first, second = votes.items(cat, review.id)
    assert [answer.model for answer in first.answers] == ["b", "a"]
    assert first.turns[0] == ("system", "Be brief.")
    assert first.sampling == {"seed": 3}
    assert not first.answered
    votes.answer(cat, first.id, [Answer("b", "Air.", 2, "turn end"), Answer("a", "", 0, "length")])
    votes.vote(cat, first.id, "better", 0, blind=True)
    votes.vote(cat, first.id, "tie")
    found = votes.items(cat, review.id)
    assert found[0].answered
    assert found[0].answers[0].text == "Air."
    assert found[0].vote is not None
    assert found[0].vote.verdict == "tie"
    assert found[1] == second
    votes.vote(cat, first.id, "withdrawn")
    assert votes.item(cat, first.id).vote is None
    assert votes.reviews(cat) == [review]


def test_votes_of_a_chat_outlive_it_and_land_once(cat: Catalogue) -> None:
    chat = chats.create(cat, title="sky")
    said = [Answer("a", "Air."), Answer("b", "Paint.")]
    item = votes.add_item(cat, QUESTION, said, {}, chat_id=chat.id)
    vote = votes.vote(cat, item.id, "better", 0)
    assert votes.of_chat(cat, chat.id)[0].vote == vote
    assert votes.landed(cat, "/rows.jsonl") == set()
    votes.land(cat, "/rows.jsonl", [vote.id])
    votes.land(cat, "/rows.jsonl", [vote.id])
    assert votes.landed(cat, "/rows.jsonl") == {vote.id}
    cat.db.execute("DELETE FROM chats")
    assert votes.item(cat, item.id).chat_id is None
