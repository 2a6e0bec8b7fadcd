"""Whether the app can do its work."""

import asyncio

from fastapi import APIRouter, Request, status
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from ..database import reason
from ..logs import log
from ..tables import missing_tables, table_names

router = APIRouter(tags=["health"])

_PATIENCE = 2  # seconds for the whole check; one statement gets half of it


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Answer 200 when the database answers and has every table of this app, 503 with what is wrong otherwise."""
    state = request.app.state
    check = asyncio.create_task(_missing(state.engine))
    # wait_for would stay until the cancelled query is cleaned up, and with a frozen server that takes seconds.
    await asyncio.wait({check}, timeout=_PATIENCE)
    missing: list[str] = []
    if not check.done():
        check.cancel()
        trouble = f"the database did not answer in {_PATIENCE} s"
    elif error := check.exception():
        trouble = str(error) or repr(error)
    else:
        missing = check.result()
        trouble = f"missing tables: {', '.join(missing)}" if missing else ""
    # Asked all the time: a line when it changes, not one for each time.
    if trouble != state.trouble:
        log.warning("unhealthy: %s", trouble) if trouble else log.info("healthy again")
        state.trouble = trouble
    if not trouble:
        return JSONResponse({"status": "ok", "tables": table_names()})
    # What the driver said stays in the log: anyone may ask here, and it names hosts and users.
    what = {"missing": missing} if missing else {"database": "does not answer"}
    return JSONResponse({"status": "unavailable", **what}, status.HTTP_503_SERVICE_UNAVAILABLE)


async def _missing(engine: AsyncEngine) -> list[str]:
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE / 2}s'"))
            return await missing_tables(connection)
    except (SQLAlchemyError, OSError) as error:
        raise _NoAnswerError(reason(error)) from error


class _NoAnswerError(Exception):
    """The database refused, or cannot be reached."""
