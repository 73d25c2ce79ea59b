"""What tests of campaigns begin with: a policy that serves, a campaign, labels, and pipeline runs that end."""

from typing import Any

from feedback.models import Campaign, CampaignRound, Chain, Evaluation, ModelVersion, Person, Project
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import projects
from feedback.services.training import campaigns, pipelines
from tests.factories import make_annotation, make_model, make_prompt_in, make_task
from tests.furnish import finish

STAGES = ["sft", "reward", "ppo", "evaluate"]
CAP = 12  # votes of a comparison: eight wins in a row promote


def begin(project: Project, by: Person, **options: Any) -> Campaign:
    """A campaign on a project whose first policy serves, and which one annotator answers."""
    projects.update_project(by=by, project=project, annotations_per_task=1)
    project.refresh_from_db()
    if not ModelVersion.objects.filter(project=project).exists():
        make_model(project, by, stage="pretrain", serve=True)
    given: dict[str, Any] = {
        "name": "Nightly",
        "stages": STAGES,
        "after_labels": 3,
        "budget": 1000,
        "contest": Rules(cap=CAP, share=1.0, preconditions="report"),
    } | options
    return campaigns.create_campaign(by=by, project=project, **given)


def label(project: Project, person: Person, count: int) -> None:
    """So many judgments of new tasks, on prompts that train."""
    for _ in range(count):
        make_annotation(project, person, make_task(project, make_prompt_in(project, "train")))


def advance(campaign: Campaign, most: int = 10) -> Campaign:
    """Step until it waits."""
    for _ in range(most):
        if not campaigns.advance(campaign.pk):
            break
    campaign.refresh_from_db()
    return campaign


def current(campaign: Campaign) -> CampaignRound:
    found = campaign.rounds.order_by("-number").first()
    assert found is not None
    return found


def train(chain: Chain) -> ModelVersion:
    """What the worker and its trainer make of the pipeline run. Returns the policy that it aligned."""
    made: dict[str, ModelVersion | None] = {}
    for stage in chain.stages:
        run = chain.runs.get(stage=stage)
        if stage == "evaluate":
            pipelines.record_evaluation(run, metrics={"split": "test", "prompts": 0}, samples=[])
        made[stage] = finish(run, {"loss": 1.0}, steps=2)
    chain.refresh_from_db()
    assert chain.state == Chain.State.SUCCEEDED
    policy = made["ppo"]
    assert policy is not None and Evaluation.objects.get(run__chain=chain).candidate == policy
    return policy
