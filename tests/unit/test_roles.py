"""Whether a password is the one that a server keeps. Roles and grants themselves are proved on a real server."""

from __future__ import annotations

import pytest

from scripts.bootorder.guard.roles import opens

from .fakes import PASSWORD, VERIFIER

# As PostgreSQL 18's own libpq made them, for a role that a stack could have.
MADE_BY_LIBPQ = {
    "c0rrect-horse": (
        "SCRAM-SHA-256$4096:Ywa63rEwHSyinSkCgGZB0Q==$lTe2Kpdiks+SDBcZKEvokViVepy5cdw1/y+BnO+9LGQ="
        ":CMpH6WdLPnhA41ght9Xxgg5/7VOc4Phd7ZZNX30UlYI="
    ),
    "p\u00e4ss": (
        "SCRAM-SHA-256$4096:eDkptpa4/qaC6MQrJ921GA==$1y7NU74JknlNaI9AY7qOQrKG2hj4HNg/wbB3OhqWTcc="
        ":gaocv9fqrMLXKaNzmal5fa/ny5Za0KfRB4u3k5Io8uU="
    ),
    "p@ss/wo rd%41'\"": (
        "SCRAM-SHA-256$4096:KJ/9RQiWGXg2IUE3SO48yQ==$ij8pplQEjShmCYQFW5AayTa+sMdO9IHXPmJ4IqW52UA="
        ":WvGpYjWL6Cj8P5nc0p6wHO4fJ697UXbgEUG0hGlwoe8="
    ),
    "\u2168 = 9": (  # a Roman numeral, which is prepared as two letters
        "SCRAM-SHA-256$4096:ymE7m9vebYvLddVyhXWaZw==$D8cT0iQAY9HckBA7wYy0O2ARntE8WY/rBimhLUcMzSI="
        ":C3/izfF4nvHWwBOZypBYenCz+DYaUmECZhX8fuLs4Y4="
    ),
}


@pytest.mark.parametrize("password", MADE_BY_LIBPQ)
def test_a_password_opens_what_libpq_made_of_it(password: str) -> None:
    assert opens(password, MADE_BY_LIBPQ[password])


@pytest.mark.parametrize("password", ["", "c0rrect-hors", "C0rrect-horse", "c0rrect-horse "])
def test_another_password_does_not(password: str) -> None:
    assert opens(PASSWORD, VERIFIER)
    assert not opens(password, VERIFIER)


def test_letters_that_are_written_in_two_ways_are_the_same() -> None:
    composed, decomposed = "p\u00e4ss", "pa\u0308ss"

    assert opens(composed, MADE_BY_LIBPQ[composed])
    assert opens(decomposed, MADE_BY_LIBPQ[composed])


@pytest.mark.parametrize(
    "verifier",
    [
        "",
        "md56f0a2c4a4a4a4a4a4a4a4a4a4a4a4a4a",
        PASSWORD,
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096",
        "SCRAM-SHA-256$x:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-512$1:c2FsdA==$AAAA:AAAA",
    ],
)
def test_what_is_kept_in_another_way_is_made_anew(verifier: str) -> None:
    assert not opens(PASSWORD, verifier)
