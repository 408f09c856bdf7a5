"""A conversation in the Chat room: branches, seeds, old chats, prompts by name, long text."""

from __future__ import annotations

from pathlib import Path

from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input

from engine.chat.protocol import Failed
from screens.chat.archive import code_blocks
from screens.chat.correcting import Correction
from screens.chat.oldchats import OldChats
from screens.chat.question import Question
from screens.chat.screen import ChatRoom
from screens.chat.settings import Settings, SettingsModal
from screens.chat.shelf import Shelf
from screens.chat.stream import Ended, Streamed, Told
from screens.widgets.modals import ChoiceModal, ErrorModal, LineModal, PickModal
from store import chats, library
from store.catalogue import Catalogue
from store.rounds import Tree
from store.workspace import Workspace
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, dump, until
from workbench.app import WorkbenchApp

HOSTILE = "fox \x1b]52;c;aGk=\x07\u202e[@click=app.quit]"


async def room_of(pilot: Pilot[None]) -> ChatRoom:
    await pilot.app.run_action("app.go('chat')")
    await pilot.pause()
    room = pilot.app.screen
    assert isinstance(room, ChatRoom)
    return room


async def ask(pilot: Pilot[None], room: ChatRoom, *keys: str) -> None:
    """Press keys that ask something, and wait until it is answered and recorded."""

    def said() -> int:
        return len(chats.turns(room.catalogue, room.chat)) if room.chat is not None else 0

    before = said()
    await pilot.press(*keys)
    await until(pilot, lambda: not room.busy and said() == before + 1 + len(room.columns), 120)


def notes(room: ChatRoom) -> list[str]:
    return [str(asked.content) for asked in room.columns[0].query(Question)]


async def test_a_conversation_branches_and_a_seed_says_the_same_again(
    make_app: MakeApp, tmp_path: Path
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        room = await room_of(pilot)
        room.settings = Settings("Be kind.", max_tokens=12, temperature=1.0, top_k=50, seed=5)
        await ask(pilot, room, *"Tell me of the fox.", "enter")
        column = room.columns[0]
        first = column.answer
        await ask(pilot, room, "escape", "R")
        assert column.answer == first
        assert notes(room) == ["› Tell me of the fox.  ‹2/2› seed 5"]
        await ask(pilot, room, "r")
        assert notes(room) == ["› Tell me of the fox.  ‹3/3› seed 6"]
        await pilot.press("left_parenthesis")
        await until(pilot, lambda: column.answer == first)
        await ask(pilot, room, "i", *"And the bear?", "enter")
        assert [turn.role for turn in column.context] == ["system", "user", "assistant", "user"]

        await edit_and_branch(pilot, room)
        await pilot.press("y")
        assert app.clipboard == column.answer
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        app.screen.query_one(Input).value = str(tmp_path / "chat.jsonl")
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "chat.jsonl").is_file())
        shown, said = notes(room), column.answer

    await find_it_again(make_app(), shown, said)


async def edit_and_branch(pilot: Pilot[None], room: ChatRoom) -> None:
    """An earlier question as another version, and on from an earlier one and back."""
    # Edited: the words that were being written come back, and esc leaves all as it was.
    await pilot.press(*"later", "escape", "up", "up", "c")
    await until(pilot, lambda: room.prompt.text == "Tell me of the fox.")
    assert notes(room) == []
    await pilot.press("escape")
    await until(pilot, lambda: len(notes(room)) == 2)
    assert room.prompt.text == "later"
    await pilot.press("up", "c")
    await until(pilot, lambda: room.prompt.text == "And the bear?")
    await ask(pilot, room, "backspace", *" now?", "enter")
    assert room.prompt.text == "later"
    assert notes(room)[1].startswith("› And the bear now?  ‹2/2›")

    # Gone on from an earlier question, and back.
    await pilot.press("escape", "up", "up", "G")
    await until(pilot, lambda: len(notes(room)) == 1)
    await pilot.press("escape", "right_parenthesis")
    await until(pilot, lambda: len(notes(room)) == 2)
    tree = Tree(chats.turns(room.catalogue, room.chat or 0))
    assert len(tree) == 5
    assert len(tree.leaves()) == 4
    last = tree.round(room.head or 0).answers["A"]
    assert last.sampling == room.asked_with.sampling
    assert last.place == room._where


