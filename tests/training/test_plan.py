"""Ada describes a pipeline once: the page, the API, a schedule and a preflight check plan it the same way."""

from dataclasses import replace
from typing import Any

import pytest

from feedback.errors import Invalid, NothingToTrainOn
from feedback.models import Chain, Job, Person, Project, Schedule
from feedback.selectors.training import plans
from feedback.selectors.training.plans import PipelineRequest, plan_pipeline
from feedback.services.training import pipelines, preflight
from tests.factories import make_model, make_pair, make_prompt_in, plan_for

pytestmark = pytest.mark.database


@pytest.fixture
def sft(project: Project, ada: Person) -> Any:
    """An SFT policy, and pairs on training prompts."""
    for _ in range(2):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    return make_model(project, ada, stage="sft")


def nothing_started() -> bool:
    started = Chain.objects.filter(state=Chain.State.ACTIVE).exists()
    return not started and not Job.objects.filter(kind=Job.Kind.PREFLIGHT).exists()


def test_a_plan_names_settings_and_models_of_each_stage_in_order(project: Project, sft: Any) -> None:
    project.training_policy = {"stages": {"dpo": {"beta": 0.2, "epochs": 2.0}}}
    plan = plan_for(project, stages=["evaluate", "dpo"], config={"dpo": {"epochs": 1.0}})
    assert plan.problems == () and plan.request.stages == ("dpo", "evaluate")
    dpo, evaluate = plan.stages
    assert (dpo.settings, dpo.models.base) == ({"preset": "small", "beta": 0.2, "epochs": 1.0}, sft)
    assert (evaluate.models.base, evaluate.snapshot) == (None, None), "DPO has yet to make it"
    assert nothing_started(), "planning changes nothing"


def test_every_problem_is_listed_with_its_field_and_the_first_is_raised(project: Project, ada: Person) -> None:
    reward = make_model(project, ada, stage="reward")
    plan = plan_for(project, stages=["dpo"], base_model=reward)
    assert [(type(one), one.field) for one in plan.problems][:2] == [(Invalid, "base_model"), (NothingToTrainOn, None)]
    assert "DPO needs preference pairs" in plan.problems[2].sentence
    with pytest.raises(Invalid, match="does not fit these stages"):
        pipelines.start_chain(plan, by=ada)
    with pytest.raises(Invalid, match="does not fit these stages"):
        preflight.request_preflight(plan, by=ada)
    assert nothing_started()


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"stages": ()}, "stages", "Name at least one stage, and each stage only once."),
        ({"stages": ("sft", "ppo", "dpo")}, "stages", "DPO and PPO are alternatives"),
        (
            {"config": {"ppo": {"lam": 0.9}}},
            "config",
            "There are settings for 'ppo', which is not a stage of this pipeline run.",
        ),
        ({"config": {"sft": {"epoch": 3}}}, "config.sft.epoch", "epochs"),
        ({"ignore_findings": ("no_such",)}, "ignore_findings", "no_such"),
    ],
)
def test_a_request_that_is_wrong_by_itself_has_no_stages(
    project: Project, change: dict[str, Any], field: str, sentence: str
) -> None:
    plan = plan_pipeline(replace(PipelineRequest(project=project, stages=("sft",)), **change))
    assert plan.stages == () and [problem.field for problem in plan.problems] == [field]
    assert sentence in plan.problems[0].sentence


def test_page_api_and_schedule_refuse_the_same_settings_in_the_same_words(
    project: Project, ada: Person, sft: Any, signed_in: Any, client_for: Any
) -> None:
    config = {"ppo": {"lam": 0.9}}
    sentence = "There are settings for &#x27;ppo&#x27;, which is not a stage of this pipeline run."
    body = {"project": project.slug, "stages": ["dpo"], "config": config}
    for path, more in (
        ("chains", {}),
        ("training-runs/preflight", {}),
        ("schedules", {"name": "nightly", "every_seconds": 3600}),
    ):
        reply = client_for(ada).post(f"/api/v1/{path}/", body | more, format="json")
        assert reply.status_code == 400, path
        assert reply.json()["errors"][0]["detail"] == sentence.replace("&#x27;", "'"), path
    page = signed_in(ada).post(f"/p/{project.slug}/train/", {"stages": ["dpo"], "config": '{"ppo": {"lam": 0.9}}'})
    assert page.status_code == 422 and sentence in page.content.decode()
    assert nothing_started() and not Schedule.objects.exists()


def test_the_page_shows_every_problem_at_once(project: Project, ada: Person, signed_in: Any) -> None:
    reward = make_model(project, ada, stage="tokenizer")
    page = (
        signed_in(ada)
        .post(f"/p/{project.slug}/train/", {"stages": ["dpo"], "base_model": str(reward.public_id)})
        .content.decode()
    )
    for sentence in ("does not fit these stages", "starts from an SFT policy", "DPO needs preference pairs"):
        assert sentence in page


def test_a_pipeline_run_is_planned_again_from_its_own_request(project: Project, ada: Person, sft: Any) -> None:
    chain = pipelines.start_chain(plan_for(project, stages=["reward", "dpo"], base_model=sft, seed=7), by=ada)
    request = plans.request_of_chain(chain)
    assert (request.stages, request.seed, request.snapshot) == (("reward", "dpo"), 7, chain.snapshot)
    assert [stage.stage for stage in preflight.planned_of(chain)] == ["reward", "dpo"]
    rest = plans.request_for_rest_of(chain, 1)
    assert (rest.stages, rest.base_model, rest.snapshot) == (("dpo",), sft, None)
