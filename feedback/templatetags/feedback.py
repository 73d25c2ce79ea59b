"""What templates need of our own: safe Markdown, times, states, explained words, places in the navigation."""

import json
from datetime import datetime, timedelta
from secrets import token_hex

from django import template
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from feedback.formats import markdown as markdown_format
from feedback.rules.platform.glossary import TERMS

register = template.Library()

# state -> (tone, icon, word). The icon and the word carry the meaning; the tone only repeats it.
STATES: dict[str, tuple[str, str, str]] = {
    "queued": ("wait", "clock", "queued"),
    "running": ("busy", "play", "running"),
    "succeeded": ("good", "check", "succeeded"),
    "partial": ("warn", "bang", "partial"),
    "nothing": ("warn", "bang", "nothing imported"),
    "failed": ("bad", "cross", "failed"),
    "cancelled": ("calm", "stop", "canceled"),
    "active": ("busy", "play", "active"),
    "draft": ("wait", "clock", "in progress"),
    "frozen": ("good", "lock", "frozen"),
    "revoked": ("bad", "cross", "revoked"),
    "candidate": ("wait", "dot", "candidate"),
    "approved": ("good", "check", "approved"),
    "rejected": ("bad", "cross", "rejected"),
    "serving": ("good", "star", "serving"),
    "open": ("good", "check", "open"),
    "paused": ("wait", "pause", "paused"),
    "closed": ("calm", "stop", "closed"),
    "settled": ("good", "check", "settled"),
    "withdrawn": ("calm", "stop", "withdrawn"),
    "received": ("wait", "clock", "received"),
    "screened": ("wait", "clock", "screened"),
    "ready": ("good", "check", "ready"),
    "blocked": ("bad", "cross", "blocked"),
    "screening": ("wait", "clock", "screening"),
    "held": ("busy", "play", "held"),
    "submitted": ("good", "check", "submitted"),
    "skipped": ("calm", "stop", "skipped"),
    "expired": ("calm", "clock", "expired"),
    "released": ("calm", "stop", "released"),
    "suspended": ("wait", "pause", "suspended"),
    "working": ("busy", "play", "running"),
    "done": ("good", "check", "done"),
    "idle": ("calm", "dot", "idle"),
    "waiting": ("wait", "clock", "waiting"),
    "stuck": ("bad", "bang", "stuck"),
    "missing": ("bad", "bang", "missing"),
    "alive": ("good", "check", "alive"),
    "silent": ("bad", "bang", "silent"),
}

ICONS: dict[str, str] = {
    "check": "M3 8.5l3.2 3.2L13 5",
    "cross": "M4 4l8 8M12 4l-8 8",
    "clock": "M8 4.5V8l2.4 1.6M8 14A6 6 0 108 2a6 6 0 000 12z",
    "play": "M5 3.5v9l7.5-4.5z",
    "pause": "M5.5 4v8M10.5 4v8",
    "stop": "M4.5 4.5h7v7h-7z",
    "lock": "M4 7.5h8V13H4zM5.7 7.3V5.2a2.3 2.3 0 014.6 0v2.1",
    "dot": "M8 10.5a2.5 2.5 0 100-5 2.5 2.5 0 000 5z",
    "star": "M8 2.5l1.7 3.5 3.8.5-2.8 2.7.7 3.8L8 11.2 4.6 13l.7-3.8L2.5 6.5l3.8-.5z",
    "bang": "M8 3v6M8 12.2v.6",
    "menu": "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
    "sun": "M8 11a3 3 0 100-6 3 3 0 000 6zM8 1.5v1.5M8 13v1.5M1.5 8H3"
    "M13 8h1.5M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M3.4 12.6l1.1-1.1M11.5 4.5l1.1-1.1",
    "moon": "M13 9.7A5.5 5.5 0 016.3 3 5.5 5.5 0 1013 9.7z",
    "screen": "M2.5 3.5h11v7h-11zM6 13h4",
    "down": "M4 6l4 4 4-4",
    "right": "M6 4l4 4-4 4",
    "up": "M4 10l4-4 4 4",
    "plus": "M8 3.5v9M3.5 8h9",
    "book": "M3 3h4.2c.5 0 .8.4.8.8V13c0-.6-.5-1-1-1H3zM13 3H8.8c-.5 0-.8.4-.8.8V13c0-.6.5-1 1-1h4z",
    "key": "M9.8 6.2a2.6 2.6 0 11-1 2L3 14M5 12l1.5 1.5",
}  # fmt: skip


