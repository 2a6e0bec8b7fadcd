"""What the figures were measured on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.stack import run

_IMAGES = ("postgres:18", "dpage/pgadmin4:9.18", "python:3.13-slim-bookworm", "node:24-bookworm-slim")


def describe() -> dict[str, str]:
    engine, info = _asked("version"), _asked("info")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load at the beginning": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Docker Engine": (engine.get("Server") or {}).get("Version", "none"),
        "Docker Compose": run(["docker", "compose", "version", "--short"]).out.strip() if engine else "none",
        "storage driver": info.get("Driver", "none"),
        "images": _images(),
    }


def engine_version() -> int:
    """The first number of it."""
    return int(str(_asked("version")["Server"]["Version"]).split(".", maxsplit=1)[0])


def _asked(what: str) -> dict[str, Any]:
    """Empty where there is no engine, or no client."""
    try:
        done = run(["docker", what, "--format", "{{json .}}"])
    except FileNotFoundError:
        return {}
    found: dict[str, Any] = json.loads(done.out) if done.code == 0 else {}
    return found


def _images() -> str:
    label = '{{index .Config.Labels "bootorder.standin"}}'
    standins = [name for name in _IMAGES if run(["docker", "image", "inspect", "--format", label, name]).out.strip()]
    return f"stand-ins of {', '.join(standins)}" if standins else "official"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
