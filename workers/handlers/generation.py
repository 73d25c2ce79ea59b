"""Generation jobs: write the queued responses of a project in batches, each by the model it was requested from.

A batch looks up several times a second: where somebody waits in front of a response (a live job), it stands still, that
job is carried out in between, and the batch goes on with the next token.

Safe to repeat: each response is claimed and finished by a compare-and-set, and its seed is in its row, so a response
that was being written when the worker was killed is written again, the same.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from feedback import streaming
from feedback.models import Job, ModelVersion, Response
from feedback.rules.data.seeds import stable_seed
from feedback.selectors.screening import guard_models
from feedback.services.collection import chat_completions, generation
from feedback.streaming import StreamWriter
from workers import loaded_models
from workers.job_context import OUR_FAULT, Cancelled, JobFailed, Lost, Outcome, PutBack, Work

if TYPE_CHECKING:
    from trainer.modeling.remote_generation import RemoteGenerator
    from trainer.recipes.generate import Generated, Generator

log = logging.getLogger(__name__)
BATCH = 32  # what a kill can cost at most
REMOTE_TRIES = 6  # of a server that is away, with 1, 2, 4, … seconds between
SAMPLING_KEYS = ("max_new_tokens", "temperature", "top_p", "top_k", "stop")
CHOICE = ("best_of", "judge")
LOADING = 1800.0  # seconds that a large model may take from a slow disk
LOOK_UP_EVERY = 0.2  # seconds: how long somebody waits at most for a batch to stand still
NOBODY_WAITED = "Generation stopped because no client was waiting. Request it again."
pen = StreamWriter()


@dataclass(frozen=True)
class Failure:
    """Why a response has no text: a sentence, and a code if a retry cannot help."""

    sentence: str
    code: str = ""


class NobodyWaits(Exception):
    """The readers of a live job's responses have left, and nobody can request them again."""


class ModelUnusable(JobFailed):
    """The model of some responses cannot write them. Responses of other models can be written."""


def carry_out(work: Work) -> Outcome:
    """Write queued responses until there are none. A failure of a model or a prompt affects no other response.

    Raises:
        JobFailed: a server elsewhere stays away; or nothing was written, for the reason that the first model has.
    """
    written = failed = 0
    unusable: ModelUnusable | None = None
    while batch := generation.claim_batch(work.job, limit=BATCH):
        for _, group in groupby(batch, key=_made_alike):
            responses = list(group)
            work.check()
            let_live_ones_by(work)
            work.say(f"writing responses; {written} done")
            try:
                outcomes = _texts(work, responses)
            except ModelUnusable as error:
                unusable = unusable or error
                outcomes = [Failure(error.sentence)] * len(responses)
            for response, outcome in zip(responses, outcomes, strict=True):
                if isinstance(outcome, Failure):
                    generation.fail_response(response, outcome.sentence, outcome.code)
                    failed += 1
                else:
                    written += generation.finish_response(
                        response,
                        text=storable(outcome.text),
                        finish_reason=outcome.finish_reason,
                        tokens=outcome.tokens,
                        prompt_tokens=outcome.prompt_tokens or None,
                    )
            pen.end(_public_ids(responses))
    if unusable is not None and not written:
        raise unusable
    return Outcome({"written": written, "failed": failed})


def storable(text: str) -> str:
    """Replace NUL, the only character that PostgreSQL cannot store; byte tokens can produce it."""
    return text.replace("\x00", "")


def let_live_ones_by(work: Work) -> None:
    """Carry out live jobs, which somebody waits for, unless this job is live itself."""
    if not work.job.payload.get(generation.LIVE):
        for key in generation.live_jobs():
            work.wait_aside(key)


class Telling:
    """Relays pieces of text to readers, and checks for cancellation now and then."""

    def __init__(self, work: Work, responses: Sequence[Response]) -> None:
        self.work = work
        self.ids = _public_ids(responses)
        self.pieces: dict[UUID, str] = defaultdict(str)
        self.looked_up = time.monotonic()
        # Nobody reads what the guard has not seen, or what may not be chosen: then the whole text comes at the end.
        chosen = responses[0].sampling.get("best_of", 1) > 1
        self.aloud = not chosen and not guard_models.of(responses[0].project).guard
        live = bool(work.job.payload.get(generation.LIVE))
        self.may_be_left = live and all(map(chat_completions.may_be_left, responses))
        pen.begin(self.ids)

    def text(self, index: int, piece: str) -> None:
        if self.aloud:
            self.pieces[self.ids[index]] += storable(piece)

    def step(self) -> None:
        if self.pieces:
            pen.write(self.pieces)
            self.pieces.clear()
        self.work.say()
        if time.monotonic() - self.looked_up > LOOK_UP_EVERY:
            self.work.check()
            let_live_ones_by(self.work)
            if self.may_be_left and self._left():
                raise NobodyWaits
            self.looked_up = time.monotonic()

    def _left(self) -> bool:
        """Whether nobody has read for a while. A reader has the same time to begin, from the start of the job."""
        began = self.work.job.started_at
        late = began is not None and (timezone.now() - began).total_seconds() > streaming.READER_SECONDS
        return late and pen.is_read(self.ids) is False


def _public_ids(responses: Sequence[Response]) -> list[UUID]:
    return [response.public_id for response in responses]


def _made_alike(response: Response) -> tuple[int | None, tuple[str, ...]]:
    """What responses must have in common to be written in one batch."""
    chosen = tuple(map(str, map(response.sampling.get, (*SAMPLING_KEYS, *CHOICE))))
    return response.model_version_id, chosen


