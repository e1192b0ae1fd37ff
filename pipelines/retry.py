"""Trying again: which storage errors deserve it, how often, and how long to wait between.

Only errors that another attempt can cure are retried: throttling (429), server errors (5xx),
timeouts, resets. A missing object, a refused permission or a full disk is reported at once.
"""

from __future__ import annotations

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How storage calls are repeated.

    Attributes:
        attempts: calls in all, the first included.
        first_wait_s: upper end of the first pause; it doubles each time.
        max_wait_s: upper end of any pause.
        deadline_s: no new attempt starts after this long.
    """

    attempts: int = 6
    first_wait_s: float = 0.4
    max_wait_s: float = 20.0
    deadline_s: float = 180.0


DEFAULT = RetryPolicy()

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_ERRNO = frozenset(
    {
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EAGAIN,
        errno.EINTR,
        errno.ESTALE,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETRESET,
    }
)
# pyarrow turns every cloud error into an OSError whose text is all there is to go by.
_TRANSIENT_TEXT = re.compile(
    r"UNAVAILABLE|RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED|Status\(INTERNAL|ABORTED"
    r"|Retry policy exhausted|curl error|CURL error|SLOW_DOWN|SlowDown|Slow Down|THROTTL|Throttl"
    r"|REQUEST_TIMEOUT|RequestTimeout|NETWORK_CONNECTION|INTERNAL_FAILURE|InternalError"
    r"|SERVICE_UNAVAILABLE|HTTP (?:response )?(?:code|status)?:? ?(?:408|429|50[0234])"
    r"|[Cc]onnection (?:reset|refused|aborted|closed)|[Tt]imed? ?out|Broken pipe"
    r"|EOF occurred|short read|incomplete read"
)
_TRANSIENT_CLASSES = frozenset(
    {
        # requests, urllib3, http.client, botocore, google.auth: named, so that none is imported.
        "ChunkedEncodingError",
        "ConnectTimeout",
        "ConnectionClosedError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "IncompleteRead",
        "IncompleteReadError",
        "InvalidResponse",
        "ProtocolError",
        "ReadTimeout",
        "ReadTimeoutError",
        "RemoteDisconnected",
        "ResponseStreamingError",
        "TransportError",
    }
)


class ShortReadError(OSError):
    """Fewer bytes arrived than the store promised; the text makes it transient."""


def http_status(error: BaseException) -> int | None:
    """Status code carried by a google, requests or botocore error; None if it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore ClientError
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for holder in (error, response):
        for name in ("status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return int(value)
    return None


def is_transient(error: BaseException) -> bool:
    """Whether another attempt at the same storage call could succeed."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return False
    status = http_status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if {base.__name__ for base in type(error).__mro__} & _TRANSIENT_CLASSES:
        return True
    if type(error).__module__.startswith("requests") and type(error).__name__ == "ConnectionError":
        return True
    if isinstance(error, OSError):
        if error.errno in _TRANSIENT_ERRNO:
            return True
        return error.errno is None and bool(_TRANSIENT_TEXT.search(str(error)))
    return False


def retrying(
    call: Callable[[], T],
    what: str,
    policy: RetryPolicy = DEFAULT,
    *,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    on_retry: Callable[[BaseException], None] | None = None,
) -> T:
    """Call until it succeeds, fails for good, or the policy is used up.

    Args:
        call: safe to repeat.
        what: for the log, e.g. ``stat gs://bucket/name``.
        policy: attempts and pauses.
        sleep: waits the given seconds.
        jitter: uniform in [0, 1); spreads the pauses of many workers over half to all of each.
        on_retry: told of each error that is about to be retried.

    Returns:
        What ``call`` returns.

    Raises:
        Exception: the last error of ``call``, unchanged.
    """
    start = time.monotonic()
    for attempt in range(1, policy.attempts + 1):
        try:
            return call()
        except Exception as error:
            spent = time.monotonic() - start
            if not is_transient(error) or attempt == policy.attempts or spent > policy.deadline_s:
                raise
            wait_s = min(policy.max_wait_s, policy.first_wait_s * 2 ** (attempt - 1))
            wait_s *= 0.5 + 0.5 * jitter()
            _log.warning(
                "%s failed (%s: %s); attempt %d of %d in %.1f s",
                what,
                type(error).__name__,
                error,
                attempt + 1,
                policy.attempts,
                wait_s,
            )
            if on_retry is not None:
                on_retry(error)
            sleep(wait_s)
    raise AssertionError("attempts is at least 1")
