"""The owners: each schema tool with its name, the service that runs it, the command, and the variable with the URL."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .commands import commands_in, leads_to, parts, run_script, run_tool
from .dockerfiles import stage_of
from .env_files import variables_in
from .files import Repository, is_within, line_at
from .findings import Fact, Owner, Question, Where
from .manifests import Manifests
from .services import Placed
from .tools import SEEDS, TOOLS, Draft, Way, unattended
from .urls import host_of, parts_of, url_of, url_parts, url_variable

# Folders that are called after what every owner has.
_SAYS_NOTHING = {"db", "database", "migrations", "migration", "orm", "prisma", "drizzle", "schema", "sql", "src", "app"}
_SAYS_NOTHING |= {".", "server", "code", "postgres", "flyway", "liquibase", "init", "initdb"}
_IN_A_SERVICE = re.compile(
    r"\b(?:exec|run)[ \t]+(?:-e[ \t]+\S+[ \t]+|-[\w\-]+(?:=\S+)?[ \t]+)*([\w.\-]+)[ \t]+([\w./][^\n\"]*)"
)
_SEED_SCRIPT = re.compile(r"(?:(?:db|database|prisma)[:\-_])?seed(?![a-z])")


@dataclass(frozen=True)
class Known:
    """What was found so far. `services`: each after those that it waits for; `kinds`: of each."""

    repository: Repository
    manifests: Manifests
    services: Sequence[Placed]
    kinds: Mapping[str, str]
    databases: Sequence[str]

    def named(self, name: str) -> Placed | None:
        return next((each for each in self.services if each.name == name), None)

    def with_folder(self, *kinds: str) -> list[tuple[Fact, str]]:
        """The services of these kinds that run a folder of the repository: name, where that is said, and folder."""
        placed = [(each, each.folder) for each in self.services if self.kinds[each.name] in kinds]
        return [(replace(folder, value=each.name), folder.value) for each, folder in placed if folder]

    def is_published(self, name: str) -> bool:
        placed = self.named(name)
        return bool(placed and placed.described.ports)

    def commands_of(self, service: str) -> list[Fact]:
        """What it runs, in this order."""
        placed = self.named(service)
        return [command for command in (placed.entrypoint, placed.command) if command] if placed else []


@dataclass(frozen=True)
class _Candidate:
    """A command of the tool that somebody runs. `service`: where, or empty for a person's machine.

    `by_hand`: a person runs it there, and not the service itself.
    """

    way: Way
    command: Fact
    service: str
    by_hand: bool = False


def owners_of(known: Known, drafts: Sequence[Draft]) -> tuple[list[Owner], list[Question]]:
    """In the order in which they must migrate, as far as the services tell."""
    found: list[tuple[Owner, Sequence[_Candidate]]] = []
    for tool in drafts:
        here = _services_of(known, tool)
        draft = _started(known, tool, here)
        candidates = [*_in_services(known, draft, here), *_by_hand(known, draft, here), *_in_folder(known, draft)]
        chosen, way = _choose(draft, candidates)
        found.append((_owner(known, draft, here, chosen, way), candidates))
    order = {each.name: position for position, each in enumerate(known.services)}

    def position(owner: Owner) -> tuple[int, str]:
        return order.get(owner.service.value if owner.service else "", len(order)), owner.folder

    found.sort(key=lambda each: position(each[0]))
    owners = _with_names([owner for owner, _ in found])
    asked = [_ways(owner, candidates) for owner, (_, candidates) in zip(owners, found, strict=True)]
    return owners, [question for questions in asked for question in questions]


def _started(known: Known, draft: Draft, here: Sequence[Fact]) -> Draft:
    """What makes its tables when its file is run does so for sure where a service runs that very file."""
    file = posixpath.basename(draft.tool.where.file)
    commands = (command for fact in here for command in known.commands_of(fact.value))
    started = next((command for command in commands if file in command.value.split()), None)
    if started and draft.way and draft.way.value == "at start" and draft.way.sure == "likely":
        return replace(draft, way=Fact("at start", started.where), tool=replace(draft.tool, sure="certain"))
    return draft


def _services_of(known: Known, draft: Draft) -> list[Fact]:
    """The services that run its folder; else those whose package needs that of its folder, or whose folder it is in."""
    if draft.service:
        return [draft.service]
    could = known.with_folder("app", "one-off")
    own = [service for service, folder in could if folder == draft.folder]
    if own:
        return own
    package = known.manifests.packages.get(draft.folder)
    needs = [(service, known.manifests.packages.get(folder)) for service, folder in could]
    needed = [
        Fact(service.value, its.needs[package.name].where, "likely")
        for service, its in needs
        if package and its and package.name in its.needs
    ]
    return needed or [service.at_most("likely") for service, folder in could if is_within(draft.folder, folder)]


# -- who runs it -------------------------------------------------------------------------------------------------------


def _in_services(known: Known, draft: Draft, here: Sequence[Fact]) -> Iterator[_Candidate]:
    """What the services of its folder run; those that do their work and end come first."""
    folders = {service.value: folder for service, folder in known.with_folder("app", "one-off")}
    for fact in sorted(here, key=lambda fact: known.kinds.get(fact.value) != "one-off"):
        for command in known.commands_of(fact.value):
            yield from _called(known, draft, folders.get(fact.value, draft.folder), command, fact.value)


def _called(known: Known, draft: Draft, folder: str, command: Fact, service: str) -> Iterator[_Candidate]:
    package = known.manifests.nearest_package(folder)
    own = known.manifests.nearest_package(draft.folder)
    scripts = {**own.scripts, **package.scripts}
    manager = known.manifests.node_manager(draft.folder).manager.value
    for ran in leads_to(known.repository, folder, scripts, command):
        for way in draft.ways_of(ran.text):
            bare = unattended(ran.text)
            text = run_tool(manager, bare) if ran.installed else bare
            yield _Candidate(way, Fact(ran.called if ran.called and bare == ran.text else text, ran.where), service)


def _by_hand(known: Known, draft: Draft, here: Sequence[Fact]) -> Iterator[_Candidate]:
    """`docker compose exec SERVICE ...` in what people run."""
    names = {fact.value for fact in here}
    paths = known.repository.named("Makefile", "makefile", "justfile", "Justfile", "package.json")
    for path in [*paths, *(path for path in known.repository.below(".", ".sh") if path.count("/") <= 1)]:
        text = known.repository.text(path)
        for called in _IN_A_SERVICE.finditer(text):
            command = unattended(called[2].strip("\"' "))
            where = Where(path, line_at(text, called.start()))
            for way in draft.ways_of(command) if called[1] in names and len(parts(command)) == 1 else ():
                yield _Candidate(way, Fact(command, where, "likely"), called[1], by_hand=True)


def _in_folder(known: Known, draft: Draft) -> Iterator[_Candidate]:
    """The scripts of package.json, and shell scripts."""
    tool = TOOLS[draft.tool.value]
    package = known.manifests.nearest_package(draft.folder)
    manager = known.manifests.node_manager(draft.folder).manager.value
    for name, script in package.scripts.items() if tool.language == "node" else ():
        is_wanted = not _is_more(script.value) and unattended(script.value) == script.value
        for way in draft.ways_of(script.value) if is_wanted else ():
            yield _Candidate(way, Fact(run_script(manager, name), script.where), "")
    paths = known.repository.below(draft.folder, ".sh", "")
    files = [
        path for path in paths if path.endswith((".sh", "entrypoint")) and known.manifests.home(path) == draft.folder
    ]
    for line in (line for path in files for line in commands_in(known.repository, path)):
        for part in parts(line.value):
            for way in draft.ways_of(part):
                yield _Candidate(way, Fact(part, line.where, "likely"), "")


def _is_more(script: str) -> bool:
    """It does something else, too, or is for somewhere else."""
    return bool(re.search(r"&&|;|\bnext\b|\btest\b|\.env\.(?:test|prod)", script))


def _choose(draft: Draft, candidates: Sequence[_Candidate]) -> tuple[_Candidate | None, Fact | None]:
    """What a service runs decides; then what the tool's own files suggest; then what there is a script for."""
    if draft.way and draft.way.value == "at start":
        return None, draft.way
    if draft.service and draft.command:
        return None, draft.way
    in_service = [each for each in candidates if each.service and not each.by_hand]
    by_hand = [each for each in candidates if each.by_hand]
    suggested = [each for each in candidates if draft.way and each.way == draft.way.value]
    chosen = next(iter(in_service or by_hand or suggested or candidates), None)
    if chosen is None:
        return None, draft.way
    if chosen.by_hand:
        return chosen, Fact(chosen.way, chosen.command.where, "likely")
    sure = len({each.way for each in candidates}) == 1
    if chosen.service or sure or (draft.way and draft.way.value == chosen.way and draft.way.sure != "guess"):
        return chosen, Fact(chosen.way, chosen.command.where, "certain" if chosen.service else "likely")
    return chosen, Fact(chosen.way, chosen.command.where, "guess")


