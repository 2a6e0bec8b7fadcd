"""Imports run one way: tasks, stages, what they are made of, settings and talk. Read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "scripts" / "bootorder"

# Lowest first; a module imports its own layer and those below, never one above.
FOUNDATION = {"", "bootstrap", "terminal", "errors", "live", "console", "settings", "env_settings", "outcome"}
FOUNDATION |= {"redaction", "state_files", "certificates"}
WORLD = {"http_get", "probes", "processes", "database", "catalog", "ports", "env_file", "lock", "sources", "timeline"}
WORLD |= {"migration_lock", "own_schema", "rows", "schema_copy", "scratch", "sql_files", "tool_watch", "urls"}
WORLD |= {"runtimes", "migrators", "secret_files"}
DATA = {"places", "pointing", "records", "drift", "readers"}
GUARD = {
    "guard.extensions",
    "guard.roles",
    "guard.triggers",
    "guard.strays",
    "guard.snapshots",
    "guard.sequences",
    "guard.untouched",
    "guard.names",
}
STACK = {"boot", "owners"}
WORK = {
    "jobs",
    "waves",
    "lifecycle",
    "waits",
    "seed",
    "migrate",
    "trial",
    "guard.before",
    "guard.stage",
    "guard.layout",
    "status",
    "access",
    "doctor",
}
LAYERS = [FOUNDATION, WORLD, DATA, GUARD, STACK, WORK]

# Reading other people's repositories: what detection may import of ours beside itself, lowest first of its own.
DETECT_BORROWS = {"console", "errors", "sources", "terminal"}
DETECT = [
    {"findings"},
    {"files", "variables", "urls"},
    {"documents", "commands"},
    {"env_files", "manifests", "searching", "tools"},
    {"compose_files"},
    {"compose_services"},
    {"dockerfiles"},
    {"database", "services"},
    {"bases", "extensions", "health", "node_tools", "python_tools", "other_tools", "owners", "questions"},
    {"detecting"},
    {"showing"},
]

# What the checks import only where there are rehearsals.
CHECK_BORROWS_LATE = {"boot", "catalog", "owners"}

# What costs tens of milliseconds to import, and `--list` has no use for.
HEAVY = {"docker", "dotenv", "filelock", "nox", "psutil", "psycopg", "pydantic", "requests", "sqlalchemy", "yaml"}


@dataclass(frozen=True)
class Import:
    """`module` of another package, or of ours when `ours`, e.g. `runtimes.base`."""

    module: str
    ours: bool
    at_top: bool

    @property
    def head(self) -> str:
        return self.module.partition(".")[0]


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()

# The proofs are above all the rest: they run the tasks.
PROVING = {name for name in MODULES if name.partition(".")[0] == "proving"}


def _nodes(tree: ast.AST, *, at_top: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import that is executed, and whether that happens when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_top
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        else:
            yield from _nodes(node, at_top=at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _imports_of(source: str, name: str, *, is_package: bool) -> list[Import]:
    here = name.split(".") if name else []
    package = here if is_package else here[:-1]
    found = []
    for node, at_top in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, False, at_top) for alias in node.names]
        elif node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            names = [".".join([*base, alias.name]) for alias in node.names]
            found += [Import(n if n in MODULES else ".".join(base), True, at_top) for n in names]
        else:
            module = node.module or ""
            ours = module.startswith("scripts.bootorder")
            found.append(Import(module.removeprefix("scripts.bootorder").lstrip("."), ours, at_top))
    return found


@cache
def imports(name: str) -> list[Import]:
    path = MODULES[name]
    return _imports_of(path.read_text(encoding="utf-8"), name, is_package=path.name == "__init__.py")


def ours(name: str) -> set[str]:
    return {found.module for found in imports(name) if found.ours}


def _layer(name: str) -> int:
    names = {name, name.partition(".")[0]}
    return next((position for position, layer in enumerate(LAYERS) if names & layer), len(LAYERS))


def test_there_is_something_to_check() -> None:
    assert {"stages", "settings", "runtimes.compose", "migrators.drizzle"} <= set(MODULES)
    assert set.union(*LAYERS) <= set(MODULES)
    assert {"boot", "guard.stage"} <= ours("stages")
    assert {"guard.stage", "guard.layout"} <= ours("running")
    assert "runtimes.base" in ours("runtimes.compose")
    assert {"runtimes.base", "runtimes.embedded.table"} <= ours("runtimes.embedded.runtime")


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_no_module_imports_a_higher_layer(name: str) -> None:
    higher = {other for other in ours(name) if _layer(other) > _layer(name)}

    assert higher == set()


def test_detection_depends_on_no_stack_and_no_stack_on_it() -> None:
    """It looks at any repository, also one that has no invoke.yaml yet."""
    inside = {name for name in MODULES if name.partition(".")[0] == "detect"}

    borrowed = {other for name in inside for other in ours(name) if other.partition(".")[0] != "detect"}
    borrowing = {name.partition(".")[0] for name in set(MODULES) - inside if ours(name) & inside}

    assert borrowed == DETECT_BORROWS
    assert borrowing == {"tasks", "copying", "check"}


def test_the_checks_need_no_stack_but_where_its_rehearsals_are() -> None:
    """They look at any repository. What else they import of ours is what detection sees, and settings."""
    inside = {name for name in MODULES if name.partition(".")[0] == "check"}

    borrowed = {other for name in inside for other in ours(name)} - inside
    borrowing = {name for name in set(MODULES) - inside if ours(name) & inside}

    others = {other for other in borrowed if not other.startswith("detect.")}
    assert others == {"", "console", "errors", "settings", "terminal", "migrators.models_check"} | CHECK_BORROWS_LATE
    assert not [
        (name, found.module)
        for name in inside
        for found in imports(name)
        if found.at_top and found.module in CHECK_BORROWS_LATE
    ]
    assert borrowing == {"tasks"}


def test_within_detection_imports_run_one_way() -> None:
    position = {f"detect.{name}": index for index, layer in enumerate(DETECT) for name in layer}

    assert set(position) == {name for name in MODULES if name.startswith("detect.")}
    assert [
        (name, other) for name in position for other in ours(name) & set(position) if position[other] >= position[name]
    ] == []


def test_nothing_is_imported_in_a_circle() -> None:
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in ours(name) - {name}:
                follow(other, (*path, name))
            done.add(name)

    for name in MODULES:
        follow(name, ())


def test_only_the_tasks_call_what_opens_a_stack_and_the_command_line() -> None:
    callers = {name for name in MODULES if ours(name) & {"opening", "running", "showing", "program"}}

    assert callers - PROVING <= {"running", "showing", "tasks"}


def test_nothing_of_a_stack_knows_that_it_is_proved() -> None:
    borrowing = {name for name in set(MODULES) - PROVING if ours(name) & PROVING}

    assert borrowing == set()


def test_within_the_proofs_imports_run_one_way() -> None:
    """What they look at; the copy that they work on; each by itself; the program that runs one."""
    layers = [{"pictures", "report", "files", "own_names"}, {"stack"}, {"boot", "orders", "bug"}, {"__main__"}, {""}]
    position = {f"proving.{name}".rstrip("."): index for index, layer in enumerate(layers) for name in layer}

    assert set(position) == PROVING
    assert [
        (name, other) for name in PROVING for other in ours(name) & PROVING if position[other] >= position[name]
    ] == []


def test_only_the_sessions_know_nox() -> None:
    assert {name for name in MODULES if any(found.head == "nox" for found in imports(name))} == {"sessions"}
    assert not ours("sessions")


def test_only_the_tasks_and_the_command_line_know_invoke() -> None:
    knowing = {name for name in MODULES if any(found.head == "invoke" for found in imports(name))}

    readers = {"detect.documents", "proving.stack"}  # of its YAML
    assert knowing - {"proving.__main__"} == {"tasks", "program", "configuration"} | readers


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("runtimes.", "migrators."))])
def test_adapters_never_import_each_other(name: str) -> None:
    """What an adapter may share is its family's `base`; some are made of several modules."""
    family = name.partition(".")[0]

    others = {other for other in ours(name) if other.startswith(("runtimes.", "migrators."))}

    assert {other for other in others if _adapter(other) != _adapter(name)} <= {f"{family}.base"}


