"""Charts as inline SVG text: no scripts, readable in both light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

SIZE = 260
_LEFT, _BOTTOM, _TOP, _RIGHT = 42, 36, 10, 10
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")

Points = Sequence[tuple[float, float]]


def _place(x: float, y: float) -> tuple[float, float]:
    """Map the unit square onto the picture."""
    width, height = SIZE - _LEFT - _RIGHT, SIZE - _TOP - _BOTTOM
    return _LEFT + x * width, _TOP + (1 - y) * height


def _frame(title: str, x_name: str, y_name: str, y_top: str = "1") -> str:
    left, bottom = _place(0, 0)
    right, top = _place(1, 1)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    return (
        f"<title>{escape(title)}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" class="frame"/>'
        f'<text x="{left:.1f}" y="{bottom + 14:.1f}">0</text>'
        f'<text x="{right:.1f}" y="{bottom + 14:.1f}" class="end">1</text>'
        f'<text x="{left - 5:.1f}" y="{top + 8:.1f}" class="end">{escape(y_top)}</text>'
        f'<text x="{middle_x:.1f}" y="{SIZE - 6}" class="mid">{escape(x_name)}</text>'
        f'<text transform="translate(12 {middle_y:.1f}) rotate(-90)" class="mid">'
        f"{escape(y_name)}</text>"
    )


def _svg(content: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{content}</svg>'
    )


def _path(points: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*point) for point in points))


def lines(
    curves: Mapping[str, Points], title: str, x_name: str, y_name: str, *, diagonal: str | None
) -> str:
    """Curves in the unit square, with a legend below.

    Args:
        curves: name → (x, y) in 0..1.
        title: for screen readers and on hovering.
        x_name: of the axis.
        y_name: of the axis.
        diagonal: ``up`` or ``None``: the line of chance or of perfect calibration.

    Returns:
        A figure element.
    """
    parts = [_frame(title, x_name, y_name)]
    if diagonal:
        parts.append(f'<polyline points="{_path([(0, 0), (1, 1)])}" class="guide"/>')
    legend: list[str] = []
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{_path(points)}" class="curve" stroke="{colour}"/>')
        if len(points) <= 20:
            for x, y in (_place(*point) for point in points):
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
        if len(curves) > 1:
            legend.append(f"<span>{_mark(colour)}{escape(name)}</span>")
    caption = f"<figcaption>{escape(title)}<br>{' '.join(legend)}</figcaption>"
    return f"<figure>{_svg(''.join(parts), title)}{caption}</figure>"


def bars(stacks: Sequence[Sequence[int]], names: Sequence[str], title: str) -> str:
    """Stacked bars over 0..1.

    Args:
        stacks: per bin one count per name.
        names: of the counts.
        title: as in `lines`.

    Returns:
        A figure element.
    """
    top = max((sum(stack) for stack in stacks), default=0) or 1
    parts = [_frame(title, "score", "videos", f"{top:,}")]
    for number, stack in enumerate(stacks):
        base = 0
        for index, count in enumerate(stack):
            if count:
                x0, y1 = _place(number / len(stacks), (base + count) / top)
                x1, y0 = _place((number + 1) / len(stacks), base / top)
                parts.append(
                    f'<rect x="{x0:.1f}" y="{y1:.1f}" width="{x1 - x0:.2f}" '
                    f'height="{y0 - y1:.1f}" fill="{COLOURS[index]}"/>'
                )
            base += count
    legend = " ".join(
        f"<span>{_mark(COLOURS[index])}{escape(name)}</span>"
        for index, name in enumerate(names)
        if any(stack[index] for stack in stacks)
    )
    caption = f"<figcaption>{escape(title)}<br>{legend}</figcaption>"
    return f"<figure>{_svg(''.join(parts), title)}{caption}</figure>"


def _mark(colour: str) -> str:
    return f'<i class="mark" style="background:{colour}"></i>'