async def find_it_again(again: WorkbenchApp, shown: list[str], said: str) -> None:
    """Another window: what was being written is there, and the chat is found by its words."""
    async with again.run_test(size=WIDE) as pilot:
        room = await room_of(pilot)
        assert room.prompt.text == "later"
        await pilot.press("escape", "slash")
        await until(pilot, lambda: isinstance(again.screen, OldChats))
        await pilot.press(*"bear KIND fox")
        screen = again.screen
        assert isinstance(screen, OldChats)
        await until(pilot, lambda: "No chat" in dump(again))
        screen.query_one(Input).value = "bear fox"
        await pilot.press("enter")  # before it was found: what is typed is what opens
        await until(pilot, lambda: again.screen is room and len(notes(room)) == 2)
        assert notes(room) == shown
        assert room.columns[0].answer == said
        assert room.settings.system == "Be kind."
        assert [turn.role for turn in room.columns[0].context] == ["system", "user", "assistant",
                                                                   "user"]  # fmt: skip


async def test_old_chats_are_told_as_they_are(make_app: MakeApp, workspace: Workspace) -> None:
    with Catalogue.open(workspace) as cat:
        for number in range(30):
            chats.create(cat, title=f"chat {number}")
        old = chats.create(cat, title=HOSTILE)
        asked = chats.ask(cat, old.id, HOSTILE, models=("starter", "", "run:9@40"))
        chats.answer(cat, asked.id, "whole", column="A", model="starter", stop="turn end")
        chats.answer(cat, asked.id, "ha", column="C", model="run:9@40", stop=chats.DIED)
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        await pilot.press("escape", "slash")
        screen = app.screen
        assert isinstance(screen, OldChats)
        await until(pilot, lambda: screen.lines.count == 31)
        assert "fox ␛]52;c;aGk=␇�[@click=app" in dump(app)
        await pilot.press("enter")
        await until(pilot, lambda: len(room.columns) == 2 and bool(room.columns[1].answer))
        seen = dump(app)
        assert "› fox ␛]52;c;aGk=␇�" in seen
        assert "✗ died" in seen
        seated = [(column.place, column.ref) for column in room.columns]
        assert seated == [(0, "starter"), (2, "run:9@40")]
        assert any("run 9 does not exist" in one.message for one in app._notifications)

        await pilot.press("escape", "slash")
        await until(pilot, lambda: isinstance(app.screen, OldChats))
        anew = app.screen
        assert isinstance(anew, OldChats)
        await until(pilot, lambda: anew.lines.count == 31)
        await pilot.press("ctrl+x")
        await pilot.pause()
        assert "This chat is open" in dump(app)
        await pilot.press("down", "ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        await pilot.press("end", *" b", "enter")
        await until(pilot, lambda: anew.lines.listed[1].chat.title == "chat 29 b")
        await pilot.press("ctrl+x")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        await pilot.press("d")
        await until(pilot, lambda: anew.lines.count == 30)
        await pilot.press("escape", "ctrl+n")
        assert room.chat is None


async def test_half_an_answer_is_kept_and_marked(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        room.chat = chats.create(app.catalogue).id
        room.head = chats.ask(app.catalogue, room.chat, "fox?").id
        column = room.columns[0]
        column.begin("fox?", room.head)
        room._answering = [column]
        room.post_message(Streamed(0, "The fox is"))
        died = Failed(
            1, "the worker died", "See its log.", 0, died=True, text="The fox is", tokens=3
        )
        room.post_message(Told(died))
        room.post_message(Ended())
        await until(pilot, lambda: not room.busy)
        half = chats.turns(app.catalogue, room.chat)[-1]
        assert (half.text, half.tokens, half.stop) == ("The fox is", 3, chats.DIED)
        await room.view(room.head)
        await until(pilot, lambda: "✗ died" in dump(app))
        # What a person writes in its place is another version, and no answer to vote on.
        await pilot.press("escape", "E")
        await until(pilot, lambda: isinstance(app.screen, Correction))
        await pilot.press(*" red.", "ctrl+s")
        await until(pilot, lambda: "‹2/2›" in dump(app))
        mine = room.branches.round(room.head).answers["A"]
        assert (mine.text, mine.stop, mine.sampling) == ("The fox is red.", chats.EDITED, None)
        assert column.turns[-1].text == "The fox is red."
        assert "✎ written by hand" in dump(app)
        await pilot.press("escape", "left_parenthesis")
        await until(pilot, lambda: column.answer == "The fox is")
        # Where an older answer of the column is on screen, that one is gone on from, as a version.
        first = room._kept[id(column.done)][1]
        newer = chats.answer(app.catalogue, room.head, "Newer.", column="A", model="starter")
        assert room._shown_head() != room.head
        tree = room.branches
        assert tree.round(room.head).answers["A"] == newer
        assert tree.round(tree.versions(room.head)[-1]).answers["A"].text == first.text


async def test_a_long_conversation_shows_its_end_and_more_on_demand(
    make_app: MakeApp, workspace: Workspace
) -> None:
    with Catalogue.open(workspace) as cat:
        old, head = chats.create(cat, title="long"), None
        for number in range(50):
            head = chats.ask(cat, old.id, f"question {number}", after=head, models=["starter"]).id
            chats.answer(cat, head, f"answer {number}", column="A", model="starter")
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        await room.reopen(old.id)
        await pilot.pause()
        column = room.columns[0]
        assert len(column.turns) == 100
        assert len(column.query(Question)) == 21
        await pilot.press("escape", *["up"] * 22)
        await until(pilot, lambda: "▸ question 28" in dump(app))
        assert len(column.query(Question)) > 40
        await pilot.press("y")
        assert app.clipboard == "answer 28"
        for number in range(45):
            column.begin(f"more {number}")
            column.fail("stopped")
        await until(pilot, lambda: len(column.query(Question)) < 60)


async def test_what_is_too_long_is_told_and_refused_before_it_is_asked(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        app.post_message(Paste("the fox is red. " * 6250))
        await until(pilot, lambda: "of 1,024 tokens" in dump(app))
        assert "✗ too long:" in dump(app)
        assert len(room.prompt.text) == 100_000
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert isinstance(app.screen, ErrorModal)
        assert "31,258 tokens; this model holds 1,024" in app.screen.error.message
        await pilot.press("escape")
        assert len(room.prompt.text) == 100_000
        assert chats.all(app.catalogue) == []
        room.prompt.text = "short"
        await until(pilot, lambda: "too long" not in dump(app))


async def test_prompts_are_kept_found_recalled_and_drafts_survive(
    make_app: MakeApp, workspace: Workspace
) -> None:
    with Catalogue.open(workspace) as cat:
        chat = chats.create(cat)
        for text in ("first", "second\nof two lines", "first"):
            chats.ask(cat, chat.id, text)
        library.keep(cat, "system", "kind", "Be kind.")
    app = make_app()
    async with app.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        await pilot.press("up")
        assert room.prompt.text == "first"
        await pilot.press("up")
        assert room.prompt.text == "second\nof two lines"
        await pilot.press("up", "down", "down")
        assert room.prompt.text == ""
        await pilot.press(*"Why {x}?", "up")
        assert room.prompt.text == "Why {x}?"

        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, Shelf))
        await pilot.press("ctrl+k")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        await pilot.press(*"ask why", "enter")
        await until(pilot, lambda: isinstance(app.screen, Shelf) and "ask why" in dump(app))
        await pilot.press(*"aw", "enter")
        await until(pilot, lambda: app.screen is room)
        assert room.prompt.text == "Why {x}?Why {x}?"
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, Shelf))
        await pilot.press(*"kd", "enter")
        await until(pilot, lambda: room.settings.system == "Be kind.")

        await pilot.press("escape", "g")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press(*"creat", "enter")
        await until(pilot, lambda: room.settings.min_p == 0.05)
        assert "creative · seed 0" in dump(app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SettingsModal))
        await pilot.press("tab", *"0.4", "ctrl+k")
        await until(pilot, lambda: isinstance(app.screen, LineModal))
        await pilot.press(*"mine", "enter")
        await until(pilot, lambda: isinstance(app.screen, SettingsModal))
        await until(pilot, lambda: "Kept as mine" in dump(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.settings.temperature == 0.4)
        assert "mine · seed 0" in dump(app)
    again = make_app()
    async with again.run_test(size=NARROW) as pilot:
        room = await room_of(pilot)
        assert room.prompt.text == "Why {x}?Why {x}?"


def test_code_is_found_between_fences() -> None:
    answer = "Do this:\n```sh\nls -l\n```\nor\n~~~\na\n```\nb\n~~~\nand\n```py\nprint()\n"
    assert code_blocks(answer) == ["ls -l", "a\n```\nb", "print()"]
    assert code_blocks("none `here`") == []
