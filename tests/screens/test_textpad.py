"""The pad for long text: never another text than what was written, however it is cut and shown."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult

from screens.widgets import padtext
from screens.widgets.padtext import PadText, cells, shown, wrapped
from screens.widgets.textpad import TextPad
from tests.screens.dump import dump

ALPHABET = "ab \n\té漢\u202e\x00👩\u200de\u0301\r"


@pytest.mark.parametrize("seed", range(12))
def test_any_edits_and_their_undoing_leave_the_text_exact(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(padtext, "LONGEST", 16)
    monkeypatch.setattr(padtext, "_USUAL", 8)
    rnd = random.Random(seed)
    for _ in range(8):
        text = "".join(rnd.choice(ALPHABET) for _ in range(rnd.randrange(200)))
        pad = PadText(text, 7)
        history = [text]
        for _ in range(30):
            start, end = sorted(rnd.randrange(len(text) + 1) for _ in range(2))
            end = min(end, start + rnd.choice([0, 0, 1, 5, 60]))
            new = "".join(rnd.choice(ALPHABET) for _ in range(rnd.choice([0, 1, 1, 40])))
            first, last = pad.place(start), pad.place(end)
            assert pad.between(first, last) == text[start:end]
            pad.replace(first, last, new)
            text = text[:start] + new + text[end:]
            assert pad.text == text
            at = pad.offset(pad.cursor)
            assert at == start + len(new)
            assert pad.offset(pad.left(pad.cursor)) == max(0, at - 1)
            assert pad.offset(pad.right(pad.cursor)) == min(len(text), at + 1)
            assert all(
                cells(pad.pieces[p][a:b]) <= 7 for p, a, b in map(pad.row, range(pad.height))
            )
            history.append(text)
        for before in reversed(history[:-1]):
            assert pad.undo()
            assert pad.text == before
        for after in history[1:]:
            assert pad.redo()
            assert pad.text == after


def test_what_is_drawn_takes_the_cells_that_are_counted_and_obeys_nothing() -> None:
    rnd = random.Random(7)
    for _ in range(3_000):
        codes = [rnd.choice([rnd.randrange(0x3000), rnd.randrange(0x1F000, 0x1FA00)])] * 2
        text = "".join(map(chr, [rnd.randrange(0x300), *codes, rnd.randrange(0x3000)]))
        drawn = shown(text)
        assert cell_len(drawn) == cells(text)
        assert all(c.isprintable() for c in drawn)
    assert shown("\x1b[31m\u202e\ufeff\t|") == "␛[31m��    |"


def test_a_megabyte_in_one_line_is_many_short_pieces_and_wraps_after_spaces() -> None:
    pad = PadText("word " * 200_000, 50)
    assert max(map(len, pad.pieces)) <= padtext.LONGEST
    assert pad.height < 200_000 * 5 / 50 * 1.1
    assert wrapped("one two three", 8) == (0, 8)
    pad.cursor = pad.anchor = pad.place(500_002)
    pad.insert("X", typed=True)
    pad.insert("Y", typed=True)
    assert pad.text[499_999:500_006] == " woXYrd"
    assert pad.undo()
    assert pad.text == "word " * 200_000


class PadApp(App[None]):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.pad = TextPad(text)
        self.copied: list[str] = []
        self.pad._copy = self.copied.append

    def compose(self) -> ComposeResult:
        yield self.pad


async def test_keys_write_move_select_and_undo() -> None:
    app = PadApp("one two\nthree")
    async with app.run_test(size=(40, 10)) as pilot:
        app.pad.focus()
        await pilot.press("end", "!", "ctrl+left", "ctrl+w")
        assert app.pad.text == "one !\nthree"
        await pilot.press("ctrl+z", "ctrl+z")
        assert app.pad.text == "one two\nthree"
        await pilot.press("ctrl+home", "shift+down", "ctrl+x")
        assert app.copied == ["one two\n"]
        assert app.pad.text == "three"
        await pilot.press("end", "enter", "ctrl+j", "x", "up", "up", "up")
        assert app.pad.text == "three\n\nx"
        app.pad.post_message(events.Paste("a\r\nb\rc\x1b"))
        await pilot.pause()
        assert app.pad.text == "ta\nb\nc\x1bhree\n\nx"
        assert "␛" in dump(app)


async def test_a_click_and_a_drag_select() -> None:
    app = PadApp("first line\nsecond line")
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.mouse_down(TextPad, offset=(6, 0))
        await pilot.hover(TextPad, offset=(6, 1))
        await pilot.mouse_up(TextPad, offset=(6, 1))
        assert app.pad.body.selected == "line\nsecond"
        await pilot.press("z")
        assert app.pad.text == "first z line"
