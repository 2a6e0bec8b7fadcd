"""What a run measured, and what is made of it: medians, ratios, what was wanted. No clock, no file, no process."""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# The value of each round that came to its end.
Values = dict[int, float]

# Of the least of the seconds: less than this share of them is what the machine makes of the same thing twice.
_NOISE = 0.1
# The last step's exponent: 1 is linear, and what is measured is never exactly that.
LINEAR = 1.2


RUNTIMES: Mapping[str, str] = {"compose": "Docker Compose", "embedded": "without Docker"}
# By runtime; a case begins with what the one before it left.
CASES: Mapping[str, Mapping[str, str]] = {
    "compose": {
        "first": "very first",
        "cold": "cold",
        "second": "second boot",
        "quick": "`--quick`, stopped",
        "nothing": "`--quick`, all is up",
    },
    "embedded": {
        "cold": "cold",
        "second": "second boot",
        "quick": "`--quick`, stopped",
        "nothing": "`--quick`, all is up",
    },
}
SIDES: Mapping[str, str] = {
    "ours": "`inv start`",
    "waited": "`up --wait`",
    "named": "`up --wait --no-deps`",
    "staged": "staged script",
    "parts": "its parts",
    "steps": "push, seed, app",
}


@dataclass(frozen=True)
class Target:
    """What is wanted of a case: at most this many times the other side's seconds in the same round."""

    runtime: str
    case: str
    against: str
    at_most: float

    @property
    def text(self) -> str:
        without = ", without Docker," if self.runtime == "embedded" else ""
        return f"{CASES[self.runtime][self.case]}{without} against {SIDES[self.against]}"


@dataclass(frozen=True)
class Check:
    """A number for which something is wanted."""

    what: str
    value: float
    wanted: float
    unit: str = ""
    floor: float | None = None  # what the work alone comes to, one part after another

    @property
    def is_met(self) -> bool:
        return self.value <= self.wanted

    @property
    def told(self) -> str:
        return f"{self.value:.3g} {self.unit}" if self.unit else f"{self.value:.2f}"

    def __str__(self) -> str:
        return f"{self.what}: {self.told}, wanted at most {self.wanted:g}"


TARGETS: Sequence[Target] = (
    Target("compose", "cold", "parts", 1.10),
    Target("compose", "cold", "staged", 0.40),
    Target("compose", "cold", "waited", 0.75),
    Target("compose", "second", "staged", 0.35),
    Target("compose", "second", "waited", 0.75),
    Target("compose", "quick", "staged", 0.12),
    Target("compose", "quick", "waited", 1.0),
    Target("compose", "nothing", "waited", 1.0),
    Target("embedded", "cold", "parts", 1.10),
    Target("embedded", "second", "steps", 1.3),
)
# What our own process may use of the processor in one boot, in seconds.
CPU_WANTED = 0.4

# What of `growth` is compared in each round, and at most how much ours may take of the other's time.
OURS, WAITED = "inv start", "docker compose up --wait"
SERVICES_WANTED = 1.0


