"""Telling somebody: a summary as JSON to a webhook, signed with a secret from the environment."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from fakeout_core.errors import ConfigError

TRIES = 3
TIMEOUT_S = 10.0
SIGNATURE = "X-Fakeout-Signature"


@dataclass(frozen=True)
class Webhook:
    """Where to, and the secret that signs; made by ``webhook_of``."""

    url: str
    secret: str | None = field(default=None, repr=False)


def webhook_of(url: str, secret_env: str | None) -> Webhook:
    """Check a webhook, before the work that it is to tell of.

    Args:
        url: ``https://…``, or ``http://`` to this machine.
        secret_env: environment variable with the secret; None signs nothing.

    Raises:
        ConfigError: the variable is not set, or the URL is neither.
    """
    parts = urllib.parse.urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if not (parts.scheme == "https" and parts.hostname) and not is_local:
        raise ConfigError("--webhook takes an https:// address")
    secret = os.environ.get(secret_env) if secret_env is not None else None
    if secret_env is not None and not secret:
        raise ConfigError(f"--webhook-secret-env names {secret_env}, which is not set")
    return Webhook(url, secret)


def notify(hook: Webhook, summary: dict[str, Any]) -> str | None:
    """Post a summary.

    Args:
        hook: where to. With a secret its HMAC-SHA256 of the body goes into the
            ``X-Fakeout-Signature`` header.
        summary: sent as ``{"text": …, "summary": …}``; chat services show ``text``.

    Returns:
        None, or why nobody could be told: a rescan that is done does not fail for that.
    """
    body = json.dumps(summary, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    if hook.secret is not None:
        signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={signature}"
    reason = ""
    for attempt in range(TRIES):
        request = urllib.request.Request(hook.url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                return None
        except (urllib.error.URLError, OSError) as error:
            reason = str(error)
            time.sleep(2**attempt * 0.1)
    return f"the webhook could not be told: {reason}"
