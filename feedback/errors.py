"""What can go wrong in the domain: each error has a code, an HTTP status and a sentence with a way out.

Clients branch on the code, people read the sentence. Every door (REST, pages, commands) shows both.
"""

import errno
import math
from typing import Any

from feedback.rules.platform.sentences import without_paths

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # of an OSError: the disk is full, or a quota of it is


class DomainError(Exception):
    """Base of all errors that are the caller's to read. `extra` holds machine-readable details (ids, numbers)."""

    code = "domain_error"
    status = 400
    sentence = "That cannot be done."

    def __init__(self, sentence: str | None = None, *, field: str | None = None, **extra: Any) -> None:
        self.sentence = without_paths(sentence or self.sentence)
        self.field = field
        self.extra = extra
        super().__init__(self.sentence)


class NotFound(DomainError):
    """Absent and forbidden look alike: nobody learns that somebody else's row exists."""

    code = "not_found"
    status = 404
    sentence = "There is nothing here, or it is not yours to see."


class Forbidden(DomainError):
    code = "forbidden"
    status = 403
    sentence = "Your role in this project does not allow that. Ask an admin of the project."


class Invalid(DomainError):
    code = "invalid"
    status = 400
    sentence = "The input is not valid."


class Conflict(DomainError):
    code = "conflict"
    status = 409
    sentence = "Someone else changed this first. Load it again."


class InvalidTransition(Conflict):
    code = "invalid_transition"
    sentence = "That move is not possible from the present state."


class AlreadySubmitted(Conflict):
    code = "already_submitted"
    sentence = "This task was already answered by you. Revise the answer instead of sending another."


class NotHeld(Conflict):
    code = "not_held"
    sentence = "You no longer hold this task. Ask for the next one."


class ProjectClosed(Conflict):
    code = "project_not_open"
    sentence = "The project is paused or closed, so no tasks are given out."


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"
    sentence = "This Idempotency-Key was used with another body. Use a new key for a new request."


class IdempotencyKeyMissing(DomainError):
    code = "idempotency_key_required"
    status = 400
    sentence = "Send an Idempotency-Key header (any unique string), so that a retry cannot count twice."


class ExternalIdConflict(Conflict):
    code = "external_id_conflict"
    sentence = "This external_id exists with another content. Use a new one, or send the same content."


class SnapshotTooSmall(Conflict):
    code = "snapshot_too_small"
    sentence = "There is too little data for this stage. Collect more first."


class SnapshotRevoked(Conflict):
    code = "snapshot_revoked"
    sentence = "This snapshot was revoked. Freeze a new one."


class PreflightBlocks(Conflict):
    code = "preflight_blocks"
    sentence = "What was looked at beforehand would not train. Mend what is named, then look again."


class ChainRunning(Conflict):
    code = "chain_running"
    sentence = "A chain with these stages is already queued or running. Wait for it, or cancel it."


class NothingToTrainOn(Conflict):
    code = "nothing_to_train_on"
    sentence = "A model that this stage starts from is missing. Run the earlier stage first."


class ModelNotPromotable(Conflict):
    code = "model_not_promotable"
    sentence = "This model version cannot be promoted."


class GateBlocks(Conflict):
    """Findings speak against a policy, and nobody gave a reason why it should serve all the same."""

    code = "gate_blocks"
    sentence = "Findings speak against this policy. Say why it should serve all the same."


class NothingToRollBackTo(Conflict):
    code = "nothing_to_roll_back_to"
    sentence = "No earlier model version served this project."


class NoSuchKind(Conflict):
    code = "no_such_kind"
    sentence = "This project has no tasks of this kind."


class NoServingModel(Conflict):
    code = "no_serving_model"
    sentence = "No model serves this project yet. Train and promote one, or set GENERATION_URL."


class DiskFull(DomainError):
    code = "disk_full"
    status = 507
    sentence = "The server's disk is full, so nothing of this was kept. Have its operator free some, then try again."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence, retry_after=60)


class SignedOut(DomainError):
    code = "signed_out"
    status = 401
    sentence = "You are signed out. Sign in again."


class BodyTooLarge(DomainError):
    code = "body_too_large"
    status = 413

    def __init__(self, limit: int) -> None:
        most = f"{limit / 1024 / 1024:,.0f} MiB"
        super().__init__(f"What was sent is too large: at most {most} are taken here. Send it in several parts.")


class TooManyRequests(DomainError):
    code = "throttled"
    status = 429
    sentence = "That was more than one caller may ask for in a minute."

    def __init__(self, wait: float, sentence: str = "") -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(f"{sentence or self.sentence} Try again in {seconds} s.", retry_after=seconds)


class Busy(DomainError):
    """For a moment only; `retry_after` says for how long."""

    code = "busy"
    status = 503
    sentence = "The server is busy with this."

    def __init__(self, sentence: str = "", *, retry_after: int = 2) -> None:
        super().__init__(f"{sentence or self.sentence} Try again in {retry_after} s.", retry_after=retry_after)


class DatabaseAway(DomainError):
    code = "database_away"
    status = 503
    sentence = "The database does not answer, so nothing of this was kept. Try again in 10 s."

    def __init__(self) -> None:
        super().__init__(retry_after=10)


class TooManyStreams(DomainError):
    code = "too_many_streams"
    status = 503
    sentence = "As many responses are being read here as there is room for. Try again in a few seconds."

    def __init__(self) -> None:
        super().__init__(retry_after=3)
