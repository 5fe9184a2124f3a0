"""A problem as a document (RFC 9457): for answers (problems.py), and for connections that never become a request.

Loads no framework: a supervisor, which refuses nobody, imports it with the protocol.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.api import logs
from app.domain.problems import Fault

MEDIA_TYPE: Final = "application/problem+json"


def document(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[Fault] = (),
    members: Mapping[str, Any] | None = None,
    trace_id: str | None = None,
) -> dict[str, Any]:
    """The members of a problem document. `instance` is the trace, never the URL: a URL may hold an e-mail address."""
    trace = logs.trace_id() if trace_id is None else trace_id
    return {
        **(members or {}),
        "type": f"urn:rapport:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": f"urn:trace:{trace}",
        "code": code,
        "message": detail,
        "errors": [
            {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail} for fault in errors
        ],
        "trace_id": trace,
    }
