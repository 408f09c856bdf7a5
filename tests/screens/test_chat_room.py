"""The Chat room: a real answer from a real model, and how columns look while it is written."""

from __future__ import annotations

from itertools import count

import pytest
from textual.message import Message
from textual.pilot import Pilot

from engine.chat.protocol import Delta, Done, Failed, Sealed
from screens.base import ChatWith
from screens.chat.prompt import LONGEST
from screens.chat.screen import ChatRoom
from screens.chat.settings import Settings, SettingsModal, read_settings
from screens.chat.stream import PAINT_SECONDS, Coalescer, Seated, Streamed, Told, pump
from screens.widgets.modals import ErrorModal, PickModal
from store import chats
from store.errors import BadInput
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until


async def room_of(pilot: Pilot[None]) -> ChatRoom:
    await pilot.app.run_action("app.go('chat')")
    await pilot.pause()
    room = pilot.app.screen
    assert isinstance(room, ChatRoom)
    return room


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_two_columns_while_an_answer_is_written(
    make_app: MakeApp, name: str, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        room = await room_of(pilot)
        check_golden(f"chat-empty-{name}", dump(app))
        await pilot.press("escape", "b", "i")
        for column, said in zip(room.columns, ("Air scatters blue.", "Good que"), strict=True):
            column.begin("Why is the sky blue?")
            room.post_message(Streamed(column.place, said))
        room._answering = room.columns
        room.post_message(Seated([("starter", "starter"), ("run:1@400", "habit @400")]))
        room.post_message(Told(Sealed(1, "starter", True, "same logits")))
        room.post_message(Told(Sealed(2, "run:1@400", True, "the adapter answers")))
        room.post_message(
            Told(Done(1, 0, "starter", "Air scatters blue.", [5] * 38, 38, 0.62, 0.12, "turn end"))
        )
        await pilot.pause()
        check_golden(f"chat-streaming-{name}", dump(app))


async def test_a_real_question_is_answered_sealed_recorded_and_stopped(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await room_of(pilot)
        room.settings = Settings(system="Answer briefly.", max_tokens=24)
        await pilot.press("escape", "b", "i", *"What is 2 plus 3?", "enter")
        await until(pilot, lambda: room.busy)
        await until(pilot, lambda: not room.busy, 120)
        seen = dump(app)
        assert seen.count("sealed ✓") == 2
        assert seen.count(" tok · ") == 2
        answers = [column.turns[-1] for column in room.columns]
        assert [turn.role for turn in answers] == ["assistant", "assistant"]
        assert answers[0].text == answers[1].text
        kept = chats.all(app.catalogue)
        assert kept[0].system == "Answer briefly."
        turns = chats.turns(app.catalogue, kept[0].id)
        assert [(turn.role, turn.column) for turn in turns] == [
            ("user", None),
            ("assistant", "A"),
            ("assistant", "B"),
        ]
        assert turns[1].text == answers[0].text
        assert turns[1].model == "starter"

        room.settings = Settings(max_tokens=4000, temperature=5.0)
        await pilot.press(*"Tell me a story.", "enter")
        await until(
            pilot, lambda: any(column.answer for column in room.columns) or not room.busy, 120
        )
        await pilot.press("escape")
        await until(pilot, lambda: not room.busy, 120)
        assert room.columns[0].turns[-1].role in ("assistant", "user")

        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "A new conversation." in dump(app)
        await pilot.press("up", "up")
        assert room.prompt.text == "What is 2 plus 3?"


async def test_an_unknown_model_is_one_modal(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await room_of(pilot)
        await pilot.press("escape", "m")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press(*"run:99", "enter")
        await pilot.pause()
        assert room.columns[0].ref == "run:99"
        await pilot.press("i", *"hi", "enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        await pilot.press("escape")
        await until(pilot, lambda: not room.busy)
        assert room.columns[0].turns == []


async def test_models_can_be_handed_over_and_columns_fail_alone(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        app.visit(ChatWith(("starter", "run:3@40")))
        await until(pilot, lambda: app.current_mode == "chat")
        room = app.screen
        assert isinstance(room, ChatRoom)
        await until(pilot, lambda: [c.ref for c in room.columns] == ["starter", "run:3@40"])
        for column in room.columns:
            column.begin("hi")
        room.post_message(Told(Failed(1, "the worker died", "See its log.", 1)))
        await until(pilot, lambda: "✗ the worker died. See its log." in dump(app))
        assert room.columns[1].turns == []
        assert room.columns[0].answering


async def test_settings_refuse_nonsense_by_name(make_app: MakeApp) -> None:
    typed = {"temperature": "0.7", "top_p": "0.9", "max_tokens": "64", "seed": "7",
             "top_k": "40", "min_p": "0.05", "repetition_penalty": "1.1"}  # fmt: skip
    kind = Settings("Be kind.", 0.7, 0.9, 64, 7, 40, 0.05, 1.1)
    assert read_settings("Be kind.", typed) == kind
    with pytest.raises(BadInput, match=r"top_k: expected a whole number, found '1\.5'"):
        read_settings("", {**typed, "top_k": "1.5"})
    with pytest.raises(BadInput, match="temperature: expected a number, found 'warm'"):
        read_settings("", {**typed, "temperature": "warm"})
    with pytest.raises(BadInput, match="top_p: 7 is out of bounds"):
        read_settings("", {**typed, "top_p": "7"})
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        await pilot.press("escape", "s")
        await until(pilot, lambda: isinstance(app.screen, SettingsModal))
        check_golden("chat-settings-narrow", dump(app))
        await pilot.press("tab", *"warm", "ctrl+s")
        await pilot.pause()
        assert "expected a number" in dump(app)
        await pilot.press("escape")
        await pilot.pause()
        assert room.settings == Settings()


async def test_a_prompt_of_several_lines_and_a_huge_paste(make_app: MakeApp) -> None:
    from textual.events import Paste

    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        await pilot.press("a", "ctrl+j", "b", "1")
        assert room.prompt.text == "a\nb1"
        app.post_message(Paste("y" * (LONGEST + 1)))
        await pilot.pause()
        assert room.prompt.text == "a\nb1"
        app.post_message(Paste("cd"))
        await pilot.pause()
        assert room.prompt.text == "a\nb1cd"


def test_deltas_are_gathered_and_nothing_is_lost_or_late() -> None:
    posted: list[Message] = []
    ticks = count()
    coalescer = Coalescer(posted.append, clock=lambda: next(ticks) * PAINT_SECONDS / 10)
    for number in range(100):
        coalescer.feed(Delta(1, number % 2, f"{number} "))
    coalescer.feed(Done(1, 0, "starter", "x", [1], 1, 1.0, 0.1, "length"))
    texts = [m for m in posted if isinstance(m, Streamed)]
    assert len(texts) < 40
    for column in (0, 1):
        said = "".join(m.text for m in texts if m.column == column)
        assert said == "".join(f"{n} " for n in range(column, 100, 2))
    assert isinstance(posted[-1], Told)
    posted.clear()
    pump([Delta(1, 0, "last words")], posted.append)
    assert "".join(m.text for m in posted if isinstance(m, Streamed)) == "last words"