def _ways(owner: Owner, candidates: Sequence[_Candidate]) -> Iterator[Question]:
    """Two ways are two histories of the tables."""
    ways = {each.way: each for each in reversed(candidates)}
    if len(ways) > 1 and owner.way and owner.way.sure != "certain":
        commands = tuple(ways[way].command.value for way in sorted(ways))
        text = f"{owner.tool.value} of {owner.name.value} can {' or '.join(sorted(ways))}: which one makes your tables?"
        yield Question(f"owners.{owner.name.value}.way", text, commands, owner.way.where)


# -- what is known of it -----------------------------------------------------------------------------------------------


def _owner(known: Known, draft: Draft, here: Sequence[Fact], chosen: _Candidate | None, way: Fact | None) -> Owner:
    service = _service(known, draft, here, chosen)
    environment = _environment(known, draft, service)
    placed = known.named(service.value) if service else None
    url = _url(draft, environment, is_of_service=bool(placed and placed.described.environment))
    settings = dict(draft.settings)
    if url and url.value in environment and environment[url.value].value.startswith("jdbc:"):
        settings["jdbc"] = url
    parts = None if url else url_parts(environment)
    if parts:
        settings["url_parts"] = parts
        file = parts_of(parts.value).get("password_file", "")
        secret = placed.described.secret_at(environment[file].value) if placed and file in environment else None
        if secret and secret.file:
            settings["password_file"] = Fact(secret.file, environment[file].where, environment[file].sure)
    return Owner(
        name=_name(known, draft, here),
        tool=replace(draft.tool, sure="certain") if chosen and chosen.service else draft.tool,
        folder=draft.folder,
        way=way,
        migrate=_migrate(known, draft, chosen, way),
        seed=_seed(known, draft, here),
        service=service,
        users=tuple(fact.value for fact in here),
        database=_database(known, environment, url, host_of(environment)),
        url_variable=url,
        settings=settings,
    )


