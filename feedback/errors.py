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
    sentence = "Not found, or you have no access."


class Forbidden(DomainError):
    code = "forbidden"
    status = 403
    sentence = "Your role in this project does not allow this. Ask a project admin."


class Invalid(DomainError):
    code = "invalid"
    status = 400
    sentence = "The input is not valid."


class Conflict(DomainError):
    code = "conflict"
    status = 409
    sentence = "Someone else changed this first. Reload it."


class InvalidTransition(Conflict):
    code = "invalid_transition"
    sentence = "This is not possible in the current state."


class AlreadySubmitted(Conflict):
    code = "already_submitted"
    sentence = "You already annotated this task. Revise your annotation instead."


class NotHeld(Conflict):
    code = "not_held"
    sentence = "This task is no longer assigned to you. Request the next one."


class ProjectClosed(Conflict):
    code = "project_not_open"
    sentence = "The project is paused or closed, so no tasks are assigned."


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"
    sentence = "This Idempotency-Key was used with a different body. Use a new key for a new request."


class IdempotencyKeyMissing(DomainError):
    code = "idempotency_key_required"
    status = 400
    sentence = "Send an Idempotency-Key header (any unique string), so that a retry cannot count twice."


class ExternalIdConflict(Conflict):
    code = "external_id_conflict"
    sentence = "This external_id exists with different content. Use a new one, or send the same content."


class SnapshotTooSmall(Conflict):
    code = "snapshot_too_small"
    sentence = "There is too little data for this stage. Collect more first."


class SnapshotRevoked(Conflict):
    code = "snapshot_revoked"
    sentence = "This snapshot was revoked. Freeze a new one."


class PreflightBlocks(Conflict):
    code = "preflight_blocks"
    sentence = "The preflight check found blocking problems. Correct them, then run the check again."


class ChainRunning(Conflict):
    code = "chain_running"
    sentence = "A pipeline run with these stages is already queued or running. Wait for it, or cancel it."


class NothingToTrainOn(Conflict):
    code = "nothing_to_train_on"
    sentence = "A model that this stage starts from is missing. Run the earlier stage first."


class ModelNotPromotable(Conflict):
    code = "model_not_promotable"
    sentence = "This model version cannot be promoted."


class GateBlocks(Conflict):
    """Findings speak against a policy, and nobody gave a reason why it should serve all the same."""

    code = "gate_blocks"
    sentence = "This policy has blocking findings. Give a reason to override them."


class ContestBlocked(Conflict):
    """Findings keep a candidate from being compared by people."""

    code = "contest_blocked"
    sentence = "Findings speak against this version, so people do not compare it yet."


class ContestRunning(Conflict):
    code = "contest_running"
    sentence = "Another comparison of this project is running or paused. Wait for its decision, or stop it."


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
    sentence = "The server's disk is full, so nothing was saved. Ask the operator to free space, then try again."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence, retry_after=60)


class SignedOut(DomainError):
    code = "signed_out"
    status = 401
    sentence = "You are signed out. Sign in again."


class PasswordChangeNeeded(Forbidden):
    code = "password_change_needed"
    sentence = "Your password was generated. Change it on your account page first."


class BodyTooLarge(DomainError):
    code = "body_too_large"
    status = 413

    def __init__(self, limit: int) -> None:
        most = f"{limit / 1024 / 1024:,.0f} MiB"
        super().__init__(f"The request is too large: the limit is {most}. Send it in several parts.")


class TooManyRequests(DomainError):
    code = "throttled"
    status = 429
    sentence = "Too many requests per minute."

    def __init__(self, wait: float, sentence: str = "") -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(f"{sentence or self.sentence} Try again in {seconds} s.", retry_after=seconds)


class Busy(DomainError):
    """For a moment only; `retry_after` says for how long."""

    code = "busy"
    status = 503
    sentence = "The server is busy."

    def __init__(self, sentence: str = "", *, retry_after: int = 2) -> None:
        super().__init__(f"{sentence or self.sentence} Try again in {retry_after} s.", retry_after=retry_after)


class DatabaseAway(DomainError):
    code = "database_away"
    status = 503
    sentence = "The database does not respond, so nothing was saved. Try again in 10 s."

    def __init__(self) -> None:
        super().__init__(retry_after=10)


class TooManyStreams(DomainError):
    code = "too_many_streams"
    status = 503
    sentence = "Too many streams are open. Try again in a few seconds."

    def __init__(self) -> None:
        super().__init__(retry_after=3)
