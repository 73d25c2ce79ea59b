"""How a run ends: the best weights put back and proven, the model saved, and only then whatever else is measured.

A figure that cannot be measured is named with its reason and costs nothing but itself. Weights that turn out not to be
what was chosen are kept, with a fault in result.json and in the model's manifest: such a model is not to be served.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainer.errors import ModelCorrupt, OutOfMemory, StopRequested, TrainerError
from trainer.json_types import Metrics
from trainer.modeling.loading import save_model, sharded
from trainer.modeling.weights import differing, own_weights
from trainer.preflight.memory_estimate import free_host_memory
from trainer.run.context import Fault, ModelKind, RunContext, StageResult
from trainer.run.microbatching import free_memory, ran_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Greatest difference of a figure measured twice on the same rows and seeds, of 1 or of the figure if that is more.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 2e-2}
ON_DEVICE = 1e-3  # float32 there: products are summed in another order at each call


class RunFinalizer:
    """Puts together what a recipe hands back.

    Attributes:
        steps: of the run, for alarms. metrics: figures for result.json.
    """

    def __init__(
        self, context: RunContext, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, steps: int = 0
    ) -> None:
        self.context, self.model, self.tokenizer, self.steps = context, model, tokenizer, steps
        self.metrics: Metrics = {}
        self.not_measured: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.folder: Path | None = None

    def fault(self, name: str, text: str) -> None:
        """Note why the model is not to be served."""
        self.faults.append(Fault(name, text))
        self.context.report.alarm(self.steps, name, text)

    def restore(self, load: Callable[[], int | None]) -> int | None:
        """Put the best weights into the model with `load`; their step, None where the last ones stay."""
        try:
            return load()
        except ModelCorrupt as error:
            self.fault("best_weights", f"The best weights could not be put back, these are the last ones: {error}")
            return None

    def save(self) -> None:
        """Write the model folder, and read it again to see that every tensor is in it."""
        self.context.report.state("saving the model")
        self.folder = self.context.working_copy("model")
        save_model(self.folder, self.model, self.tokenizer)
        self.measure("saved_weights", self.read_again)

    def read_again(self) -> Metrics:
        """Compare every tensor of the saved folder with the model's; a fault where one differs. No figures."""
        if sharded(self.model) or not self.context.leads:
            return {}
        assert self.folder is not None
        needed = sum(value.numel() * value.element_size() for value in own_weights(self.model).values())
        if free_host_memory() < 1.2 * needed:
            raise OutOfMemory("There is not enough memory to hold the saved model beside the one that was trained.")
        saved = type(self.model).from_pretrained(
            str(self.folder), local_files_only=True, use_safetensors=True, dtype=self.model.dtype
        )
        ours, theirs = own_weights(self.model), own_weights(saved)
        if different := differing(ours, theirs):
            sentence = f"{len(different)} of {len(ours)} tensors read from the saved model differ from those in memory"
            self.fault("saved_weights", f"{sentence}, {different[0]} first.")
        return {}

    def verify_best(self, promised: Metrics, measure: Callable[[], Metrics]) -> None:
        """Measure what the kept weights were chosen by once more; a fault where a figure is another.

        Args:
            promised: figures as they were when the weights were kept. measure: the same rows and seeds again.
        """
        if not promised:
            return
        self.context.report.state("measuring again what the weights were chosen by")

        def again() -> Metrics:
            now = measure()
            allowed = self.tolerance()
            for name, before in promised.items():
                if abs(now[name] - before) > allowed * max(1.0, abs(before)):
                    label = name.replace("_", " ")
                    self.fault(
                        "figures_differ",
                        f"The figure {label} is {now[name]:.4f} of the model handed back; it was {before:.4f} when its "
                        "weights were chosen.",
                    )
                    break
            return {}

        self.measure("proof_of_the_best_weights", again)

    def tolerance(self) -> float:
        """Greatest difference between two measurements that rounding explains."""
        precision = self.context.config.precision
        if precision == "bf16" or (precision == "auto" and self.model.device.type == "cuda"):
            return TOLERANCE[torch.bfloat16]
        if self.model.device.type != "cpu":
            return max(ON_DEVICE, TOLERANCE.get(self.model.dtype, 0.0))
        return TOLERANCE.get(self.model.dtype, TOLERANCE[torch.float32])

    def measure(self, what: str, figures: Callable[[], Metrics]) -> None:
        """Add figures to the metrics; where they cannot be measured, their name with the reason."""
        try:
            self.metrics |= figures()
        except StopRequested:
            raise
        except Exception as error:  # noqa: BLE001 - the model is made: what fails here costs the figure alone, by name
            traceback.print_exc()
            self.not_measured[what] = reason(error)
            sentence = f"{what.replace('_', ' ').capitalize()} could not be measured. {reason(error)}"
            self.context.report.alarm(self.steps, f"not_measured_{what}", sentence)
        free_memory()

    def result(self, kind: ModelKind = "policy") -> StageResult:
        """What the recipe returns; the model must be saved."""
        metrics = self.metrics | ({"not_measured": self.not_measured} if self.not_measured else {})
        return StageResult(metrics=metrics, model=self.folder, kind=kind, faults=tuple(self.faults))


def reason(error: Exception) -> str:
    """Why a figure could not be measured, a sentence."""
    if isinstance(error, TrainerError):
        return error.message
    if ran_out(error):
        return "Memory ran out."
    return f"The trainer met an error ({type(error).__name__}); the run's log has it."
