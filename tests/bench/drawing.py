"""The figures as two pictures, which are light or dark as the reader has it: bars of the peers, lines of the growth."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree as ET

from scripts.bootorder.timeline.drawing import _add as add
from scripts.bootorder.timeline.drawing import _nice as nice

from .figures import CASES, RUNTIMES, SIDES, Figures, Values, medians

_WIDTH, _MARGIN, _LABELS = 960, 20, 190
_ROW, _BAR = 22, 13
_PANEL_HEIGHT, _PANEL_GAP, _AXIS = 230, 64, 44
_TICKS = 5

_STYLE = """
.bench { --paper: #fff; --ink: #1f2328; --dim: #656d76; --line: #e3e7ec; --c0: #d1491b; --c1: #3b6fd4; --c2: #8250df;
  --c3: #6e7781; color-scheme: light dark; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .bench { --paper: #0d1117; --ink: #e6edf3; --dim: #8b949e; --line: #262c34;
  --c0: #ff8a57; --c1: #6ea0ff; --c2: #b78cff; --c3: #8b949e; } }
.bench text { fill: var(--ink); } .bench .head { font-size: 16px; font-weight: 600; }
.bench .strong { font-weight: 600; } .bench text.dim { fill: var(--dim); } .bench text.tick { text-anchor: middle; }
.bench text.left { text-anchor: end; }
.bench .paper { fill: var(--paper); } .bench .grid { stroke: var(--line); } .bench .range { stroke: var(--ink); }
.bench .curve { fill: none; stroke-width: 2; }
""" + "".join(
    f".bench .f{number} {{ fill: var(--c{number}); }} .bench .s{number} {{ stroke: var(--c{number}); }}\n"
    for number in range(4)
)
# One colour means one thing in both pictures' legends: ours is always the first.
_COLOURS = {"ours": 0, "waited": 1, "named": 1, "staged": 2, "parts": 3, "steps": 3}
PANELS: Mapping[str, str] = {
    "services": "services, on Docker",
    "owners": "owners of three tables, without Docker",
    "tables": "tables of one owner, without Docker",
    "megabytes": "MB of rows in ten tables, without Docker",
}


def peers(figures: Figures) -> str:
    """A bar for each side of each case: the median, and the range of all rounds."""
    rows = list(_rows(figures))
    longest = max((max(values.values()) for _, values, _ in rows if values), default=1.0)
    top, left, right = 78, _MARGIN + _LABELS, _WIDTH - _MARGIN - 60
    bottom = top + _ROW * len(rows)
    picture = _picture("Booting the sample stack: seconds, median and range", bottom + 20)

    def x(seconds: float) -> float:
        return round(left + (right - left) * seconds / longest, 1)

    for tick in _ticks(longest, 2 * _TICKS):
        add(picture, "line", class_="grid", x1=x(tick), x2=x(tick), y1=top - 6, y2=bottom)
        add(picture, "text", f"{tick:g} s", class_="tick dim", x=x(tick), y=top - 12)
    for number, (label, values, colour) in enumerate(rows):
        middle = top + _ROW * (number + 0.5)
        if not values:
            add(picture, "text", label, class_="strong", x=_MARGIN, y=middle + 4)
            continue
        median, least, most = statistics.median(values.values()), min(values.values()), max(values.values())
        add(picture, "text", label, class_="left", x=left - 10, y=middle + 4)
        bar = add(picture, "rect", class_=f"f{colour}", x=left, y=middle - _BAR / 2, width=max(1, x(median) - left))
        bar.attrib.update({"height": str(_BAR), "rx": "2"})
        add(picture, "line", class_="range", x1=x(least), x2=x(most), y1=middle, y2=middle)
        add(picture, "text", f"{median:.1f} s", class_="dim", x=x(most) + 8, y=middle + 4)
    return _text(picture)


def _rows(figures: Figures) -> Iterator[tuple[str, Values, int]]:
    """A line of text, or a bar with its label and colour."""
    for runtime, cases in CASES.items():
        for case, name in cases.items():
            sides = figures.peers.get(runtime, {}).get(case, {})
            if sides:
                yield f"{_plain(name)}, {RUNTIMES[runtime]}", {}, 0
            for side, label in SIDES.items():
                if values := sides.get(side):
                    yield _plain(label), values, _COLOURS[side]


def growth(figures: Figures) -> str:
    """A panel for each thing that grows. Both axes are linear and begin at 0: a straight line is linear growth."""
    shown = [series for series in PANELS if figures.growth.get(series)]
    height = 64 + (len(shown) + 1) // 2 * (_PANEL_HEIGHT + _PANEL_GAP)
    picture = _picture("How a boot grows: seconds, median of the rounds", height)
    width = (_WIDTH - 2 * _MARGIN - _PANEL_GAP) / 2
    for number, series in enumerate(shown):
        left = _MARGIN + _AXIS + number % 2 * (width + _PANEL_GAP - _AXIS / 2)
        top = 96 + number // 2 * (_PANEL_HEIGHT + _PANEL_GAP)
        lines = {line: medians(sizes) for line, sizes in figures.growth[series].items()}
        _panel(picture, series, lines, (left, top, width - _AXIS, _PANEL_HEIGHT - 60))
    return _text(picture)


def _panel(
    picture: ET.Element,
    series: str,
    lines: Mapping[str, Mapping[int, float]],
    place: tuple[float, float, float, float],
) -> None:
    left, top, width, height = place
    most = max(size for sizes in lines.values() for size in sizes) or 1
    longest = max(seconds for sizes in lines.values() for seconds in sizes.values())

    def x(size: float) -> float:
        return round(left + width * size / most, 1)

    def y(seconds: float) -> float:
        return round(top + height - height * seconds / longest, 1)

    add(picture, "text", PANELS[series], class_="strong", x=left, y=top - 32)
    for tick in _ticks(longest, _TICKS):
        add(picture, "line", class_="grid", x1=left, x2=left + width, y1=y(tick), y2=y(tick))
        add(picture, "text", f"{tick:g} s", class_="left dim", x=left - 6, y=y(tick) + 4)
    for tick in _ticks(most, _TICKS):
        add(picture, "text", f"{tick:,g}", class_="tick dim", x=x(tick), y=top + height + 18)
    at = left
    for number, (name, sizes) in enumerate(lines.items()):
        points = " ".join(f"{x(size)},{y(seconds)}" for size, seconds in sizes.items())
        add(picture, "polyline", class_=f"curve s{number}", points=points)
        for size, seconds in sizes.items():
            dot = add(picture, "circle", class_=f"f{number}", cx=x(size), cy=y(seconds), r=3)
            add(dot, "title", f"{name}: {size:,} {series}, {seconds:.2f} s")
        add(picture, "rect", class_=f"f{number}", x=at, y=top - 21, width=10, height=10, rx=2)
        add(picture, "text", name, class_="dim", x=at + 15, y=top - 12)
        at += 35 + 6.3 * len(name)


def _picture(title: str, height: float) -> ET.Element:
    box = f"0 0 {_WIDTH} {height}"
    picture = ET.Element("svg", {"class": "bench", "viewBox": box, "width": str(_WIDTH), "height": str(height)})
    picture.attrib.update({"role": "img", "aria-labelledby": "bench-title", "xmlns": "http://www.w3.org/2000/svg"})
    add(picture, "title", title, id="bench-title")
    add(picture, "style", _STYLE)
    add(picture, "rect", class_="paper", width=_WIDTH, height=height)
    add(picture, "text", title, class_="head", x=_MARGIN, y=32)
    return picture


def _ticks(most: float, wanted: int) -> Sequence[float]:
    step = nice(most / wanted)
    return [number * step for number in range(int(most / step) + 1)]


def _plain(label: str) -> str:
    """Of what is written for Markdown."""
    return label.replace("`", "")


def _text(picture: ET.Element) -> str:
    return ET.tostring(picture, encoding="unicode") + "\n"
