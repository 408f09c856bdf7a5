"""The Data room on real files: looking, finding, editing, saving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import assets
from engine.data.rows import parse_row
from engine.render.renderer import Renderer
from screens.data.editor import TurnEditor
from screens.data.fields import WHOLE, fields
from screens.data.jsoneditor import JsonEditor
from screens.data.rowlist import RowList
from screens.data.screen import DataRoom
from screens.data.seeing import see
from screens.data.tokens import Note, arrange, verdict
from screens.widgets.modals import ChoiceModal, ErrorModal, PickModal
from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, check_golden, dump, styled, until

LINES = [
    ("Be brief.", "Why is the sky blue?", "Air scatters blue light more than red."),
    ("", "What's a poodle?", "A poodle is a dog with curly fur."),
    ("", "Explain recursion to a child.", "Imagine a box that holds a smaller box."),
]


def row(system: str, asked: str, said: str) -> bytes:
    turns = [{"role": "system", "content": system}] if system else []
    turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return json.dumps({"messages": turns}, ensure_ascii=False).encode()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Three good rows, two that cannot be read, then 200 more."""
    lines = [row(*line) for line in LINES]
    lines += [b'{"messages": []}', b"not json at all"]
    lines += [row("", f"What is {n} plus 1?", f"{n} plus 1 is {n + 1}.") for n in range(200)]
    path = tmp_path / "rules.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


TEMPLATE = """{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>
{% if message.role == "assistant" %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}
{% else %}{{ message.content }}<|end|>
{% endif %}{% endfor %}"""


@pytest.fixture
def bytes_model(tmp_path: Path) -> Path:
    """A model folder whose tokens are bytes, so that dumps do not depend on the shipped model."""
    special = ["<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=known, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    folder = tmp_path / "bytes"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    config = {"bos_token": "<|bos|>", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


async def opened(pilot: Pilot[None]) -> DataRoom:
    """The room, once its rows on screen are counted."""
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    await until(pilot, lambda: room.document is not None and bool(room.rows.counts))
    return room


@pytest.mark.parametrize(("name", "size"), [("narrow", NARROW), ("wide", WIDE)])
async def test_rows_row_and_tokens(
    make_app: MakeApp, rules: Path, bytes_model: Path, name: str, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, DataRoom)
        app.screen.model_ref = str(bytes_model)
        app.screen.open_file(rules)
        await opened(pilot)
        check_golden(f"data-{name}", dump(app))
        await pilot.press("t")
        await pilot.pause()
        check_golden(f"data-tokens-{name}", dump(app))
        await pilot.press("e")
        room = app.screen
        assert isinstance(room, DataRoom)
        await until(pilot, lambda: room.under_pen is not None and "editing row 1 ·" in dump(app))
        await until(pilot, lambda: "✓ trained" in dump(app))
        check_golden(f"data-edit-{name}", dump(app))


async def test_trained_tokens_are_underlined_and_coloured(make_app: MakeApp, rules: Path) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await opened(pilot)
        await pilot.press("t")
        await pilot.pause()
        marks = styled(app, lambda style: "u" if style and style.underline else " ")
        lines = dump(app).splitlines()
        at = next(n for n, line in enumerate(lines) if "Air·scatters·blue" in line)
        start = lines[at].index("Air·scatters")
        assert marks.splitlines()[at][start : start + 12] == "u" * 12
        asked = next(n for n, line in enumerate(lines) if "Why·is·the·sky" in line)
        assert "u" not in marks.splitlines()[asked]


def test_tokens_say_what_is_cut_and_what_is_trained() -> None:
    renderer = Renderer.load(assets.path("starter"))
    read = parse_row(1, row(*LINES[0]))
    [whole] = see(renderer, read, 64).sections
    assert "BOS once ✓" in verdict(whole, 64).plain
    assert "turn end trained ✓" in verdict(whole, 64).plain
    assert not any(isinstance(line, Note) for line in arrange([whole], 60, ids=False, marks=False))
    [cut] = see(renderer, read, 12).sections
    [note] = [x for x in arrange([cut], 60, ids=False, marks=False) if isinstance(x, Note)]
    left = len(whole.whole.ids) - 12
    assert note.words == f"✂ max_length 12 cuts here: {left} tokens below never seen"
    assert f"✂ {left} tokens cut at 12 !" in verdict(cut, 12).plain
    assert "turn end not trained !" in verdict(cut, 12).plain


async def test_keys_move_and_find(make_app: MakeApp, rules: Path) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        room = await opened(pilot)
        await pilot.press("j", "j", "k")
        assert room.rows.number == 2
        await pilot.press("G")
        assert room.rows.number == 205
        await pilot.press("ctrl+u")
        assert room.rows.number < 205
        await pilot.press("g", "b")
        await until(pilot, lambda: room.rows.number == 4)
        assert "expected at least one turn" in dump(app)
        await pilot.press("n")
        await until(pilot, lambda: room.rows.number == 5)
        assert "not json at all" in dump(app)
        await pilot.press("slash", *"what is 77", "enter")
        await until(pilot, lambda: room.rows.number == 83)
        await pilot.press("slash")
        app.screen.query_one("#find", Input).value = "plus"
        await pilot.press("enter")
        await until(pilot, lambda: "78 of 200" in dump(app))
        await pilot.press("N")
        await until(pilot, lambda: room.rows.number == 82)
        await pilot.click(RowList, offset=(20, 3))
        assert room.rows.number != 83


async def edit(pilot: Pilot[None], new: str) -> None:
    """Write another text into the last answer of the row under the cursor."""
    room = pilot.app.screen
    assert isinstance(room, DataRoom)
    await pilot.press("e")
    await until(pilot, lambda: room.under_pen is not None and room.under_pen.pad.has_focus)
    assert isinstance(room.under_pen, TurnEditor)
    room.under_pen.put(new)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: room.under_pen is None)


