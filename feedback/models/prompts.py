"""Prompts, conversations, responses, and clients' thumbs on them."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Substr

from feedback.models.base import Row
from feedback.models.sentences import SentenceLine

# What is still to come. Written with "or", here and in queries: SQLite finds no partial index for a list of states.
NOT_READY = Q(state="received") | Q(state="screened")
TO_COME = Q(state="queued") | Q(state="running")
FAMILY_PREFIX = 8  # digits of a family's hash in its index: hashes come in no order, so each writes a page of its own


class Split(models.TextChoices):
    TRAIN = "train"  # may be trained on
    SELECTION = "selection"  # early stopping and choice of settings only
    TEST = "test"  # evaluation and the gate only
    NONE = "none"  # in no snapshot: its family and its group lie in two splits


FROZEN_SPLITS = (Split.TRAIN, Split.SELECTION, Split.TEST)  # those that a snapshot has files of


def _external_owner() -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(
        "feedback.Person",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="The annotator whose numbering the external id belongs to. Empty: the project's.",
    )


def _unique_external_ids(noun: str, numbered: Q = Q()) -> list[models.UniqueConstraint]:  # noqa: B008
    """An id from outside is unique in the project's own numbering, and in that of each annotator.

    Args:
        numbered: what keeps rows without an id out of the project's index.
    """
    return [
        models.UniqueConstraint(
            fields=["project", "external_id"],
            condition=numbered & Q(external_owner__isnull=True),
            name=f"one_{noun}_per_external_id",
        ),
        models.UniqueConstraint(
            fields=["external_owner", "project", "external_id"],
            condition=Q(external_owner__isnull=False),
            name=f"one_{noun}_per_own_external_id",
        ),
    ]


class Conversation(Row):
    """A conversation of one person with the serving model; each turn is a prompt, two responses, their comparison."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE)
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it continues.")

    class Meta:
        indexes = [models.Index(fields=["project", "person", "-id"], name="conversation_newest_first")]


class Prompt(Row):
    """What a model answers: messages, the last of them the user's. Its split is fixed when it arrives.

    Imports write prompts, responses and tasks by the million, so each index of theirs has a query that needs it: keys
    that begin another index have none of their own, and keys that are mostly empty have one over the rest.
    """

    class State(models.TextChoices):
        RECEIVED = "received"  # stored, not screened
        SCREENED = "screened"  # passed the guard, waits for its responses
        READY = "ready"  # has the responses that were wanted
        BLOCKED = "blocked"  # the guard refused it

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="prompts", db_index=False)
    messages = models.JSONField()
    family = models.CharField(max_length=64, help_text="Hash of the project's salt and the first user message.")
    split = models.CharField(max_length=16, choices=Split.choices)
    group = models.CharField(
        max_length=200,
        blank=True,
        help_text="Document, conversation or customer that it comes from. A group shares one split.",
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.RECEIVED)
    source = models.CharField(max_length=100, blank=True)
    external_id = models.CharField(max_length=200, null=True, blank=True)
    external_owner = _external_owner()
    body_hash = models.CharField(max_length=64, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    provenance = models.JSONField(
        default=dict, blank=True, help_text="Further fields of the imported row, by format. Only file formats write it."
    )
    responses_wanted = models.PositiveSmallIntegerField(default=0)
    screening = models.JSONField(
        default=dict, blank=True, help_text="Result of the guard model, or that there is none."
    )
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="turns", db_index=False
    )
    turn = models.PositiveSmallIntegerField(default=0, help_text="Number in its conversation, from 1.")
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["project", "-id"], name="prompt_newest_first"),
            models.Index(fields=["project", "id"], condition=Q(state="received"), name="prompt_waits_for_guard"),
            models.Index(fields=["project"], condition=NOT_READY, name="prompt_waiting"),
            models.Index(F("project"), Substr("family", 1, FAMILY_PREFIX), F("id"), name="prompt_by_family"),
            models.Index(fields=["project", "group", "id"], condition=Q(group__gt=""), name="prompt_by_group"),
        ]
        constraints = [
            *_unique_external_ids("prompt"),
            models.UniqueConstraint(
                fields=["conversation", "turn"], condition=Q(conversation__isnull=False), name="one_prompt_per_turn"
            ),
        ]

    @property
    def text(self) -> str:
        """The last user message: what a list shows."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")


class FamilyKey(models.Model):
    """Another key under which a family is found: of an edited first message, or of one with invisible characters.

    A new prompt whose first message hashes to `key` follows the split of `family`.
    """

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=64)
    family = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="one_family_per_key")]


class Response(Row):
    """A text that answers a prompt, by a person or a model version. Its training word is completion."""

    class State(models.TextChoices):
        QUEUED = "queued"  # wanted of a model, not begun
        RUNNING = "running"  # being generated
        SCREENING = "screening"  # the text is there and waits for the guard
        READY = "ready"  # the text stands
        FAILED = "failed"  # generation failed; `error` says why
        BLOCKED = "blocked"  # the guard refused it

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="responses", db_index=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    text = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.READY)
    author = models.ForeignKey(
        "feedback.Person", on_delete=models.PROTECT, null=True, related_name="responses", db_index=False
    )
    annotation = models.ForeignKey(
        "feedback.Annotation",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="written",
        db_index=False,
        help_text="The demonstration that wrote it. The response stays while that annotation is current.",
    )
    model_version = models.ForeignKey(
        "feedback.ModelVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="responses",
        db_index=False,
    )
    model_name = models.CharField(max_length=200, blank=True, help_text="A model that is not in the registry.")
    sampling = models.JSONField(default=dict, blank=True)
    seed = models.BigIntegerField(null=True, blank=True)
    finish_reason = models.CharField(max_length=16, blank=True, help_text="stop, or length if it was cut off.")
    tokens = models.PositiveIntegerField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tokens of the prompt in its chat template."
    )
    job = models.ForeignKey(
        "feedback.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="responses", db_index=False
    )
    error = SentenceLine(max_length=500, blank=True)
    error_code = models.CharField(max_length=40, blank=True, default="", help_text="Why a retry cannot help.")
    screening = models.JSONField(default=dict, blank=True, help_text="Result of the guard model, if one scored it.")
    external_id = models.CharField(max_length=200, null=True, blank=True)
    external_owner = _external_owner()
    requested_by = models.ForeignKey(
        "feedback.Person",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Who requested it from a model. They may not judge it.",
    )
    body_hash = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["project", "-id"], name="response_newest_first"),
            models.Index(fields=["project"], condition=TO_COME, name="response_awaited"),
            models.Index(fields=["project", "id"], condition=Q(state="screening"), name="response_waits_for_guard"),
            models.Index(fields=["author"], condition=Q(author__isnull=False), name="response_of_author"),
            models.Index(fields=["annotation"], condition=Q(annotation__isnull=False), name="response_of_annotation"),
            models.Index(fields=["model_version"], condition=Q(model_version__isnull=False), name="response_of_model"),
            models.Index(fields=["job"], condition=Q(job__isnull=False), name="response_of_job"),
        ]
        constraints = [
            *_unique_external_ids("response", Q(external_id__isnull=False)),
            models.CheckConstraint(
                condition=Q(seed__isnull=True) | Q(seed__gte=0), name="response_seed_is_not_negative"
            ),
        ]


class Thumb(Row):
    """A client's thumbs on a response it was given. Appended; the last one of a token and response counts."""

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="thumbs")
    token = models.ForeignKey("feedback.ApiToken", on_delete=models.PROTECT, null=True, related_name="+")
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    up = models.BooleanField()
    comment = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["response", "token", "-id"], name="thumb_last_of_token")]
