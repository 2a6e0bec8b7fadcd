"""`.venv`, the virtualenv of the tasks: makes it where it is missing or out of date, and goes on in it.

`./inv` and `inv.cmd` run this file; plain `inv` and `nox` import it, in whatever virtualenv they are. So it needs
nothing but the standard library, and no newer Python than 3.8, to say that a newer one is needed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

_MAIN = Path(__file__).with_name("__main__.py")
_WANTED = Path(__file__).with_name("requirements.txt")
_INSTALLED = VENV / "requirements.txt"  # a copy of what was installed, written last
_LOCK = ROOT / ".bootorder" / "venv.lock"
_LOCK_LIMIT = 600  # seconds
_WAS_TRIED = "BOOTORDER_VENV_WAS_TRIED"  # set: whatever came of it, .venv is not made once more
_SUITS = "import sys, venv, ensurepip; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))"


def is_ready() -> bool:
    """Whether .venv has a Python, and what the tasks require was installed to the end."""
    try:
        return os.access(PYTHON, os.X_OK) and _INSTALLED.read_bytes() == _WANTED.read_bytes()
    except OSError:
        return False


def is_in_venv() -> bool:
    return os.path.realpath(sys.prefix) == os.path.realpath(VENV)


def require_ready(arguments: Sequence[str]) -> None:
    """Within .venv: make it anew where it is out of date, and go on there with these arguments.

    Its Python may be a newer one by now, which looks for packages in another folder.
    """
    if os.environ.pop(_WAS_TRIED, "") or not is_in_venv():
        return
    if not (is_ready() and any(folder.startswith(sys.prefix) for folder in sys.path)):
        with contextlib.suppress(OSError):
            _INSTALLED.unlink()
        # Not by this Python: on Windows a program that runs cannot be replaced.
        _become([_base_python(), "-I", __file__, *arguments], {_WAS_TRIED: "yes"})


def run_tasks(arguments: Sequence[str]) -> NoReturn:
    """Run the tasks in .venv in place of this process. Makes .venv first, or ends with the reason why it cannot."""
    was_made = ensure()
    _become([str(PYTHON), str(_MAIN), *arguments], {_WAS_TRIED: "yes"} if was_made else {})


def ensure() -> bool:
    """Make .venv if it is not ready; whether it was made. Ends the program where that cannot be done."""
    if is_ready():
        return False
    try:
        python, version = _find_python()
        with _one_at_a_time() as lock:
            if is_ready():  # by another task, which this one waited for
                return False
            _say(f"making .venv with Python {version} (first use, or its requirements changed)")
            _make(python, lock)
            return True
    except KeyboardInterrupt:
        _say("interrupted while .venv was made; the next use makes it anew")
        raise SystemExit(130) from None


# -- plain Invoke and nox ----------------------------------------------------------------------------------------------


def plain_invoke() -> Any:
    """Invoke's own program, where it is what runs (`inv`, `invoke`, `python -m invoke`); else nothing."""
    program = getattr(sys.modules.get("invoke.main"), "program", None)
    return program if program is not None and program.argv else None


def enter_from_invoke() -> None:
    """Called by tasks.py: where plain `inv` loads it, go on as `./inv` does, in .venv.

    Invoke loads tasks.py before it reads invoke.yaml and the flags of tasks, so nothing was said or done by now. What
    only shows the tasks needs no .venv; where that fails, the packages of .venv say why.
    """
    program = plain_invoke()
    if program is None:
        return
    os.environ["BOOTORDER_COMMAND"] = typed(program.argv[0])
    if sys.version_info >= (3, 11) and _only_shows(program):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{__package__}.program").main()
    run_tasks(program.argv[1:])


def typed(program: str) -> str:
    """The command as a person types it, from the path of the program."""
    name = Path(program).stem
    return "python -m invoke" if name == "__main__" else name


def _only_shows(program: Any) -> bool:
    """By what Invoke has read so far: its own flags, and the rest as it was typed."""
    core, rest = program.args, program.core.unparsed
    return bool(core.list.value or core.help.value or core.complete.value or not {"-h", "--help"}.isdisjoint(rest)) or (
        not rest
    )


def run_task(flags: Sequence[str], task: str, given: Mapping[str, object]) -> int:
    """Run one task in .venv, as a child of a plain `inv` that has tasks of other people too; its exit code."""
    ensure()
    os.environ.setdefault("BOOTORDER_COMMAND", typed(sys.argv[0]))
    return _run_child([str(PYTHON), str(_MAIN), *flags, task, *as_flags(given)], {})


def as_flags(given: Mapping[str, object]) -> list[str]:
    """Parameters of a task as its command line has them."""
    found = []
    for name, value in given.items():
        flag = f"--{name.strip('_').replace('_', '-')}"
        values = value if isinstance(value, (list, tuple)) else [value]
        found += [flag if one is True else f"{flag}={one}" for one in values]
    return found


def enter_from_nox(oldest: str) -> None:
    """Called by noxfile.py: go on in .venv, which has the nox that is pinned and what the sessions import.

    Listing needs nothing of it, with a nox that is not older than this.
    """
    if is_in_venv() or "_ARGCOMPLETE" in os.environ:
        return
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, after = sys.argv[1:end], sys.argv[end:]
    if {"-l", "--list", "--list-sessions"}.isdisjoint(given) or not is_nox_as_new_as(oldest):
        ensure()
        # The last one counts. nox has changed its folder by now, from which the path that was typed leads elsewhere.
        given += ["--noxfile", str(ROOT / "noxfile.py")]
        _become([str(PYTHON), "-m", "nox", *given, *after])


def is_nox_as_new_as(oldest: str) -> bool:
    from importlib.metadata import version

    return _numbers(version("nox")) >= _numbers(oldest)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


# -- making it ---------------------------------------------------------------------------------------------------------


def _find_python() -> tuple[str, str]:
    """The Python to make .venv with, and its version: that of PYTHON, else the newest on PATH, else this one."""
    named = (os.environ.get("PYTHON", ""), "python3.14", "python3.13", "python3.12", "python3.11")
    for name in (*named, _base_python(), "python3", "python"):
        path = shutil.which(name) if name else None
        if path is None or Path(path).parent == PYTHON.parent:  # of the .venv that is to be replaced
            continue
        with contextlib.suppress(OSError):
            asked = subprocess.run([path, "-I", "-c", _SUITS], capture_output=True, text=True, check=False)
            if asked.returncode == 0:
                return path, asked.stdout.strip()
    raise _refusal(
        "no Python 3.11 or newer with venv was found",
        "install one (Debian and Ubuntu: python3 and python3-venv), or set PYTHON to its path",
    )


def _base_python() -> str:
    """The Python that runs this, outside its virtualenv."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _make(python: str, lock: int) -> None:
    ended, said = _run([python, "-I", "-m", "venv", "--clear", str(VENV)], lock)
    if ended:
        raise _unwritable(said)
    install = ["install", "--require-hashes", "--requirement", str(_WANTED)]
    ended, said = _run([str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "--quiet", *install], lock)
    if ended:
        hint = "connect to the network (or set pip's index or proxy), then run this again"
        if "CERTIFICATE_VERIFY_FAILED" in said or "certificate verify failed" in said:
            hint = "let pip trust the CA of your network's proxy: export PIP_CERT=/path/to/ca.pem, then run this again"
        raise _refusal("the packages of the tasks could not be installed", hint, said)
    try:
        shutil.copyfile(_WANTED, _INSTALLED)
    except OSError as error:
        raise _unwritable(str(error)) from None


def _run(argv: Sequence[str], lock: int) -> tuple[int, str]:
    """Exit code and output. The child holds the lock too: it may go on for a moment after this process was killed."""
    kept = {} if os.name == "nt" else {"pass_fds": (lock,)}
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **kept,  # type: ignore[call-overload]
    ) as child:
        try:
            said, _ = child.communicate()
        except KeyboardInterrupt:
            child.terminate()
            raise
    return child.returncode, said


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[int]:
    """A lock, as a second task would empty the folder that the first one fills; freed with its last holder."""
    try:
        _LOCK.parent.mkdir(exist_ok=True)
        lock = _LOCK.open("ab")
    except OSError as error:
        raise _unwritable(str(error)) from None
    with lock:
        if not _is_locked_by_us(lock.fileno()):
            _say("waiting for another task, which makes .venv")
            end = time.monotonic() + _LOCK_LIMIT
            while not _is_locked_by_us(lock.fileno()):
                if time.monotonic() > end:
                    raise _refusal(
                        f"another task has been making .venv for {_LOCK_LIMIT // 60} minutes",
                        f"see who holds {_LOCK}, end it, then run this again",
                        code=7,
                    )
                time.sleep(0.05)
        yield lock.fileno()


def _is_locked_by_us(lock: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# -- going on ----------------------------------------------------------------------------------------------------------


def _become(argv: Sequence[str], more: Mapping[str, str] | None = None) -> NoReturn:
    """This program in place of the one that runs; on Windows, which has no such thing, as its child."""
    if os.name == "nt":
        raise SystemExit(_run_child(argv, more or {}))
    _flush()
    os.execve(argv[0], list(argv), {**os.environ, **(more or {})})  # noqa: S606


def _run_child(argv: Sequence[str], more: Mapping[str, str]) -> int:
    """Its exit code. Ctrl-C reaches it from the terminal; other requests to end are passed on, and it is waited for."""
    _flush()
    with subprocess.Popen(argv, env={**os.environ, **more}) as child:
        before = {number: signal.getsignal(number) for number in _requests_to_end()}
        for number in before:
            signal.signal(number, lambda sent, _: None if sent == signal.SIGINT else child.send_signal(sent))
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _flush() -> None:
    """What was printed before stands before what the other program prints."""
    sys.stdout.flush()
    sys.stderr.flush()


def _requests_to_end() -> list[signal.Signals]:
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for name in names if signal.getsignal(number := signal.Signals[name]) is not signal.SIG_IGN]


def _unwritable(said: str) -> SystemExit:
    where = f".venv could not be made in {ROOT}"
    return _refusal(where, "make the folder writable, and see that the disk has room", said)


def _refusal(message: str, hint: str, said: str = "", code: int = 3) -> SystemExit:
    """As errors.py would say it, of which nothing can be imported yet."""
    if said.strip():
        _say(said.rstrip())
    _say(f"error: {message}\n  hint: {hint}")
    return SystemExit(code)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    run_tasks(sys.argv[1:])
