"""Models that `create_all` does not know, and tables that it left behind: as a person meets them."""

from __future__ import annotations

import time

import pytest

from tests.stack import Stack

FORGOTTEN = """
from sqlmodel import Field, SQLModel


class Forgotten(SQLModel, table=True):
    id: int = Field(primary_key=True)
"""


def test_the_sample_registers_all_its_models(stack: Stack) -> None:
    ran = stack.inv("check-models", "--json")

    assert ran.code == 0, ran.err
    assert ran.json == [{"owner": "api", "models": ["AuditLog", "Project", "Task", "Worker"]}]


@pytest.mark.parametrize("task", ["check-models", "migrate"])
def test_a_model_that_nobody_imports_is_named(stack: Stack, task: str) -> None:
    before = stack.fingerprint()
    with stack.added("api/taskflow_api/forgotten.py", FORGOTTEN):
        ran = stack.inv(task)

    assert ran.code == 5
    assert "taskflow_api/forgotten.py:5 Forgotten is never imported" in ran.err
    assert "hint: add import taskflow_api.forgotten  # before create_all, in taskflow_api/tables.py" in ran.err
    assert stack.fingerprint() == before


def test_an_app_that_lost_a_table_is_started_anew_by_a_quick_start(stack: Stack) -> None:
    built = stack.inv("migrate")  # of the sources as they are, which a quick start does not do
    assert built.code == 0, built.err
    before = stack.instances()
    stack.query("drop table audit_log", owner="api")
    waited = stack.inv("wait-apps")
    begun = time.monotonic()
    ran = stack.inv("start", "--quick")
    seconds = time.monotonic() - begun

    assert waited.code == 4, waited.err
    assert "api has lost tables, and api makes them only when it starts" in waited.err
    assert "go on with: inv apps-up wait-apps" in waited.err
    assert ran.code == 0, ran.err
    assert f"starting api anew, as only its start makes {stack.schema('api')}.audit_log" in ran.err
    assert "4 tables of api verified" in ran.err
    after = stack.instances()
    assert [name for name in before if before[name] != after[name]] == ["api"]
    assert seconds < 45, "it waited for what could not happen"


@pytest.mark.only("embedded")  # in an image the sources are those of the build
def test_an_app_that_got_one_more_model_is_started_anew_by_a_quick_start(stack: Stack) -> None:
    line = "from . import models as _models"
    with (
        stack.added("api/taskflow_api/models/extra.py", FORGOTTEN.replace("Forgotten", "Extra")),
        stack.edited("api/taskflow_api/tables.py", line, f"from .models import extra  # noqa: F401\n{line}"),
    ):
        more = stack.inv("start", "--quick")
    stack.query("drop table extra", owner="api")  # by the process that runs it is still asked for
    assert stack.inv("stop").code == 0
    again = stack.inv("start", "--quick")

    assert more.code == 0, more.err
    assert "5 tables of api verified" in more.err
    assert again.code == 0, again.err


def test_a_table_that_lacks_a_column_is_told_before_an_app_starts(stack: Stack) -> None:
    before = stack.fingerprint()
    with stack.edited("api/taskflow_api/models/project.py", "name: str", "owner: str\n    name: str"):
        ran = stack.inv("migrate")

    assert ran.code == 5
    assert (
        f"api: create_all never alters a table that exists: {stack.schema('api')}.project lacks the column owner"
        in ran.err
    )
    assert stack.fingerprint() == before