def _adapter(name: str) -> str:
    """Whose part a module is: `compose_...`, `engine` and `events` are compose's, all in `embedded` are embedded's."""
    family, adapter = name.split(".")[:2]
    return f"{family}.{'compose' if adapter.startswith('compose_') or adapter in {'engine', 'events'} else adapter}"


def test_the_runtime_is_chosen_by_what_opens_a_stack_only() -> None:
    assert {name for name in MODULES if "choosing" in ours(name)} == {"opening"}


def test_the_supervisor_is_a_program_of_the_standard_library_alone() -> None:
    """It is run by path with `-I -S`: neither this package nor any other can be imported."""
    needed = imports("runtimes.embedded.supervisor")

    assert needed
    assert not [found.module for found in needed if found.ours]
    assert {found.head for found in needed} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_inside_the_package_imports_are_relative(name: str) -> None:
    """So that it works as `scripts.bootorder` in any repository, and installed as `bootorder`."""
    nodes = ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    absolute = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]

    assert not [module for module in absolute if module.partition(".")[0] in {"scripts", "bootorder"}]


def test_listing_the_tasks_imports_nothing_heavy() -> None:
    """Whatever the tasks import when they are loaded, and whatever that imports in turn."""
    loaded = [*imports("program"), *imports("tasks")]
    seen: set[str] = set()
    outside: set[str] = set()
    waiting = [found for found in loaded if found.at_top]
    while waiting:
        found = waiting.pop()
        if not found.ours:
            outside.add(found.head)
        elif found.module not in seen:
            seen.add(found.module)
            waiting += [further for further in (*imports(""), *imports(found.module)) if further.at_top]

    assert "invoke" in outside
    assert "errors" in seen, "the command line is loaded too"
    assert outside & HEAVY == set()
    assert outside - set(sys.stdlib_module_names) <= {"invoke", "colorama"}


def test_what_draws_a_boot_is_imported_where_it_is_asked_for_only() -> None:
    drawing = {"timeline.drawing", "timeline.trace"}

    assert not [name for name in MODULES for found in imports(name) if found.at_top and found.module in drawing]


def test_the_package_itself_imports_nothing() -> None:
    assert imports("") == []
