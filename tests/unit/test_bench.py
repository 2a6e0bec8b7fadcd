"""What the bench makes of its figures; nothing is timed here."""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree as ET

import pytest

from tests.bench import drawing
from tests.bench.__main__ import _parts
from tests.bench.document import pages
from tests.bench.figures import OURS, SIDES, TARGETS, WAITED, Figures, Target, exponent, medians, paired

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figures(capsys: pytest.CaptureFixture[str]) -> Figures:
    """Three rounds of some of everything, in which one script failed, and one target is missed."""
    figures = Figures({"processor": "a fast one", "date": "2026-11-23"}, 3)
    for number in (1, 2, 3):
        figures.add_peer("compose", "cold", "ours", number, 10.0 + number)
        figures.add_peer("compose", "cold", "parts", number, 10.0 + number)
        figures.add_peer("compose", "cold", "waited", number, 11.0 + number)
        figures.add_peer("compose", "parts", "push", number, 2.0)
        figures.add_peer("embedded", "cold", "ours", number, 5.0)
        figures.add_cpu("compose", "cold", 0.3)
        figures.add_path("compose", "cold", "11.0 s: postgres 2.0")
        for size in (1, 10, 25):
            figures.add_growth("services", OURS, size, number, 1.0 + size)
            figures.add_growth("services", WAITED, size, number, 2.0 + size)
            figures.add_growth("owners", "cold", size, number, 1.0 + size)
    figures.add_peer("compose", "cold", "staged", 2, 40.0)
    with figures.trying("compose, round 1, staged"):
        raise AssertionError("not healthy at the end: web\nand more")
    return figures


def drawn(figures: Figures, name: str) -> ET.Element:
    return ET.fromstring(pages(figures)[name])  # noqa: S314  # our own


# -- medians and ratios ------------------------------------------------------------------------------------------------


def test_a_ratio_is_the_median_of_the_rounds_that_both_came_through() -> None:
    assert paired({1: 1.0, 2: 2.0, 3: 9.0}, {1: 2.0, 2: 2.0, 3: 3.0}) == 1.0
    assert paired({1: 1.0, 2: 2.0}, {2: 4.0, 3: 1.0}) == 0.5
    assert paired({1: 1.0}, {2: 1.0}) is None
    assert paired({}, {}) is None


def test_medians_stand_in_the_order_of_sizes() -> None:
    assert list(medians({100: {1: 3.0, 2: 1.0, 3: 2.0}, 10: {1: 4.0}}).items()) == [(10, 4.0), (100, 2.0)]


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 2.0)], ids=["flat", "root", "linear", "square"]
)
def test_the_exponent_tells_how_what_is_added_grows(power: float, expected: float) -> None:
    added = {size: 0.0 if size == 0 else float(size) ** power for size in (0, 10, 100, 1_000)}

    assert exponent({size: 1.0 + seconds for size, seconds in added.items()}) == pytest.approx(expected)


def test_noise_is_not_growth() -> None:
    assert exponent({0: 2.0, 10: 1.98, 100: 2.001, 1_000: 2.15}) == 0.0


def test_what_grows_only_in_the_last_step_is_measured_against_the_noise() -> None:
    assert exponent({0: 1.0, 10: 1.0, 100: 1.0, 1_000: 11.0}) == pytest.approx(2.0)


def test_a_smallest_size_that_took_long_by_chance_is_no_base() -> None:
    assert exponent({1: 8.4, 3: 5.5, 6: 9.3, 12: 15.3}) == pytest.approx(1.2, abs=0.05)


def test_two_sizes_say_nothing_of_growth() -> None:
    assert exponent({1: 1.0, 10: 5.0}) is None
    assert exponent({}) is None


# -- what is wanted ----------------------------------------------------------------------------------------------------


def test_each_target_is_of_a_side_and_a_case_that_have_a_name() -> None:
    assert len({target.text for target in TARGETS}) == len(TARGETS)


def test_only_what_was_measured_is_judged(figures: Figures) -> None:
    judged = {check.what: (round(check.value, 2), check.is_met) for check in figures.checks()}

    assert judged == {
        "cold against its parts": (1.0, True),
        "cold against staged script": (0.3, True),
        "cold against `up --wait`": (0.92, False),
        f"1 services against {WAITED}": (0.67, True),
        f"10 services against {WAITED}": (0.92, True),
        f"25 services against {WAITED}": (0.96, True),
        f"services, {OURS}: exponent of the last step": (1.0, True),
        "owners, cold: exponent of the last step": (1.0, True),
        "own CPU, Docker Compose: cold": (0.3, True),
    }
    assert [miss.what for miss in figures.misses()] == ["cold against `up --wait`"]


def test_just_what_is_wanted_is_enough() -> None:
    figures = Figures()
    figures.add_peer("compose", "nothing", "ours", 1, 2.0)
    figures.add_peer("compose", "nothing", "waited", 1, 2.0)

    assert figures.ratio(Target("compose", "nothing", "waited", 1.0)) == 1.0
    assert figures.misses() == []


def test_what_failed_is_kept_and_the_rest_goes_on(figures: Figures) -> None:
    assert figures.failed == ["compose, round 1, staged: not healthy at the end: web"]
    assert figures.peers["compose"]["cold"]["staged"] == {2: 40.0}


