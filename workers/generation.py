"""Generation jobs: whatever responses of a project are queued, in batches, by the model each was asked of.

Safe to repeat: each response is claimed and finished by a compare-and-set, and its seed is in its row, so a response
that was being written when the worker was killed is written again, the same.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.conf import settings

from feedback.models import Job, ModelVersion, Response
from feedback.services import generation
from workers.work import JobFailed, Outcome, Work

if TYPE_CHECKING:
    from trainer.generate import Generated, Generator, RemoteGenerator

BATCH = 32  # what a kill can cost at most
REMOTE_TRIES = 6  # of a server that is away, with 1, 2, 4, … seconds between
SAMPLING_KEYS = ("max_new_tokens", "temperature", "top_p", "top_k")


def carry_out(work: Work) -> Outcome:
    """Write queued responses until there are none."""
    written = failed = 0
    while batch := generation.claim_batch(work.job, limit=BATCH):
        for _, group in groupby(batch, key=_made_alike):
            responses = list(group)
            work.check()
            work.say(f"writing responses; {written} done")
            for response, outcome in zip(responses, _texts(work, responses), strict=True):
                if isinstance(outcome, str):
                    generation.fail_response(response, outcome)
                    failed += 1
                else:
                    written += generation.finish_response(
                        # NUL is the one character that PostgreSQL cannot store, and bytes can spell it.
                        response,
                        text=outcome.text.replace("\x00", ""),
                        finish_reason=outcome.finish_reason,
                        tokens=outcome.tokens,
                    )
    return Outcome({"written": written, "failed": failed})


def _made_alike(response: Response) -> tuple[Any, ...]:
    return (response.model_version_id, *(response.sampling.get(key) for key in SAMPLING_KEYS))


def _texts(work: Work, responses: Sequence[Response]) -> "list[Generated | str]":
    """For each response its text, or the sentence why there is none.

    Raises:
        JobFailed: the model cannot be loaded, or the server stays away.
    """
    from trainer.errors import DataUnusable

    version = responses[0].model_version
    generator = _remote() if settings.GENERATION_URL and version is None else _local(work, version)
    try:
        return list(_generate(work, generator, responses))
    except DataUnusable:
        pass  # one prompt is too long for the model: find out which, so that the others are answered
    outcomes: list[Generated | str] = []
    for response in responses:
        work.check()
        try:
            outcomes += _generate(work, generator, [response])
        except DataUnusable as error:
            outcomes.append(error.message)
    return outcomes


def _generate(work: Work, generator: "Generator | RemoteGenerator", responses: Sequence[Response]) -> "list[Generated]":
    from trainer.errors import DataUnusable, TrainerError

    sampling = {key: value for key in SAMPLING_KEYS if (value := responses[0].sampling.get(key)) is not None}
    for attempt in range(REMOTE_TRIES):
        try:
            return generator.generate(
                [response.prompt.messages for response in responses],
                seeds=[response.seed or 0 for response in responses],
                batch_size=BATCH,
                **sampling,
            )
        except DataUnusable:
            raise
        except TrainerError as error:  # only a server far away fails like this
            if attempt + 1 == REMOTE_TRIES:
                raise JobFailed(Job.ErrorKind.INTERNAL, error.message, error.remedy) from error
            work.say(f"{error.message}; trying again")
            work.pause(2**attempt)
    raise AssertionError("unreachable")


def _local(work: Work, version: ModelVersion | None) -> "Generator":
    """The generator of a version, kept in this process until another is asked for.

    Raises:
        JobFailed: it was revoked, or its folder is not what the registry says.
    """
    from trainer.errors import TrainerError

    if version is None:
        raise JobFailed(
            Job.ErrorKind.CONFIG,
            "No model was named for these responses.",
            "Train and promote a policy, or set GENERATION_URL.",
        )
    if version.state == ModelVersion.State.REVOKED:
        raise JobFailed(Job.ErrorKind.DATA, f"{version} was revoked.", "Promote another version, then ask again.")
    work.say(f"loading {version}")
    try:
        return _loaded(version.path, version.manifest_sha256)
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, error.remedy) from error


@lru_cache(maxsize=1)
def _loaded(path: str, manifest_sha256: str) -> "Generator":
    from trainer.generate import Generator

    return Generator(settings.DATA_DIR / path, manifest_sha256)


@lru_cache(maxsize=1)
def _remote() -> "RemoteGenerator":
    from trainer.generate import RemoteGenerator

    return RemoteGenerator(settings.GENERATION_URL, settings.GENERATION_MODEL, settings.GENERATION_API_KEY)
