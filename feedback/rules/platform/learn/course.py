"""The course: its stages in order, and which stage explains which step of the pipeline."""

from feedback.rules.platform.learn.classification import TEXT_CLASSIFICATION
from feedback.rules.platform.learn.collection import DATA_COLLECTION
from feedback.rules.platform.learn.evaluation import EVALUATION
from feedback.rules.platform.learn.finetuning import FINE_TUNING
from feedback.rules.platform.learn.masking import MASKED_MODELING
from feedback.rules.platform.learn.preferences import PREFERENCES
from feedback.rules.platform.learn.pretraining import PRETRAINING
from feedback.rules.platform.learn.rlhf import RLHF
from feedback.rules.platform.learn.stage import LearnStage
from feedback.rules.platform.learn.tagging import TOKEN_CLASSIFICATION
from feedback.rules.platform.learn.tokenization import TOKENIZATION

COURSE: tuple[LearnStage, ...] = (
    DATA_COLLECTION,
    TOKENIZATION,
    PRETRAINING,
    MASKED_MODELING,
    TEXT_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    FINE_TUNING,
    PREFERENCES,
    RLHF,
    EVALUATION,
)
BY_KEY = {stage.key: stage for stage in COURSE}
STAGE_OF_STATION = {station: stage.key for stage in COURSE for station in stage.stations}
