"""The loss chart: curves with a crosshair, zoom and overlays.

Knows one set of curves, the part of them in view and how it was last drawn; a frame is drawn only
after something changed. Does not know runs, databases or what a curve means: whoever owns it
hands over buckets and listens for `Zoomed` to read finer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from screens.safe import visible
from screens.widgets.braille import Curve, Run, View, fit, smooth
from screens.widgets.plot import LEAST_HEIGHT, LEAST_WIDTH, Plot, plot

OTHERS = 5
"""How many overlaid runs have a colour of their own."""

_STYLES = (
    "axis", "grid", "label", "title", "cursor", "empty", "train", "train-raw", "held",
    *(f"other{number}" for number in range(OTHERS)),
    *(f"other{number}-raw" for number in range(OTHERS)),
    "side-a", "side-a-raw", "side-b", "side-b-raw",
)  # fmt: skip


def number(value: float) -> str:
    """A measured value as one reads it: four significant digits, small ones as 1.4e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4
        return f"{value:,.{digits}f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


class LossChart(Widget, can_focus=True):
    """Curves over steps, drawn in braille.

    Attributes:
        title: what is measured, shown above the axis.
        log_scale: whether y is drawn by its logarithm.
        smoothing: whether lines follow a moving average, with the raw range dim behind.
    """

    DEFAULT_CSS = """
    LossChart {
        width: 1fr;
        height: 1fr;
        min-height: 5;
        & > .loss-chart--axis { color: $foreground 35%; }
        & > .loss-chart--grid { color: $foreground 12%; }
        & > .loss-chart--label { color: $foreground 60%; }
        & > .loss-chart--title { color: $foreground; text-style: bold; }
        & > .loss-chart--cursor { color: $accent; }
        & > .loss-chart--empty { color: $foreground 50%; }
        & > .loss-chart--train { color: $accent; }
        & > .loss-chart--train-raw { color: $accent 35%; }
        & > .loss-chart--held { color: $warning; text-style: bold; }
        & > .loss-chart--other0 { color: $side-b; }
        & > .loss-chart--other0-raw { color: $side-b 35%; }
        & > .loss-chart--other1 { color: $side-a; }
        & > .loss-chart--other1-raw { color: $side-a 35%; }
        & > .loss-chart--other2 { color: $error; }
        & > .loss-chart--other2-raw { color: $error 35%; }
        & > .loss-chart--other3 { color: $secondary; }
        & > .loss-chart--other3-raw { color: $secondary 35%; }
        & > .loss-chart--other4 { color: $success; }
        & > .loss-chart--other4-raw { color: $success 35%; }
        & > .loss-chart--side-a { color: $side-a; }
        & > .loss-chart--side-a-raw { color: $side-a 35%; }
        & > .loss-chart--side-b { color: $side-b; }
        & > .loss-chart--side-b-raw { color: $side-b 35%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"loss-chart--{style}" for style in _STYLES}

    class Zoomed(Message):
        """The part of x in view changed; None is everything."""

        def __init__(self, window: tuple[float, float] | None) -> None:
            super().__init__()
            self.window = window

    class Pointed(Message):
        """The crosshair moved; None when it left."""

        def __init__(self, x: float | None) -> None:
            super().__init__()
            self.x = x

    def __init__(
        self,
        title: str,
        *,
        empty: str = "nothing measured yet",
        log_scale: bool = False,
        smoothing: bool = True,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.title = title
        self.empty = empty
        self.log_scale = log_scale
        self.smoothing = smoothing
        self.window: tuple[float, float] | None = None
        self.cursor: float | None = None
        self.frames = 0  # pictures drawn so far: the tests and the bench count them
        self._curves: list[Curve] = []
        self._extent = (0.0, 1.0)
        self._plot: Plot | None = None
        self._view: View | None = None
        self._strips: list[Strip] | None = None

    # -- what is shown -----------------------------------------------------------------------

    def show(self, curves: Sequence[Curve], extent: tuple[float, float] | None = None) -> None:
        """Replace the curves; the first is on top.

        Args:
            extent: first and last x of everything there is, where the curves hold a part of it.
        """
        self._curves = list(curves)
        if extent is None:
            view = fit(self._curves)
            extent = (view.x0, view.x1)
        self._extent = extent if extent[1] > extent[0] else (extent[0], extent[0] + 1)
        self._dirty()

    def toggle_log(self) -> None:
        """Switch between a linear and a logarithmic y axis."""
        self.log_scale = not self.log_scale
        self._dirty()

    def toggle_smoothing(self) -> None:
        """Switch between the moving average and the plain line."""
        self.smoothing = not self.smoothing
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
            self.post_message(self.Zoomed(window))

    def point(self, x: float | None) -> None:
        """Set the crosshair on the measured step nearest to `x`, or put it away."""
        if x is not None and self._curves:
            index = self._curves[0].nearest(x)
            x = self._curves[0].xs[index] if index is not None else None
        if x != self.cursor:
            self.cursor = x
            self._dirty()
            self.post_message(self.Pointed(x))

    def step(self, direction: int, columns: int = 1) -> None:
        """Move the crosshair by so many columns; it starts from the newest step."""
        x0, x1 = self.window or self._extent
        if self.cursor is None:
            self.point(self._curves[0].xs[-1] if self._curves and self._curves[0].xs else None)
            return
        width = self._plot.columns if self._plot is not None else 80
        self._step_by(direction, (x1 - x0) / max(width - 1, 1) * columns)

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
        return Strip.blank(self.size.width, self.rich_style)

    def _draw(self, width: int, height: int) -> list[Strip]:
        self.frames += 1
        if width < LEAST_WIDTH or height < LEAST_HEIGHT + 1:
            return []
        x0, x1 = self.window or self._extent
        self._view = fit(self._curves, x0, x1, self.log_scale)
        layers = self._layers(x1 - x0)
        self._plot = plot(layers, self._view, width, height - 1, self.cursor)
        rows = [self._header(width), *self._plot.rows]
        if not any(curve.xs for curve in self._curves):
            rows = self._empty(width, height)
        return [self._strip(row, width) for row in rows]

    def _layers(self, span: float) -> list[Curve]:
        """The curves from the bottom up: raw ranges dim, averages above them, marks on top."""
        raws, lines, marks = [], [], []
        for curve in reversed(self._curves):
            if curve.mark:
                marks.append(curve)
            elif self.smoothing and len(curve.xs) > 2:
                means = smooth(curve.xs, curve.means, span * 0.015)
                raws.append(replace(curve, style=f"{curve.style}-raw"))
                lines.append(Curve.of(curve.name, curve.style, curve.xs, means))
            else:
                lines.append(curve)
        return [*raws, *lines, *marks]

    def _header(self, width: int) -> list[Run]:
        """Title and legend, or the reading at the crosshair."""
        title = (
            self.title + (" · log" if self.log_scale else "") + (" · zoom" if self.window else "")
        )
        left: list[Run] = [(f" {title}", "title")]
        if self.cursor is not None:
            left.append((f"  step {self.cursor:,.0f}", "cursor"))
        right: list[Run] = []
        for curve in self._curves:
            sign = curve.mark or "──"
            right.append((f"{sign} {visible(curve.name)}{self._reading(curve)}   ", curve.style))
        room = width - sum(len(text) for text, _ in left) - 2
        while right and sum(len(text) for text, _ in right) > room:
            right.pop()
        gap = room - sum(len(text) for text, _ in right) + 2
        return [*left, (" " * gap, ""), *right]

    def _reading(self, curve: Curve) -> str:
        if self.cursor is None:
            return ""
        index = curve.nearest(self.cursor)
        mean = curve.means[index] if index is not None else None
        if index is None or mean is None:
            return " –"
        low, high = curve.lows[index], curve.highs[index]
        band = f" ({number(low)}–{number(high)})" if high - low > 1e-9 else ""
        return f" {number(mean)}{band}"

    def _empty(self, width: int, height: int) -> list[list[Run]]:
        rows: list[list[Run]] = [[(f" {self.title}", "title")]]
        rows += [[] for _ in range(max((height - 3) // 2, 0))]
        return [*rows, [(self.empty.center(width)[:width], "empty")]]

    def _strip(self, row: Sequence[Run], width: int) -> Strip:
        segments = [Segment(text, self._style(style)) for text, style in row]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _style(self, name: str) -> Style:
        if not name:
            return self.rich_style
        return self.get_component_rich_style(f"loss-chart--{name}")
