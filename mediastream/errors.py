"""The few typed errors of this project, each with the one HTTP answer it maps to.

Code on any floor raises them; `faults.py` turns them into a page or JSON, once. The detail is a
sentence for the person or script that caused it: what is wrong and what to do.
"""

import errno
import sqlite3

RAN_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)  # the last when no process may be added
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Fault(Exception):
    """An error with an HTTP answer: `status`, a stable `error` word for scripts, and a sentence."""

    status = 500
    error = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def headers(self) -> dict[str, str]:
        return {}


class BadInput(Fault):
    """The request says something that has no meaning here (400)."""

    status, error = 400, "bad_input"


class SignInNeeded(Fault):
    """Nobody is signed in, and somebody must be (401).

    RFC 9110 section 15.5.2 wants a challenge; the scheme is one no browser answers by a dialog.
    """

    status, error = 401, "sign_in_needed"

    def __init__(self, detail: str = "Sign in at /accounts/login/ to see this.") -> None:
        super().__init__(detail)

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Cookie realm="mediastream", form-action="/accounts/login/"'}


class NoRight(Fault):
    """Somebody is signed in, who may not (403)."""

    status, error = 403, "no_right"

    def __init__(self, detail: str = "You have no right to this; ask its owner or an administrator.") -> None:
        super().__init__(detail)


class Unknown(Fault):
    """There is nothing under this address (404)."""

    status, error = 404, "unknown"


class MethodNotAllowed(Fault):
    """The address exists, the method does not apply to it (405 with Allow)."""

    status, error = 405, "method_not_allowed"

    def __init__(self, methods: tuple[str, ...]) -> None:
        super().__init__(f"This address takes {', '.join(methods)} only.")
        self.methods = methods

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.methods)}


class RequestStalled(Fault):
    """The request's body came too slowly or not at all (408, RFC 9110 section 15.5.9)."""

    status, error = 408, "request_timeout"


class NotReady(Fault):
    """The item exists but is in a state that does not allow this (409)."""

    status, error = 409, "not_ready"


class BodyTooLarge(Fault):
    """The request body is over its bound (413, RFC 9110 section 15.5.14)."""

    status, error = 413, "too_large"


class NotMedia(Fault):
    """The uploaded file is not media that this server takes (415)."""

    status, error = 415, "not_media"


class PreconditionFailed(Fault):
    """A condition of the request does not hold for what is stored now (412)."""

    status, error = 412, "precondition_failed"

    def __init__(self) -> None:
        super().__init__("The file has changed since the state your request asks for; fetch it again.")


class RangeNotSatisfiable(Fault):
    """No byte asked for exists (416 with the size, RFC 9110 section 15.5.17). `size`: bytes."""

    status, error = 416, "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The range lies outside the file, which has {size} bytes.")
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Range": f"bytes */{self.size}", "Accept-Ranges": "bytes"}


class Busy(Fault):
    """A limit is reached for now (503 with Retry-After, RFC 9110 section 10.2.3). `retry_after`: seconds."""

    status, error = 503, "busy"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class TooMany(Busy):
    """Somebody asks too much in too short a time (429 with Retry-After, RFC 6585 section 4)."""

    status, error = 429, "too_many"


class Exhausted(Busy):
    """The system gives no more for now: descriptors, memory, processes. `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("The server has reached a limit of its system; try again in a moment.", retry_after=5)
        self.reason = reason


class SourceFailed(Busy):
    """A camera's source gives no picture now (503); it is tried again by itself."""

    error = "source_failed"


class EncoderFailed(Busy):
    """A camera's pictures cannot be made into H.264 now (503); it is tried again by itself."""

    error = "encoder_failed"


class DiskFull(Fault):
    """There is no room to store this (507, RFC 4918 section 11.5)."""

    status, error = 507, "disk_full"


class TranscodeFailed(Fault):
    """FFmpeg could not make the stream (500); the detail says why, in FFmpeg's words."""

    error = "transcode_failed"


class StreamCut(Exception):
    """A body cannot go on: the connection must be cut, never ended as if all had been sent."""


def system_fault(error: BaseException) -> Fault | None:
    """What an error of the operating system's, or one that it caused, amounts to; None if it is a fault of ours.

    SQLite does not say why it cannot open a database that was there a moment ago.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Fault):
            return cause
        if isinstance(cause, OSError) and cause.errno in RAN_OUT:
            return Exhausted(str(cause))
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_CANTOPEN:
            return Exhausted(str(cause))
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return DiskFull("The server's disk is full; nothing was stored. Delete something, then try again.")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None
