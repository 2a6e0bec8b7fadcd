"""Which model classes a folder has, and which of their tables `create_all` would make.

A program of its own: handed as text to the Python of the owner's environment, in the owner's folder, with what its
migrate command gives to Python (`-m module ...`). It needs SQLAlchemy 2, which is there, and no database. Prints one
JSON object.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

# Not the owner's sources, or copies of them.
NOT_SOURCES = {"tests", "test", "site-packages", "node_modules", "__pycache__", "build", "dist"}
# What makes a base class when it is called.
MAKES_A_BASE = {"declarative_base", "generate_base", "automap_base"}
BASES = {"DeclarativeBase", "DeclarativeBaseNoMeta"}
MAPS = {"mapped", "mapped_as_dataclass"}
# In the class line, as `inv check` has it: of all, or of this one.
IGNORE = re.compile(r"bootorder: ignore(?!\[)|bootorder: ignore\[[^]]*\bunregistered-models\b")

NOWHERE = ""  # neither a class of these sources nor an import: a built-in, or what some call returned
A_BASE = "DeclarativeBase"


# -- what the sources say ----------------------------------------------------------------------------------------------


class Module:
    """One file: what its names are bound to when it is imported."""

    def __init__(self, path: Path, parts: tuple[str, ...], source: str) -> None:
        self.path = path
        self.parts = parts  # ("app", "models", "invoice")
        self.lines = source.splitlines()
        self.is_package = path.name == "__init__.py"
        self.classes: dict[str, Class] = {}
        self.imported: dict[str, tuple[str, ...]] = {}  # name -> module and attribute, as one path
        self.stars: list[tuple[str, ...]] = []
        self.bases: set[str] = set()
        self.tree = ast.parse(source)
        self._bind(self.tree, "")

    def _bind(self, node: ast.AST, prefix: str) -> None:
        for child in executed(node):
            if isinstance(child, ast.ClassDef):
                name = prefix + child.name
                self.classes[name] = Class(self, name, child)
                self._bind(child, f"{name}.")
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    path = tuple(alias.name.split("."))
                    self.imported[alias.asname or path[0]] = path if alias.asname else path[:1]
            elif isinstance(child, ast.ImportFrom):
                origin = self.origin(child)
                self.stars += [origin for alias in child.names if alias.name == "*"]
                self.imported |= {a.asname or a.name: (*origin, a.name) for a in child.names if a.name != "*"}
            elif isinstance(child, ast.Assign) and is_call_of(child.value, MAKES_A_BASE):
                self.bases |= {target.id for target in child.targets if isinstance(target, ast.Name)}

    def origin(self, node: ast.ImportFrom) -> tuple[str, ...]:
        """The module that it imports from."""
        package = self.parts if self.is_package else self.parts[:-1]
        above = package[: len(package) - node.level + 1] if node.level else ()
        return (*above, *(node.module.split(".") if node.module else ()))


class Class:
    """A class statement that runs when its module is imported."""

    def __init__(self, module: Module, name: str, node: ast.ClassDef) -> None:
        self.module = module
        self.name = name
        self.line = node.lineno
        self.bases = node.bases
        self.ignored = bool(IGNORE.search(module.lines[node.lineno - 1]))
        self.decorators = {last_name(decorator) for decorator in node.decorator_list}
        values = {keyword.arg: keyword.value for keyword in node.keywords}
        self.table = value(values.get("table"))
        self.assigned = dict(assigned(node))
        self.is_abstract = value(self.assigned.get("__abstract__")) is True
        self.names_table = bool({"__tablename__", "__table__"} & set(self.assigned))


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that an import runs: also those in `if`, `try` and `with`, none of a function."""
    for part in ("body", "orelse", "handlers", "cases", "finalbody"):
        if part == "body" and isinstance(node, ast.If) and is_never_true(node.test):
            continue
        for child in getattr(node, part, []):
            yield child
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from executed(child)


def is_never_true(test: ast.expr) -> bool:
    """When a module is imported."""
    text = ast.unparse(test)
    return text in {"TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING", "False"} or "__name__ ==" in text


def assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for child in executed(node):
        if isinstance(child, ast.Assign):
            yield from ((target.id, child.value) for target in child.targets if isinstance(target, ast.Name))
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) and child.value:
            yield child.target.id, child.value


