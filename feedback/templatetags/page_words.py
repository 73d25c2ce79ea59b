"""What pages call what the tables name in one word: jobs, policies, formats, where an answer came from."""

from django import template
from django.utils.safestring import SafeString

from feedback.formats.catalog import FORMATS, TABLE, TABLE_LABEL
from feedback.models import Job
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.preferences import STRENGTHS
from feedback.rules.data.import_outcome import COMPLETE, outcome_of
from feedback.templatetags.feedback import state_badge

register = template.Library()

JOBS = {
    "training": "training",
    "generation": "generate responses",
    "freeze": "freeze snapshot",
    "corpus": "import documents",
    "import": "import file",
    "export": "export file",
    "preflight": "preflight check",
    "score": "screening",
    "live_accuracy": "score labels",
    "safety": "test safety",
    "adopt": "import model",
    "choice": "select pairs",
    "replay": "selection replay",
    "looks": "score saved responses",
    "probe": "question to a model",
}
CLIENTS = {"web": "the desk", "api": "REST API", "import": "a file", "simulation": "a simulated annotator"}
ARMS = {
    "given": "created by hand",
    "imported": "import",
    "random": "random pair of responses",
    "active": "selected by the reward model",
    "arena": "comparison of models",
    "double": "random pair of responses, for two annotators",
    "conversation": "conversation",
    "gold": "gold task",
}
POLICY = {
    "pairs": "Tasks with several annotations",
    "unsettled": "Incomplete tasks",
    "extras": "Extra annotations",
    "prompt_sources": "Prompts for sampling",
    "held_out_annotators": "Held-out annotators",
    "accepted": "Accepted responses",
    "include_excluded": "Annotations of excluded annotators",
    "weigh_annotators": "Unreliable annotators",
    "hold_out": "Held-out share",
}
WEIGHING = {"weigh": "weighed by reliability", "drop": "flagged ones left out", "off": "count the same"}
PAIRS = {"each": "every annotation", "consensus": "consensus"}
HELD_OUT = {"share": "5 % of documents", "last_tenth": "last 10 % of characters"}


@register.filter
def job_kind(name: str) -> str:
    return JOBS.get(name, name)


@register.simple_tag
def import_badge(job: Job) -> SafeString:
    """The state of an import, with the number of rejected lines if there are any."""
    if job.status != Job.Status.SUCCEEDED:
        return state_badge(job.status)
    outcome = outcome_of(job.result)
    if outcome.state == COMPLETE:
        return state_badge(job.status)
    rejected, read = job.result.get("rejected", 0), job.result.get("read", 0)
    if not rejected:
        return state_badge(outcome.state)
    return state_badge(outcome.state, f"{rejected:,} of {read:,} lines rejected")


@register.filter
def client_name(name: str) -> str:
    return CLIENTS.get(name, name)


@register.filter
def why_made(arm: str) -> str:
    """Why a task was made."""
    return ARMS.get(arm, arm.replace("_", " "))


@register.filter
def format_label(name: str) -> str:
    if name == TABLE:
        return TABLE_LABEL
    return FORMATS[name].label if name in FORMATS else name


@register.filter
def policy_name(name: str) -> str:
    """A setting of a snapshot's policy."""
    return POLICY.get(name, name.replace("_", " ").capitalize())


@register.filter
def policy_value(value: bool | float | str | list[str], name: str) -> str:
    """The value of a setting of the policy of a snapshot, in words."""
    if name == "pairs":
        return PAIRS.get(str(value), str(value))
    if name in ("unsettled", "extras", "include_excluded"):
        return "included" if value else "excluded"
    if name == "accepted":
        return "used as demonstrations" if value else "not used"
    if name == "held_out_annotators":
        return f"{100 * float(str(value)):g} %" if value else "none"
    if name == "weigh_annotators":
        return WEIGHING.get(str(value), str(value))
    if name == "hold_out":
        return HELD_OUT.get(str(value), str(value))
    if isinstance(value, list):
        return ", ".join(value) or "of every source"
    return str(value)


@register.filter
def strength_name(value: int) -> str:
    """The strength of a pair as number and words."""
    return f"{value}, {STRENGTHS[int(value)]}"


@register.filter
def doings(kinds: list[str]) -> str:
    """What an annotator does in a project with these kinds, as a list in a sentence."""
    words = []
    for kind in kinds:
        if kind in KINDS and KINDS[kind].instruction:
            words.append(KINDS[kind].instruction)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


@register.filter
def last_content(messages: list[dict[str, str]]) -> str:
    """The text of the last message of a prompt."""
    return messages[-1]["content"] if messages else ""
