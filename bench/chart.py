"""The run as a picture: bars on a logarithmic scale, one panel per measure, written as SVG by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, BAR, GAP, HEAD, MARGIN = 860, 210, 20, 8, 34, 20
PLOT = WIDTH - LABELS - 130
OURS, THEIRS, INK, FAINT = "#1f6feb", "#9aa4b2", "#1f2328", "#667085"


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure, by its name in the facts."""

    title: str
    key: str
    pattern: str = ",.0f"


PANELS: tuple[Panel, ...] = (
    Panel("W1: chat requests per second on one core (more is better)", "w1.rps"),
    Panel("W2: 62-event streams per second on one core (more is better)", "w2.rps"),
    Panel("W1: CPU µs per request (less is better)", "w1.cpu_us"),
    Panel("Memory of the worker after W1, MB (less is better)", "rss_mb"),
    Panel("Latency added at one connection, p50, ms (less is better)", "solo.added_ms", ",.2f"),
)


def bar_length(value: float, low: float, high: float) -> float:
    """Pixels on a logarithmic scale that starts one half of a decade below the smallest value."""
    if value <= 0:
        return 0.0
    base = math.log10(low) - 0.5
    span = math.log10(high) - base
    return PLOT * (math.log10(value) - base) / span if span > 0 else float(PLOT)


def _text(x: float, y: float, text: str, size: int = 13, fill: str = INK, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{extra}>{escape(text)}</text>'


def _panel(panel: Panel, titles: Mapping[str, str], facts: Mapping[str, float], top: float) -> tuple[list[str], float]:
    values = {name: facts[f"{name}.{panel.key}"] for name in titles if f"{name}.{panel.key}" in facts}
    positive = [value for value in values.values() if value > 0]
    if not positive:
        return [], top
    parts = [_text(MARGIN, top + 16, panel.title, 15, extra=' font-weight="600"')]
    y = top + HEAD
    for name, value in values.items():
        length = bar_length(value, min(positive), max(positive))
        fill = OURS if name == "gateway" else THEIRS
        parts.append(_text(LABELS - 8, y + BAR - 5, titles[name], extra=' text-anchor="end"'))
        parts.append(f'<rect x="{LABELS}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{fill}"/>')
        parts.append(_text(LABELS + length + 6, y + BAR - 5, format(value, panel.pattern), fill=FAINT))
        y += BAR + GAP
    return parts, y + MARGIN


def svg(titles: Mapping[str, str], facts: Mapping[str, float], notes: Sequence[str] = ()) -> str:
    """The whole picture; systems in the order of `titles`, panels without values left out."""
    parts, y = [], float(MARGIN)
    for panel in PANELS:
        drawn, y = _panel(panel, titles, facts, y)
        parts += drawn
    for note in ("Bars are on a logarithmic scale.", *notes):
        parts.append(_text(MARGIN, y + 12, note, 12, FAINT))
        y += 18
    height = y + MARGIN
    box = f"0 0 {WIDTH} {height:.0f}"
    style = 'font-family="system-ui, sans-serif" role="img"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="{box}" {style}>',
            "<title>The gateway and its peers</title>",
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )
