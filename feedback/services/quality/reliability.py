"""Reliability of annotators at a freeze: measured from the votes, written beside the rows, kept by name."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from operator import itemgetter

from feedback.models import DatasetSnapshot, SnapshotReliability
from feedback.rules.quality import reliability_weights as rules
from feedback.rules.quality.reliability_weights import Applied, Errors, Weighing, Why
from feedback.selectors.data.training_queries import FreezePolicy, Policy
from feedback.selectors.quality import reliability
from feedback.selectors.quality.reliability import ReliabilityAccount

Votes = Mapping[int | None, Fraction]  # weight of a row by annotator; None: of what is nobody's own


@dataclass(frozen=True)
class Measured:
    """What a freeze does about the annotators of its snapshot.

    Attributes:
        indexes: what rows call each annotator; empty unless the trainer is to learn a temperature.
    """

    policy: Weighing
    applied: Applied
    why: Why | None
    errors: Errors
    indexes: Mapping[int, int]

    def freeze_policy(self, policy: Policy) -> FreezePolicy:
        """The policy by which rows are read."""
        flagged: frozenset[int] = frozenset()
        if self.applied == Applied.DROPPED:
            flagged = self.errors.flagged
        return FreezePolicy(**vars(policy), flagged=flagged)

    def error_of(self, votes: Votes) -> int:
        """The error of a row in hundredths; 0 where none holds."""
        known = self.errors.by_annotator if self.applied == Applied.ERRORS else {}
        return rules.of_row((known.get(who, 0) if who is not None else 0, weight) for who, weight in votes.items())

    def index_of(self, votes: Votes) -> int | None:
        """The index of the one annotator who stated a row; None where several did, or nobody."""
        if len(votes) != 1:
            return None
        [who] = votes
        return self.indexes.get(who) if who is not None else None


def measure(snapshot: DatasetSnapshot, policy: Policy) -> Measured:
    """Estimate the reliability of everybody whose comparisons the policy takes, and decide what to do with it."""
    wanted = Weighing(policy.weigh_annotators)
    if wanted == Weighing.OFF:
        return Measured(wanted, Applied.NOTHING, Why.CHOSEN, Errors((), None, Why.CHOSEN), {})
    errors = rules.errors_of(reliability.votes_of(snapshot.project, policy))
    if wanted == Weighing.DROP:
        return Measured(wanted, Applied.DROPPED, None, replace(errors, why=None), {})
    why = errors.why
    if policy.pairs != "each":
        why = Why.CONSENSUS
    if why is None:
        return Measured(wanted, Applied.ERRORS, None, errors, {})
    if why in rules.WITH_TEMPERATURE:
        return Measured(wanted, Applied.TEMPERATURE, why, errors, _indexes(snapshot, errors))
    return Measured(wanted, Applied.NOTHING, why, errors, {})


def account_for(measured: Measured, rows: Iterable[tuple[Votes, int]]) -> ReliabilityAccount:
    """The manifest's account, from the votes behind each distinct row and how often it occurs."""
    errors, applies = measured.errors, measured.applied == Applied.ERRORS
    of_rows = []
    if applies:
        for votes, count in rows:
            if any(who is not None for who in votes):
                of_rows += [measured.error_of(votes)] * count
    of_annotators = list(errors.by_annotator.values()) if applies else []
    return ReliabilityAccount(
        policy=measured.policy.value,
        applied=measured.applied.value,
        why=measured.why.value if measured.why else "",
        sentence=rules.sentence(measured.why, errors) if measured.why else "",
        annotators=len(errors.annotators),
        shared_votes=errors.shared,
        able=errors.able,
        left_out=len(errors.flagged) if measured.applied == Applied.DROPPED else 0,
        best=None if errors.best is None else rules.to_hundredths(errors.best),
        histogram={"annotators": rules.histogram(of_annotators), "rows": rules.histogram(of_rows)},
    )


def keep(snapshot: DatasetSnapshot, measured: Measured, manifest_sha256: str) -> None:
    """Write who was weighed how, under the hash of the manifest. Call before the files can be read."""
    applies = measured.applied == Applied.ERRORS
    rows = []
    for one in measured.errors.annotators:
        rows.append(
            SnapshotReliability(
                snapshot=snapshot,
                manifest_sha256=manifest_sha256,
                person_id=one.annotator,
                votes=one.votes,
                shared_votes=one.shared,
                share=one.share,
                error=one.hundredths if applies else None,
                left_out=measured.applied == Applied.DROPPED and one.annotator in measured.errors.flagged,
                index=measured.indexes.get(one.annotator),
            )
        )
    SnapshotReliability.objects.bulk_create(rows, ignore_conflicts=True)


def forget_other_attempts(snapshot: DatasetSnapshot) -> None:
    """Keep only what the manifest that stands was written with. Call in the transaction that froze the snapshot."""
    stands = DatasetSnapshot.objects.filter(pk=snapshot.pk).values("manifest_sha256")
    SnapshotReliability.objects.filter(snapshot=snapshot).exclude(manifest_sha256__in=stands).delete()


def _indexes(snapshot: DatasetSnapshot, errors: Errors) -> dict[int, int]:
    """A number from 0 for each annotator, in an order that only the database's secret gives.

    Two attempts at one snapshot agree. Two snapshots do not, so that rows of both cannot be joined.
    """
    secret = snapshot.project.split_salt.encode()
    drawn = []
    for one in errors.annotators:
        name = f"{snapshot.public_id}:{one.annotator}".encode()
        drawn.append((hmac.digest(secret, name, sha256), one.annotator))
    return {annotator: index for index, annotator in enumerate(map(itemgetter(1), sorted(drawn)))}
