"""The nouns: tables, constraints, states. What changes them lives in services, what reads them in selectors."""

from feedback.models.annotations import Annotation, Concern, Draft, Flag, Review, Verdict
from feedback.models.assignments import Arm, Assignment, QueueCursor
from feedback.models.campaigns import Campaign, CampaignRound
from feedback.models.corpora import Corpus, Document, KeptTokenizer
from feedback.models.data.import_drafts import ImportDraft
from feedback.models.evaluation.active_selection import Choice, ResponseScore, SelectionReplay
from feedback.models.evaluation.battles import Battle
from feedback.models.evaluation.contests import Contest, ContestCandidate, ContestPlan, ContestUnit, ContestVote
from feedback.models.evaluation.evaluations import Evaluation
from feedback.models.evaluation.live_accuracy import DriftAlarm, DriftState, LabelScore
from feedback.models.evaluation.look_scores import LookScore
from feedback.models.evaluation.safety import SafetyTest
from feedback.models.events import Event
from feedback.models.exclusions import Exclusion
from feedback.models.idempotency import IdempotencyRecord
from feedback.models.jobs import Job, WorkerProcess
from feedback.models.model_versions import Deployment, ModelVersion
from feedback.models.people import ApiToken, Person
from feedback.models.pipelines import Chain, Schedule, Stage
from feedback.models.platform.account_links import AccountLink
from feedback.models.platform.learn import CardProgress, Learner, QuizResult
from feedback.models.preferences import PreferencePair
from feedback.models.projects import GuidelineVersion, Membership, Project
from feedback.models.prompts import FROZEN_SPLITS, Conversation, FamilyKey, Prompt, Response, Split, Thumb
from feedback.models.runs import RunAlarm, RunPoint, RunSamples, TrainingRun
from feedback.models.snapshots import DatasetSnapshot, SnapshotAnnotation, SnapshotReliability
from feedback.models.tasks import Kind, Task, TaskResponse

__all__ = [
    "FROZEN_SPLITS",
    "AccountLink",
    "Annotation",
    "ApiToken",
    "Arm",
    "Assignment",
    "Battle",
    "Campaign",
    "CampaignRound",
    "CardProgress",
    "Chain",
    "Choice",
    "Concern",
    "Contest",
    "ContestCandidate",
    "ContestPlan",
    "ContestUnit",
    "ContestVote",
    "Conversation",
    "Corpus",
    "DatasetSnapshot",
    "Deployment",
    "Document",
    "Draft",
    "DriftAlarm",
    "DriftState",
    "Evaluation",
    "Event",
    "Exclusion",
    "FamilyKey",
    "Flag",
    "GuidelineVersion",
    "IdempotencyRecord",
    "ImportDraft",
    "Job",
    "KeptTokenizer",
    "Kind",
    "LabelScore",
    "Learner",
    "LookScore",
    "Membership",
    "ModelVersion",
    "Person",
    "PreferencePair",
    "Project",
    "Prompt",
    "QueueCursor",
    "QuizResult",
    "Response",
    "ResponseScore",
    "Review",
    "RunAlarm",
    "RunPoint",
    "RunSamples",
    "SafetyTest",
    "Schedule",
    "SelectionReplay",
    "SnapshotAnnotation",
    "SnapshotReliability",
    "Split",
    "Stage",
    "Task",
    "TaskResponse",
    "Thumb",
    "TrainingRun",
    "Verdict",
    "WorkerProcess",
]
