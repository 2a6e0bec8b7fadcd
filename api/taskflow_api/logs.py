"""The app's log lines, in among uvicorn's and in the same form."""

import logging

log = logging.getLogger("uvicorn.error")  # uvicorn's name for its general log, errors or not


class _NotHealth(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # Asked twice a second, /health would drown what people look for. What it finds is logged when it changes.
        return "/health" not in (record.args or ())


def leave_out_health() -> None:
    """Keep health checks out of the access log."""
    logging.getLogger("uvicorn.access").addFilter(_NotHealth())
