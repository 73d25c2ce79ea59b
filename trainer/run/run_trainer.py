"""Mixed into transformers' and TRL's trainers: batches as planned, cut as memory and processes ask, kept whole on disk.

However a batch is cut, into pieces that fit into memory and into shares of several processes, the optimizer's step is
that of the whole batch, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from trainer.errors import RunDiverged
from trainer.modeling.loading import sharded
from trainer.modeling.weights import FILE, load_weights, own_weights, write_weights
from trainer.run.checkpoints import keep_checkpoint
from trainer.run.microbatching import cut

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel
    from transformers import Trainer as TrainerBase
    from transformers.trainer_utils import TrainOutput
else:
    TrainerBase = object  # a mixin: whichever Trainer stands to its right is the base

Batch = dict[str, Any]  # what a collator makes: tensors, and with TRL's collators lists of numbers or texts
CALMER = "Lower learning_rate, or check the snapshot for broken rows and the base model for broken weights."


class Pieces(list[Batch]):
    """One batch of this process in pieces, each collated on its own and with a backward of its own.

    Attributes:
        shares: what each piece's mean loss counts in the batch's; over all pieces and processes their mean is 1.
    """

    def __init__(self, pieces: Sequence[Batch], shares: Sequence[float]) -> None:
        super().__init__(pieces)
        self.shares = shares


class RunFolderTrainer(TrainerBase):
    """Mixed into a Trainer, left of it. Checkpoints are written under a temporary name and renamed last."""

    model: PreTrainedModel
    train_dataset: Any
    batches: Sequence[list[int]]
    pieces = 1  # that each process's share of a batch is cut into
    share = 1.0

    def train(self, *given: Any, **more: Any) -> TrainOutput:
        """TRL asks a mixture of experts for its router logits where it uses them; as a setting of the model they would
        be requested in sampling, too, where their loss cannot be computed."""
        shape = self.model.config.get_text_config()
        if getattr(shape, "output_router_logits", False):
            shape.output_router_logits = False
        return super().train(*given, **more)

    def get_train_dataloader(self) -> DataLoader:
        """Numbers of batches: what a batch holds follows from the plan, whichever process asks."""
        return DataLoader(
            range(len(self.batches)),  # type: ignore[arg-type]
            batch_size=1,
            collate_fn=lambda numbers: self.collated(self.batches[numbers[0]]),
        )

    def collated(self, batch: Sequence[int]) -> Batch | Pieces:
        """This process's share of a batch, collated; in `Pieces` if there are several."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine = cut(list(batch), processes)[rank]
        many = getattr(self.train_dataset, "__getitems__", None)
        rows = many(mine) if many else [self.train_dataset[number] for number in mine]
        rows = getattr(self.data_collator, "matched", lambda rows: rows)(rows)
        # As many in every process, since each backward is a meeting of all.
        parts = cut(rows, min(self.pieces, len(batch) // processes))
        if len(parts) * processes == 1:
            return self.data_collator(rows)
        collated: list[Batch] = []
        shares: list[float] = []
        for part in parts:
            collated.append(self.data_collator(part))
            shares.append(len(part) * processes / len(batch))
        return Pieces(collated, shares)

    def _get_num_items_in_batch(
        self, batch_samples: list[Batch | Pieces], device: torch.device
    ) -> torch.Tensor | int | None:
        flat: list[Batch] = []
        for sample in batch_samples:
            flat += sample if isinstance(sample, Pieces) else [sample]
        return super()._get_num_items_in_batch(flat, device)

    def training_step(
        self, model: nn.Module, inputs: Batch | Pieces, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        parts = inputs if isinstance(inputs, Pieces) else Pieces([inputs], [1.0])
        total = torch.zeros((), device=self.args.device)
        for part, self.share in zip(parts, parts.shares, strict=True):
            total = total + super().training_step(model, part, num_items_in_batch)
        self.share = 1.0
        if total.device.type == "cpu" and not bool(torch.isfinite(total)):  # elsewhere asking would wait for the device
            step = self.state.global_step + 1
            raise RunDiverged(f"The loss became {float(total)} at step {step}.", step=step, remedy=CALMER)
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        out = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        counts = self.model_accepts_loss_kwargs or self.compute_loss_func is not None
        if self.share == 1.0 or (counts and num_items_in_batch is not None):
            return out  # whole, or a sum over the piece divided by what the whole batch holds
        if isinstance(out, tuple):
            return out[0] * self.share, out[1]
        return out * self.share

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        final, step = Path(self.args.output_dir or ""), self.state.global_step
        part = final / ".partial"
        self.args.output_dir = str(part)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.output_dir = str(final)
        self.accelerator.wait_for_everyone()  # each process writes its own random state
        if self.args.should_save:
            keep_checkpoint(part / f"checkpoint-{step}", final, step)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        if sharded(self.model):
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            folder = Path(output_dir or self.args.output_dir or "")
            folder.mkdir(parents=True, exist_ok=True)
            write_weights(folder / FILE, own_weights(self.model))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        # Not transformers' own way, which passes over tensors that the file calls otherwise than the module.
        if sharded(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.model, Path(resume_from_checkpoint) / FILE)

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """TRL writes a card that names its authors' hub into every checkpoint; ours have a manifest."""


class RolloutTrainer(RunFolderTrainer):
    """Mixed into a Trainer that samples what it learns from: it samples a whole batch, and is cut only afterwards."""

    sampled = False
    _step: int

    def collated(self, batch: Sequence[int]) -> Batch:
        mine = cut(list(batch), self.accelerator.num_processes)[self.accelerator.process_index]
        return self.data_collator([self.train_dataset[number] for number in mine])

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        return inputs if self.sampled else super()._prepare_inputs(inputs)

    def training_step(
        self, model: nn.Module, inputs: Batch | Pieces, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        from trl.trainer.utils import split_tensor_dict

        model.train()
        assert not isinstance(inputs, Pieces)
        step, rollout = self._step, self._prepare_inputs(inputs)
        rows = len(rollout["completion_ids"])
        count = next(n for n in range(min(self.pieces, rows), rows + 1) if rows % n == 0)
        self.sampled = True
        try:
            parts = Pieces(split_tensor_dict(rollout, count), [1 / count] * count)
            loss: torch.Tensor = super().training_step(model, parts, num_items_in_batch)
        finally:
            self.sampled = False
        self._step = step + 1  # TRL counts a step for each piece, and samples anew by that count
        return loss


def no_smaller(batches: Sequence[list[int]], rows: int) -> list[list[int]]:
    """The same batches, but one of fewer than `rows` is joined to the one before: every process needs a row."""
    joined: list[list[int]] = []
    for batch in batches:
        if joined and len(batch) < rows:
            joined[-1] = [*joined[-1], *batch]
        else:
            joined.append(batch)
    return joined


def gather_uneven(
    accelerator: Accelerator, gather: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor
) -> torch.Tensor:
    """A tensor's rows from every process, of which each may have another number; a scalar as one row each.

    accelerate's own `gather` takes equal shares for granted, and TRL gathers figures of each row with it.
    """
    rows = tensor.reshape(-1) if tensor.dim() == 0 else tensor
    counts = gather(torch.tensor([len(rows)], device=rows.device)).tolist()
    together = gather(accelerator.pad_across_processes(rows, dim=0).contiguous())
    parts = together.chunk(accelerator.num_processes)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
