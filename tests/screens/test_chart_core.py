"""The drawing core without Textual: dots, gaps, logarithms, layers, round ticks."""

from __future__ import annotations

import math

import pytest

from screens.widgets.braille import BLANK, Canvas, Curve, View, ema, fit
from screens.widgets.plot import Mark, plot
from screens.widgets.sparkline import sparkline
from screens.widgets.ticks import linear_ticks, log_ticks, tick_labels, whole_ticks


def text(rows: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(piece for piece, _ in row) for row in rows]


def drawn(curve: Curve, view: View, width: int, height: int) -> list[str]:
    canvas = Canvas(width, height)
    canvas.draw(curve, view)
    return text(canvas.rows())


def test_a_straight_line_climbs_one_dot_a_column() -> None:
    line = Curve.of("a", "a", [0, 7], [0.0, 7.0])
    assert drawn(line, View(0, 7, 0, 7), 4, 2) == ["  ⡠⠊", "⡠⠊  "]


def test_a_flat_line_is_one_row_of_dots() -> None:
    line = Curve.of("a", "a", list(range(8)), [1.0] * 8)
    assert drawn(line, View(0, 7, 0, 2), 4, 1) in (["⠤⠤⠤⠤"], ["⠒⠒⠒⠒"])


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_missing_value_is_a_gap_and_never_a_line(missing: float | None) -> None:
    values: list[float | None] = [1.0] * 20
    values[8:12] = [missing] * 4
    (row,) = drawn(Curve.of("a", "a", list(range(20)), values), View(0, 19, 0, 2), 10, 1)
    assert row[:4].strip() and row[6:].strip()
    assert row[4:6] == "  "


def test_missing_values_do_not_stretch_the_view() -> None:
    view = fit([Curve.of("a", "a", [0, 1, 2], [1.0, math.nan, 2.0])])
    assert 0.9 < view.y0 < 1.0 < 2.0 < view.y1 < 2.1


def test_a_bucket_shows_its_whole_range() -> None:
    bucket = Curve.of("a", "a", [0, 1], [1.0, 1.0], [0.0, 1.0], [2.0, 1.0])
    column = [row[0] for row in drawn(bucket, View(0, 1, 0, 2), 2, 3)]
    assert all((ord(cell) - BLANK) & 0x47 == 0x47 for cell in column)


def test_a_later_layer_hides_an_earlier_one_in_a_cell() -> None:
    canvas = Canvas(4, 1)
    view = View(0, 7, 0, 3)
    canvas.draw(Curve.of("below", "below", [0, 7], [3.0, 3.0]), view)
    canvas.draw(Curve.of("above", "above", [0, 7], [0.0, 0.0]), view)
    assert canvas.rows() == [[("⣀⣀⣀⣀", "above")]]


def test_a_line_that_leaves_the_view_is_drawn_to_the_border() -> None:
    line = Curve.of("a", "a", [0, 100], [0.0, 100.0])
    rows = drawn(line, View(40, 60, 0, 100), 10, 1)
    assert all(cell != " " for cell in rows[0])


def test_a_logarithmic_axis_clips_what_has_no_logarithm() -> None:
    curve = Curve.of("a", "a", list(range(6)), [10.0, 1.0, 0.0, -1.0, 1.0, 10.0])
    view = fit([curve], log=True)
    assert 0 < view.y0 < 1 and view.y1 > 10
    assert plot([curve], view, 40, 10).rows


def test_marks_stand_where_their_value_is() -> None:
    canvas = Canvas(5, 3)
    canvas.draw(Curve.of("m", "held", [0, 4], [2.0, 0.0], mark="○"), View(0, 4, 0, 2))
    assert text(canvas.rows()) == ["○    ", "     ", "    ○"]


def test_every_row_of_a_plot_has_its_full_width() -> None:
    curve = Curve.of("a", "a", list(range(900)), [3 / (1 + i / 50) for i in range(900)])
    for width, height in ((16, 5), (45, 9), (110, 28)):
        for log in (False, True):
            picture = plot([curve], fit([curve], log=log), width, height, cursor=300.0)
            rows = text(picture.rows)
            assert len(rows) == height
            assert {len(row) for row in rows} == {width}


