"""Judging answers in the Chat room: votes, what differs, examples, preferences, blind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.chat.protocol import Done
from engine.render.renderer import Renderer
from screens.base import ChatWith
from screens.chat.asked import Asked, sections
from screens.chat.correcting import Correction
from screens.chat.reviewing import ReviewScreen
from screens.chat.screen import ChatRoom
from screens.chat.settings import Settings
from screens.chat.stream import Ended, Seated, Told
from screens.data.opening import OpenModal
from screens.data.screen import DataRoom
from screens.widgets.modals import PickModal
from store import votes
from store.votes import Answer
from tests.engine.chat_fixtures import add_run, make_adapter
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until
from workbench.app import WorkbenchApp

Pilot_ = Pilot[Any]


async def test_the_loop_closes_with_real_answers(
    make_app: MakeApp, starter: Path, tmp_path: Path
) -> None:
    """Ask base and adapter, vote, compare, keep answers as rows, review, and all of it blind."""
    app = make_app()
    add_run(app.catalogue, "starter", {7: make_adapter(starter, tmp_path / "a", scale=1.0)})
    file = tmp_path / "mine.jsonl"
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        app.visit(ChatWith(("starter", "run:1@7")))
        await until(pilot, lambda: app.current_mode == "chat")
        room = app.screen
        assert isinstance(room, ChatRoom)
        await until(pilot, lambda: len(room.columns) == 2)
        room.settings = Settings(system="Be brief.", max_tokens=8)
        await until(pilot, lambda: room.prompt.has_focus)
        await pilot.press(*"What is 2 plus 3?", "less_than_sign", "backspace", "enter")
        await until(pilot, lambda: room.busy)
        await until(pilot, lambda: not room.busy, 120)
        base, tuned = (column.answer for column in room.columns)
        assert base != tuned
        room.settings = Settings(system="Another.", max_tokens=9)  # is about the next question
        await vote_and_take_back(pilot, app, room)
        await pilot.press("d")
        assert room.columns[0].compared == tuned
        await keep_as_rows(pilot, app, room, file)
        await see_in_the_data_room(pilot, app, room, file, base)
        await review_of_one(pilot, app, room, file)
        await blind_again(pilot, app, room)


async def vote_and_take_back(pilot: Pilot_, app: WorkbenchApp, room: ChatRoom) -> None:
    await pilot.press("escape", "greater_than_sign")
    assert dump(app).count("✓ better") == 1
    await pilot.press("equals_sign", "comma")
    assert [column.mark.plain for column in room.columns] == ["✓ better", ""]
    assert room.chat is not None
    (item,) = votes.of_chat(app.catalogue, room.chat)
    assert [answer.model for answer in item.answers] == ["starter", "run:1@7"]
    assert item.turns[0] == ("system", "Be brief.")
    assert item.vote is not None
    assert (item.vote.verdict, item.vote.best, item.vote.blind) == ("better", 0, False)
    await pilot.press("comma")
    assert votes.item(app.catalogue, item.id).vote is None
    await pilot.press("comma")


async def keep_as_rows(pilot: Pilot_, app: WorkbenchApp, room: ChatRoom, file: Path) -> None:
    """The exact tokens; the answer as it is, corrected, and the vote."""
    await pilot.press("h", "t")
    await until(pilot, lambda: isinstance(app.screen, Asked))
    await until(pilot, lambda: "<|user|>" in dump(app))
    assert "said · " in dump(app)
    await pilot.press("escape", "a")
    await until(pilot, lambda: isinstance(app.screen, OpenModal))
    await pilot.press(*str(file), "enter")
    await until(pilot, file.exists)
    await until(pilot, lambda: app.screen is room)
    await until(pilot, lambda: "Row 1 of mine.jsonl" in dump(app))
    await pilot.press("e")
    await until(pilot, lambda: isinstance(app.screen, Correction))
    await pilot.press(*" Yes.", "ctrl+s")
    await until(pilot, lambda: "Row 2 of mine.jsonl" in dump(app))
    await pilot.press("p")
    await until(pilot, lambda: isinstance(app.screen, OpenModal))
    await pilot.press("enter")
    await until(pilot, lambda: "Row 1 of from-votes.jsonl" in dump(app))


async def see_in_the_data_room(
    pilot: Pilot_, app: WorkbenchApp, room: ChatRoom, file: Path, base: str
) -> None:
    """Rows with where they came from; one step of undo takes one back, and it can be added anew."""
    await pilot.press("o")
    await until(pilot, lambda: isinstance(app.screen, DataRoom))
    data = app.screen
    assert isinstance(data, DataRoom)
    await until(pilot, lambda: data.has_rows)
    assert data.open_document.path.name == "from-votes.jsonl"
    assert data.open_document.row(1).purpose == "preference"
    data.open_file(file)
    document = data.open_document
    said = [turn.text for turn in document.row(2).turns]
    assert said == ["Be brief.", "What is 2 plus 3?", f"{base} Yes."]
    noted = document.annotations(2)
    assert noted.tags == ("from-chat",)
    assert noted.note == f"chat {room.chat} · starter · greedy · 8 tokens · edited"
    await until(pilot, lambda: data.has_rows)
    await pilot.press("u")
    await until(pilot, lambda: document.count == 1)
    await pilot.press("3")
    await until(pilot, lambda: app.screen is room)
    await pilot.press("a", "1")
    await until(pilot, lambda: data.rows.count == 2)  # the open dataset follows
    assert document.row(2).turns[-1].text == base
    await pilot.press("3")
    await until(pilot, lambda: app.screen is room)


async def review_of_one(pilot: Pilot_, app: WorkbenchApp, room: ChatRoom, file: Path) -> None:
    """A review of both on the question of a file, while they are asked."""
    await pilot.press("w")
    await until(pilot, lambda: isinstance(app.screen, PickModal))
    await pilot.press("down", "enter")
    await until(pilot, lambda: isinstance(app.screen, OpenModal))
    await pilot.press(*str(file), "enter")
    await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
    review = app.screen
    assert isinstance(review, ReviewScreen)
    await until(pilot, lambda: review.current is not None, 120)
    assert "A ?" in dump(app)
    await pilot.press("s", "greater_than_sign")
    await until(pilot, lambda: not review.asking)
    seen = dump(app)
    assert "cannot tell run:1@7 and starter apart" in seen
    assert "p 1 whenever you look, sign test 1 if you look once" in " ".join(seen.split())
    await pilot.press("u", "equals_sign", "p")
    await until(pilot, lambda: isinstance(app.screen, OpenModal))
    await pilot.press("escape")
    (held,) = votes.reviews(app.catalogue)
    (item,) = votes.items(app.catalogue, held.id)
    assert item.vote is not None
    assert (item.vote.verdict, item.vote.blind) == ("tie", True)
    await until(pilot, lambda: app.screen is room)


async def blind_again(pilot: Pilot_, app: WorkbenchApp, room: ChatRoom) -> None:
    """No title tells who was here before, and both are sealed whichever side they are on."""
    while room.columns[0].ref == "starter":
        await pilot.press("escape", "v")
        if room.columns[0].ref == "starter":
            await pilot.press("escape", "v")
    assert room.blind
    assert "sealed" not in dump(app)
    await pilot.press(*"Hello.", "enter")
    said = room.columns
    await until(pilot, lambda: not room.busy and all(one.done for one in said), 120)
    seen = dump(app)
    assert (seen.count("sealed ✓"), seen.count("run:1")) == (2, 0)


def test_a_character_of_several_tokens_stands_whole(starter: Path) -> None:
    renderer = Renderer.load(starter)
    ids = renderer.encode("Hé 🦊!")
    (asked,) = sections(renderer, ids, [])
    shown = [asked.spelled(place) for place in range(len(ids))]
    assert "".join(shown).replace("…", "") == "Hé·🦊!"
    assert shown.count("…") == len(ids) - 5
    assert sections(renderer, ids, [5])[1].whole.mask == [1]


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_how_a_review_looks(make_app: MakeApp, name: str, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ChatRoom))
        asked = [([("user", f"Why {n}?")], ["run:1@7", "starter"]) for n in range(3)]
        cat = app.catalogue
        held = votes.create_review(cat, "starter and run:1@7", ["starter"], {"blind": True}, asked)
        for item in votes.items(cat, held.id)[:2]:
            said = [Answer("run:1@7", "Because." * 9, 9, "length"), Answer("starter", "", 0, "")]
            votes.answer(cat, item.id, said)
        screen = ReviewScreen(cat, held)
        await app.push_screen(screen)
        await pilot.press("less_than_sign")
        check_golden(f"chat-review-{name}", dump(app))
        await pilot.press("x")
        assert "The models are asked" in dump(app)


async def test_blind_hides_who_is_who_until_told(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        app.visit(ChatWith(("starter", "run:1@7")))
        await until(pilot, lambda: app.current_mode == "chat")
        room = app.screen
        assert isinstance(room, ChatRoom)
        await until(pilot, lambda: len(room.columns) == 2)
        await until(pilot, lambda: room.prompt.has_focus)
        await pilot.press("escape", "v")
        await until(pilot, lambda: room.blind)
        seen = dump(app)
        assert "A ?" in seen
        assert "run:1" not in seen
        sides = [column.ref for column in room.columns]
        assert sorted(sides) == ["run:1@7", "starter"]
        room._answering = room.columns
        room.post_message(Seated([(ref, ref) for ref in sides]))
        for column, said in zip(room.columns, ("Five.", "It is 5."), strict=True):
            column.begin("What is 2 plus 3?")
            done = Done(1, column.place, column.ref, said, [1], 3, 0.1, 0.1, "turn end")
            room.post_message(Told(done))
        room.post_message(Ended())
        await until(pilot, lambda: not room.busy)
        await pilot.press("escape", "left", "greater_than_sign", "m", "right_square_bracket")
        check_golden("chat-blind-narrow", dump(app))
        (item,) = votes.all_items(app.catalogue)
        assert item.vote is not None
        assert item.vote.blind
        assert item.answers[1].model == sides[1]
        await pilot.press("v")
        await until(pilot, lambda: not room.blind)
        seen = dump(app)
        assert f"B is {sides[1]}" in seen
        assert "A ?" not in seen
