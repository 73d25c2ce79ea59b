"""What clients ask over /v1/chat/completions: a prompt like any other, its responses live and sampled as they wish."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from feedback.models import Kind, ModelVersion, Person, Project, Prompt, Response
from feedback.rules.collection.chat_completions import ChatRequest
from feedback.rules.data.content_hash import body_hash
from feedback.services.collection import generation, prompts

SOURCE = "openai"
REPEATED_WITHIN = timedelta(minutes=15)


def ask(*, project: Project, by: Person, request: ChatRequest, key: str = "", repeated: bool = False) -> Prompt:
    """Store the prompt of a request, or find the one that the same request made before.

    Args:
        key: the client's Idempotency-Key, if it sent one: the same key is the same prompt.
        repeated: the client says that it sends this again; its first try may have come through.

    Raises:
        ExternalIdConflict: the key was used with another request.
        Invalid, ProjectClosed: as for any prompt.
    """
    digest = body_hash(
        [request.model, request.messages, request.n, request.sampling, request.seed, request.user, request.metadata]
    )
    if repeated and not key:
        since = timezone.now() - REPEATED_WITHIN
        before = project.prompts.filter(created_by=by, source=SOURCE, created_at__gte=since, metadata__request=digest)
        if found := before.order_by("-pk").first():
            return found
    prompt, _ = prompts.submit_prompt(
        project=project,
        by=by,
        messages=request.messages,
        source=SOURCE,
        external_id=f"{SOURCE}:{by.public_id}:{key}"[:200] if key else None,
        metadata={"request": digest, "user": request.user, "metadata": request.metadata},
    )
    return prompt


def may_be_left(response: Response) -> bool:
    """Whether nobody can want this response once its reader has gone: no task needs it, and no key finds it again."""
    prompt = response.prompt
    return prompt.source == SOURCE and prompt.external_id is None and not response.sampling.get("make_tasks", True)


def answer(*, prompt: Prompt, version: ModelVersion | None, request: ChatRequest) -> list[Response]:
    """Request the responses of a prompt that may be answered; those that were requested already are found again.

    Raises:
        NoServingModel: nothing serves the project.
    """
    with transaction.atomic():
        prompt = (
            Prompt.objects.select_for_update(of=("self",)).select_related("project", "created_by").get(pk=prompt.pk)
        )
        found = list(prompt.responses.order_by("pk")[: request.n])
        if found:
            return found
        project = prompt.project
        makes_tasks = project.completions_make_tasks and Kind.COMPARISON in project.kinds
        requested = generation.request_responses(
            prompt=prompt,
            count=request.n,
            by=prompt.created_by,
            model_version=version,
            make_tasks=makes_tasks,
            live=True,
            sampling=request.sampling,
            seed=request.seed,
        )
        more = project.responses_per_prompt - request.n if makes_tasks else 0
        if more > 0:  # nobody waits for those that only make the comparison
            generation.request_responses(prompt=prompt, count=more, by=prompt.created_by, model_version=version)
        # Who requested may read which model answered, so the queue keeps the task from them.
        Prompt.objects.filter(pk=prompt.pk).update(state=Prompt.State.SCREENED, responses_wanted=request.n)
        return requested