def _texts(work: Work, responses: Sequence[Response]) -> "list[Generated | Failure]":
    """For each response its text or the reason why there is none. A batch that fails is tried again one by one, so that
    an error is reported of the prompt that causes it.

    Raises:
        ModelUnusable: the model cannot be loaded.
        JobFailed: the server stays away.
    """
    version = responses[0].model_version
    generator = _remote() if settings.GENERATION_URL and version is None else local_generator(work, version)
    outcomes = _tried(work, generator, responses)
    if len(responses) == 1 or not isinstance(outcomes, Failure):
        if isinstance(outcomes, Failure):
            return [outcomes]
        return list(outcomes)
    found: list[Generated | Failure] = []
    for response in responses:
        work.check()
        one = _tried(work, generator, [response])
        found += [one] if isinstance(one, Failure) else one
    return found


def _tried(
    work: Work, generator: "Generator | RemoteGenerator", responses: Sequence[Response]
) -> "list[Generated] | Failure":
    """The generated texts, or the failure of the whole batch."""
    from trainer.errors import DataUnusable, PromptTooLong

    try:
        return _generate(work, generator, responses)
    except NobodyWaits:
        return Failure(NOBODY_WAITED)
    except PromptTooLong as error:
        return Failure(error.message, "context_length_exceeded")
    except DataUnusable as error:
        return Failure(error.message, "prompt_unusable")
    except (Cancelled, Lost, PutBack, JobFailed, DatabaseError, OSError, MemoryError):
        raise  # about the job or the machine, not about a prompt
    except Exception:
        log.exception("job %s: %s responses could not be written at once", work.job.pk, len(responses))
        return Failure(OUR_FAULT)


def _generate(work: Work, generator: "Generator | RemoteGenerator", responses: Sequence[Response]) -> "list[Generated]":
    from trainer.errors import DataUnusable, TrainerError

    wanted = responses[0].sampling
    sampling = {key: wanted[key] for key in SAMPLING_KEYS if wanted.get(key) is not None}
    prompts, seeds = [], []
    for response in responses:
        for number in range(response.sampling.get("best_of", 1)):
            prompts.append(response.prompt.messages)
            seeds.append(_seed(response, number))
    for attempt in range(REMOTE_TRIES):
        try:
            made = generator.generate(
                prompts,
                seeds=seeds,
                batch_size=BATCH,
                reader=Telling(work, responses),
                **sampling,
            )
            if len(made) == len(responses):
                return made
            return _best(work, responses, made)
        except DataUnusable:
            raise
        except TrainerError as error:  # only a server far away fails like this
            if attempt + 1 == REMOTE_TRIES:
                raise JobFailed(Job.ErrorKind.INTERNAL, error.message, error.remedy) from error
            work.say(f"{error.message}; trying again")
            work.pause(2**attempt)
    raise AssertionError("unreachable")


def _seed(response: Response, number: int) -> int:
    """The seed of a completion of a response. The first has the response's own: a smaller best-of is a subset."""
    seed = response.seed or 0
    if number == 0:
        return seed
    return stable_seed("best of", seed, number, bits=generation.SEED_BITS)


def _best(work: Work, responses: Sequence[Response], made: "Sequence[Generated]") -> "list[Generated]":
    """For each response the completion that its reward model scores highest.

    Raises:
        ModelUnusable: the reward model was revoked, or its folder is not what the registry says.
    """
    from trainer.errors import TrainerError
    from trainer.recipes.best_of_n import best_place

    judge = ModelVersion.objects.get(public_id=responses[0].sampling["judge"])
    if judge.state == ModelVersion.State.REVOKED:
        raise ModelUnusable(Job.ErrorKind.DATA, f"{judge}, which selects the best sample, was revoked.", "Ask again.")
    work.say(f"choosing by {judge}")
    n = len(made) // len(responses)
    prompts = []
    for response in responses:
        prompts.extend([tuple(response.prompt.messages)] * n)
    try:
        scores = (
            loaded_models.reward_model(judge.path, judge.manifest_sha256)
            .score(prompts, [one.text for one in made])
            .tolist()
        )
    except TrainerError as error:
        raise ModelUnusable(Job.ErrorKind.DATA, error.message, error.remedy) from error
    best = []
    for start in range(0, len(made), n):
        drawn = made[start : start + n]
        ended = [one.finish_reason == "stop" for one in drawn]
        best.append(drawn[best_place(ended, scores[start : start + n])])
    return best


def local_generator(work: Work, version: ModelVersion | None) -> "Generator":
    """The generator of a version, kept in this process until another is requested.

    Raises:
        ModelUnusable: it was revoked, or its folder is not what the registry says.
    """
    from trainer.errors import TrainerError

    if version is None:
        raise ModelUnusable(
            Job.ErrorKind.CONFIG,
            "No model was named for these responses.",
            "Train and promote a policy, or set GENERATION_URL.",
        )
    if version.state == ModelVersion.State.REVOKED:
        raise ModelUnusable(Job.ErrorKind.DATA, f"{version} was revoked.", "Promote another version, then ask again.")
    work.say(f"loading {version}")
    try:
        with work.long_step(LOADING):
            return loaded_models.generator(version.path, version.manifest_sha256)
    except TrainerError as error:
        raise ModelUnusable(Job.ErrorKind.DATA, error.message, error.remedy) from error


@lru_cache(maxsize=1)
def _remote() -> "RemoteGenerator":
    from trainer.modeling.remote_generation import RemoteGenerator

    return RemoteGenerator(settings.GENERATION_URL, settings.GENERATION_MODEL, settings.GENERATION_API_KEY)
