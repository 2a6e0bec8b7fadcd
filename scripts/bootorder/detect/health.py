"""Where a service tells that it is well: what its container asks, else a route in its sources that is called so."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from .dockerfiles import image_of
from .files import Repository, is_within, line_at
from .findings import Fact, Sure, Where
from .manifests import Manifests
from .searching import Sources
from .services import Placed

# `http://localhost:8000/health` in whatever command; a path of its own only behind a host.
_ASKED = re.compile(
    r"(?:https?://)?(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|\$\{?HOSTNAME\}?)(?::[\w${}:\-]+)?(/[\w./\-]*)"
)
_WORD = r"(?:health(?:[-_]?checks?)?|healthz|readyz?|readiness|livez|liveness|ping|up)"
_PATH = rf"/?(?:[\w\-]+/){{0,4}}{_WORD}/?"
_DECORATED = re.compile(
    r"(?:@(\w+)\.(?:get|route|api_route|head)|\b(\w+)(?:\.router)?\.add_(?:get|route|api_route|url_rule))\("
    rf"\s*[\"']({_PATH})[\"']"
)
_PREFIX = re.compile(r"APIRouter\([^)]{0,300}?prefix\s*=\s*[\"']([\w/\-]*)[\"']")
_DJANGO = re.compile(rf"\b(?:re_)?path\(\s*r?[\"']\^?({_PATH})\$?[\"']")
_CALLED = re.compile(
    r"(?:\b(\w+)|\)\s*)\.(?:get|all|use|route|GET|HandleFunc|Handle|Get|MapGet|MapHealthChecks)\("
    rf"\s*[\"'`](?:GET )?({_PATH})[\"'`]"
)
_NEST = re.compile(rf"@Controller\(\s*[\"'`]({_PATH})[\"'`]")
_GLOBAL_PREFIX = re.compile(r"setGlobalPrefix\(\s*[\"'`]([\w/\-]+)[\"'`]")
_RAILS = re.compile(rf"\bget\s*\(?[\"']({_PATH})[\"']")
_SERVES = re.compile(r"\b(?:serve|listen)\(")
# What runs the whole app; another name may be a part of it that is mounted elsewhere.
_APPS = {"app", "application", "server", "fastify", "api", "mux", "http", "e", "r", "echo", "express", "hono", "elysia"}
_FILE_ROUTE = re.compile(
    rf"(?:^|/)(?:app|src/routes|routes)/((?:[\w()@\[\]\-]+/)*{_WORD})/(?:route|\+server)\.[jt]sx?$"
    rf"|(?:^|/)pages/(api/(?:[\w\-]+/)*{_WORD})(?:/index)?\.[jt]sx?$"
    rf"|(?:^|/)server/(?:routes/|(?=api/))((?:[\w\-]+/)*{_WORD})(?:\.get)?\.[jt]s$"
)
_WORDS = ("health", "ready", "readiness", "live", "ping")  # best first
_MOST_FILES = 200


def health_of(
    placed: Placed, repository: Repository, manifests: Manifests, sources: Sources, *, among: Sequence[Placed]
) -> Fact | None:
    """`among`: what may answer at the routes of its folder, and is no worker beside that; of several it is a guess."""
    service = placed.described
    if service.health_test and (found := _asked(service.health_test)):
        return found
    test = image_of(repository, service.build).health
    if test and (found := _asked(test)):
        return found
    if placed.folder is None or placed not in among:
        return None
    routes = list(routes_in(placed.folder.value, repository, manifests, sources))
    best = min(routes, key=_best) if routes else None
    return best.at_most("guess") if best and len(among) > 1 else best


def _asked(test: Fact) -> Fact | None:
    found = _ASKED.search(test.value)
    return Fact(found[1], test.where, test.sure) if found else None


def _best(route: Fact) -> tuple[bool, int, int, int, Where]:
    """The surest; of those what is called health, or says that it is ready; then the shortest."""
    rank = next((place for place, word in enumerate(_WORDS) if word in route.value), len(_WORDS))
    return route.sure == "guess", rank, route.value.count("/"), len(route.value), route.where


def routes_in(folder: str, repository: Repository, manifests: Manifests, sources: Sources) -> Iterator[Fact]:
    """Routes of that folder, but not those of other packages within it."""
    others = [each for each in manifests.folders if each != folder and is_within(each, folder)]

    def is_its_own(path: str) -> bool:
        return not any(is_within(path, other) for other in others)

    for path in repository.below(folder, ".ts", ".tsx", ".js", ".jsx"):
        found = _FILE_ROUTE.search(f"/{path}")
        if found and is_its_own(path):
            route = next(filter(None, found.groups()))
            yield Fact("/" + re.sub(r"\([^)]*\)/", "", route), Where(path), "likely")
    files = dict.fromkeys(
        path for word in ("health", "/ready", "/livez", "/ping") for path in sources.with_word(word, folder)
    )
    prefix = _nest_prefix(folder, repository, sources)
    for path in [path for path in files if is_its_own(path)][:_MOST_FILES]:
        yield from _routes(repository.text(path), path, prefix)
    for path in repository.named("routes.rb"):
        if is_within(path, folder) and is_its_own(path):
            for match in _RAILS.finditer(repository.text(path)):
                yield _fact(match[1], path, repository.text(path), match.start(), "likely")


def _nest_prefix(folder: str, repository: Repository, sources: Sources) -> str:
    """What NestJS puts before every route."""
    texts = (repository.text(path) for path in sources.with_word("setGlobalPrefix", folder))
    return next((found[1].strip("/") + "/" for text in texts if (found := _GLOBAL_PREFIX.search(text))), "")


def _routes(text: str, path: str, nest_prefix: str) -> Iterator[Fact]:
    ending = posixpath.splitext(path)[1]
    if ending == ".py":
        prefix = _PREFIX.search(text)
        for match in _DECORATED.finditer(text):
            whole = (match[1] or match[2]) in _APPS
            route = match[3] if whole or not prefix else prefix[1].rstrip("/") + "/" + match[3].lstrip("/")
            yield _fact(route, path, text, match.start(), "likely" if whole else "guess")
        for match in _DJANGO.finditer(text):
            yield _fact(match[1], path, text, match.start(), "likely")
    elif ending != ".rb":
        for match in _CALLED.finditer(text):
            # without a name it is one of a chain, `new Hono().get(...)`
            is_whole = match[1] in _APPS if match[1] else bool(_SERVES.search(text))
            yield _fact(match[2], path, text, match.start(2), "likely" if is_whole else "guess")
        for match in _NEST.finditer(text):
            yield _fact(nest_prefix + match[1].lstrip("/"), path, text, match.start(), "likely")


def _fact(route: str, path: str, text: str, offset: int, sure: Sure) -> Fact:
    return Fact("/" + route.lstrip("/"), Where(path, line_at(text, offset)), sure)
