"""Telling somebody: a summary as JSON to a webhook, signed with a secret from the environment."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from fakeout_core.errors import ConfigError

TRIES = 3
TIMEOUT_S = 10.0
SIGNATURE = "X-Fakeout-Signature"


def notify(url: str, summary: dict[str, Any], secret_env: str | None) -> str | None:
    """Post a summary.

    Args:
        url: ``https://…``, or ``http://`` to this machine.
        summary: sent as ``{"text": …, "summary": …}``; chat services show ``text``.
        secret_env: environment variable with the secret; its HMAC-SHA256 of the body goes into
            the ``X-Fakeout-Signature`` header.

    Returns:
        None, or why nobody could be told: a rescan that is done does not fail for that.

    Raises:
        ConfigError: the variable is not set, or the URL is neither.
    """
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ConfigError("--webhook takes an https:// address")
    body = json.dumps(summary, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    if secret_env is not None:
        secret = os.environ.get(secret_env)
        if not secret:
            raise ConfigError(f"--webhook-secret-env names {secret_env}, which is not set")
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={signature}"
    reason = ""
    for attempt in range(TRIES):
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                return None
        except (urllib.error.URLError, OSError) as error:
            reason = str(error)
            time.sleep(2**attempt * 0.1)
    return f"the webhook could not be told: {reason}"
