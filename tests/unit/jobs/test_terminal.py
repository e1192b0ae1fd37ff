"""What is printed is data: no markup, no control characters."""

from __future__ import annotations

import pyarrow as pa
import pytest
from rich.table import Table

from jobs.query_output import show
from jobs.terminal import console, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🎬.mp4", "plain é 🎬.mp4"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J", "\\x1b[2J"),
        ("right\u202eleft", "right\\u202eleft"),
        ("half \udc80", "half \\udc80"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_name_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="[/title]")
    table.add_column("[/name]")
    table.add_row("[/b].mp4")
    console().print(table)
    show(pa.table({"[/column]": ["[red]cell[/]", "\x1b[2J"]}))
    said = capsys.readouterr().out
    for one in ("[/title]", "[/name]", "[/b].mp4", "[/column]", "[red]cell[/]", "\\x1b[2J"):
        assert one in said
    assert "\x1b" not in said
