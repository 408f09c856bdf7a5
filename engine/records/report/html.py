"""A report as one HTML file that needs nothing else: no script, no font, no address.

Knows tags, and that every text in a block is data: it is escaped, its control bytes and bidi
overrides are made visible, and the page forbids itself to load anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.records.report import svg
from engine.records.report.blocks import (
    Block,
    Cell,
    Code,
    Figure,
    Heading,
    Items,
    Passage,
    Table,
    Words,
    number,
)
from store.metrics import Series
from store.visible import visible

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --paper: #fff; --line: #d9dade;
  --code: #f3f4f6; --c0: #0b68cb; --c1: #c2410c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa0a8; --paper: #14171a;
  --line: #32373d; --code: #1e2226; --c0: #6cb6ff; --c1: #ff9b5e; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem;
  border-bottom: 1px solid var(--line); } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
h1, td, p, li, code, pre { overflow-wrap: anywhere; }
code, pre { font: .86em/1.5 ui-monospace, monospace; background: var(--code); border-radius: 3px; }
code { padding: 0 .25em; white-space: pre-wrap; }
pre { padding: .5em .7em; white-space: pre-wrap; margin: .2rem 0 .8rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .16rem .9rem .16rem 0; }
th, .label, small { color: var(--soft); font-weight: normal; }
tr + tr td { border-top: 1px solid var(--line); }
.n { text-align: right; font-variant-numeric: tabular-nums; }
ul { padding-left: 1.1rem; } li { margin: .3rem 0; } small { display: block; }
.label { margin: .6rem 0 0; } figure { margin: 1.1rem 0; } figcaption { color: var(--soft); }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
svg .g { stroke: var(--line); } svg .l { fill: none; stroke-width: 1.7; }
svg .b { opacity: .2; } svg path.b, svg circle { stroke: none; } svg text.x { fill: var(--bad); }
svg .l.c0 { stroke: var(--c0); } svg .l.c1 { stroke: var(--c1); }
svg .b.c0, svg .d.c0, svg text.c0 { fill: var(--c0); }
svg .b.c1, svg .d.c1, svg text.c1 { fill: var(--c1); }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
"""


def write(title: str, mark: str, blocks: Iterable[Block]) -> str:
    """The whole page."""
    body = "\n".join(_block(block) for block in blocks)
    return (
        f'<!doctype html>\n{mark}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_safe(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_safe(text)}</h{level}>"
        case Words(text, only):
            return f"<p>{_cell(text)}</p>" if only != "markdown" else ""
        case Items(items):
            lines = "\n".join(
                f"<li>{_safe(text)}{f'<small>{_safe(more)}</small>' if more else ''}</li>"
                for text, more in items
            )
            return f"<ul>\n{lines}\n</ul>"
        case Table(header, rows):
            return _table(header, rows)
        case Passage(label, text):
            return (
                f'<p class="label">{_safe(label)}</p>\n'
                f"<pre>{escape(visible(text, keep_newlines=True))}</pre>"
            )
        case Figure(title, curves):
            return _figure(title, curves)


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell | Code]]) -> str:
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        for i in range(len(header))
    ]
    lines = []
    if any(header):
        lines.append(_row("th", [_safe(name) for name in header], numeric))
    lines += [_row("td", [_cell(cell) for cell in row], numeric) for row in rows]
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>'


def _row(tag: str, cells: Sequence[str], numeric: Sequence[bool]) -> str:
    kinds = (' class="n"' if right else "" for right in numeric)
    inner = "".join(f"<{tag}{k}>{c}</{tag}>" for k, c in zip(kinds, cells, strict=True))
    return f"<tr>{inner}</tr>\n"


def _figure(title: str, curves: Sequence[tuple[str, Series]]) -> str:
    drawn = svg.plot(title, curves)
    facts = []
    for name, series in curves:
        lows = [v for v in series.lows if v is not None]
        highs = [v for v in series.highs if v is not None]
        bad = sum(series.nulls)
        last = series.last[1] if series.last else None
        said = (
            f"{name}: {number(min(lows))} to {number(max(highs))}, last {number(last)}"
            if lows
            else f"{name}: no number"
        )
        facts.append(said + (f", {bad:,} values not a number" if bad else ""))
    scale = " (logarithmic)" if drawn and svg.is_log(curves) else ""
    caption = f"{title}{scale} · {' · '.join(facts)}"
    return f"<figure>\n{drawn}\n<figcaption>{_safe(caption)}</figcaption>\n</figure>"


def _cell(cell: Cell | Code) -> str:
    if isinstance(cell, Code):
        return f"<code>{_safe(cell.text)}</code>" if cell.text else ""
    if isinstance(cell, float):
        return number(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return _safe(cell) if cell is not None else "–"


def _safe(text: str) -> str:
    return escape(visible(text))
