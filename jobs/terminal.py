"""Writing to the terminal. Names of files are anybody's input: nothing printed is markup."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """A console that prints text as it is: ``[/b].mp4`` is a name, not the end of bold type."""
    return Console(markup=False, highlight=False)


def printable(text: str) -> str:
    """The text on one line, with whatever could move the cursor or worse as an escape."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
