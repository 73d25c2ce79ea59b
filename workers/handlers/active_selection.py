"""Choice jobs: score the responses of the pool that the newest reward model has not seen, then choose a batch of pairs.

Safe to repeat: scores are kept as they are computed, a response's once; the seed follows from the number of the choice;
and the choice is written with its tasks in the transaction that ends the job, which only one attempt can end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from feedback.models import Job, ModelVersion, Project, Split
from feedback.rules.evaluation import active_selection as rules
from feedback.rules.json_types import JsonObject
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.evaluation import selection_pool
from feedback.selectors.evaluation.selection_pool import PoolResponse, SelectionPool
from feedback.services.evaluation import choices
from feedback.services.evaluation.choices import ChoiceTerms, Chosen
from workers import loaded_models
from workers.handlers.generation import let_live_ones_by
from workers.job_context import JobFailed, Outcome, Work

if TYPE_CHECKING:
    from feedback.rules.evaluation.acquisition import Design, Floats, Pool
    from trainer.modeling.reward_model import RewardModel

BATCH = 512  # responses scored between two heartbeats; what a kill costs at most
MOST_LABELED = 20_000  # labels that a D-optimal design knows, the newest
LOADING = 1800.0  # seconds that a large model may take from a slow disk
NOTHING: JsonObject = {"tasks": 0}


def carry_out(work: Work) -> Outcome:
    """Choose the next batch of the job's project; nothing where something stands against it by now."""
    assert work.job.project_id is not None
    project = Project.objects.get(pk=work.job.project_id)
    wanted = selectors.settings_of(project)
    situation = selectors.situation(project, wanted)
    version = selectors.reward_version(project)
    if version is None or not wanted.on or rules.against_choosing(wanted, situation):
        return Outcome(NOTHING)
    work.say("reading the pool")
    pool = selection_pool.pool(project)
    if not pool.pairs:
        return Outcome(NOTHING)
    reward = loaded_model(work, version)
    _score(work, reward, version, pool.responses)
    batch = rules.batch_size(situation.labels)
    number = choices.next_number(project)
    is_design = wanted.acquisition == rules.D_OPTIMAL
    terms = ChoiceTerms(
        reward_version=version,
        number=number,
        acquisition=wanted.acquisition,
        random_share=wanted.random_share,
        temperature=0.0 if is_design else rules.TEMPERATURE,
        batch=batch,
        cap=rules.prompt_cap(batch, pool.prompts),
        labels=situation.labels,
        pool_pairs=len(pool.pairs),
        pool_prompts=pool.prompts,
        pool_hash=pool.hash,
        seed=choices.seed_of(project, number),
    )
    work.say("choosing pairs")
    with work.long_step(LOADING):
        chosen = _choose(project, reward if is_design else None, version, pool, terms)
    return Outcome({"tasks": len(chosen)}, lambda: choices.record_choice(work.job, terms, chosen))


def _score(work: Work, reward: "RewardModel", version: ModelVersion, responses: Sequence[PoolResponse]) -> None:
    """Score what this version has not scored yet, batch by batch."""
    missing = selection_pool.unscored(version, responses)
    for start in range(0, len(missing), BATCH):
        work.check()
        let_live_ones_by(work)
        work.say(f"scoring with {version}", step=start, steps=len(missing))
        some = missing[start : start + BATCH]
        heads = reward.head_rewards(_rows(reward, some), raw=True).tolist()
        keys = [response.key for response in some]
        choices.store_scores(version, dict(zip(keys, heads, strict=True)))


def _choose(
    project: Project,
    reward: "RewardModel | None",
    version: ModelVersion,
    pool: SelectionPool,
    terms: ChoiceTerms,
) -> list[Chosen]:
    """
    Args:
        reward: for a D-optimal choice.
    """
    from feedback.rules.evaluation import acquisition

    table = _table(version, pool)
    if reward is not None:
        table = replace(table, design=_design(project, reward, pool))
    drawn = acquisition.choose(
        table,
        acquisition.Rules(
            acquisition=terms.acquisition,
            batch=terms.batch,
            cap=terms.cap,
            random_share=terms.random_share,
            temperature=terms.temperature,
            seed=terms.seed,
        ),
    )
    return [Chosen(pool.pairs[pick.place], pick.arm, pick.propensity) for pick in drawn.picks]


def _table(version: ModelVersion, pool: SelectionPool) -> "Pool":
    """The pool as arrays, with the scores of its responses."""
    import numpy as np

    from feedback.rules.evaluation.acquisition import Pool

    known = selection_pool.scores(version)
    place = {response.key: number for number, response in enumerate(pool.responses)}
    return Pool(
        prompt=np.array([pair.prompt for pair in pool.pairs], dtype=np.int64),
        first=np.array([place[pair.first.key] for pair in pool.pairs], dtype=np.int64),
        second=np.array([place[pair.second.key] for pair in pool.pairs], dtype=np.int64),
        heads=np.array([known[response.key] for response in pool.responses], dtype=np.float64),
        teaches=np.array([pair.teaches for pair in pool.pairs], dtype=bool),
    )


def _design(project: Project, reward: "RewardModel", pool: SelectionPool) -> "Design":
    """Features of the pool's responses, and what the labels tell already."""
    import numpy as np

    from feedback.rules.evaluation.acquisition import Design, gaps, normalized, undecided

    pairs = selectors.pairs(project, Split.TRAIN).order_by("-pk").select_related("chosen", "rejected")[:MOST_LABELED]
    labeled: dict[int, PoolResponse] = {}
    ends: list[tuple[int, int]] = []
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            key = response.pk
            labeled[key] = PoolResponse(key, response.public_id, pair.prompt_id, response.text)
        ends.append((pair.chosen_id, pair.rejected_id))
    responses = [*pool.responses, *labeled.values()]
    rows = _rows(reward, responses)
    features: Floats = normalized(reward.features(rows).double().numpy())
    heads: Floats = reward.head_rewards(rows[len(pool.responses) :], raw=True).double().numpy()
    own = features[len(pool.responses) :]
    place = {key: number for number, key in enumerate(labeled)}
    better = np.array([place[chosen] for chosen, _ in ends], dtype=np.int64)
    worse = np.array([place[rejected] for _, rejected in ends], dtype=np.int64)
    return Design(features[: len(pool.responses)], own[better] - own[worse], undecided(gaps(heads, better, worse)))


def _rows(reward: "RewardModel", responses: Sequence[PoolResponse]) -> list[list[int]]:
    """Prompt, response and end token of each as ids."""
    from trainer.modeling.reward_model import finished_rows

    messages = selection_pool.messages_of(responses)
    prompts = [tuple(messages[response.prompt]) for response in responses]
    return finished_rows(reward.tokenizer, prompts, [response.text for response in responses])


def loaded_model(work: Work, version: ModelVersion) -> "RewardModel":
    """A reward version, kept until another is wanted."""
    from trainer.errors import TrainerError

    work.say(f"loading {version}")
    try:
        with work.long_step(LOADING):
            return loaded_models.reward_model(version.path, version.manifest_sha256)
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, error.remedy) from error