@dataclass
class Single:
    """One number by itself. `wanted`: at most this; None where nothing is."""

    unit: str
    wanted: float | None = None
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Figures:
    """Of one run, in seconds where no unit is said."""

    machine: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    # By runtime, case and side.
    peers: dict[str, dict[str, dict[str, Values]]] = field(default_factory=dict)
    # By what grows, what is timed, and size.
    growth: dict[str, dict[str, dict[int, Values]]] = field(default_factory=dict)
    singles: dict[str, Single] = field(default_factory=dict)
    # By runtime and case: what our last start spent its time on, as it says itself.
    paths: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add_peer(self, runtime: str, case: str, side: str, number: int, seconds: float) -> None:
        self.peers.setdefault(runtime, {}).setdefault(case, {}).setdefault(side, {})[number] = seconds
        say(f"{runtime}, round {number}, {case}: {side} {seconds:.2f} s")

    def add_path(self, runtime: str, case: str, path: str) -> None:
        self.paths.setdefault(runtime, {})[case] = path

    def add_growth(self, series: str, line: str, size: int, number: int, seconds: float) -> None:
        self.growth.setdefault(series, {}).setdefault(line, {}).setdefault(size, {})[number] = seconds
        say(f"{size} {series}, round {number}: {line} {seconds:.2f} s")

    def add_single(self, what: str, value: float, unit: str, wanted: float | None = None) -> None:
        self.singles.setdefault(what, Single(unit, wanted)).values.append(value)
        say(f"{what}: {value:.3g} {unit}")

    def add_cpu(self, runtime: str, case: str, seconds: float) -> None:
        """Of our own process in one boot."""
        self.add_single(f"own CPU, {RUNTIMES[runtime]}: {CASES[runtime][case]}", seconds, "s", CPU_WANTED)

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """One part of the run: that it fails is kept, and the figures of the others with it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, the other parts go on
            traceback.print_exc()
            lines = str(error).splitlines() or [type(error).__name__]
            self.failed.append(f"{what}: {next((line for line in lines if 'error:' in line), lines[0])}")
            say(f"FAILED {self.failed[-1]}")

    def checks(self) -> list[Check]:
        return [
            *self.peer_checks("compose"),
            *self.peer_checks("embedded"),
            *self.growth_checks(),
            *self._single_checks(),
        ]

    def misses(self) -> list[Check]:
        """What was measured and is not as wanted."""
        return [check for check in self.checks() if not check.is_met]

    def peer_checks(self, runtime: str) -> list[Check]:
        return [
            Check(target.text, ratio, target.at_most, floor=self.floor(target))
            for target in TARGETS
            if target.runtime == runtime and (ratio := self.ratio(target)) is not None
        ]

    def growth_checks(self) -> list[Check]:
        compared = self.growth.get("services", {})
        checks = [
            Check(f"{size} services against {WAITED}", ratio, SERVICES_WANTED)
            for size, ours in sorted(compared.get(OURS, {}).items())
            if (ratio := paired(ours, compared.get(WAITED, {}).get(size, {}))) is not None
        ]
        return checks + [
            Check(f"{series}, {line}: exponent of the last step", grows, LINEAR)
            for series, lines in self.growth.items()
            for line, sizes in lines.items()
            if line != WAITED and (grows := exponent(medians(sizes))) is not None
        ]

    def _single_checks(self) -> list[Check]:
        return [
            Check(what, one.median, one.wanted, one.unit)
            for what, one in self.singles.items()
            if one.wanted is not None
        ]

    def ratio(self, target: Target) -> float | None:
        sides = self.peers.get(target.runtime, {}).get(target.case, {})
        return paired(sides.get("ours", {}), sides.get(target.against, {}))

    def floor(self, target: Target) -> float | None:
        """The same ratio for the sum of the parts."""
        sides = self.peers.get(target.runtime, {}).get(target.case, {})
        return None if target.against == "parts" else paired(sides.get("parts", {}), sides.get(target.against, {}))

    def as_data(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "rounds": self.rounds,
            "peers": self.peers,
            "growth": self.growth,
            "singles": {
                what: {"unit": one.unit, "wanted": one.wanted, "values": one.values}
                for what, one in self.singles.items()
            },
            "checks": [{**vars(check), "met": check.is_met} for check in self.checks()],
            "paths": self.paths,
            "failed": self.failed,
        }


def paired(ours: Values, theirs: Values) -> float | None:
    """The median of the ratios of each round; nothing where no round has both."""
    ratios = [ours[number] / theirs[number] for number in ours if number in theirs]
    return statistics.median(ratios) if ratios else None


def medians(sizes: Mapping[int, Values]) -> dict[int, float]:
    return {size: statistics.median(values.values()) for size, values in sorted(sizes.items())}


def exponent(sizes: Mapping[int, float]) -> float | None:
    """How what is added to the least of the seconds grows in the last step: 1 is linear, 2 the square, 0 not at all.

    Nothing of fewer than three sizes is known; what is within the noise counts as the noise.
    """
    if len(sizes) < 3:
        return None
    (least, _), *_, (before, earlier), (most, last) = sorted(sizes.items())
    base = min(sizes.values())  # a smaller size that took longer did so by chance
    noise = _NOISE * base
    added, added_earlier = max(last - base, noise), max(earlier - base, noise)
    return math.log(added / added_earlier) / math.log((most - least) / (before - least))


def say(line: str) -> None:
    print(line, flush=True)