def test_ticks_sit_on_the_value_they_name() -> None:
    curve = Curve.of("a", "a", [0, 100, 800], [2.0, 2.0, 0.0])
    rows = text(plot([curve], View(0, 800, 0, 4), 60, 18).rows)
    labelled = next(row for row in rows if row.startswith(("2.0", "2 ")))
    assert set(labelled[6:10]) <= set("⠉⠒⠤⣀")
    assert rows[-1].split() == ["0", "200", "400", "600", "800"]


def test_ticks_are_round_and_not_too_many() -> None:
    assert linear_ticks(0.04, 3.1, 6) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert whole_ticks(0, 3, 9) == [0, 1, 2, 3]
    assert log_ticks(0.09, 12, 9) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert log_ticks(0.009, 120, 6) == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert log_ticks(1e-30, 1e30, 4) and len(log_ticks(1e-30, 1e30, 4)) <= 5


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 0.5, 1, 1.5], ["0.0", "0.5", "1.0", "1.5"]),
        ([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1  ", "2  "]),
        ([0, 5000, 10000], ["  0", " 5k", "10k"]),
        ([0, 250000, 1000000], ["    0", "0.25M", "   1M"]),
        ([0.00005, 0.0001], ["5e-5", "1e-4"]),
        ([], []),
    ],
)
def test_labels_align_on_the_decimal_point(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


def test_the_moving_average_is_free_of_the_bias_of_its_start() -> None:
    assert ema([0, 1, 2], [4.0, 4.0, 4.0], 50) == pytest.approx([4.0, 4.0, 4.0])
    means = ema(list(range(400)), [1.0] * 200 + [0.0] * 200, 10)
    assert means[0] == 1.0 and means[199] == pytest.approx(1.0)
    assert means[209] == pytest.approx(math.exp(-1), abs=0.02), "one span later: 1/e is left"


def test_the_moving_average_agrees_between_fine_and_coarse_buckets() -> None:
    fine = ema(list(range(100)), [1.0] * 50 + [0.0] * 50, 10)
    coarse = ema(list(range(0, 100, 2)), [1.0] * 25 + [0.0] * 25, 10)
    assert fine[98] is not None and coarse[49] is not None
    assert fine[98] == pytest.approx(coarse[49], abs=0.01)
    assert ema([0, 1, 2], [1.0, None, 1.0], 5)[1] is None


def test_what_was_not_a_number_is_marked_on_the_axis() -> None:
    steps = list(range(100))
    curve = Curve.of("a", "a", steps, [1.0] * 100, holes=[50])
    rows = plot([curve], View(0, 99, 0, 2), 60, 10).rows
    assert [cell for cell in rows[-2] if cell[1] == "bad"] == [("×", "bad")]
    assert text(rows)[-2].index("×") == pytest.approx(4 + 56 / 2, abs=2)


def test_a_far_spike_is_clipped_only_when_asked_and_marked_then() -> None:
    values = [1.0 + 0.1 * (step % 5) for step in range(200)]
    values[120] = 1e6
    curve = Curve.of("a", "a", list(range(200)), values)
    assert fit([curve]).y1 > 1e6
    view = fit([curve], clip=True)
    assert view.y1 < 2
    top = plot([curve], view, 60, 12).rows[0]
    assert "▲" in "".join(piece for piece, _ in top)
    assert "▲" not in "\n".join(text(plot([curve], fit([curve]), 60, 12).rows))


def test_what_happened_stands_below_its_step() -> None:
    curve = Curve.of("a", "a", list(range(101)), [1.0] * 101)
    marks = [Mark(0, "▶", "quiet", "started"), Mark(50, "◆", "good", "saved")]
    rows = text(plot([curve], View(0, 100, 0, 2), 60, 12, marks=marks).rows)
    assert len(rows) == 12 and {len(row) for row in rows} == {60}
    assert rows[-1].index("◆") == pytest.approx(4 + 56 / 2, abs=2)
    assert rows[-1].index("▶") == rows[-3].index("┬")


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([7.0, None, 0.0], 8) == "█ ▁"
    assert sparkline([2.0] * 30, 4) == "▄▄▄▄"
    assert sparkline([math.nan, None], 4) == "  "
    assert sparkline([], 4) == "" == sparkline([1.0], 0)
    assert sparkline([3.0 - i / 100 for i in range(300)], 6) == "█▇▅▄▂▁"
