"""A boot as a picture: an SVG, and an HTML page with it and a table. One file each, which needs nothing else."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from ..terminal import plain, visible
from .critical import critical_path, outside, told
from .spans import Recording, Span

_WIDTH, _MARGIN, _LABELS, _TIMES = 960, 20, 205, 90
_LEFT, _RIGHT = _MARGIN + _LABELS, _WIDTH - _MARGIN - _TIMES
_ROW, _BAR = 22, 12
_LETTERS = 26  # that fit into the labels
_LINE = 140  # letters of a line over the whole width
# What took less than this share of the boot is in the table only, unless it failed.
_DRAWN = 0.004
_TICKS = 8

_KINDS = {
    "tool": "owner's tool",
    "build": "build",
    "start": "start",
    "wait": "wait until ready",
    "database": "scratch database",
    "stop": "stop",
}
_STYLE = """
.boot { --paper: #fff; --ink: #1f2328; --dim: #656d76; --line: #e3e7ec; --stage: #afb8c1; --critical: #d1491b;
  --failed: #cf222e; --tool: #3b6fd4; --build: #8250df; --start: #1a8a5f; --wait: #bf8a14; --database: #0e8fa8;
  --stop: #6e7781; color-scheme: light dark; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .boot { --paper: #0d1117; --ink: #e6edf3; --dim: #8b949e; --line: #262c34;
  --stage: #545d68; --critical: #ff8a57; --failed: #ff6b6b; --tool: #6ea0ff; --build: #b78cff; --start: #3fb68b;
  --wait: #e0b04a; --database: #45c0d6; --stop: #8b949e; } }
.boot text { fill: var(--ink); } .boot .head { font-size: 16px; font-weight: 600; }
.boot text.dim { fill: var(--dim); } .boot text.strong { font-weight: 600; } .boot text.failed { fill: var(--failed); }
.boot text.number { text-anchor: end; font-variant-numeric: tabular-nums; } .boot text.tick { text-anchor: middle; }
.boot .paper { fill: var(--paper); } .boot .row { fill: transparent; } .boot g:hover > .row { fill: var(--line); }
.boot .grid { stroke: var(--line); } .boot .stage, .boot .own { fill: var(--stage); } .boot .own { opacity: .45; }
.boot .path { fill: none; stroke: var(--critical); stroke-width: 2; }
.boot .beside { opacity: .4; } .boot .critical { stroke: var(--critical); stroke-width: 2; }
""" + "".join(f".boot .{kind} {{ fill: var(--{kind}); }}\n" for kind in (*_KINDS, "failed"))
_PAGE_STYLE = """
body { margin: 0 auto; padding: 24px; max-width: 1100px; background: var(--paper); color: var(--ink); }
svg { width: 100%; height: auto; } .table { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; margin-top: 24px; }
th, td { padding: 4px 12px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th, td.dim { color: var(--dim); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number, td.name { white-space: nowrap; } tr.stage td.name { font-weight: 600; }
tr.failed td { color: var(--failed); } tr.critical td.name { box-shadow: inset 3px 0 var(--critical); }
"""


def svg(recording: Recording) -> str:
    """The picture, to be shown by itself or in a page."""
    picture = _Picture(recording).draw()
    picture.set("xmlns", "http://www.w3.org/2000/svg")
    return ET.tostring(picture, encoding="unicode") + "\n"


def html(recording: Recording) -> str:
    """A page with the picture, and with every span in a table."""
    page = ET.Element("html", {"lang": "en"})
    head = _add(page, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width")
    _add(head, "title", _title(recording))
    _add(head, "style", _PAGE_STYLE)
    body = _add(page, "body", class_="boot")
    body.append(_Picture(recording).draw())
    _table(_add(body, "div", class_="table"), recording)
    return f"<!doctype html>\n{ET.tostring(page, encoding='unicode', method='html')}\n"


def _table(body: ET.Element, recording: Recording) -> None:
    critical = {span.id for span in critical_path(recording)}
    table = _add(body, "table")
    heads = _add(_add(table, "thead"), "tr")
    for name in ("", "begin", "took", "outcome", "because"):
        _add(heads, "th", name, scope="col")
    rows = _add(table, "tbody")
    for span, depth in _in_order(recording):
        classes = {"stage": span.kind == "stage", "failed": span.outcome == "failed", "critical": span.id in critical}
        row = _add(rows, "tr", class_=" ".join(name for name, so in classes.items() if so))
        _add(row, "td", span.name, class_="name", style=f"padding-left: {12 + 16 * depth}px")
        _add(row, "td", f"{span.begin:.2f} s", class_="number")
        _add(row, "td", f"{span.seconds:.2f} s", class_="number")
        mark = "critical path; " if span.id in critical else ""
        _add(row, "td", f"{mark}{span.outcome}{f': {span.text}' if span.text else ''}")
        _add(row, "td", _cause(span), class_="dim")


@dataclass(frozen=True)
class _Row:
    span: Span
    depth: int
    parts: Sequence[Span]  # in which something else than our own code was at work


class _Picture:
    """Stages and what is directly in them have a row each; what is further within lies in that row."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._whole = recording.seconds or 1.0
        self._path = critical_path(recording)
        self._critical = {span.id for span in self._path}
        self._rows = list(self._find_rows())

    def _find_rows(self) -> Iterator[_Row]:
        within: dict[int, list[Span]] = {}
        for span in outside(self._recording):
            for its in self._recording.lineage(span):
                within.setdefault(its.id, []).append(span)
        for span, depth in _in_order(self._recording):
            around = next(iter(self._recording.lineage(span)[1:]), None)
            is_small = span.kind != "stage" and span.seconds < _DRAWN * self._whole and span.outcome != "failed"
            is_top = around is None or around.kind == "stage"
            if is_top and not is_small:
                yield _Row(span, depth, [] if span.kind == "stage" else within.get(span.id, []))

    def draw(self) -> ET.Element:
        lines = textwrap.wrap(_clean(told(self._recording)), _LINE) or [""]
        top = 74 + 17 * len(lines)
        bottom = top + _ROW * len(self._rows)
        height = bottom + 52
        box = f"0 0 {_WIDTH} {height}"
        picture = ET.Element("svg", {"class": "boot", "viewBox": box, "width": str(_WIDTH), "height": str(height)})
        picture.attrib.update({"role": "img", "aria-labelledby": "boot-title boot-text"})
        _add(picture, "title", _title(self._recording), id="boot-title")
        _add(picture, "desc", told(self._recording), id="boot-text")
        _add(picture, "style", _STYLE)
        _add(picture, "rect", class_="paper", width=_WIDTH, height=height)
        _add(picture, "text", _title(self._recording), class_="head", x=_MARGIN, y=32)
        for number, line in enumerate(lines):
            _add(picture, "text", line, x=_MARGIN, y=53 + 17 * number)
        self._draw_axis(picture, top, bottom)
        for number, row in enumerate(self._rows):
            self._draw_row(picture, row, top + _ROW * number)
        self._draw_path(picture, top)
        self._draw_legend(picture, bottom + 30)
        return picture

    def _x(self, seconds: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * seconds / self._whole, 1)

    def _draw_axis(self, picture: ET.Element, top: float, bottom: float) -> None:
        step = _nice(self._whole / _TICKS)
        for number in range(int(self._whole / step) + 1):
            x = self._x(number * step)
            _add(picture, "line", class_="grid", x1=x, x2=x, y1=top - 4, y2=bottom)
            _add(picture, "text", f"{number * step:g} s", class_="tick dim", x=x, y=top - 9)

    def _draw_row(self, picture: ET.Element, row: _Row, y: float) -> None:
        span, middle = row.span, y + _ROW / 2
        group = _add(picture, "g")
        _add(group, "title", _details(span))
        _add(group, "rect", class_="row", x=_MARGIN - 8, y=y, width=_WIDTH - 2 * _MARGIN + 16, height=_ROW, rx=4)
        label = _add(group, "text", class_="strong" if span.kind == "stage" else "")
        label.attrib.update({"x": str(_MARGIN + 14 * row.depth), "y": str(middle + 4)})
        label.text = _clean(span.name if len(span.name) <= _LETTERS else f"{span.name[: _LETTERS - 1]}…")
        if span.kind == "stage":
            self._draw_bar(group, span, middle, _BAR / 3, "stage")
        elif span not in row.parts:
            self._draw_bar(group, span, middle, _BAR, "own")
        for part in row.parts:
            its = group if part is span else _add(group, "g")
            if part is not span:
                _add(its, "title", _details(part))
            kind = "failed" if part.outcome == "failed" else part.kind
            self._draw_bar(its, part, middle, _BAR, f"{kind} {'critical' if part.id in self._critical else 'beside'}")
        took, how = f"{span.seconds:.1f} s", "dim"
        if span.outcome == "failed":
            took, how = f"✗ {took}", "failed strong"
        elif span.outcome == "skipped":
            took = f"skipped {took}"
        elif not self._critical.isdisjoint(part.id for part in row.parts):
            how = "strong"
        _add(group, "text", took, class_=f"number {how}", x=_WIDTH - _MARGIN, y=middle + 4)

    def _draw_bar(self, group: ET.Element, span: Span, middle: float, height: float, classes: str) -> None:
        width = max(2.0, round(self._x(span.end) - self._x(span.begin), 1))
        y = middle - height / 2
        _add(group, "rect", class_=classes, x=self._x(span.begin), y=y, width=width, height=height, rx=2)

    def _draw_path(self, picture: ET.Element, top: float) -> None:
        """Down from the end of each part to the begin of the one that came after it."""
        height = {part.id: top + _ROW * (number + 0.5) for number, row in enumerate(self._rows) for part in row.parts}
        steps = []
        for one, other in itertools.pairwise(part for part in self._path if part.id in height):
            above, below = height[one.id], height[other.id]
            if above != below:
                away = _BAR / 2 if below > above else -_BAR / 2
                steps.append(f"M{self._x(one.end)} {above + away}V{below}H{self._x(other.begin)}")
        _add(picture, "path", class_="path", d="".join(steps))

    def _draw_legend(self, picture: ET.Element, y: float) -> None:
        there = {part.kind for row in self._rows for part in row.parts}
        x = float(_MARGIN)
        for kind, name in {"critical": "on the critical path", **_KINDS, "own": "our own code"}.items():
            if kind in there or kind in {"critical", "own"}:
                if kind == "critical":
                    _add(picture, "path", class_="path", d=f"M{x} {y - 4}h14")
                else:
                    _add(picture, "rect", class_=kind, x=x, y=y - 9, width=14, height=10, rx=2)
                _add(picture, "text", name, class_="dim", x=x + 20, y=y)
                x += 40 + 6.3 * len(name)


def _in_order(recording: Recording) -> Iterator[tuple[Span, int]]:
    """Every span with its depth, each after what it is in."""
    children: dict[int | None, list[Span]] = {}
    for span in sorted(recording.spans, key=lambda span: (span.begin, span.id)):
        children.setdefault(span.parent, []).append(span)

    def walk(parent: int | None, depth: int) -> Iterator[tuple[Span, int]]:
        for span in children.get(parent, []):
            yield span, depth
            yield from walk(span.id, depth + 1)

    return walk(None, 0)


def _title(recording: Recording) -> str:
    about, failed = recording.about, recording.failed
    how = f"{failed} failed after" if failed else "booted in"
    when = datetime.fromtimestamp(recording.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = ", ".join(filter(None, (about.get("runtime"), about.get("layout"), when)))
    return _clean(f"{about.get('stack', 'stack')}: {how} {recording.seconds:.1f} s ({where})")


def _details(span: Span) -> str:
    """What a hover shows."""
    took = f"{span.kind}, {span.begin:.2f} s to {span.end:.2f} s: {span.seconds:.2f} s"
    result = f"{span.outcome}: {span.text}" if span.text else span.outcome
    return "\n".join(filter(None, (span.name, took, result, _cause(span))))


def _cause(span: Span) -> str:
    return "; ".join(filter(None, (span.cause, f"after {', '.join(span.needs)}" if span.needs else "")))


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, ..."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _clean(text: str) -> str:
    """What XML can have and nobody is deceived by; lines stay lines."""
    return "\n".join(map(visible, plain(text).split("\n")))


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str | float) -> ET.Element:
    """An element with this text; its parent writes both so that no text becomes a tag."""
    element = ET.SubElement(parent, tag, {name.rstrip("_"): _clean(f"{value}") for name, value in attributes.items()})
    element.text = _clean(text) or None
    return element
