"""The spans to an OpenTelemetry collector, where the environment names one: OTLP over HTTP, as JSON.

By hand, as it is one POST of one document: the SDK with its exporter would be ten packages for every user.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote

from .critical import critical_path
from .spans import Recording, Span

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# What a collector may cost a boot, whatever it is that does not answer: its name, its port, itself.
_SECONDS = 1.0
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_INTERNAL, _OK, _ERROR = 1, 1, 2


def send(recording: Recording, command: str, say: Callable[[str], None]) -> None:
    """Send what was recorded by `command`; what does not work is one line, and nothing else."""
    url = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if not url and os.environ.get(ENDPOINT):
        url = f"{os.environ[ENDPOINT].rstrip('/')}/v1/traces"
    if not url:
        return
    answers: list[str] = []
    body = json.dumps(document(recording, command, os.environ)).encode()

    def post() -> None:
        try:
            headers = {"Content-Type": "application/json", **_pairs("OTEL_EXPORTER_OTLP_HEADERS")}
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=_SECONDS):  # noqa: S310
                answers.append("")
        except HTTPError as answer:
            with answer:  # it holds the connection
                answers.append(str(answer))
        except (OSError, HTTPException) as error:
            seen = error.reason if type(error) is URLError else error
            answers.append(" ".join(str(seen).split()))
        except ValueError:  # whose words may have a header in them, and in it a key
            answers.append("its address or its headers cannot be")

    # A thread that nobody waits for any longer: no timeout of a socket ends the look-up of a name.
    sending = threading.Thread(target=post, daemon=True)
    sending.start()
    sending.join(_SECONDS)
    seen = answers[0] if answers else f"no answer within {_SECONDS:g} s"
    if seen:
        say(f"no spans were sent to {ENDPOINT}, which is to take OTLP over HTTP: {seen}")


def document(recording: Recording, command: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """An `ExportTraceServiceRequest` in the JSON of OTLP; continues the trace of TRACEPARENT."""
    given = _PARENT.fullmatch(environment.get("TRACEPARENT", ""))
    trace, above = given.groups() if given else (secrets.token_hex(16), "")
    root, ids = secrets.token_hex(8), {span.id: secrets.token_hex(8) for span in recording.spans}
    critical = {span.id for span in critical_path(recording)}
    began = round(recording.began * 1e6) * 1000  # a float has no nanoseconds of our century

    def as_data(span: Span, number: str, parent: str) -> Mapping[str, Any]:
        told = {"kind": span.kind, "outcome": span.outcome, "text": span.text, "cause": span.cause}
        failed = span.outcome == "failed"
        return {
            "traceId": trace,
            "spanId": number,
            "parentSpanId": parent,
            "name": span.name,
            "kind": _INTERNAL,
            "startTimeUnixNano": str(began + round(span.begin * 1e9)),
            "endTimeUnixNano": str(began + round(span.end * 1e9)),
            "attributes": [
                *_attributes({f"bootorder.{name}": text for name, text in told.items() if text}),
                {"key": "bootorder.critical", "value": {"boolValue": span.id in critical}},
            ],
            "status": {"code": _ERROR, "message": span.text} if failed else {"code": _OK},
        }

    whole = Span(-1, None, command, "stage", 0.0, recording.seconds, "failed" if recording.failed else "done")
    spans = [as_data(whole, root, above)]
    spans += [
        as_data(span, ids[span.id], root if span.parent is None else ids[span.parent]) for span in recording.spans
    ]
    resource = {"service.name": environment.get("OTEL_SERVICE_NAME") or "bootorder"}
    resource |= {f"bootorder.{name}": value for name, value in recording.about.items()}
    scope = {"scope": {"name": "bootorder"}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def _attributes(values: Mapping[str, str]) -> list[Mapping[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _pairs(variable: str) -> Mapping[str, str]:
    """`key=value,key=value`, both encoded as in a URL."""
    pairs = (pair.partition("=") for pair in os.environ.get(variable, "").split(",") if "=" in pair)
    return {unquote(key.strip()): unquote(value.strip()) for key, _, value in pairs}
