"""The row beside the list: laid out as far as it is looked at, whole when it is."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Offset
from textual.selection import Selection

from screens.data.rowview import RowView


class Shown(App[None]):
    """Nothing but the view."""

    def compose(self) -> ComposeResult:
        yield RowView()


def lines(view: RowView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def test_long_lines_fold_and_the_rest_comes_when_it_is_scrolled_to() -> None:
    words = " ".join(f"word{n}" for n in range(40))
    text = "\n".join(f"{n} {words}" for n in range(400)) + "\nthe end 日本語"
    app = Shown()
    async with app.run_test(size=(40, 12)) as pilot:
        view = app.query_one(RowView)
        view.show(Content(text))
        await pilot.pause()
        assert lines(view)[0].startswith("0 word0")
        assert lines(view)[1].startswith("word")
        assert view._next < 20
        view.focus()
        await pilot.press("end")
        await pilot.pause()
        assert lines(view)[-1] == "the end 日本語"
        view.scroll_home(animate=False, immediate=True)
        view.show(Content("other\n\nwords"))
        await pilot.pause()
        assert lines(view)[:3] == ["other", "", "words"]
        assert view.virtual_size.height == 3


async def test_what_is_marked_is_copied_as_it_is_and_not_as_it_is_folded() -> None:
    app = Shown()
    async with app.run_test(size=(20, 12)) as pilot:
        view = app.query_one(RowView)
        view.show(Content("one two three four five six seven"))
        await pilot.pause()
        assert lines(view)[1]
        marked = view.get_selection(Selection(Offset(4, 0), Offset(18, 0)))
        assert marked == ("two three four", "\n")
