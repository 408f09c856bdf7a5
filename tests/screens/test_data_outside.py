"""The Data room while something else happens to the file that is open."""

from __future__ import annotations

from pathlib import Path

from tests.screens.conftest import MakeApp
from tests.screens.dump import NARROW, WIDE, dump, until
from tests.screens.test_data_list import chat, opened


async def test_a_file_that_vanishes_says_so_until_it_is_back(
    make_app: MakeApp, tmp_path: Path
) -> None:
    path = tmp_path / "here.jsonl"
    path.write_bytes(b"\n".join(chat(f"Question {n}", "Yes.") for n in range(9)) + b"\n")
    app = make_app(path)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened(pilot)
        path.rename(tmp_path / "gone")
        room._follow()
        await until(pilot, lambda: "the file is gone since it was opened" in dump(app))
        assert "Question 8" in dump(app)
        (tmp_path / "gone").rename(path)
        room._follow()
        await until(pilot, lambda: "the file is gone" not in dump(app))


async def test_a_file_written_anew_is_shown_as_it_is_now(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "here.jsonl"
    rows = [chat(f"Question {n}", "Yes.") for n in range(9)]
    path.write_bytes(b"\n".join(rows) + b"\n")
    app = make_app(path)
    async with app.run_test(size=WIDE) as pilot:
        room = await opened(pilot)
        room.jump(9)
        path.write_bytes(b"\n".join(row.replace(b"Question", b"Anything") for row in rows) + b"\n")
        room._follow()
        await until(pilot, lambda: "Anything 3" in dump(app) and "Question" not in dump(app))
        path.write_bytes(rows[0] + b"\n")
        room._follow()
        await until(pilot, lambda: "here.jsonl · 1 row " in dump(app))
        assert room.rows.count == 1
        await pilot.press("e")
        await until(pilot, lambda: room.under_pen is not None and room.under_pen.pad.has_focus)


async def test_the_columns_are_named_as_they_are_when_a_second_shape_is_seen(
    make_app: MakeApp, tmp_path: Path
) -> None:
    path = tmp_path / "two.jsonl"
    path.write_bytes(b'{"text": "plain"}\n' * 200 + chat("Hello", "Hello.") + b"\n")
    app = make_app(path)
    async with app.run_test(size=NARROW) as pilot:
        room = await opened(pilot)
        room.rows.shapes = {"text"}
        room.tell()
        assert "# shape" not in dump(app)
        await pilot.press("G")
        await until(pilot, lambda: "# shape" in dump(app))