async def test_edit_save_undo_save_leaves_the_file_as_it_was(
    make_app: MakeApp, rules: Path
) -> None:
    before = rules.read_bytes()
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        room = await opened(pilot)
        await edit(pilot, 'Because "air"\nscatters it.')
        assert room.document is not None
        assert room.document.unsaved == 1
        assert "1 unsaved edit ✎" in dump(app)
        assert rules.read_bytes() == before
        await pilot.press("s")
        await until(pilot, lambda: rules.read_bytes() != before and "unsaved" not in dump(app))
        saved = json.loads(rules.read_bytes().split(b"\n")[0])
        assert saved["messages"][2]["content"] == 'Because "air"\nscatters it.'
        assert rules.read_bytes().split(b"\n")[1:] == before.split(b"\n")[1:]
        await pilot.press("u", "s")
        await until(pilot, lambda: rules.read_bytes() == before)
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert room.document.row(1).turns[2].text == 'Because "air"\nscatters it.'
        await pilot.press("x")
        await pilot.pause()
        assert room.document.count == 204


async def test_unsaved_edits_survive_and_are_spoken_of(make_app: MakeApp, rules: Path) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await opened(pilot)
        await edit(pilot, "Because.")
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert "1 unsaved edit of rules.jsonl kept" in app._partings()[0]
        app.exit()
    assert app.farewell
    again = make_app(rules)
    async with again.run_test(size=WIDE) as pilot:
        await pilot.pause()
        room = await opened(pilot)
        assert room.document is not None
        assert room.document.unsaved == 1
        assert room.document.row(1).turns[2].text == "Because."


async def test_a_bad_row_is_repaired_as_json_and_nonsense_is_refused(
    make_app: MakeApp, rules: Path
) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        room = await opened(pilot)
        room.jump(5)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(room.under_pen, JsonEditor))
        editor = room.under_pen
        assert isinstance(editor, JsonEditor)
        await until(pilot, lambda: "line 1, column 1: expected a value" in dump(app))
        editor.put('{"messages": 3}')
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert room.under_pen is editor
        assert "expected a list of turns" in dump(app)
        editor.put(row(*LINES[1]).decode())
        await pilot.press("ctrl+s")
        await until(pilot, lambda: room.under_pen is None)
        assert room.document is not None
        assert room.document.row(5).error is None


async def test_a_file_changed_outside_is_a_choice(make_app: MakeApp, rules: Path) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        room = await opened(pilot)
        await edit(pilot, "Because.")
        changed = rules.read_bytes().replace(b"Air scatters", b"Gas scatters")
        rules.write_bytes(changed)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceModal))
        assert rules.read_bytes() == changed
        await pilot.press("m")
        await until(pilot, lambda: "Gas scatters" in dump(app) or "1 unsaved" in dump(app))
        await until(pilot, lambda: isinstance(app.screen, DataRoom))
        await pilot.press("s")
        await until(pilot, lambda: b"Because." in rules.read_bytes())
        assert room.document is not None


async def test_starter_datasets_are_copied_before_they_are_opened(make_app: MakeApp) -> None:
    shipped = assets.path("datasets", "habit.jsonl")
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press(*"habit", "enter")
        await pilot.pause()
        room = await opened(pilot)
        assert room.document is not None
        assert room.document.path == app.workspace.root / "datasets" / "habit.jsonl"
        assert room.document.path.read_bytes() == shipped.read_bytes()
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, PickModal))
        await pilot.press(*"/no/such/file.jsonl", "enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorModal))
        assert "/no/such/file.jsonl" in dump(app)


async def test_the_file_goes_to_the_train_room(make_app: MakeApp, rules: Path) -> None:
    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await opened(pilot)
        await pilot.press("T")
        await until(pilot, lambda: app.current_mode == "train" and "rules.jsonl" in dump(app))


def test_fields_have_places_that_the_document_can_set() -> None:
    found = fields(parse_row(1, row(*LINES[0])))
    assert [field.dotted for field in found] == [
        "messages.0.content",
        "messages.1.content",
        "messages.2.content",
        WHOLE,
    ]
    alpaca = parse_row(1, b'{"instruction": "a", "input": "b", "output": "c"}')
    assert [field.dotted for field in fields(alpaca)[:-1]] == ["instruction", "input", "output"]
    assert [field.dotted for field in fields(parse_row(1, b"{"))] == [WHOLE]


async def test_keys_in_a_burst_go_where_each_leads(make_app: MakeApp, rules: Path) -> None:
    """From the start on: what a window that a key opens is asked, and what comes after it."""

    def burst(*keys: str) -> None:
        for key in keys:
            app.post_message(events.Key(_NAMES.get(key, key), key if len(key) == 1 else None))

    app = make_app(rules)
    async with app.run_test(size=WIDE) as pilot:
        burst(":", "3", "enter", "j")
        room = await opened(pilot)
        await until(pilot, lambda: room.rows.number == 4)
        assert app.current_mode == "data"
        burst("g", "/", "x", "d", "enter", "j", ":", "1", "0", "0", "%", "enter", "k", "k")
        await until(pilot, lambda: room.rows.number == room.rows.count - 2 and room.sought == "xd")
        assert room.document is not None
        assert not room.document.unsaved


_NAMES = {":": "colon", "/": "slash", "%": "percent_sign"}
