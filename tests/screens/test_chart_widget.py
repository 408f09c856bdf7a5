"""The chart as a widget: drawn once a change, read by keys and mouse, zoomed about a point."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.message import Message

from screens.theme import SIDES
from screens.widgets.braille import Curve
from screens.widgets.chart import Chart, number
from screens.widgets.plot import Mark

STEPS = list(range(1, 801))
LOSS = [0.5 + 2.5 * 0.99**step for step in STEPS]
TRAIN = Curve.of("train", "run1", STEPS, LOSS)
HELD = Curve.of("held out", "run1", [200, 400, 600, 800], [0.9, 0.7, 0.6, 0.55], mark="○")


class Charted(App[None]):
    def get_theme_variable_defaults(self) -> dict[str, str]:
        return SIDES

    def compose(self) -> ComposeResult:
        yield Chart("loss", empty="press n to start a run")


def shown(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


async def test_an_empty_chart_names_the_next_key() -> None:
    async with Charted().run_test(size=(60, 14)) as pilot:
        chart = pilot.app.query_one(Chart)
        assert any("press n to start a run" in row for row in shown(chart))


async def test_a_frame_is_drawn_once_a_change() -> None:
    async with Charted().run_test(size=(80, 20)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([TRAIN, HELD])
        await pilot.pause()
        before = chart.frames
        for _ in range(3):
            shown(chart)
            await pilot.pause()
        assert chart.frames == before
        chart.toggle_log()
        shown(chart)
        assert chart.frames == before + 1


async def test_header_names_the_curves_and_reads_them_at_the_crosshair() -> None:
    async with Charted().run_test(size=(90, 20)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([TRAIN, HELD])
        assert "── train" in shown(chart)[0] and "○ held out" in shown(chart)[0]
        chart.point(401.2)
        header = shown(chart)[0]
        assert "step 401" in header
        assert f"── train {number(LOSS[400])}" in header
        assert "○ held out 0.7000" in header
        assert all(len(row) == 90 for row in shown(chart))


async def test_the_mouse_points_and_the_wheel_zooms_about_it() -> None:
    seen: list[Message] = []
    async with Charted().run_test(size=(80, 20), message_hook=seen.append) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([TRAIN, HELD])
        await pilot.pause()
        await pilot.hover(Chart, offset=(42, 8))
        assert chart.cursor is not None
        pointed = chart.cursor
        chart.zoom(0.25)
        assert chart.window is not None
        x0, x1 = chart.window
        assert x0 < pointed < x1 and x1 - x0 < 210
        await pilot.pause()
        windows = {message.window for message in seen if isinstance(message, Chart.Zoomed)}
        assert windows == {chart.window}
        chart.pan(-10)
        assert chart.window[0] == STEPS[0]
        chart.reset()
        assert chart.window is None and chart.cursor is None


async def test_the_crosshair_walks_a_sparse_curve_step_by_step() -> None:
    async with Charted().run_test(size=(80, 20)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([Curve.of("train", "run1", [10, 20, 30, 40], [4.0, 3.0, 2.0, 1.0])])
        await pilot.pause()
        chart.step(-1)
        assert chart.cursor == 40
        chart.step(-1)
        assert chart.cursor == 30
        chart.step(+1)
        chart.step(+1)
        assert chart.cursor == 40


async def test_the_smoothing_goes_round_and_the_raw_curve_stays() -> None:
    async with Charted().run_test(size=(90, 20)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([TRAIN])
        assert "average of 8" in shown(chart)[0]
        assert {layer.style for layer in chart._layers(800.0)} == {"run1", "run1-raw"}
        for _ in range(3):
            chart.next_smoothing()
        assert "average" not in shown(chart)[0]
        assert [layer.style for layer in chart._layers(800.0)] == ["run1"]


async def test_the_crosshair_jumps_to_what_happened_and_says_it() -> None:
    async with Charted().run_test(size=(90, 24)) as pilot:
        chart = pilot.app.query_one(Chart)
        marks = [Mark(200, "◆", "good", "wrote step 200"), Mark(600, "!", "warn", "loss jumped")]
        chart.show([TRAIN, HELD], marks=marks)
        chart.jump(-1)
        assert chart.cursor == 600
        assert any("! loss jumped" in row for row in shown(chart))
        chart.jump(-1)
        assert chart.cursor == 200
        chart.jump(-1)
        assert chart.cursor == 200


async def test_charts_follow_one_another() -> None:
    async with Charted().run_test(size=(90, 24)) as pilot:
        chart, other = pilot.app.query_one(Chart), Chart("other", small=True)
        chart.show([TRAIN])
        chart.toggle_log()
        chart.point(300)
        other.like(chart)
        assert other.cursor == 300 and other.log_scale


async def test_a_hostile_name_stays_text() -> None:
    async with Charted().run_test(size=(80, 20)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show([Curve.of("[/x]\x1b[2J\u202e", "run2", STEPS, LOSS)])
        header = shown(chart)[0]
        assert "[/x]" in header and "\x1b" not in header and "\u202e" not in header


def test_numbers_are_read_not_counted() -> None:
    assert [number(value) for value in (0.61234, 12.3456, 41200.0, 1.4e-4, 0.0, 1e9)] == [
        "0.6123",
        "12.35",
        "41,200",
        "1.4e-4",
        "0.0000",
        "1.0e9",
    ]
