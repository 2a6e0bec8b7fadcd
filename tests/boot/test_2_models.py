"""Models that `create_all` does not know, and tables that it left behind: as a person meets them."""

from __future__ import annotations

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
