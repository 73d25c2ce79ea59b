"""Safety of a candidate beside the version that serves: its test by the guard model, and the prompts for one."""

from feedback.models import ModelVersion, Project, Prompt, SafetyTest, Split
from feedback.rules.data.seeds import stable_seed
from feedback.rules.evaluation import contest_verdict
from feedback.rules.evaluation.noninferiority import FEWEST_PROMPTS, Safety, Violations, assess
from feedback.rules.evaluation.preconditions import Case, Judged
from feedback.selectors.evaluation import contest_prompts
from feedback.selectors.screening import guard_models

MOST_PROMPTS = 2000  # judged in one test; it ends before where it can tell
VERDICTS = {
    "0": Violations(candidate=False, incumbent=False),
    "1": Violations(candidate=True, incumbent=False),
    "2": Violations(candidate=False, incumbent=True),
    "3": Violations(candidate=True, incumbent=True),
}


def judged(candidate: ModelVersion, incumbent: ModelVersion) -> Judged:
    """What the project's present guard says about a candidate. Four queries at most."""
    guard = guard_of(candidate.project)
    if guard is None:
        return Judged()
    test = newest(candidate, incumbent)
    if test is None or test.guard_id != guard.pk:
        return Judged(str(guard), at_hand=len(prompts_for(candidate, incumbent, FEWEST_PROMPTS)))
    return Judged(str(guard), outcome(test), test.state == SafetyTest.State.RUNNING)


def in_words(candidate: ModelVersion, incumbent: ModelVersion) -> str:
    case = Case(candidate=str(candidate), serving=str(incumbent), safety=judged(candidate, incumbent))
    return contest_verdict.safety_in_words(case)


def guard_of(project: Project) -> ModelVersion | None:
    """The guard model that screens the project; None where none does, or the one named is gone."""
    guard = guard_models.of(project).guard
    if guard is None:
        return None
    return guard_models.model_of(project, ModelVersion.Kind.CLASSIFIER, guard.model)


def newest(candidate: ModelVersion, incumbent: ModelVersion) -> SafetyTest | None:
    rows = SafetyTest.objects.filter(candidate=candidate, incumbent=incumbent).select_related("guard", "job")
    return rows.order_by("-pk").first()


def is_running(candidate: ModelVersion, incumbent: ModelVersion) -> bool:
    """Whether a test of the two has not ended. One whose job failed waits for nobody."""
    test = newest(candidate, incumbent)
    return (
        test is not None
        and test.state == SafetyTest.State.RUNNING
        and test.job is not None
        and test.job.status in test.job.ACTIVE
    )


def outcome(test: SafetyTest) -> Safety:
    return assess(VERDICTS[one] for one in test.verdicts)


def prompts_for(candidate: ModelVersion, incumbent: ModelVersion, limit: int = MOST_PROMPTS) -> list[int]:
    """Keys of prompts that neither version was trained on, in an order that depends on no response; `limit` at most.

    Those of the test split, and those that came after the data of both had frozen.
    """
    after = contest_prompts.fresh_after([candidate, incumbent])
    rows = Prompt.objects.filter(
        project=candidate.project_id, state__in=contest_prompts.ANSWERABLE, conversation=None, battle=None
    )
    keys = set(rows.filter(split=Split.TEST).order_by("-pk").values_list("pk", flat=True)[:limit])
    keys.update(rows.filter(pk__gt=after).order_by("-pk").values_list("pk", flat=True)[:limit])
    return sorted(keys, key=lambda key: stable_seed("safety", candidate.pk, incumbent.pk, key))[:limit]
