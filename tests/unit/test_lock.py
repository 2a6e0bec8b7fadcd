from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scripts.bootorder.errors import BootError, LockedError
from scripts.bootorder.lock import exclusive


def test_the_second_one_is_refused_at_once_and_told_who_holds_it(tmp_path: Path) -> None:
    with exclusive(tmp_path, "start"), pytest.raises(LockedError) as caught, exclusive(tmp_path, "clean"):
        pass

    assert caught.value.exit_code == 7
    assert "`start`" in caught.value.seen
    assert f"pid {os.getpid()}" in caught.value.seen


def test_the_holder_keeps_the_lock_when_another_was_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path, "start"):
        for _ in range(2):
            with pytest.raises(LockedError, match="another task"), exclusive(tmp_path, "clean"):
                pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for doing in ("start", "clean"):
        with exclusive(tmp_path, doing):
            pass


@pytest.mark.parametrize("end", [KeyboardInterrupt, LockedError, ValueError])
def test_the_lock_is_free_again_however_its_holder_ends(tmp_path: Path, end: type[BaseException]) -> None:
    error = LockedError("x", hint="wait") if end is LockedError else end()
    with pytest.raises(end), exclusive(tmp_path, "start"):
        raise error

    with exclusive(tmp_path, "clean"):
        pass


def test_the_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    with exclusive(tmp_path / "deep" / "state", "start"):
        assert (tmp_path / "deep" / "state").is_dir()


@pytest.mark.parametrize("text", [None, "", '{"doing": "sta', "[]", "{}", '"x"', "\xff"])
def test_a_holder_that_has_not_written_its_name_yet_still_refuses(tmp_path: Path, text: str | None) -> None:
    with exclusive(tmp_path, "start"):
        holder = tmp_path / "holder.json"
        holder.unlink()
        if text is not None:
            holder.write_text(text, encoding="latin-1")
        with pytest.raises(LockedError), exclusive(tmp_path, "clean"):
            pass


def test_a_full_disk_is_passed_on_in_its_own_words_and_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        with pytest.raises(BootError) as caught, exclusive(tmp_path, "start"):
            pass

    assert "No space left on device" in caught.value.message + caught.value.seen
    with exclusive(tmp_path, "start"):
        pass


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".bootorder").write_text("a file where the folder belongs", encoding="utf-8")

    with pytest.raises(BootError, match=r"\.bootorder"), exclusive(tmp_path / ".bootorder", "start"):
        pass
