"""Models that no module imports: `create_all` makes their tables only when something has imported them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..detect.findings import Owner, Where
from ..migrators.models_check import Class, Module, Sources, is_never_true
from .looking import Check, Seen, Stack
from .tables import module_of, sources_of

_MOST_FILES = 2000
# Imports by name, of which nobody knows the names.
_DYNAMIC = re.compile(r"\bimport_module\(|\b__import__\(|\bwalk_packages\(|\biter_modules\(|\bload_modules\(")
_MODELS = re.compile(r"__tablename__|\btable\s*=\s*True|\bDeclarativeBase\b|\bdeclarative_base\b|\bSQLModel\b")


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
    modules = _modules(texts)
    models = Sources(modules).models()
    with_models = {model.module.path for model in models}
    roots = [module for module in modules if module.path not in with_models]
    roots += [module for module in modules if str(module.path) == owner.tool.where.file]
    known = _reached(roots, modules)
    return [model for model in models if model.module not in known]


def _modules(texts: Mapping[str, str]) -> list[Module]:
    """Those that may have models, and those that name one of them."""
    names = {_stem(path) for path, text in texts.items() if _MODELS.search(text)}
    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b") if names else _MODELS
    wanted = [(text, path) for path, text in texts.items() if _MODELS.search(text) or named.search(text)]
    return [module for text, path in wanted if (module := module_of(text, path))]


def _stem(path: str) -> str:
    """What an import must name."""
    *folders, file = path.removesuffix(".py").split("/")
    return folders[-1] if file == "__init__" and folders else file


def _reached(roots: Sequence[Module], modules: Sequence[Module]) -> set[Module]:
    """These, and whatever they import, on whatever way. A name that several modules have is taken for all of them."""
    ends: dict[tuple[str, ...], list[Module]] = defaultdict(list)
    for module in modules:
        for start in range(len(module.parts)):
            ends[module.parts[start:]].append(module)
    found: set[Module] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            for path in _imported(module):
                # a package is run before what is in it
                waiting += (each for length in range(1, len(path) + 1) for each in ends.get(path[:length], ()))
    return found


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
