"""The Docker Engine as seen through its SDK: looking, and ending what Compose passes by."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from ..errors import MachineError, command
from ..processes import within

# How long an engine may take to answer before it counts as absent.
_CONNECT_SECONDS = 5
# The same over ssh, which has a connection to make first.
_CONNECT_OVER_SSH_SECONDS = 15
# How long a whole answer may take, from the first byte to the last: to a question, and to a change, as removing a large
# volume on a busy machine. The SDK's own timeout is one for each read.
_LOOK_SECONDS = 60
_WORK_SECONDS = 120
_REFUSED, _GONE, _GOING, _IN_USE, _NOT_KEPT = 400, 404, 409, 409, 501
# Requests at one time. The SDK keeps 10 connections for each URL, and of 25 URLs: with more threads than that it closes
# what another one uses (`'NoneType' object has no attribute 'qsize'`, once in nine boots of 50 services).
_MOST = 10
_AT_ONCE = threading.BoundedSemaphore(_MOST)


class Engine:
    """One connection to the engine that the `docker` command would use."""

    def __init__(self, client: Any) -> None:
        self._api = client.api

    @classmethod
    def connect(cls, seconds: float = _CONNECT_SECONDS) -> Engine:
        """Raises MachineError that tells a missing engine from a forbidden one, at the latest after `seconds`."""
        import docker
        from docker.errors import DockerException

        endpoint = _endpoint()
        limit = max(seconds, _CONNECT_OVER_SSH_SECONDS) if endpoint.get("use_ssh_client") else seconds
        try:
            client = within(limit, lambda: docker.DockerClient(**endpoint, timeout=ceil(limit)))
            client.api.timeout = _WORK_SECONDS
        except TimeoutError:
            raise _unreachable(TimeoutError(f"no whole answer within {limit:g} s")) from None
        except DockerException as error:
            raise _unreachable(error) from None
        return cls(client)

    def version(self) -> str:
        return str(self._ask(self._api.version)["Version"])

    def containers(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Short descriptions, stopped ones included, in one call."""
        return list(self._ask(self._api.containers, all=True, filters=dict(filters)))

    def inspect(self, container: str) -> dict[str, Any] | None:
        """The whole description, or nothing if it went away meanwhile."""
        found: dict[str, Any] | None = self._ask(self._api.inspect_container, container, allow=(_GONE,))
        return found

    @contextlib.contextmanager
    def events(self, filters: Mapping[str, str], actions: Sequence[str]) -> Iterator[Iterator[dict[str, Any]]]:
        """What becomes of containers, from now on and as it happens, until the block is left."""
        wanted = {**filters, "type": "container", "event": list(actions)}
        stream = self._ask(self._api.events, filters=wanted, decode=True)
        try:
            yield stream
        finally:
            stream.close()  # which ends a reader that waits, too

    def log(self, container: str, tail: int) -> str:
        """Nothing where the engine keeps no log (`logging: {driver: none}`)."""
        kept = self._ask(self._api.logs, container, tail=tail, allow=(_GONE, _NOT_KEPT))
        return bytes(kept or b"").decode(errors="replace")

    def start(self, container: str) -> None:
        self._ask(self._api.start, container, seconds=_WORK_SECONDS)

    def stop(self, container: str, seconds: float = _WORK_SECONDS) -> None:
        # A one-off removes itself when it ends, so it may be gone, or going, by now.
        self._ask(self._api.stop, container, timeout=2, allow=(_GONE,), seconds=seconds)

    def remove(self, container: str) -> None:
        """Returns when it is gone: until then its image and its volumes cannot be removed."""
        allow = (_GONE, _GOING)
        self._ask(self._api.remove_container, container, force=True, v=True, allow=allow, seconds=_WORK_SECONDS)
        removed = {"condition": "removed", "timeout": _WORK_SECONDS}
        self._ask(self._api.wait, container, **removed, allow=(_GONE,), seconds=_WORK_SECONDS)

    def volumes(self, filters: Mapping[str, str]) -> list[str]:
        found = self._ask(self._api.volumes, filters=dict(filters))["Volumes"] or []
        return sorted(str(volume["Name"]) for volume in found)

    def remove_volume(self, name: str) -> None:
        self._ask(self._api.remove_volume, name, seconds=_WORK_SECONDS)

    def has_volume(self, name: str) -> bool:
        return self._ask(self._api.inspect_volume, name, allow=(_GONE,)) is not None

    def image_environment(self, tag: str) -> Mapping[str, str]:
        """Return the variables that the image sets; none where there is no such image."""
        found = self._ask(self._api.inspect_image, tag, allow=(_GONE,)) or {}
        pairs = (text.partition("=") for text in (found.get("Config") or {}).get("Env") or [])
        return {name: value for name, _, value in pairs}

    def run_shell(
        self,
        image: str,
        script: str,
        inside: str,
        kind: str,
        source: str,
        labels: Mapping[str, str],
        *,
        writes: bool,
    ) -> tuple[int, str]:
        """Run a script as root on one folder of the host, or one volume. Returns its exit code and what it said.

        `$1` is the path `inside` of it. Nothing else of this machine is mounted, and there is no network. A folder that
        the engine's machine does not have is said as a shell says it: 127.
        """
        from docker.types import Mount

        mount = Mount("/mnt", source, type="bind" if kind == "folder" else "volume", read_only=not writes)
        host = self._api.create_host_config(mounts=[mount], network_mode="none", security_opt=["label=disable"])
        options = {"user": "0", "entrypoint": ["sh", "-c", script, "sh"], "host_config": host, "labels": dict(labels)}
        made = self._ask(self._api.create_container, image, [f"/mnt/{inside}"], allow=(_REFUSED,), **options)
        if made is None:
            return 127, f"{source} is not there"
        try:
            self.start(made["Id"])
            ended = self._ask(self._api.wait, made["Id"], timeout=_WORK_SECONDS, seconds=_WORK_SECONDS)
            return int(ended["StatusCode"]), self.log(made["Id"], 20)
        finally:
            self.remove(made["Id"])

    def remove_image(self, tag: str) -> bool:
        """Whether it went, with what nothing else uses below it; one that somebody's container uses stays."""
        gone = self._ask(self._api.remove_image, tag, allow=(_GONE, _IN_USE), seconds=_WORK_SECONDS)
        return gone is not None

    def image_id(self, tag: str) -> str:
        """The image's digest, or nothing if there is no such image."""
        found = self._ask(self._api.inspect_image, tag, allow=(_GONE,))
        return str(found["Id"]) if found else ""

    def publisher(self, port: int) -> str:
        """Which container publishes this port, if one does."""
        for container in self._ask(self._api.containers, filters={"status": "running"}):
            if any(binding.get("PublicPort") == port for binding in container.get("Ports", [])):
                return f"container {container['Names'][0].lstrip('/')}"
        return ""

    @staticmethod
    def _ask(
        call: Callable[..., Any],
        *arguments: Any,
        allow: Sequence[int] = (),
        seconds: float | None = None,
        **options: Any,
    ) -> Any:
        """Return the whole answer to one request; nothing where the engine answers with a status that is allowed.

        Raises MachineError where that takes longer than these seconds, or a question may take; the wait for other
        requests included.
        """
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        limit = seconds or _LOOK_SECONDS

        def request() -> Any:
            with _AT_ONCE:
                return call(*arguments, **options)

        try:
            return within(limit, request)
        except TimeoutError:
            raise _frozen(limit) from None
        except APIError as error:
            if error.status_code in allow:
                return None
            raise _broken(error) from error
        except (DockerException, RequestException) as error:
            raise _broken(error) from error


def _endpoint() -> dict[str, Any]:
    """Where the `docker` command looks: DOCKER_HOST, else its current context (SDK's from_env knows no contexts)."""
    from docker import ContextAPI
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        return {**kwargs_from_env(), **_ssh(os.environ["DOCKER_HOST"])}
    name = os.environ.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises plain Exception for a file it cannot read
        raise _no_context(name, str(error)) from error
    if context is None:
        raise _no_context(name, "there is none of that name")
    if not context.Host:
        return {}
    return {"base_url": context.Host, "tls": context.TLSConfig or False, **_ssh(context.Host)}


def _ssh(host: str) -> dict[str, bool]:
    # as the `docker` command does it; the SDK would want paramiko
    return {"use_ssh_client": True} if host.startswith("ssh://") else {}


def _no_context(name: str | None, seen: str) -> MachineError:
    return MachineError(
        f"the Docker context {name or 'in use'} cannot be used",
        expected="a context that `docker context ls` shows",
        seen=seen,
        hint="choose another one: `docker context use default`, or unset DOCKER_CONTEXT",
    )


def _unreachable(error: Exception) -> MachineError:
    seen = str(error)
    if "Permission" in seen or "EACCES" in seen:
        return MachineError(
            "the Docker Engine refuses this user",
            expected="a socket this user may use",
            seen=seen,
            hint="add yourself to the `docker` group and log in again, or use rootless Docker",
        )
    return MachineError(
        "no Docker Engine answers",
        expected="a running engine (Docker Desktop, colima, docker.io ...)",
        seen=seen,
        hint=f"start Docker, then see {command('doctor')}",
    )


def _frozen(seconds: float) -> MachineError:
    return MachineError(
        "the Docker Engine does not answer any more",
        expected=f"a whole answer within {seconds:g} s",
        seen="it takes requests and does not answer them, or not to the end",
        hint=f"see whether `docker ps` answers, and start Docker anew; then see {command('doctor')}",
    )


def _broken(error: Exception) -> MachineError:
    return MachineError(
        "the Docker Engine refused a request, or closed the connection",
        seen=str(error),
        hint=f"look whether it still runs: {command('doctor')}",
    )
