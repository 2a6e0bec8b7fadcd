"""Names and texts as people and tools come to write them, for the property tests; and what every refusal must have."""

from __future__ import annotations

from hypothesis import strategies as st

from scripts.bootorder.errors import SettingsError

# What somebody's quoting, formatting, globbing or parsing takes for its own.
SPECIAL = "'\"`\\%{}$()[]<>|&;:,.?*/#~!@=+- \t\n\r\v\x1b\x85\u00a0\u00ad\u2028\ufeff"
# Letters that change with case, width or composition, of one to four bytes.
LETTERS = "aAbz09_äÄßİıÅﬁＡé\u0301عربي日本🜁"

odd_characters = st.sampled_from(LETTERS + SPECIAL)
odd_text = st.text(odd_characters, max_size=40)


def fitting(text: str) -> bool:
    """Whether PostgreSQL takes it as a name whole."""
    return 0 < len(text.encode()) <= 63


possible_names = st.text(odd_characters, min_size=1, max_size=30).filter(fitting)
# Some cannot be: they are PostgreSQL's own, or longer than it allows.
odd_names = st.one_of(
    possible_names,
    possible_names,
    st.sampled_from(["a-b", "a.b", "A_B", "public", "PG_x", "pg_x", "none", "$user"]),
    st.text(odd_characters, min_size=1, max_size=80),
)

# Every hint begins with one of these.
_VERBS = {"choose", "correct", "give", "remove", "rename", "set", "shorten", "use", "write"}


def is_a_refusal(error: SettingsError) -> None:
    """It says what is wrong and what to do, and ends the task with its own exit code."""
    assert error.message.strip()
    assert len(error.message) < 2000, "a person reads it"
    assert error.hint.split()[0].rstrip(",") in _VERBS, error.hint
    assert error.exit_code == 2
