"""The ways in which a training run is spread over devices, as people read them, and whether we have run each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """`was_run` is false for what was only checked to be understood: its hardware was not at hand."""

    title: str
    was_run: bool


# By the trainer's names; the empty one is a single process, on a GPU if there is one.
LAUNCHES: dict[str, Launch] = {
    "": Launch("one process", True),
    "torchrun": Launch("several CPU processes (torchrun)", True),
    "one_gpu": Launch("one GPU in bf16 (accelerate)", False),
    "ddp": Launch("several GPUs, a copy of the model on each (accelerate)", False),
    "zero2": Launch("several GPUs, DeepSpeed ZeRO-2 (accelerate)", False),
    "zero3": Launch("several GPUs, DeepSpeed ZeRO-3 (accelerate)", False),
    "fsdp2": Launch("several GPUs, FSDP2 (accelerate)", False),
}


def sentence_of(name: str, processes: int) -> str:
    """A sentence for pages, such as "8 × several GPUs, FSDP2 (accelerate); not run by us"."""
    launch = LAUNCHES[name]
    sentence = launch.title
    if name and processes > 1:
        sentence += f", {processes} processes"
    if not launch.was_run:
        sentence += "; not tested on this hardware"
    return sentence
