"""What pages call what the tables name in one word: jobs, policies, formats, where an answer came from."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from feedback.formats.catalogue import FORMATS
from feedback.models import Job
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.preference import STRENGTHS
from feedback.rules.data.import_outcome import COMPLETE, outcome_of
from feedback.templatetags.feedback import state_badge

register = template.Library()

JOBS = {
    "training": "training",
    "generation": "writing responses",
    "freeze": "freezing a snapshot",
    "corpus": "bringing documents in",
    "import": "reading a file in",
    "export": "writing a file out",
    "preflight": "looking at what training would meet",
    "score": "screening by a guard or a marker",
    "adopt": "bringing a model in",
}
CLIENTS = {"web": "the desk", "api": "a program, over REST", "import": "a file", "simulation": "a simulated annotator"}
ARMS = {
    "given": "somebody gave it",
    "imported": "it came in by a file",
    "random": "two responses were drawn by chance",
    "conversation": "somebody talks with the model",
    "gold": "it is a check",
}
POLICY = {
    "pairs": "Of several answers to a task",
    "unsettled": "Tasks that want more answers",
    "extras": "Answers beyond the number wanted",
    "prompt_sources": "Prompts to practise on",
    "held_out_annotators": "Annotators held out",
    "accepted": "Responses that people accepted",
    "include_excluded": "Annotations of excluded annotators",
    "hold_out": "Held out of training",
}
PAIRS = {"each": "each answer by itself", "consensus": "what they agree on"}
HELD_OUT = {"share": "one document in twenty", "last_tenth": "the last tenth of the characters"}


@register.filter
def job_kind(name: str) -> str:
    return JOBS.get(name, name)


@register.simple_tag
def import_badge(job: Job) -> SafeString:
    """The state of an import: one that refused lines says how many instead of that it succeeded."""
    if job.status != Job.Status.SUCCEEDED:
        return state_badge(job.status)
    outcome = outcome_of(job.result)
    if outcome.state == COMPLETE:
        return state_badge(job.status)
    rejected, read = job.result.get("rejected", 0), job.result.get("read", 0)
    return state_badge(outcome.state, f"{rejected:,} of {read:,} lines refused" if rejected else "")


@register.filter
def client_name(name: str) -> str:
    return CLIENTS.get(name, name)


@register.filter
def why_made(arm: str) -> str:
    """Why a task was made."""
    return ARMS.get(arm, arm.replace("_", " "))


@register.filter
def format_label(name: str) -> str:
    return FORMATS[name].label if name in FORMATS else name


@register.filter
def policy_name(name: str) -> str:
    """A setting of a snapshot's policy."""
    return POLICY.get(name, name.replace("_", " ").capitalize())


@register.filter
def policy_value(value: Any, name: str) -> str:
    if name == "pairs":
        return PAIRS.get(value, str(value))
    if name in ("unsettled", "extras", "include_excluded"):
        return "are in it" if value else "are left out"
    if name == "accepted":
        return "are imitated too" if value else "are not imitated"
    if name == "held_out_annotators":
        return f"{100 * value:g} %" if value else "none"
    if name == "hold_out":
        return HELD_OUT.get(value, str(value))
    return (", ".join(value) or "of every source") if isinstance(value, list) else str(value)


@register.filter
def strength_name(value: Any) -> str:
    """A pair's strength in words, with its number."""
    return f"{value}, {STRENGTHS[int(value)]}"


@register.filter
def doings(kinds: list[str]) -> str:
    """What an annotator does in a project of these kinds: one sentence's list."""
    words = [KINDS[kind].instruction for kind in kinds if kind in KINDS and KINDS[kind].instruction]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else ""