def value(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def dotted(node: ast.expr) -> list[str]:
    """`a.b.C[int]` -> a, b, C; what is no name: nothing."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else names


def last_name(node: ast.expr) -> str:
    return "".join(dotted(node)[-1:])


def is_call_of(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and last_name(node) in names


class Sources:
    """Every module below a folder."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = list(modules)
        self._by_end: dict[tuple[str, ...], Module] = {}
        for module in sorted(self.modules, key=lambda module: len(module.parts)):
            for start in range(len(module.parts)):
                self._by_end.setdefault(module.parts[start:], module)
        self._known: dict[Class, tuple[str, bool]] = {}

    def models(self) -> list[Class]:
        classes = [found for module in self.modules for found in module.classes.values()]
        return [found for found in classes if self.kind(found)[1] and not found.ignored]

    def kind(self, found: Class) -> tuple[str, bool]:
        """Its family (of SQLModel, declarative, not known, or none of them), and whether it has a table."""
        if found not in self._known:
            self._known[found] = NOWHERE, False  # while it is looked up: of a class that is its own ancestor
            self._known[found] = self._kind(found)
        return self._known[found]

    def _kind(self, found: Class) -> tuple[str, bool]:
        parents = [self._family(base, found.module) for base in found.bases]
        family = next((name for name in ("sqlmodel", "declarative", "unknown") if name in parents), NOWHERE)
        if "base" in parents or "as_declarative" in found.decorators:
            return "declarative", False
        if found.decorators & MAPS:
            return "declarative", not found.is_abstract
        if found.table is not None:
            return "sqlmodel", found.table is True and not found.is_abstract
        has_table = family == "declarative" or (family == "unknown" and found.names_table)
        return family, has_table and not found.is_abstract

    def _family(self, base: ast.expr, module: Module) -> str:
        """Of a base class; `base` for SQLAlchemy's own, whose children are bases and no models."""
        if is_call_of(base, MAKES_A_BASE):
            return "base"
        found = self._look_up(module, dotted(base), set())
        if isinstance(found, Class):
            return self.kind(found)[0]
        last = found.rpartition(".")[2]
        if last in BASES:
            return "declarative" if found == A_BASE else "base"
        return "sqlmodel" if last == "SQLModel" else "unknown" if found else NOWHERE

    def _look_up(self, module: Module, names: Sequence[str], seen: set[tuple[Path, str]]) -> Class | str:
        """A class of these sources, the name of something from elsewhere, or nothing."""
        if not names or (module.path, names[0]) in seen:
            return NOWHERE
        seen.add((module.path, names[0]))
        whole, head = ".".join(names), names[0]
        if whole in module.classes:
            return module.classes[whole]
        if head in module.bases:
            return A_BASE
        if head in module.imported:
            return self._elsewhere((*module.imported[head], *names[1:]), seen)
        for star in module.stars:
            found = self._elsewhere((*star, *names), seen)
            if isinstance(found, Class) or found == A_BASE or star not in self._by_end:
                return found
        return NOWHERE

    def _elsewhere(self, path: tuple[str, ...], seen: set[tuple[Path, str]]) -> Class | str:
        for length in range(len(path) - 1, 0, -1):
            if path[:length] in self._by_end:
                return self._look_up(self._by_end[path[:length]], path[length:], seen)
        return ".".join(path)


def read(root: Path) -> Iterator[Module]:
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if is_source(here / name))
        for name in sorted(names):
            path = here / name
            if path.suffix != ".py" or name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py":
                continue
            parts = path.relative_to(root).with_suffix("").parts
            # What Python cannot read nobody can import, least of all before create_all.
            with contextlib.suppress(SyntaxError, ValueError, OSError):
                source = path.read_text(encoding="utf-8-sig")
                yield Module(path, parts[:-1] if name == "__init__.py" else parts, source)


def is_source(folder: Path) -> bool:
    return not (folder.name in NOT_SOURCES or folder.name.startswith(".") or (folder / "pyvenv.cfg").exists())


def import_name(path: Path) -> str:
    """What to write after `import`."""
    whole = path.parent if path.name == "__init__.py" else path.with_suffix("")
    roots = [Path(entry).resolve() for entry in sys.path if Path(entry).is_dir()]
    above = [root for root in roots if root in whole.parents]
    top = whole.parent
    while (top / "__init__.py").exists():
        top = top.parent
    # An installed copy may be the one that is imported: then the folder of the sources is not on the path.
    root = (
        top if top in above or top.name in {"src", "lib"} or not above else max(above, key=lambda root: len(root.parts))
    )
    return ".".join(whole.relative_to(root).parts)


# -- what is in the metadata -------------------------------------------------------------------------------------------


class Recorder:
    """Every class that is mapped while the tool runs, and where `create_all` was called."""

    def __init__(self) -> None:
        self.mapped: list[tuple[Any, str, tuple[str, str, str]]] = []
        self.created: set[tuple[str, str, str]] = set()
        self.calls: list[str] = []
        self.mapped_before = 0

    def install(self) -> None:
        """No connection is opened from here on, and `create_all` makes nothing."""
        from sqlalchemy import MetaData, event
        from sqlalchemy.engine import Engine
        from sqlalchemy.orm import Mapper

        def create_all(metadata: Any, bind: Any = None, tables: Any = None, **_: Any) -> None:  # noqa: ARG001
            chosen = set(metadata.tables.values() if tables is None else tables)
            for mapper, _name, identity in self.mapped:
                if set(mapper.tables) <= chosen:
                    self.created.add(identity)
            self.calls.append(caller())
            self.mapped_before = len(self.mapped)

        event.listen(Mapper, "instrument_class", self._remember)
        no_connection = connections()
        changed: Any = MetaData
        changed.create_all = create_all
        changed = Engine
        changed.connect = lambda engine: no_connection(engine)  # noqa: PLW0108  # a class would not be given the engine
        changed.raw_connection = lambda _: MagicMock()

    def _remember(self, mapper: Any, found: type) -> None:
        path = getattr(sys.modules.get(found.__module__), "__file__", None) or ""
        identity = (resolved(path), found.__module__, found.__qualname__)
        self.mapped.append((mapper, found.__qualname__, identity))

    def states(self) -> dict[tuple[str, str], str]:
        """By file and by module, each with the class."""
        found = {}
        for position, (_, name, (path, module, _)) in enumerate(self.mapped):
            late = position >= self.mapped_before
            made = (path, module, name) in self.created
            state = "created" if made else "late" if late else "elsewhere"
            found[path, name] = found[module, name] = state
        return found


