"""The app: what it holds from start to stop, and its endpoints."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, status
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .authentication import RequireBearer
from .database import connect, reason
from .errors import StartError
from .logs import log
from .routes import audit, docs, health, projects, tasks, workers
from .settings import Settings
from .tables import create_tables
from .tokens import Verifier


def create_app(settings: Settings) -> FastAPI:
    """Put the app together. Nothing is connected to before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine, verifier = connect(settings.database_url), Verifier(settings)
        app.state.engine, app.state.verifier = engine, verifier
        app.state.sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
        app.state.trouble = ""
        try:
            made = await create_tables(engine)
            log.info("tables made: %s", ", ".join(made) or "none, all were there")
            yield
        finally:
            await verifier.close()
            await engine.dispose()

    # FastAPI's own pages load scripts from other hosts; routes/docs.py does not.
    app = FastAPI(title="taskflow API", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequireBearer)
    app.add_middleware(_BriefStartFailure)
    app.add_exception_handler(Exception, _defect)
    app.add_exception_handler(RequestValidationError, _bad_input)
    for database_error in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(database_error, _no_database)
    app.include_router(health.router)
    app.include_router(docs.router)
    for module in (workers, projects, tasks, audit):
        # Only for /docs, which shows a box for the token then: RequireBearer has looked at it long before.
        app.include_router(module.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    return app


async def _defect(_request: Request, _error: Exception) -> JSONResponse:
    # uvicorn logs the traceback and drops the connection; say so, or the client sends its next request into it.
    return JSONResponse({"detail": "internal error"}, 500, {"Connection": "close"})


async def _bad_input(_request: Request, error: Exception) -> Response:
    # What FastAPI answers by default, but escaped: it quotes the input, and half a surrogate pair is not UTF-8.
    errors = jsonable_encoder(error.errors()) if isinstance(error, RequestValidationError) else []
    content = json.dumps({"detail": errors})
    return Response(content, status.HTTP_422_UNPROCESSABLE_CONTENT, media_type="application/json")


async def _no_database(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database does not answer: %s", reason(error))
    return JSONResponse({"detail": "the database does not answer"}, status.HTTP_503_SERVICE_UNAVAILABLE)


class _BriefStartFailure:
    """Has the server log the message of a StartError instead of the sixty lines of traceback it gets from Starlette."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_brief(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, StartError):
                message["message"] = str(error)
            await send(message)

        await self.app(scope, receive, send_brief if scope["type"] == "lifespan" else send)
