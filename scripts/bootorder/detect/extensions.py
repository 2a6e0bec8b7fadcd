"""The extensions of PostgreSQL that init scripts, migrations, schemas and packages ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .files import Repository, line_at
from .findings import Fact, Where
from .manifests import Manifests
from .searching import Sources

_CREATE = re.compile(r"\bcreate\s+extension\s+(?:if\s+not\s+exists\s+)?\\?[\"'`]?([a-z][\w\-]*)", re.IGNORECASE)
_RAILS = re.compile(r"\benable_extension[\s(]+[\"':]+([a-z][\w\-]*)")
_COMMENT = re.compile(r"^\s*(?:--|#|//|\*)")
_DJANGO = re.compile(r"\b(?:CreateExtension\(\s*(?:name=)?[\"']([\w\-]+)[\"']|(\w+)Extension\(\s*\))")
_DJANGO_NAMES: Mapping[str, str] = {
    "BloomIndex": "bloom",
    "Bloom": "bloom",
    "BtreeGin": "btree_gin",
    "BtreeGist": "btree_gist",
    "CIText": "citext",
    "Crypto": "pgcrypto",
    "HStore": "hstore",
    "Trigram": "pg_trgm",
    "Unaccent": "unaccent",
    "Vector": "vector",
}
_PRISMA = re.compile(r"^[ \t]*extensions[ \t]*=[ \t]*\[([^\]]*)\]", re.MULTILINE)
_PRISMA_NAME = re.compile(r"(\w+)(?:\(([^)]*)\))?")
_PRISMA_MAP = re.compile(r"map:\s*\"([^\"]+)\"")
# A package that uses an extension: somebody makes it, or nobody does yet.
_PACKAGES: Mapping[str, str] = {"pgvector": "vector", "geoalchemy2": "postgis", "sqlalchemy-citext": "citext"}
_BUILT_IN = {"plpgsql"}
_MOST_READ = 1000  # SQL files
WORDS = ("CREATE EXTENSION", "create extension", "enable_extension", "Extension(")


def extensions_of(repository: Repository, manifests: Manifests, sources: Sources) -> tuple[Fact, ...]:
    """Each once, where it is first asked for; those that only a package uses last."""
    found: dict[str, Fact] = {}
    for fact in [*_stated(repository, sources), *_used(manifests)]:
        if fact.value not in _BUILT_IN:
            found.setdefault(fact.value, fact)
    return tuple(found.values())


def _stated(repository: Repository, sources: Sources) -> Iterator[Fact]:
    for path in repository.below(".", ".sql")[:_MOST_READ]:
        yield from _matches(path, repository.text(path), _CREATE)
    for path in repository.below(".", ".prisma"):
        yield from _of_prisma(path, repository.text(path))
    for path in sorted({path for word in WORDS for path in sources.with_word(word, ".")}):
        text = repository.text(path)
        yield from _matches(path, text, _CREATE)
        if path.endswith(".rb"):
            yield from _matches(path, text, _RAILS)
        if path.endswith(".py"):
            yield from _of_django(path, text)


def _matches(path: str, text: str, pattern: re.Pattern[str]) -> Iterator[Fact]:
    for found in pattern.finditer(text):
        start = text.rfind("\n", 0, found.start()) + 1
        if not _COMMENT.match(text, start):
            yield Fact(found[1].lower(), Where(path, line_at(text, found.start())))


def _of_django(path: str, text: str) -> Iterator[Fact]:
    if "migrations" not in path.split("/"):
        return
    for found in _DJANGO.finditer(text):
        name = found[1] or _DJANGO_NAMES.get(found[2])
        if name:
            yield Fact(name, Where(path, line_at(text, found.start())))


def _of_prisma(path: str, text: str) -> Iterator[Fact]:
    if "postgresqlExtensions" not in text and "postgresql" not in text:
        return
    for found in _PRISMA.finditer(text):
        for name in _PRISMA_NAME.finditer(found[1]):
            mapped = _PRISMA_MAP.search(name[2] or "")
            yield Fact(mapped[1] if mapped else name[1], Where(path, line_at(text, found.start())))


def _used(manifests: Manifests) -> Iterator[Fact]:
    needs = [package.needs for package in manifests.packages.values()] + list(manifests.python.values())
    for each in needs:
        for package, extension in _PACKAGES.items():
            if package in each:
                yield Fact(extension, each[package].where, "likely")
