"""Tasks."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, status
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ..audit import record
from ..database import Row, find_or_insert
from ..dependencies import Caller, Session
from ..models import Project, Task, Worker
from ..schemas import NewTask, Status, TaskChange, TaskView
from .paging import MOST, Limit, Offset

router = APIRouter(tags=["tasks"])


@router.get("/tasks")
async def tasks(_caller: Caller, session: Session, limit: Limit = MOST, offset: Offset = 0) -> list[TaskView]:
    """List the tasks, newest first."""
    query = (
        select(Task, Project.name, Worker.name)
        .join(Project, col(Task.project_id) == col(Project.id))
        .outerjoin(Worker, col(Task.assignee_id) == col(Worker.id))
        .order_by(col(Task.id).desc())
        .limit(limit)
        .offset(offset)
    )
    return [_view(task, project, assignee) for task, project, assignee in await session.exec(query)]


@router.post("/tasks", status_code=status.HTTP_201_CREATED)
async def new_task(body: NewTask, caller: Caller, session: Session) -> TaskView:
    """Make a task, in the project called Inbox when none is given."""
    if body.project_id is None:
        project, is_new = await find_or_insert(session, Project, "name", name="Inbox")
        if is_new:
            await record(session, caller, "created", project, f"name: {project.name}")
    else:
        project = await _existing(session, Project, body.project_id)
    assignee = await _assignee(session, body.assignee_id)
    task = Task(title=body.title, project_id=project.id, assignee_id=body.assignee_id)
    session.add(task)
    await record(session, caller, "created", task, f"title: {task.title}")
    return _view(task, project.name, _name(assignee))


@router.patch("/tasks/{task_id}")
async def change_task(
    task_id: Annotated[int, Path(ge=1, le=2**31 - 1)], body: TaskChange, caller: Caller, session: Session
) -> TaskView:
    """Change what was sent; what is so already changes nothing and leaves no trace."""
    # Locked, so that of two who complete it at once one changes it and the other finds it done.
    task = await session.get(Task, task_id, with_for_update=True)
    if task is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no task {task_id}")
    assignee = await _assignee(session, task.assignee_id)
    changes = []
    if "title" in body.model_fields_set and body.title != task.title:
        changes.append(f"title: {task.title} → {body.title}")
        task.title = body.title
    if "assignee_id" in body.model_fields_set and body.assignee_id != task.assignee_id:
        before, assignee = assignee, await _assignee(session, body.assignee_id)
        changes.append(f"assignee: {_name(before) or 'nobody'} → {_name(assignee) or 'nobody'}")
        task.assignee_id = body.assignee_id
    if "status" in body.model_fields_set and body.status != _status(task):
        changes.append(f"status: {_status(task)} → {body.status}")
        task.completed_at = datetime.now(UTC) if body.status == "done" else None
    if changes:
        await record(session, caller, "updated", task, "; ".join(changes))
    project = await session.get_one(Project, task.project_id)
    return _view(task, project.name, _name(assignee))


async def _existing(session: AsyncSession, model: type[Row], row_id: int) -> Row:
    row = await session.get(model, row_id)
    if row is None:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"no {model.__tablename__} {row_id}")
    return row


async def _assignee(session: AsyncSession, worker_id: int | None) -> Worker | None:
    return None if worker_id is None else await _existing(session, Worker, worker_id)


def _name(worker: Worker | None) -> str | None:
    return worker.name if worker else None


def _status(task: Task) -> Status:
    return "done" if task.completed_at else "open"


def _view(task: Task, project_name: str, assignee_name: str | None) -> TaskView:
    return TaskView(**task.model_dump(), project_name=project_name, assignee_name=assignee_name, status=_status(task))
