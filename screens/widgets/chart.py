"""A chart: curves with a crosshair, zoom and overlays.

Knows one set of curves, the part of them in view and how it was last drawn; a frame is drawn only
after something changed. Does not know runs, databases or what a curve means: whoever owns it
hands over buckets and listens for `Zoomed` to read finer ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from screens.safe import visible
from screens.widgets.braille import Curve, Run, View, ema, fit
from screens.widgets.ink import INK_CSS, INKS
from screens.widgets.plot import LEAST_HEIGHT, LEAST_WIDTH, Mark, Plot, plot

SMOOTHINGS = (0.0, 0.01, 0.03, 0.1)
"""Spans of the moving average, as shares of what is in view; 0 is none."""


def number(value: float) -> str:
    """A measured value as one reads it: four significant digits, small ones as 1.4e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4
        return f"{value:,.{digits}f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


class Chart(Widget, can_focus=True):
    """Curves over steps, drawn in braille.

    Attributes:
        title: what is measured, shown above the axis.
        log_scale: whether y is drawn by its logarithm.
        smoothing: which of `SMOOTHINGS` the lines follow, with what was measured faint behind.
        clip: whether few far values are left out of view, and marked at its border.
        small: one of many: its newest value in the header, no legend and no numbers below.
    """

    DEFAULT_CSS = f"""
    Chart {{
        width: 1fr;
        height: 1fr;
        min-height: 5;
        {INK_CSS}
    }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{ink}" for ink in INKS}

    class Zoomed(Message):
        """The part of x in view changed; None is everything."""

        def __init__(self, chart: Chart, window: tuple[float, float] | None) -> None:
            super().__init__()
            self.chart = chart
            self.window = window

    class Pointed(Message):
        """The crosshair moved; None when it left."""

        def __init__(self, chart: Chart, x: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.x = x

    def __init__(
        self,
        title: str,
        *,
        empty: str = "nothing measured yet",
        small: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.title = title
        self.empty = empty
        self.small = small
        self.log_scale = False
        self.smoothing = 1
        self.clip = False
        self.write: Callable[[float], str] = number
        self.window: tuple[float, float] | None = None
        self.cursor: float | None = None
        self.frames = 0  # pictures drawn so far: the tests and the bench count them
        self._curves: list[Curve] = []
        self._marks: Sequence[Mark] | None = None
        self._extent = (0.0, 1.0)
        self._plot: Plot | None = None
        self._view: View | None = None
        self._strips: list[Strip] | None = None
        self._inks: dict[str, Style] = {}

    # -- what is shown -----------------------------------------------------------------------

    def show(
        self,
        curves: Sequence[Curve],
        extent: tuple[float, float] | None = None,
        marks: Sequence[Mark] | None = None,
    ) -> None:
        """Replace the curves; the first is on top.

        Args:
            extent: first and last x of everything there is, where the curves hold a part of it.
            marks: what happened, in order of x; None leaves no row for it.
        """
        self._curves = list(curves)
        self._marks = marks
        if extent is None:
            view = fit(self._curves)
            extent = (view.x0, view.x1)
        self._extent = extent if extent[1] > extent[0] else (extent[0], extent[0] + 1)
        self._dirty()

    def like(self, other: Chart) -> None:
        """Take over what another chart shows of x and how it draws y."""
        mine = (self.window, self.cursor, self.log_scale, self.smoothing, self.clip)
        theirs = (other.window, other.cursor, other.log_scale, other.smoothing, other.clip)
        if mine != theirs:
            self.window, self.cursor, self.log_scale, self.smoothing, self.clip = theirs
            self._dirty()

    def toggle_log(self) -> None:
        """Switch between a linear and a logarithmic y axis."""
        self.log_scale = not self.log_scale
        self._dirty()

    def next_smoothing(self) -> None:
        """The next wider moving average, after the widest none."""
        self.smoothing = (self.smoothing + 1) % len(SMOOTHINGS)
        self._dirty()

    def toggle_clip(self) -> None:
        """Leave far values out of view, or show all."""
        self.clip = not self.clip
        self._dirty()

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Show `factor` times as much of x around the crosshair, a place, or the newest step."""
        x0, x1 = self.window or self._extent
        newest = max((curve.xs[-1] for curve in self._curves if curve.xs), default=x1)
        centre = next((x for x in (around, self.cursor) if x is not None), newest)
        centre = min(max(centre, x0), x1)
        width = max((x1 - x0) * factor, 4.0)
        start = centre - (centre - x0) / (x1 - x0) * width
        self._show_window(start, start + width)

    def pan(self, share: float) -> None:
        """Move the view by a share of its width; does nothing while everything is in view."""
        if self.window is not None:
            x0, x1 = self.window
            self._show_window(x0 + (x1 - x0) * share, x1 + (x1 - x0) * share)

    def reset(self) -> None:
        """Show everything and put the crosshair away."""
        self.point(None)
        self._show_window(*self._extent)

    def _show_window(self, x0: float, x1: float) -> None:
        low, high = self._extent
        width = x1 - x0
        if width >= high - low:
            window = None
        else:
            x0 = min(max(x0, low), high - width)
            window = (x0, x0 + width)
        if window != self.window:
            self.window = window
            self._dirty()
            self.post_message(self.Zoomed(self, window))

    def point(self, x: float | None, *, exactly: bool = False) -> None:
        """Set the crosshair on the measured step nearest to `x`, or put it away."""
        if x is not None and self._curves and not exactly:
            index = self._curves[0].nearest(x)
            x = self._curves[0].xs[index] if index is not None else None
        if x != self.cursor:
            self.cursor = x
            self._dirty()
            self.post_message(self.Pointed(self, x))

    def step(self, direction: int, columns: int = 1) -> None:
        """Move the crosshair by so many columns; it starts from the newest step."""
        x0, x1 = self.window or self._extent
        if self.cursor is None:
            self.point(self._curves[0].xs[-1] if self._curves and self._curves[0].xs else None)
            return
        width = self._plot.columns if self._plot is not None else 80
        self._step_by(direction, (x1 - x0) / max(width - 1, 1) * columns)

    def jump(self, direction: int) -> None:
        """Move the crosshair to the next thing that happened, or the one before."""
        places = sorted({mark.x for mark in self._marks or ()})
        at = self.cursor if self.cursor is not None else math.inf
        ahead = [x for x in places if (x > at if direction > 0 else x < at)]
        if ahead:
            self.point(min(ahead) if direction > 0 else max(ahead), exactly=True)

    def _step_by(self, direction: int, distance: float) -> None:
        """At least one measured step further, so that a sparse curve can be walked too."""
        assert self.cursor is not None
        before = self.cursor
        self.point(before + direction * distance)
        xs = self._curves[0].xs if self._curves else ()
        index = self._curves[0].nearest(before) if self._curves else None
        if self.cursor == before and index is not None and 0 <= index + direction < len(xs):
            self.point(xs[index + direction])

    # -- events ------------------------------------------------------------------------------

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._plot is not None and self._view is not None and event.x >= self._plot.left:
            self.point(self._plot.x_at(event.x, self._view))

    def on_leave(self) -> None:
        self.point(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(0.8, self._under(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(1.25, self._under(event.x))

    def _under(self, x: int) -> float | None:
        if self._plot is None or self._view is None:
            return None
        return self._plot.x_at(x, self._view)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._inks.clear()
        self._dirty()

    def on_resize(self) -> None:
        self._dirty()

    # -- drawing -----------------------------------------------------------------------------

    def _dirty(self) -> None:
        self._strips = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._draw(self.size.width, self.size.height)
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self._style(""))

    def _draw(self, width: int, height: int) -> list[Strip]:
        self.frames += 1
        if width < LEAST_WIDTH or height < LEAST_HEIGHT + 1:
            return []
        if not any(curve.xs for curve in self._curves):
            return [self._strip(row, width) for row in self._empty(width, height)]
        x0, x1 = self.window or self._extent
        self._view = fit(self._curves, x0, x1, self.log_scale, self.clip)
        marks = self._marks if height > LEAST_HEIGHT + 5 else None
        layers = self._layers(x1 - x0)
        self._plot = plot(
            layers, self._view, width, height - 1, self.cursor,
            labelled=not self.small, marks=marks,
        )  # fmt: skip
        rows = [self._header(width, layers), *self._plot.rows]
        happened = self._happened()
        if marks is not None and happened:
            rows[-2] = happened
        return [self._strip(row, width) for row in rows]

    def _happened(self) -> list[Run]:
        """The words of what happened in the column of the crosshair; empty where nothing did."""
        if self.cursor is None or self._view is None or self._plot is None:
            return []
        column = (self._view.x1 - self._view.x0) / max(self._plot.columns - 1, 1) / 2
        found = [mark for mark in self._marks or () if abs(mark.x - self.cursor) <= column]
        row: list[Run] = []
        for mark in found:
            row += [(f" {mark.sign} ", mark.style), (f"{visible(mark.words)}  ", "label")]
        return row

    def _layers(self, span: float) -> list[Curve]:
        """The curves from the bottom up: raw ranges dim, averages above them, marks on top."""
        raws, lines, marks = [], [], []
        width = span * SMOOTHINGS[self.smoothing]
        for curve in reversed(self._curves):
            if curve.mark:
                marks.append(curve)
            elif width and len(curve.xs) > 2:
                means = ema(curve.xs, curve.means, width)
                raws.append(replace(curve, style=f"{curve.style}-raw"))
                lines.append(Curve.of(curve.name, curve.style, curve.xs, means))
            else:
                lines.append(curve)
        return [*raws, *lines, *marks]

    def _header(self, width: int, layers: Sequence[Curve]) -> list[Run]:
        """Title and legend, or the reading at the crosshair."""
        if self.small:
            return self._small_header(width)
        said = [self.title] + ["log"] * self.log_scale + ["zoom"] * (self.window is not None)
        x0, x1 = self.window or self._extent
        if self.smoothing and any(not curve.mark for curve in self._curves):
            said.append(f"average of {max((x1 - x0) * SMOOTHINGS[self.smoothing], 1):,.0f}")
        said += ["far values clipped"] * self.clip
        left: list[Run] = [(f" {said[0]}", "title")]
        left += [("".join(f" · {word}" for word in said[1:]), "quiet")]
        if self.cursor is not None:
            left.append((f"  step {self.cursor:,.0f}", "cursor"))
        averages = {layer.name: layer for layer in layers if not layer.style.endswith("-raw")}
        right: list[Run] = []
        for curve in self._curves:
            if curve.mark and curve.style != self._curves[0].style and self.cursor is None:
                continue  # Another run's marks have the colour of its line, which is named.
            sign = curve.mark or "──"
            read = self._reading(curve, averages.get(curve.name, curve))
            right.append((f"{sign} {visible(curve.name)}{read}   ", curve.style))
        holes = sum(len(curve.holes) for curve in self._curves)
        if holes:
            right.insert(0, ("× NaN   ", "bad"))
        room = width - sum(len(text) for text, _ in left) - 2
        while len(right) > 1 and sum(len(text) for text, _ in right) > room:
            right.pop()
        while len(left) > 1 and sum(len(text) for text, _ in [*left, *right]) > width - 2:
            left.pop(1)
        gap = max(width - sum(len(text) for text, _ in [*left, *right]), 0)
        return [*left, (" " * gap, ""), *right]

    def _small_header(self, width: int) -> list[Run]:
        """The title, and the first curve's value at the crosshair or now."""
        curve = self._curves[0]
        index = len(curve.xs) - 1 if self.cursor is None else curve.nearest(self.cursor)
        mean = curve.means[index] if index is not None and index >= 0 else None
        value = "NaN" if mean is None else self.write(mean)
        marked = ("× ", "bad") if curve.holes else ("", "")
        gap = " " * max(width - len(self.title) - len(value) - len(marked[0]) - 2, 1)
        ink = "bad" if mean is None else "cursor" if self.cursor is not None else "title"
        return [(f" {self.title}", "label"), (gap, ""), marked, (f"{value} ", ink)]

    def _reading(self, curve: Curve, average: Curve) -> str:
        if self.cursor is None:
            return ""
        index = curve.nearest(self.cursor)
        mean = curve.means[index] if index is not None else None
        if index is None or mean is None:
            return " NaN" if index is not None else " –"
        low, high = curve.lows[index], curve.highs[index]
        band = f" ({self.write(low)}–{self.write(high)})" if high - low > 1e-9 else ""
        smooth = average.means[index] if average is not curve else None
        about = f" ~{self.write(smooth)}" if smooth is not None and not curve.mark else ""
        return f" {self.write(mean)}{band}{about}"

    def _empty(self, width: int, height: int) -> list[list[Run]]:
        rows: list[list[Run]] = [[(f" {self.title}", "label" if self.small else "title")]]
        rows += [[] for _ in range(max((height - 3) // 2, 0))]
        return [*rows, [(self.empty.center(width)[:width], "empty")]]

    def _strip(self, row: Sequence[Run], width: int) -> Strip:
        segments = [Segment(text, self._style(style)) for text, style in row]
        return Strip(segments).adjust_cell_length(width, self._style(""))

    def _style(self, name: str) -> Style:
        """The style of an ink; the widget's own is as dear to ask for as a component's."""
        if name not in self._inks:
            self._inks[name] = (
                self.get_component_rich_style(f"chart--{name}") if name else self.rich_style
            )
        return self._inks[name]
