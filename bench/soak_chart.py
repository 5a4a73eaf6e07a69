"""A soak as a picture: memory, lag, open files and failures over time, written as SVG by hand."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, GAP, TOP = 860, 120, 70, 60, 50
PLOT = WIDTH - LEFT - 30
INK, FAINT, LINE = "#1f2328", "#667085", "#1f6feb"

STYLE = 'font-family="system-ui, sans-serif" role="img"'

Value = Callable[[Any], float | None]
PANELS: tuple[tuple[str, Value], ...] = (
    ("Memory of the two workers, MB", lambda sample: sample.workers_rss / 1e6),
    ("Loop lag, p99 of each look, ms", lambda sample: sample.lag_p99_ms),
    ("Open files of the workers", lambda sample: sample.files),
    ("Answers since the start, thousands", lambda sample: sample.requests / 1e3),
    ("Failures since the start", lambda sample: sample.failures),
)


def svg(samples: Sequence[Any], found: Mapping[str, Any]) -> str:
    """The whole picture."""
    end = max(samples[-1].seconds, 1.0)
    parts = [_text(LEFT, 28, f"{end / 60:.0f} minutes, a fifth of the clients leave, one provider flaps", 16)]
    y = TOP
    for title, value in PANELS:
        points = [(sample.seconds, found_value) for sample in samples if (found_value := value(sample)) is not None]
        parts += _panel(title, points, end, y)
        y += HEIGHT + GAP
    note = (
        f"workers' memory {found['workers_rss_slope_mb_per_hour']:+.1f} MB an hour after the warm-up, "
        f"files {found['files_slope_per_hour']:+.0f} an hour; load average of the machine "
        f"{found['load_average_of_the_machine']}"
    )
    parts.append(_text(LEFT, y, note, 12, FAINT))
    box = f"0 0 {WIDTH} {y + 20}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}" viewBox="{box}" {STYLE}>',
            "<title>A soak of the gateway</title>",
            f'<rect width="{WIDTH}" height="{y + 20}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(title: str, points: Sequence[tuple[float, float]], end: float, top: float) -> list[str]:
    most = max((value for _, value in points), default=0.0) or 1.0
    bottom = top + HEIGHT
    places = [f"{LEFT + at / end * PLOT:.1f},{bottom - value / most * (HEIGHT - 24):.1f}" for at, value in points]
    return [
        _text(LEFT, top + 12, title, 13),
        f'<line x1="{LEFT}" y1="{bottom}" x2="{LEFT + PLOT}" y2="{bottom}" stroke="{FAINT}" stroke-width="0.5"/>',
        _text(LEFT - 8, bottom, "0", 11, FAINT, ' text-anchor="end"'),
        _text(LEFT - 8, top + 28, f"{most:,.4g}", 11, FAINT, ' text-anchor="end"'),
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{LINE}" stroke-width="1.5"/>',
    ]


def _text(x: float, y: float, text: str, size: int, fill: str = INK, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{extra}>{escape(text)}</text>'