def _service(known: Known, draft: Draft, here: Sequence[Fact], chosen: _Candidate | None) -> Fact | None:
    """Where its commands run: the service that does so by itself, else the app of its folder."""
    if chosen and chosen.service:
        return next((replace(fact, where=chosen.command.where) for fact in here if fact.value == chosen.service), None)
    if not here:
        return None
    service = min(here, key=lambda fact: (known.kinds.get(fact.value) != "app", not known.is_published(fact.value)))
    is_its_own = (service.value, draft.folder) in [
        (fact.value, folder) for fact, folder in known.with_folder("app", "one-off")
    ]
    # of what has it as a library only, or is built without its packages, nobody knows whether the tool is in its image
    placed = known.named(service.value)
    text = stage_of(known.repository, placed.described.build) if placed and placed.described.build else ""
    has_tool = is_its_own and not re.search(r"^COPY\s.*/standalone\b", text, re.MULTILINE | re.IGNORECASE)
    return service.at_most("certain" if has_tool or draft.service else "guess")


def _name(known: Known, draft: Draft, here: Sequence[Fact]) -> Fact:
    """That of the app of its folder; else of the folder; else of an app that it is in."""
    apps = known.with_folder("app")
    its = [service for service, folder in apps if folder == draft.folder]
    reached = [service for service in its if known.is_published(service.value)]
    own = next(iter(reached or its), None) if len(reached) < 2 else None  # noqa: PLR2004
    folder = posixpath.basename(draft.folder)
    if not own and folder not in _SAYS_NOTHING:
        return Fact(folder, Where(draft.folder), "likely")
    using = [fact for fact in here if known.kinds.get(fact.value) == "app"]
    around = [service for service, its in apps if is_within(draft.folder, its) and draft.tool.value != "sql"]
    for service in (own, *using, *around):
        if service:
            return service.at_most("likely")
    package = known.manifests.packages.get(draft.folder)
    name = posixpath.basename(package.name) if package else ""
    if package and name and name not in _SAYS_NOTHING:
        return Fact(name, package.where_of("name"), "likely")
    return draft.tool.at_most("likely")


def _with_names(owners: Sequence[Owner]) -> list[Owner]:
    """No two have one name: the tool's is added."""
    names = [owner.name.value for owner in owners]
    found: list[Owner] = []
    for owner in owners:
        name = owner.name.value
        if names.count(name) > 1 and any(other.name.value == name for other in found):
            name = f"{name}-{owner.tool.value}"
        number = 2
        while any(other.name.value == name for other in found):
            name, number = f"{owner.name.value}-{owner.tool.value}-{number}", number + 1
        found.append(replace(owner, name=replace(owner.name, value=name)))
    return found


def _migrate(known: Known, draft: Draft, chosen: _Candidate | None, way: Fact | None) -> Fact | None:
    """The command; where nobody calls one, what the tool's manual says."""
    if chosen:
        return chosen.command
    if draft.command:
        return draft.command
    tool = TOOLS[draft.tool.value]
    usual = next((command.usual for name, command in tool.commands.items() if way and name == way.value), None)
    if not usual or way is None:
        return None
    manager = known.manifests.node_manager(draft.folder) if tool.language == "node" else None
    manager = known.manifests.python_manager(draft.folder) if tool.language == "python" else manager
    return Fact(run_tool(manager.manager.value, usual) if manager else usual, way.where, "guess")


def _seed(known: Known, draft: Draft, here: Sequence[Fact]) -> Fact | None:
    """Its script; else what the tool's own files say; else what a service runs after it."""
    tool = TOOLS[draft.tool.value]
    manager = known.manifests.node_manager(draft.folder).manager.value
    package = known.manifests.nearest_package(draft.folder)
    if tool.language == "node":
        names = [name for name in package.scripts if _SEED_SCRIPT.match(name)]
        if names:
            return Fact(run_script(manager, names[0]), package.scripts[names[0]].where, "likely")
        return replace(draft.seed, value=run_tool(manager, draft.seed.value)) if draft.seed else None
    if draft.seed or draft.service or not tool.language:
        return draft.seed
    commands = [command for fact in here for command in known.commands_of(fact.value)]
    called = (ran for each in commands for ran in leads_to(known.repository, draft.folder, package.scripts, each))
    seeds = (ran for ran in called if SEEDS.search(ran.text) and not ran.text.endswith(".sh"))
    return next((Fact(ran.text, ran.where, "likely") for ran in seeds), None)


def _environment(known: Known, draft: Draft, service: Fact | None) -> Mapping[str, Fact]:
    """That of its service; without one what `.env` and its templates say, of its folder and of the root."""
    placed = known.named(service.value) if service else None
    if placed and placed.described.environment:
        return placed.described.environment
    return variables_in(known.repository, [draft.folder, "."])


def _url(draft: Draft, environment: Mapping[str, Fact], *, is_of_service: bool) -> Fact | None:
    """What the tool's configuration reads; it is certain where its service has it, which may make it of its parts."""
    if draft.url and draft.url.value in environment:
        return Fact(draft.url.value, environment[draft.url.value].where)
    given = url_variable(environment)
    held = url_parts(environment)
    if draft.url and draft.url.sure == "certain" and not (held and is_of_service and parts_of(held.value)):
        return draft.url
    return given or (draft.url if draft.url and not held else None)


def _database(known: Known, environment: Mapping[str, Fact], variable: Fact | None, host: Fact | None) -> Fact | None:
    """The service that its URL leads to, or the variable with the host."""
    said = environment.get(variable.value) if variable else None
    url = url_of(said.value) if said else None
    if said and url and url.host in known.databases:
        stands_there = f"@{url.host}" in (said.written or said.value) and said.where.file.endswith((".yaml", ".yml"))
        return Fact(url.host, said.where, "certain" if stands_there else said.sure)
    return host if host and host.value in known.databases else None
