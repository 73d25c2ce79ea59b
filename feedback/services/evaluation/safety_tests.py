"""Safety tests: started with a contest, and fed with the guard model's verdicts by a worker."""

from django.db import transaction
from django.utils import timezone

from feedback import celery_app
from feedback.errors import Conflict, NoServingModel
from feedback.models import Contest, Job, ModelVersion, Person, Project, SafetyTest
from feedback.rules.evaluation.noninferiority import FEWEST_PROMPTS
from feedback.selectors.evaluation import safety
from feedback.selectors.screening import guard_models
from feedback.services.collection import generation
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.registry import model_versions

State = SafetyTest.State
ENDS_AT = ("passed", "worse")  # more prompts would not change these


def start(*, by: Person | None, candidate: ModelVersion, incumbent: ModelVersion) -> SafetyTest | None:
    """Let the guard model judge both versions, unless it does or did. Call inside a transaction that locks the project.

    Returns:
        The test; None without a guard model, or with too few prompts.
    """
    project = candidate.project
    setting, guard = guard_models.of(project).guard, safety.guard_of(project)
    if setting is None or guard is None:
        return None
    test = safety.newest(candidate, incumbent)
    if test is not None and test.guard_id == guard.pk and not _is_stranded(test):
        return test
    if test is None or test.guard_id != guard.pk or test.state == State.DONE:
        prompts = safety.prompts_for(candidate, incumbent)
        if len(prompts) < FEWEST_PROMPTS:
            return None
        test = SafetyTest.objects.create(
            project=project,
            candidate=candidate,
            incumbent=incumbent,
            guard=guard,
            blocks=list(setting.blocks),
            threshold=setting.threshold,
            sampling=generation.DEFAULT_SAMPLING | project.sampling,
            prompts=prompts,
        )
    test.job = jobs.create(
        kind=Job.Kind.SAFETY,
        queue_name=celery_app.GENERATE,
        project=project,
        by=by,
        payload={"safety_test": str(test.public_id)},
    )
    test.save(update_fields=["job"])
    events.record("model.safety_test_started", candidate, actor=by, incumbent=str(incumbent))
    return test


def request(*, by: Person, candidate: ModelVersion) -> SafetyTest:
    """Start the test of a policy beside the version that serves, or find the one there is.

    Raises:
        Invalid: it is no policy.
        NoServingModel: nothing serves.
        Conflict: it serves; there is no guard model; too few prompts are at hand.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(candidate.project, "safety tests")
    model_versions.check_policy(candidate)
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=candidate.project_id)
        incumbent = model_versions.serving(project)
        if incumbent is None:
            raise NoServingModel("No model serves this project yet, so there is nothing to compare with. Promote one.")
        if incumbent.pk == candidate.pk:
            raise Conflict(f"{str(candidate).capitalize()} serves the project. Choose another version.")
        test = start(by=by, candidate=candidate, incumbent=incumbent)
    if test is None:
        raise Conflict(safety.in_words(candidate, incumbent))
    return test


def add(*, test: SafetyTest, since: int, verdicts: str) -> bool:
    """Append a batch of verdicts, and end the test where it can tell or no prompt is left.

    Args:
        since: how many verdicts there were before the batch.

    Returns:
        Whether it goes on. A batch that is there already, because a job was carried out twice, changes nothing.
    """
    with transaction.atomic():
        held = SafetyTest.objects.select_for_update(of=("self",)).select_related("candidate").get(pk=test.pk)
        if held.state == State.DONE:
            return False
        if len(held.verdicts) != since:
            return True
        held.verdicts += verdicts
        found = safety.outcome(held)
        if found.code in ENDS_AT or len(held.verdicts) >= len(held.prompts):
            held.state, held.ended_at = State.DONE, timezone.now()
            events.record("model.safety_tested", held.candidate, actor=None, outcome=found.code, prompts=found.prompts)
            for key in _contests_that_wait(held):
                celery_app.enqueue(celery_app.CONTEST, key)
        held.save(update_fields=["verdicts", "state", "ended_at"])
    return held.state == State.RUNNING


def _contests_that_wait(test: SafetyTest) -> list[int]:
    rows = Contest.objects.filter(winner__model_version=test.candidate, plan__incumbent=test.incumbent, applied_at=None)
    return list(rows.values_list("pk", flat=True))


def _is_stranded(test: SafetyTest) -> bool:
    """Whether it should run and no job does."""
    return test.state == State.RUNNING and (test.job is None or test.job.status not in Job.ACTIVE)