def test_of_a_task_that_failed_its_message_is_kept(figures: Figures) -> None:
    with figures.trying("cold"):
        raise AssertionError("tasks.py start ended with 4:\n[1/9] stop\nerror: web is unhealthy\n  hint: look")

    assert figures.failed[-1] == "cold: error: web is unhealthy"


def test_ctrl_c_ends_the_run(figures: Figures) -> None:
    with pytest.raises(KeyboardInterrupt), figures.trying("peers"):
        raise KeyboardInterrupt


def test_the_report_can_be_written(figures: Figures) -> None:
    data = json.loads(json.dumps(figures.as_data()))

    assert data["peers"]["compose"]["cold"]["ours"] == {"1": 11.0, "2": 12.0, "3": 13.0}
    assert data["singles"]["own CPU, Docker Compose: cold"]["values"] == [0.3, 0.3, 0.3]
    assert [check["met"] for check in data["checks"]].count(False) == 1
    assert data["failed"] == figures.failed


# -- the document ------------------------------------------------------------------------------------------------------


def test_the_document_has_every_median_with_its_range_and_ratio(figures: Figures) -> None:
    text = pages(figures)["performance.md"]

    assert "| cold | 12.0 (11.0 to 13.0) | 13.0 (12.0 to 14.0) | 40.0 (40.0 to 40.0) | 12.0 (11.0 to 13.0) |" in text
    assert "| cold against staged script | 0.30 | 0.40 | 0.30 | met |" in text
    assert "| cold against `up --wait` | 0.92 | 0.75 | 0.92 | **missed** |" in text
    assert "| cold | 11.0 s: postgres 2.0 |" in text
    assert "| 25 | 26.0 (26.0 to 26.0) | 27.0 (27.0 to 27.0) | 0.96 |" in text
    assert "| own CPU, Docker Compose: cold | 0.3 s | 0.4 s | met |" in text
    assert "| processor | a fast one |" in text


def test_the_document_begins_with_what_was_missed_and_what_failed(figures: Figures) -> None:
    head = pages(figures)["performance.md"].partition("| machine")[0]

    assert "**8 of 9 targets are met.**" in head
    assert "- missed: cold against `up --wait`: 0.92, wanted at most 0.75 (the sum of its parts: 0.92)" in head
    assert "- failed, and not in the figures: compose, round 1, staged: not healthy at the end: web" in head


def test_every_row_of_a_table_has_as_many_cells(figures: Figures) -> None:
    text = pages(figures)["performance.md"]

    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_a_run_of_nothing_is_a_page_without_plots() -> None:
    assert set(pages(Figures())) == {"performance.md"}


def test_every_plot_in_the_document_is_written(figures: Figures) -> None:
    made = pages(figures)

    assert set(re.findall(r"\]\((performance-\w+\.svg)\)", made["performance.md"])) == set(made) - {"performance.md"}


# -- the plots ---------------------------------------------------------------------------------------------------------


def test_a_bar_is_as_long_as_its_median(figures: Figures) -> None:
    picture = drawn(figures, "performance-peers.svg")
    bars = [float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect") if bar.get("class", "").startswith("f")]

    medians = [12.0, 13.0, 40.0, 12.0, 5.0]
    assert bars == pytest.approx([median / 40.0 * max(bars) for median in medians], abs=0.2)


def test_a_line_goes_through_every_size(figures: Figures) -> None:
    picture = drawn(figures, "performance-growth.svg")
    curves = [line.attrib["points"].split() for line in picture.iter(f"{SVG}polyline")]
    dots = {f"{dot.get('cx')},{dot.get('cy')}" for dot in picture.iter(f"{SVG}circle")}

    assert [len(points) for points in curves] == [3, 3, 3]
    assert dots == {point for points in curves for point in points}


def test_linear_growth_is_a_straight_line(figures: Figures) -> None:
    picture = drawn(figures, "performance-growth.svg")
    for line in picture.iter(f"{SVG}polyline"):
        first, second, third = (tuple(map(float, point.split(","))) for point in line.attrib["points"].split())
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in ((first, second), (second, third))]
        assert math.isclose(*slopes, rel_tol=0.01)


def test_what_is_drawn_lies_in_the_picture(figures: Figures) -> None:
    for name in ("performance-peers.svg", "performance-growth.svg"):
        picture = drawn(figures, name)
        width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
        for shape in picture.iter():
            xs = [float(shape.attrib[key]) for key in ("x", "x1", "x2", "cx") if key in shape.attrib]
            ys = [float(shape.attrib[key]) for key in ("y", "y1", "y2", "cy") if key in shape.attrib]
            assert all(0 <= x <= width for x in xs), shape.attrib
            assert all(0 <= y <= height for y in ys), shape.attrib


def test_every_side_and_every_thing_that_grows_can_be_drawn(figures: Figures) -> None:
    assert set(drawing._COLOURS) == set(SIDES)
    assert set(figures.growth) <= set(drawing.PANELS)


def test_plots_are_light_and_dark(figures: Figures) -> None:
    assert all("prefers-color-scheme: dark" in text for name, text in pages(figures).items() if name.endswith(".svg"))


# -- the parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "parts"),
    [
        ([], ["guard", "list", "peers", "embedded", "services", "owners", "data"]),
        (["list"], ["list"]),
        (["growth", "guard"], ["guard", "services", "owners", "data"]),
        (["owners"], ["owners"]),
    ],
)
def test_what_was_asked_for_is_run(only: list[str], parts: list[str]) -> None:
    assert list(_parts(only, None)) == parts
