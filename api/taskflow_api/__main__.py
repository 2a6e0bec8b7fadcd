"""`python -m taskflow_api` serves the API on HOST and PORT."""

import os
import sys
import threading
from contextlib import suppress
from types import FrameType

import uvicorn

from .app import create_app
from .errors import SettingsError
from .logs import leave_out_health
from .settings import read_settings

# Seconds from the signal to the end. Requests get the first half to finish, then they are cancelled.
_STOP = 0.9


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Some things cannot be cancelled, or take seconds to be: a name look-up, a query on a frozen database. They end
        # here; nothing is lost, as whatever was not committed is rolled back by the database.
        last_resort = threading.Timer(_STOP, os._exit, [128 + sig])
        last_resort.daemon = True
        last_resort.start()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until a signal comes."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        print(f"taskflow_api: {error}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        # psycopg cannot use the event loop that Windows has by default
        loop="asyncio:SelectorEventLoop",
        # typed as whole seconds, but handed to asyncio as it is
        timeout_graceful_shutdown=_STOP / 2,  # type: ignore[arg-type]
    )
    leave_out_health()  # after Config, which sets logging up
    with suppress(KeyboardInterrupt):
        _Server(config).run()
    # All is closed by now. Taking a thousand modules apart in good order would only make every stop longer.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
