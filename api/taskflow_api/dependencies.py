"""What endpoints ask for: the transaction they run in, and who is calling."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from .audit import record
from .database import find_or_insert
from .models import Worker
from .tokens import Claims


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions.begin() as session:
        yield session


# One transaction a request: a change and its audit row are kept together or not at all. scope="function" commits before
# the answer is sent; without it a caller would read 201 first, and the commit could still fail.
Session = Annotated[AsyncSession, Depends(_transaction, scope="function")]


async def _caller(request: Request, session: Session) -> Worker:
    claims: Claims = request.state.claims
    values = {"sub": claims.sub, "name": claims.name, "email": claims.email}
    worker, is_new = await find_or_insert(session, Worker, "sub", **values)
    if is_new:
        await record(session, worker, "created", worker, f"name: {worker.name}")
    return worker


Caller = Annotated[Worker, Depends(_caller)]