@register.simple_tag
def icon(name: str) -> SafeString:
    """A small drawing that repeats what the word beside it says; hidden from screen readers."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">'
        '<path d="{}" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
        'stroke-linejoin="round"/></svg>',
        ICONS[name],
    )


@register.simple_tag
def state_badge(state: str, word: str = "") -> SafeString:
    """A state as icon and word: `{% state_badge job.status %}`; another word: `{% state_badge "idle" "no runs" %}`."""
    tone, drawing, usual = STATES.get(str(state), ("calm", "dot", str(state).replace("_", " ")))
    return format_html('<span class="badge badge-{}">{}{}</span>', tone, icon(drawing), word or usual)


@register.filter
def markdown(text: str | None) -> SafeString:
    """Untrusted Markdown as cleaned HTML."""
    return mark_safe(markdown_format.to_html(text or ""))  # cleaned by nh3


@register.filter
def document(text: str | None) -> SafeString:
    """The same for a text that its author has wrapped, such as guidelines: a line end is a space."""
    return mark_safe(markdown_format.to_html(text or "", breaks=False))  # cleaned by nh3


@register.simple_tag
def term(key: str, word: str = "") -> SafeString:
    """A word with its short explanation on focus and hover: `{% term "kl" %}` or `{% term "pair" "pairs" %}`."""
    entry = TERMS[key]
    tip = f"tip-{token_hex(4)}"
    return format_html(
        '<span class="term"><a class="term-word" href="{}#{}" aria-describedby="{}">{}</a>'
        '<span class="term-tip" role="tooltip" id="{}">{}</span></span>',
        reverse("glossary"),
        key,
        tip,
        word or entry.name,
        tip,
        entry.short,
    )


@register.filter
def split_name(split: str) -> str:
    """A split as pages call it: the selection split is the validation split."""
    return "validation" if split == "selection" else split


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A time as how long ago, with the exact one on hover; the page keeps it fresh."""
    if moment is None:
        return mark_safe('<span class="quiet">never</span>')
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ago>{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        ago_words(timezone.now() - moment),
    )


def ago_words(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if seconds < 0:
        return f"in {span_words(-seconds)}"
    if seconds < 5:
        return "just now"
    return f"{span_words(seconds)} ago"


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as a person would say them: 8 s, 3 min, 2 h 5 min, 4 d."""
    return "–" if seconds is None else span_words(int(seconds))


def span_words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 36 * 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        if minutes == 0:
            return f"{hours} h"
        return f"{hours} h {minutes} min"
    return f"{round(seconds / 86400)} d"


@register.filter
def number(value: float | None, digits: int = 2) -> str:
    """A figure with thousands apart; a missing one as a dash. `{{ loss|number:3 }}`."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


@register.filter
def percent(share: float | None, digits: int = 0) -> str:
    """A share from 0 to 1 as percent."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


@register.filter
def as_json(value: object) -> str:
    """For a data attribute; escaped there like any text."""
    return json.dumps(value)


@register.filter
def letter(text: str) -> str:
    return str(text).upper()


@register.filter
def spaced(text: object) -> str:
    """An internal name as words: both_bad becomes "both bad"."""
    return str(text).replace("_", " ")


@register.inclusion_tag("components/nav_link.html", takes_context=True)
def nav_link(context: Context, name: str, word: str, *args: object, project: str = "") -> dict[str, str]:
    """A link of the navigation; nothing while no page has that name. Current when the page's address begins with it.

    `project` is for a page outside of projects that shows one.
    """
    try:
        address = reverse(name, args=args)
    except NoReverseMatch:
        return {"address": "", "word": word, "current": ""}
    path = ""
    if "request" in context:
        path = context["request"].path
    current = ""
    if path == address:
        current = "page"
    elif path.startswith(address) and name not in ("home", "project_home"):
        current = "true"  # of a page below the linked one
    if project:
        address += f"?project={project}"
    return {"address": address, "word": word, "current": current}
