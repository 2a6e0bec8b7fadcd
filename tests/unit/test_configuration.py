"""The files of settings and the environment, as the command line reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bootorder.configuration import Configuration
from scripts.bootorder.errors import SettingsError

SMALL = "bootorder: {database: {wait: 5}, runtime: compose}\n"


def load(folder: Path, text: str | bytes, name: str = "invoke.yaml") -> Configuration:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    config = Configuration(project_location=folder, user_prefix=f"{folder}/user.", system_prefix=f"{folder}/system.")
    config.load_project()
    return config


def refusal(folder: Path, text: str | bytes, name: str = "invoke.yaml") -> str:
    """Message, what was seen, and the hint: what a person reads, each in one line."""
    with pytest.raises(SettingsError) as caught:
        load(folder, text, name)
    error = caught.value
    lines = [error.message, error.seen, error.hint]
    assert not [line for line in lines if "\n" in line]
    assert error.exit_code == 2
    return "\n".join(lines)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL)["bootorder"]["database"]["wait"] == 5
    assert load(tmp_path, "\ufeff" + SMALL)["bootorder"]["runtime"] == "compose", "as Windows begins a file"
    assert load(tmp_path, "# nothing\n").get("bootorder") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "invoke.yaml has a key twice: `b`, in line 2 and line 4"),
        ("a: {b: 1, b: 1}\n", "invoke.yaml has a key twice: `b`, in line 1 and line 1"),
        ("a:\n\tb: 1\n", "line 2, column 1: found character '\\t'"),
        ("a:\n\tb: 1\n", "indent invoke.yaml with spaces, not with tabs"),
        ("- a\n- b\n", "invoke.yaml is not a mapping\na list"),
        ("text", "invoke.yaml is not a mapping\n'text'"),
        ("a: 1\nb: ä\n".encode("latin-1"), "invoke.yaml is not text in UTF-8\nline 2: byte 0xe4"),
        ("a: 1\n".encode("utf-16"), "invoke.yaml is not text in UTF-8"),
        ("a: \x01\n", "invoke.yaml is not YAML\nunacceptable character"),
        ("a: [1\n", "invoke.yaml is not YAML\nline 2, column 1: "),
        ("a: !mine 1\n", "could not determine a constructor for the tag '!mine'"),
        ("a: 2024-99-99\n", "invoke.yaml is not YAML\nmonth must be in 1..12"),
        (f"a: {'[' * 1000}{']' * 1000}\n", "invoke.yaml is nested too deeply"),
        ("".join(f"{' ' * level}a:\n" for level in range(1000)), "invoke.yaml is nested too deeply"),
        (f"a: {'[' * 60}{']' * 60}\n", "invoke.yaml is nested too deeply"),
        ("a: &here [*here, *here]\n", "invoke.yaml is nested too deeply"),
    ],
    ids=str,
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_key_that_a_merged_mapping_has_too_is_not_twice(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nmore: &more {<<: *base, a: 3}\nmost: {<<: *more, a: 4}\nother: {a: 5}\n"

    assert load(tmp_path, text)["most"] == {"a": 4, "b": 2}


def test_an_anchor_counts_where_it_is_used(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]

    assert len(load(tmp_path, "\n".join(lines[:10]))["a9"]) == 2
    assert refusal(tmp_path, "\n".join(lines)).startswith("invoke.yaml is too large")


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"a": 1, "a": 2}', "invoke.json has a key twice: `a`"), ('{"a": 1,}', "invoke.json is not JSON")],
)
def test_json_is_read_as_strictly(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text, "invoke.json")


def test_what_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "invoke.yaml").mkdir()

    with pytest.raises(SettingsError, match=r"invoke\.yaml cannot be read"):
        Configuration(project_location=tmp_path).load_project()


def test_a_file_elsewhere_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / ".invoke.yaml").write_text("[", encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        Configuration(user_prefix=f"{tmp_path}/.")

    assert caught.value.message == f"{tmp_path}/.invoke.yaml is not YAML"


# -- the order ---------------------------------------------------------------------------------------------------------


def test_the_environment_wins_over_the_project_and_a_file_by_flag_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given.yaml").write_text("bootorder: {runtime: auto}\n", encoding="utf-8")
    monkeypatch.setenv("INVOKE_BOOTORDER_RUNTIME", "embedded")
    monkeypatch.setenv("INVOKE_BOOTORDER_LAYOUT", "schemas")
    monkeypatch.setenv("INVOKE_BOOTORDER_COMPOSE", "a.yaml b.yaml")  # of a list Invoke itself would make an error
    monkeypatch.setenv("INVOKE_RUN_ECHO", "1")

    config = load(tmp_path, SMALL.replace("}\n", ", compose: [c.yaml]}\n"))
    config.load_shell_env()
    compose = ["a.yaml", "b.yaml"]
    assert config["bootorder"] == {
        "database": {"wait": 5},
        "runtime": "embedded",
        "layout": "schemas",
        "compose": compose,
    }
    assert config["run"]["echo"] is True, "what is Invoke's stays Invoke's"

    config.set_runtime_path(tmp_path / "given.yaml")
    config.load_runtime()
    assert config["bootorder"]["runtime"] == "auto"
    assert config["bootorder"]["layout"] == "schemas"


def test_where_the_file_has_no_part_of_ours_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOKE_BOOTORDER_NONSENSE", "1")

    load(tmp_path, "run: {echo: true}\n").load_shell_env()


def test_what_a_file_has_instead_of_a_part_is_left_to_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOKE_BOOTORDER_DATABASE_WAIT", "5")

    config = load(tmp_path, "bootorder: {database: text}\n")
    config.load_shell_env()

    assert config["bootorder"]["database"] == "text"
