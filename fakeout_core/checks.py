"""Checks of settings, for the ``__post_init__`` of configuration classes."""

from __future__ import annotations


def require_at_least(settings: object, least: float, *names: str) -> None:
    """Check that numbers are not below a bound; None, where a setting allows it, passes.

    Raises:
        ValueError: one is below it, or not a number.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be at least {least:g}, got {value}")


def require_positive(settings: object, *names: str) -> None:
    """Check that numbers are above zero; None, where a setting allows it, passes.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