class Done:
    """What can be waited for, and is done."""

    def __await__(self) -> Iterator[None]:
        return iter(())


def connections() -> Callable[[Any], Any]:
    """Such as an empty database has: no query finds a row."""
    from sqlalchemy import util
    from sqlalchemy.engine import Connection, IteratorResult
    from sqlalchemy.engine.result import SimpleResultMetaData
    from sqlalchemy.exc import MissingGreenlet

    wait: Any = getattr(util, "await_", None) or util.await_only

    class NoConnection(Connection):
        def __init__(self, engine: Any) -> None:
            self.engine = engine
            self.dialect = engine.dialect

        def execute(self, *_: Any, **__: Any) -> Any:
            # Where this is an async engine's, it must have waited for something; of the others, some have no greenlets.
            with contextlib.suppress(MissingGreenlet, ImportError, ValueError):
                wait(Done())
            return IteratorResult(SimpleResultMetaData([""]), iter(()))

        exec_driver_sql = execute

        def scalars(self, *_: Any, **__: Any) -> Any:
            return self.execute().scalars()

        def execution_options(self, **_: Any) -> Any:
            return self

        def begin(self) -> Any:
            return MagicMock()

        begin_nested = get_transaction = begin

        def scalar(self, *_: Any, **__: Any) -> Any:
            return self.execute().scalar()

        def nothing(self, *_: Any, **__: Any) -> None:
            """Nothing to do."""

        commit = rollback = close = invalidate = detach = nothing
        __exit__ = nothing

        def in_transaction(self) -> bool:
            return False

        in_nested_transaction = in_transaction

    return NoConnection


def caller() -> str:
    """The owner's file that called `create_all`."""
    frame: Any = sys._getframe()  # noqa: SLF001
    greenlet: Any = sys.modules.get("greenlet")
    above: Any = greenlet.getcurrent().parent if greenlet else None
    while frame or above:
        if not frame:  # an async engine calls in a greenlet, whose first frame knows nobody above it
            frame, above = above.gr_frame, above.parent
            continue
        if is_own(frame.f_code.co_filename):
            return str(frame.f_code.co_filename)
        frame = frame.f_back
    return ""


def is_own(file: str) -> bool:
    path, root = Path(file).resolve(), Path.cwd()
    return path.is_file() and root in path.parents and all(map(is_source, path.relative_to(root).parents))


def resolved(file: str) -> str:
    return str(Path(file).resolve()) if file else ""


def shown(file: str) -> str:
    path, root = Path(file), Path.cwd()
    return path.relative_to(root).as_posix() if root in path.parents else str(path)


# -- running the tool --------------------------------------------------------------------------------------------------


def run(arguments: list[str]) -> None:
    """As `python` would, given these."""
    kind, *rest = arguments
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(rest[0], {"__name__": "__main__"})  # noqa: S102  # the owner's own command
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(kind).resolve().parent)
        runpy.run_path(kind, run_name="__main__")


def told(error: BaseException) -> str:
    """The error, and the owner's line that it came from."""
    if isinstance(error, SystemExit):
        return f"it ended with {error.code or 0}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    where = f"{shown(resolved(own[-1].filename))}:{own[-1].lineno}: " if own else ""
    return where + "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def main(arguments: list[str]) -> None:
    if Path.cwd().parent == Path.cwd():
        sys.exit("the working directory is the whole file system: give the service one of its own")
    recorder = Recorder()
    ended = "it ended"
    with contextlib.redirect_stdout(sys.stderr):
        try:
            recorder.install()
            run(arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # told, and the tool's last lines with it
            ended = told(error)
            if not isinstance(error, SystemExit):
                traceback.print_exception(error)
    states = recorder.states()
    models = []
    for found in Sources(read(Path.cwd())).models():
        module = import_name(found.module.path)
        path = resolved(str(found.module.path))
        state = states.get((path, found.name)) or states.get((module, found.name)) or "missing"
        models.append({"file": shown(path), "line": found.line, "name": found.name, "module": module, "state": state})
    called = [shown(resolved(call)) for call in recorder.calls if call]
    answer = {"reached": bool(recorder.calls), "called": called[-1:], "ended": ended, "models": models}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
