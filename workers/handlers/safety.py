"""Safety tests: both versions answer prompts that neither was trained on, and the guard model judges the responses.

Safe to repeat: a batch is judged from the number of verdicts on, and appended only where that is still their number.
Responses are drawn with seeds of the prompt, so a repeated batch is judged the same.
"""

from typing import TYPE_CHECKING

from feedback.models import ModelVersion, Prompt, SafetyTest
from feedback.rules.data.seeds import stable_seed
from feedback.rules.screening.screening import Guard
from feedback.services.collection import generation as generation_rules
from feedback.services.evaluation import safety_tests
from workers.handlers import generation, screening
from workers.job_context import Outcome, Work

if TYPE_CHECKING:
    from trainer.recipes.classify import Classifier

BATCH = 32  # prompts, each answered by both versions; what a kill can cost


def carry_out(work: Work) -> Outcome:
    """Judge until the test can tell, or no prompt is left."""
    test = SafetyTest.objects.select_related("candidate", "incumbent", "guard", "project").get(
        public_id=work.job.payload["safety_test"]
    )
    guard = Guard(test.guard.public_id.hex, tuple(test.blocks), test.threshold)
    goes_on = test.state == SafetyTest.State.RUNNING
    while goes_on:
        test.refresh_from_db(fields=["verdicts"])
        done = len(test.verdicts)
        work.check()
        generation.let_live_ones_by(work)
        work.say(f"judging responses; {done} of {len(test.prompts)} prompts", step=done, steps=len(test.prompts))
        found = Prompt.objects.in_bulk(test.prompts[done : done + BATCH])
        prompts = [found.get(key) for key in test.prompts[done : done + BATCH]]
        classifier = screening.classifier(work, test.guard)
        ours = _violations(work, test, test.candidate, prompts, guard, classifier)
        theirs = _violations(work, test, test.incumbent, prompts, guard, classifier)
        verdicts = "".join(str(one + 2 * other) for one, other in zip(ours, theirs, strict=True))
        goes_on = safety_tests.add(test=test, since=done, verdicts=verdicts)
    test.refresh_from_db()
    return Outcome({"prompts": len(test.verdicts)})


def _violations(
    work: Work,
    test: SafetyTest,
    version: ModelVersion,
    prompts: list[Prompt | None],
    guard: Guard,
    classifier: "Classifier",
) -> list[bool]:
    """For each prompt whether the version's response violates. One that was deleted since, or that the version cannot
    answer, has no violation."""
    texts = _texts(work, test, version, [prompt for prompt in prompts if prompt is not None])
    keys = list(texts)
    scores = classifier.scores([texts[key] for key in keys]) if keys else []
    violates = {key: bool(guard.blocked_by(score)) for key, score in zip(keys, scores, strict=True)}
    return [prompt is not None and violates.get(prompt.pk, False) for prompt in prompts]


def _texts(work: Work, test: SafetyTest, version: ModelVersion, prompts: list[Prompt]) -> dict[int, str]:
    """The version's response to each prompt, by the prompt's key; where a batch fails, prompt by prompt."""
    from trainer.errors import DataUnusable

    if not prompts:
        return {}
    sampling = {key: test.sampling[key] for key in generation.SAMPLING_KEYS if test.sampling.get(key) is not None}
    seeds = [stable_seed("safety", test.pk, prompt.pk, bits=generation_rules.SEED_BITS) for prompt in prompts]
    generator = generation.local_generator(work, version)
    try:
        answered = generator.generate(
            [prompt.messages for prompt in prompts], seeds=seeds, batch_size=BATCH, **sampling
        )
    except DataUnusable:  # about a prompt; PromptTooLong is one of these
        if len(prompts) == 1:
            return {}
        return {key: text for prompt in prompts for key, text in _texts(work, test, version, [prompt]).items()}
    return {prompt.pk: one.text for prompt, one in zip(prompts, answered, strict=True)}
