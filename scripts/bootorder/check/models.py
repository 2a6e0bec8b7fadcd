"""Models that no module imports: `create_all` makes their tables only when something has imported them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from ..detect.findings import Owner, Where
from ..migrators.models_check import Class, Module, Sources, is_never_true
from .looking import Check, Seen, Stack
from .tables import module_of, sources_of

_MOST_FILES = 5000
# Imports by name, of which nobody knows the names.
_DYNAMIC = re.compile(r"\bimport_module\(|\b__import__\(|\bwalk_packages\(|\biter_modules\(|\bload_modules\(")
_DECLARES = re.compile(r"__tablename__|\btable\s*=\s*True|\bDeclarativeBase\b|\bdeclarative_base\b|\bSQLModel\b")


def _unregistered(stack: Stack) -> Iterator[Seen]:
    for owner in stack.looked.found.owners:
        if owner.tool.value in {"sqlmodel", "sqlalchemy"}:
            for model in _left_out(stack, owner):
                told = f"nothing imports the module of {model.name}: create_all makes no table for it"
                yield Seen(Where(str(model.module.path), model.line), told)


def _left_out(stack: Stack, owner: Owner) -> Sequence[Class]:
    """Models in modules that are imported by nothing, or by such modules only."""
    paths = sources_of(stack, owner, stack.repository.below(owner.folder, ".py"))
    if len(paths) > _MOST_FILES:
        stack.repository.note(owner.folder, f"has more than {_MOST_FILES} Python files: imports were not looked at")
        return []
    texts = {path: stack.repository.text(path) for path in paths}
    if any(_DYNAMIC.search(text) for text in texts.values()):
        return []
    declaring = [module for path, text in texts.items() if _DECLARES.search(text) and (module := module_of(text, path))]
    models = Sources(declaring).models()
    unknown = {model.module for model in models if str(model.module.path) != owner.tool.where.file}
    named = _import_of({_stem(module) for module in unknown})
    others = (module_of(text, path) for path, text in texts.items() if named.search(text))
    with_models = {module.path for module in unknown}
    for module in others if unknown else ():
        if module and module.path not in with_models:
            _follow(module, unknown)
        if not unknown:
            break
    return [model for model in models if model.module in unknown]


def _stem(module: Module) -> str:
    """What an import must name."""
    return module.parts[-1] if module.parts else module.path.stem


def _import_of(names: Iterable[str]) -> re.Pattern[str]:
    """Whether a text may have one; what it imports is looked up only then."""
    some = "|".join(map(re.escape, sorted(names)))
    in_line, in_brackets = "[^\\n]{0,500}", "[^)]{0,5000}"
    return re.compile(rf"\b(?:from|import)\b{in_line}\b(?:{some})\b|\bimport\s*\({in_brackets}\b(?:{some})\b")


def _follow(module: Module, unknown: set[Module]) -> None:
    """Takes out what it imports, and what that imports. A name that several modules have is taken for all of them."""
    waiting = [module]
    while waiting:
        # a package is run before what is in it
        paths = {path[:length] for path in _imported(waiting.pop()) for length in range(1, len(path) + 1)}
        found = [each for each in unknown if any(each.parts[start:] in paths for start in range(len(each.parts)))]
        unknown.difference_update(found)
        waiting += found


def _imported(module: Module) -> Iterator[tuple[str, ...]]:
    """Also by functions, but not what is there for types only."""
    waiting: list[ast.AST] = [module.tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((*module.origin(node), alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and is_never_true(node.test) and "__name__" not in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


CHECKS = (
    Check(
        "unregistered-models",
        "import its module before create_all; `inv check-models` tells what is registered when it runs",
        _unregistered,
    ),
)
