"""Probe jobs: one small question to a model, for somebody who waits in front of a page.

Safe to repeat: nothing is written but the answer, which follows from the question and the model.
"""

from collections.abc import Callable
from typing import Any, cast

from feedback.models import Job, ModelVersion, TrainingRun
from feedback.rules.json_types import JsonObject
from workers import loaded_models
from workers.job_context import JobFailed, Outcome, Work

TRY_AGAIN = "Choose another model, or train one."
LOADING = 600.0  # seconds that a large model may take from a slow disk
NEW_TOKENS = 40  # of a response before and after fine-tuning
SEED = 0


def carry_out(work: Work) -> Outcome:
    """Answer the question of the job.

    Raises:
        JobFailed: a model was revoked or deleted, its folder is not what the registry says, or it cannot read the text.
    """
    from trainer.errors import TrainerError

    payload = work.job.payload
    versions = {name: _version(work.job, key) for name, key in payload["versions"].items()}
    try:
        with work.long_step(LOADING):
            return Outcome(ANSWERS[payload["probe"]](versions, payload["inputs"]))
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, error.remedy or TRY_AGAIN) from error


Versions = dict[str, ModelVersion]


def _version(job: Job, public_id: str) -> ModelVersion:
    version = ModelVersion.objects.filter(project=job.project_id, public_id=public_id).first()
    if version is None or version.state == ModelVersion.State.REVOKED:
        raise JobFailed(Job.ErrorKind.DATA, "The model was revoked or deleted.", TRY_AGAIN)
    return version


def _next_tokens(versions: Versions, inputs: JsonObject) -> JsonObject:
    from trainer.probes.next_tokens import next_tokens

    base = versions["base"]
    generator = loaded_models.generator(base.path, base.manifest_sha256)
    if inputs["step"] is not None:
        run = TrainingRun.objects.filter(model_version=base).first()
        if run is None or inputs["step"] not in base.metrics.get("milestones", []):
            raise JobFailed(Job.ErrorKind.DATA, "This run kept no weights of that step.", "Choose another step.")
        generator = loaded_models.at_milestone(base.path, base.manifest_sha256, run.folder, inputs["step"])
    return cast(JsonObject, next_tokens(generator.model, generator.tokenizer, inputs["text"]))


def _hidden_words(versions: Versions, inputs: JsonObject) -> JsonObject:
    from trainer.probes.hidden_words import guess_hidden

    encoder = versions["encoder"]
    model, tokenizer = loaded_models.encoder(encoder.path, encoder.manifest_sha256)
    hidden = [(start, end) for start, end in inputs["hidden"]]
    return {"words": guess_hidden(model, tokenizer, inputs["text"], hidden)}


def _classifier(version: ModelVersion) -> Any:
    from trainer.recipes.classify import Classifier

    return loaded_models.labeller(Classifier, version.path, version.manifest_sha256)


def _labels(versions: Versions, inputs: JsonObject) -> JsonObject:
    classifier = _classifier(versions["classifier"])
    [scores] = classifier.scores([inputs["text"]])
    return {"labels": scores, "many": classifier.many}


def _mailbox(versions: Versions, inputs: JsonObject) -> JsonObject:
    classifier = _classifier(versions["classifier"])
    texts = [text for text in inputs["texts"] if text["scheme"] == classifier.scheme]
    scored = classifier.scores([text["text"] for text in texts])
    messages = []
    for text, scores in zip(texts, scored, strict=True):
        messages.append({"text": text["text"], "people": text["labels"], "model": scores})
    return {"labels": classifier.classes, "many": classifier.many, "messages": messages}


def _spans(versions: Versions, inputs: JsonObject) -> JsonObject:
    from trainer.recipes.tag import Tagger

    tagger = loaded_models.labeller(Tagger, versions["tagger"].path, versions["tagger"].manifest_sha256)
    [spans] = tagger.spans([inputs["text"]])
    return {"spans": spans, "labels": tagger.classes}


def _before_after(versions: Versions, inputs: JsonObject) -> JsonObject:
    messages = [{"role": "user", "content": inputs["prompt"]}]
    responses = {}
    for name in ("base", "sft"):
        version = versions[name]
        generator = loaded_models.generator(version.path, version.manifest_sha256)
        [made] = generator.generate([messages], max_new_tokens=NEW_TOKENS, seeds=[SEED], temperature=0.0)
        responses[name] = {
            "text": made.text.replace("\x00", ""),
            "tokens": made.tokens,
            "ended": made.finish_reason == "stop",
        }
    return responses


def _reward(versions: Versions, prompt: str, texts: list[str]) -> JsonObject:
    from trainer.probes.word_effects import word_effects

    reward = loaded_models.reward_model(versions["reward"].path, versions["reward"].manifest_sha256)
    return cast(JsonObject, word_effects(reward, [{"role": "user", "content": prompt}], texts))


def _rewards(versions: Versions, inputs: JsonObject) -> JsonObject:
    return _reward(versions, inputs["prompt"], [inputs["first"], inputs["second"]])


def _scores(versions: Versions, inputs: JsonObject) -> JsonObject:
    found = _reward(versions, inputs["prompt"], [inputs["response"]])
    answer: JsonObject = {"reward": found["responses"][0]["reward"]}
    if "classifier" in versions:
        [answer["labels"]] = _classifier(versions["classifier"]).scores([inputs["response"]])
    return answer


ANSWERS: dict[str, Callable[[Versions, JsonObject], JsonObject]] = {
    "next_tokens": _next_tokens,
    "hidden_words": _hidden_words,
    "labels": _labels,
    "mailbox": _mailbox,
    "spans": _spans,
    "before_after": _before_after,
    "rewards": _rewards,
    "scores": _scores,
}
