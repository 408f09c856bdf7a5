"""Two to four columns: layout, votes among them, the time machine, and how answers look."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.chat.protocol import Done, Failed, Sealed
from screens.base import ChatWith
from screens.chat.answer import Answer
from screens.chat.screen import ChatRoom
from screens.chat.settings import Settings
from screens.chat.stream import Ended, Streamed, Told
from screens.widgets.differing import changed_words
from screens.widgets.markdown import Block, Markdown, inline, rendered
from store import chats, votes
from tests.engine.chat_fixtures import add_run, make_adapter
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, until

SAID = (
    "# Head *x*\nHello **bold** and `co*de*` \\* not.\n2 * 3 * 4, snake_case, "
    "[a](http://x) <b>x</b>\n\n- one\n- two **b\n  more\n  1. nested\n\n"
    "```python\ndef f():\n\n    return 1\n```\nafter\n"
    "> quote\n| a | bb |\n|---|----|\n| 1 | **2** |\n\n---\nend \x1b[31mred"
)


async def columns_of(pilot: Pilot[None], app: object, refs: tuple[str, ...]) -> ChatRoom:
    """The room with these models in its columns."""
    pilot.app.visit(ChatWith(refs))  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatRoom))
    room = pilot.app.screen
    assert isinstance(room, ChatRoom)
    await until(pilot, lambda: tuple(column.ref for column in room.columns) == refs)
    await until(pilot, lambda: room.prompt.has_focus)
    return room


def answer(room: ChatRoom, said: tuple[str, ...], question: str = "Why is the sky blue?") -> None:
    """Let every column say something, as a session would."""
    room._answering = room.columns
    for column, words in zip(room.columns, said, strict=True):
        column.begin(question)
        done = Done(1, column.place, column.ref, words, [1], 9, 0.1, 0.05, "turn end")
        room.post_message(Told(done))
    room.post_message(Ended())


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_four_columns_side_by_side_or_two_by_two(
    make_app: MakeApp, name: str, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        room = await columns_of(pilot, app, ("starter", "run:1@20", "run:1@40", "run:2@9*0.5"))
        room.post_message(Told(Sealed(1, "run:2@9*0.5", True, "DoRA", alone=True)))
        answer(room, ("Because.", "Air scatters blue.", SAID, "Air scatters it."))
        await until(pilot, lambda: not room.busy)
        await pilot.press("escape", "d", "C")
        check_golden(f"chat-four-{name}", dump(app))
        (item,) = votes.all_items(app.catalogue)
        assert item.vote is not None
        assert (item.vote.verdict, item.vote.best, len(item.answers)) == ("better", 2, 4)
        assert [column.compared for column in room.columns] == [None, *["Because."] * 3]
        await pilot.press("less_than_sign", "x")  # sides are of two
        assert votes.item(app.catalogue, item.id).vote is not None
        assert dump(app).count("✗ all bad") == 4

        await pilot.press("h", "h", "z")
        assert sum(column.has_class("-folded") for column in room.columns) == 3
        seen = room.active
        assert seen.size.height > size[1] // 2
        await pilot.press("l")
        assert room.active is not seen
        assert seen.has_class("-folded")
        gone = room.active
        await pilot.press("z", "delete")
        await until(pilot, lambda: len(room.columns) == 3)
        assert gone not in room.columns
        kept = [column.place for column in room.columns]
        await pilot.press("b")
        await until(pilot, lambda: len(room.columns) == 4)
        assert sorted(kept) == [place for place in range(4) if place != gone.place]
        assert [column.place for column in room.columns] == [0, 1, 2, 3]
        await pilot.press("b")
        assert "Four columns are the most." in dump(app)


async def test_the_time_machine_with_real_answers(
    make_app: MakeApp, starter: Path, tmp_path: Path
) -> None:
    """Step through checkpoints and strengths: one column alone is asked again, or knows already."""
    app = make_app()
    made = {step: make_adapter(starter, tmp_path / str(step), seed=step, scale=1.0)
            for step in (7, 9)}  # fmt: skip
    add_run(app.catalogue, "starter", made)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        room = await columns_of(pilot, app, ("starter", "run:1@9"))
        room.settings = Settings(max_tokens=6)
        await pilot.press(*"hi", "enter")
        await until(pilot, lambda: room.busy)
        await until(pilot, lambda: not room.busy, 120)
        base, column = room.columns
        nine, other = column.done, base.done
        assert nine is not None
        assert nine.logprobs is not None
        assert nine.pieces is not None
        assert "".join(nine.pieces) == nine.text

        await pilot.press("escape", "l", "left_square_bracket")
        await until(pilot, lambda: column.done is not None and not room.busy, 120)
        seven = column.done
        assert seven is not None
        assert (seven.model, column.compared) == ("run:1@7", nine.text)
        assert "≠ run:1@9, " in dump(app)
        assert base.done is other
        await pilot.press("left_square_bracket")
        assert "run:1@7 is the oldest checkpoint." in dump(app)
        await pilot.press("right_square_bracket")
        assert column.done is nine  # it is known, nobody is asked
        assert column.seal is True
        await pilot.press("minus")
        await until(pilot, lambda: column.done is not None and not room.busy, 120)
        assert column.done is not None
        assert column.done.model == "run:1@9*0.75"
        assert [turn.role for turn in column.turns] == ["user", "assistant"]
        assert room.chat is not None
        recorded = [turn for turn in chats.turns(app.catalogue, room.chat) if turn.column == "B"]
        assert [turn.model for turn in recorded] == ["run:1@9", "run:1@7", "run:1@9*0.75"]

        column.seen.clear()  # as after a restart: then the records know
        await pilot.press("plus")
        assert (column.done.model, column.answer) == ("run:1@9", nine.text)
        await pilot.press("minus", "percent_sign")
        assert "no probabilities are known of it" in dump(app)
        room.ask_again([column])
        await until(pilot, lambda: column.done is not None and not room.busy, 120)
        await pilot.press("n", "n")
        assert "token 2 of " in dump(app)
        await pilot.press("h", "plus")
        assert "starter has no adapter" in dump(app)


async def test_half_an_answer_stays_and_is_marked(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await columns_of(pilot, app, ("starter", "run:3@40"))
        for column in room.columns:
            column.begin("hi")
        room.post_message(Streamed(1, "Half a sen"))
        room.post_message(
            Told(Failed(1, "the worker died", "See its log.", 1, True, "Half a sen", 3))
        )
        await until(pilot, lambda: "✗ died" in dump(app))
        assert "the worker died. See its log." in dump(app)
        assert [turn.text for turn in room.columns[1].turns] == ["hi", "Half a sen"]
        assert room.columns[0].answering


async def test_an_answer_is_rendered_or_raw_and_data_stays_data(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await columns_of(pilot, app, ("starter",))
        answer(room, (SAID,))
        await until(pilot, lambda: not room.busy)
        seen = dump(app)
        for words in ("Hello bold and co*de* * not.", "2 * 3 * 4, snake_case", "[a](http://x) <b>",
                      "• one", "1. nested", "│ quote", "a │ bb", "end ␛[31mred"):  # fmt: skip
            assert words in seen
        shown = room.query_one(Answer)
        chosen = shown._page.plain.split("\n")
        assert chosen[0] == "Head x"
        assert shown.region.height == len(chosen)
        await pilot.press("escape", "number_sign")
        assert "**bold** and `co*de*`" in dump(app)
        assert "```python" in dump(app)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_what_streams_in_is_what_is_rendered_whole(size: int) -> None:
    """Closed blocks never change, whatever the pieces; what is begun looks as if it had ended."""
    page, closed = Markdown(), list[Block]()
    for start in range(0, len(SAID), size):
        kept = page.feed(SAID[start : start + size])
        found = page.blocks
        assert [block.content.plain for block in found[: len(closed)]] == [
            block.content.plain for block in closed
        ]
        closed = found[:kept]
    assert page.end() == rendered(SAID)
    assert inline("a **b", open_=True).plain == "a b"
    assert inline("a **b").plain == "a **b"
    assert Markdown().blocks == []


def test_what_changed_is_told_by_its_place() -> None:
    assert changed_words("a b c", ["a x y", "c d"]) == [[(2, 5)], [(2, 3)]]


async def test_the_view_follows_what_is_written_until_the_reader_goes_away(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await columns_of(pilot, app, ("starter",))
        column = room.columns[0]
        column.begin("Tell me everything.")
        view = column.transcript
        assert view.scroll_offset.y == 0  # short: nothing stands above the top
        for number in range(60):
            column.feed(f"line {number}\n\n")
            await pilot.pause()
        assert "line 59" in dump(app)
        assert view.scroll_offset.y == view.max_scroll_y > 0
        view.scroll_home(animate=False)
        await pilot.pause()
        column.feed("line 60\n\nline 61\n\n")
        await pilot.pause()
        assert view.scroll_offset.y == 0
        assert "line 0" in dump(app)
        view.scroll_end(animate=False)
        await pilot.pause()
        column.feed("line 62\n\n")
        await pilot.pause()
        assert view.scroll_offset.y == view.max_scroll_y
        assert "line 62" in dump(app)
