"""Projects."""

from collections.abc import Sequence

from fastapi import APIRouter, HTTPException, status
from sqlmodel import col, select

from ..audit import record
from ..database import find_or_insert
from ..dependencies import Caller, Session
from ..models import Project
from ..schemas import NewProject, ProjectView
from .paging import MOST, Limit, Offset

router = APIRouter(tags=["projects"])


@router.get("/projects", response_model=list[ProjectView])
async def projects(_caller: Caller, session: Session, limit: Limit = MOST, offset: Offset = 0) -> Sequence[Project]:
    """List the projects by name."""
    query = select(Project).order_by(col(Project.name)).limit(limit).offset(offset)
    return (await session.exec(query)).all()


@router.post("/projects", response_model=ProjectView, status_code=status.HTTP_201_CREATED)
async def new_project(body: NewProject, caller: Caller, session: Session) -> Project:
    """Make a project; 409 when there is one of that name."""
    project, is_new = await find_or_insert(session, Project, "name", name=body.name)
    if not is_new:
        raise HTTPException(status.HTTP_409_CONFLICT, f"there is a project called {body.name!r} already")
    await record(session, caller, "created", project, f"name: {project.name}")
    return project
