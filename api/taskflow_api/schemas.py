"""What goes in and out as JSON."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# One line: PostgreSQL refuses NUL in text, and nobody wants the other control characters in a title.
Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Id = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]  # what fits PostgreSQL's integer
Status = Literal["open", "done"]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")  # a misspelt field is an error, not a change that silently did not happen


class NewProject(_Input):
    """Body of POST /projects."""

    name: Title


class NewTask(_Input):
    """Body of POST /tasks."""

    title: Title
    project_id: Id | None = None
    assignee_id: Id | None = None


class TaskChange(_Input):
    """Body of PATCH /tasks/{id}. Only what was sent counts (model_fields_set): the defaults are never used."""

    title: Title = ""
    assignee_id: Id | None = None
    status: Status = "open"


class _Output(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class WorkerView(_Output):
    """A worker, without the SSO's id."""

    id: int
    name: str
    email: str


class ProjectView(_Output):
    """A project."""

    id: int
    name: str


class TaskView(_Output):
    """A task with the names that a list shows."""

    id: int
    title: str
    project_id: int
    project_name: str
    assignee_id: int | None
    assignee_name: str | None
    status: Status
    created_at: datetime
    completed_at: datetime | None


class AuditView(_Output):
    """A line of the audit trail."""

    id: int
    at: datetime
    actor_name: str
    action: str
    entity: str
    entity_id: int
    detail: str
