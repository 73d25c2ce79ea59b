"""Small drawings and figures of the admin's pages. Drawn on the server, so they are there without script."""

import json
from collections.abc import Iterable

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from feedback.models import Prompt, Response
from feedback.rules.json_types import JsonObject
from feedback.rules.training.stages import GIVEN
from feedback.selectors.screening import screening
from feedback.selectors.training.stages import NAMES as STAGE_NAMES

register = template.Library()

WIDTH = 200


@register.filter
def figure(value: object) -> str:
    """A figure with about four digits: 4,096 · 0.7312 · 3.2e-05. A missing one is a dash, words stay words."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        if size != 0 and (size < 0.001 or size >= 1e7):
            return f"{value:.2e}"
        if size >= 1000:
            return f"{value:,.0f}"
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "all"
    return str(value)


@register.filter
def setting(value: object) -> str:
    """A setting as it would be written in a config file."""
    return json.dumps(value, ensure_ascii=False)


@register.filter
def stage(name: str) -> str:
    """A stage as people call it: ppo becomes PPO."""
    return "external" if name == GIVEN else STAGE_NAMES.get(str(name), str(name).replace("_", " "))


@register.filter
def screened(row: Prompt | Response) -> JsonObject | None:
    """the guard's verdict of a prompt or response."""
    return screening.shown(row)


@register.filter
def stage_names(names: Iterable[str]) -> str:
    """Stages of a chain in their order: SFT → reward model → PPO."""
    return " → ".join(map(stage, names))


@register.simple_tag
def interval(value: float | None, low: float | None, high: float | None, label: str, mark: float = 0.5) -> SafeString:
    """A share on a line from 0 to 1 with its 95 % interval, and a mark to compare it with."""
    if value is None:
        return format_html('<span class="quiet">{}</span>', "–")
    words = f"{label}: {100 * value:.0f} %"
    if low is not None and high is not None:
        words += f", 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    line: SafeString | str = ""
    if low is not None and high is not None:
        line = format_html('<line class="plot-interval" x1="{}" x2="{}" y1="10" y2="10"/>', _x(low), _x(high))
    return format_html(
        '<svg class="plot" viewBox="0 0 {} 20" width="{}" height="20" role="img" aria-label="{}">'
        '<line class="plot-track" x1="4" x2="{}" y1="10" y2="10"/>'
        '<line class="plot-mark" x1="{}" x2="{}" y1="2" y2="18"/>{}'
        '<circle class="plot-dot" cx="{}" cy="10" r="4.5"/></svg>',
        WIDTH,
        WIDTH,
        words,
        WIDTH - 4,
        _x(mark),
        _x(mark),
        line,
        _x(value),
    )


@register.simple_tag
def amount(value: float | None, most: float, label: str) -> SafeString:
    """A quantity as a bar, as long as its part of the largest."""
    share = 0.0
    if most:
        share = max(0.0, min(1.0, (value or 0) / most))
    return format_html(
        '<svg class="plot" viewBox="0 0 {} 20" width="{}" height="20" role="img" aria-label="{}">'
        '<rect class="plot-room" x="0" y="6" width="{}" height="8" rx="4"/>'
        '<rect class="plot-bar" x="0" y="6" width="{}" height="8" rx="4"/></svg>',
        WIDTH,
        WIDTH,
        label,
        WIDTH,
        f"{share * WIDTH:.1f}",
    )


def _x(share: float) -> str:
    return f"{4 + max(0.0, min(1.0, share)) * (WIDTH - 8):.1f}"


@register.simple_tag
def pace(seconds: float | None) -> str:
    """Answers an hour at this many seconds each."""
    return f"{3600 / seconds:,.0f}" if seconds else "–"
