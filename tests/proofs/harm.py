"""What can be done to the machine below a stack: its network is cut and slowed, its clock turned, its disk filled."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.stack import run

SERVER = "127.0.0.2"  # where the database listens, as long as the proxy stands in its place
_CHUNK = 65536


class Proxy:
    """Listens on 127.0.0.1 and passes everything on to the same port of `SERVER`, in a thread of its own."""

    def __init__(self, port: int, delay: float) -> None:
        self._port = port
        self._delay = delay
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.passed = 0  # connections

    @classmethod
    @contextmanager
    def between(cls, port: int, delay: float = 0.0) -> Iterator[Proxy]:
        """`delay`: seconds that each packet takes in each direction."""
        proxy = cls(port, delay)
        thread = threading.Thread(target=proxy._loop.run_forever)
        thread.start()
        try:
            proxy.mend()
            yield proxy
        finally:
            proxy.cut()
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
            thread.join()
            proxy._loop.close()

    def cut(self) -> None:
        """Every connection is reset, and from now on refused."""
        self._run(self._cut())

    def mend(self) -> None:
        self._run(self._listen())

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)

    async def _cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        self._open.add(writer)
        with suppress(OSError):  # the server is not there: the client is told the same
            # The server's rules name the address that its clients come from.
            back, to = await asyncio.open_connection(SERVER, self._port, local_addr=("127.0.0.1", 0))
            self._open.add(to)
            await asyncio.gather(self._pump(reader, to), self._pump(back, writer))
            self._open.remove(to)
        self._open.remove(writer)
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # one of the two ends was cut, or went away
            while part := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay)
                writer.write(part)
                await writer.drain()
        writer.close()


# Python imports this before anything else. What is in C asks the system itself: libfaketime would reach that, too, but
# its release 0.9.10 makes every `time.sleep` fail.
_TURNED = """
import time

true = time.time


def turned():
    with open({file!r}) as by:
        return true() + float(by.read())


time.time = turned
time.time_ns = lambda: int(turned() * 10**9)
"""


class Clock:
    """The wall clock of a task, which can be turned. Seconds that are only counted go on as they were."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._before_all = folder / "before all"
        self._before_all.mkdir(exist_ok=True)
        text = _TURNED.format(file=str(self._file))
        (self._before_all / "sitecustomize.py").write_text(text, encoding="utf-8")
        self._require_to_be_believed()

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._before_all)}

    def turn(self, hours: int) -> None:
        """To the true time and so much."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(hours * 3600), encoding="utf-8")
        fresh.replace(self._file)

    def _require_to_be_believed(self) -> None:
        """A jump that nobody sees proves nothing."""
        ask = [sys.executable, "-c", "import time; print(time.time() - time.monotonic())"]
        shown = []
        for hours in (-24, 0):
            self.turn(hours)
            shown.append(float(run(ask, env={**os.environ, **self.environment}).out))
        assert shown[1] - shown[0] > 80_000, f"the clock cannot be turned: {shown}"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """What is in the folder, on a disk of its own."""
    owner, aside = folder.stat(), folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    options = f"size=160m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
        shutil.rmtree(aside)
