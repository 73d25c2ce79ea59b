"""One run by several processes: torchrun on CPUs, accelerate with a shipped config on GPUs.

The launcher is this process, not a child of it, so that it dies with its parent as a trainer does, and its processes
with it. accelerate starts a single process for `--cpu --num_processes 2` and says nothing of it, which is why CPUs
go through torchrun, and why every process asserts that there are as many as were requested.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigInvalid

if TYPE_CHECKING:
    import argparse

CONFIGS = Path(__file__).parent / "accelerate"
TORCHRUN = "torchrun"
REQUESTED_PROCESSES = "TRAINER_PROCESSES"
FIRST = (2, 4, 5, 3)  # which exit code speaks for a run whose processes left with several: see __main__


def names() -> list[str]:
    """What `--launch` can be."""
    return [TORCHRUN, *sorted(path.stem for path in CONFIGS.glob("*.yaml"))]


def launch(folder: Path, name: str, processes: int) -> int:
    """Carry out a run folder with several processes on this machine and return the exit code of them all."""
    os.environ[REQUESTED_PROCESSES] = str(processes)
    try:
        if name == TORCHRUN:
            torchrun(folder, processes)
        else:
            accelerate(folder, CONFIGS / f"{name}.yaml", processes)
    except subprocess.CalledProcessError as ended:  # accelerate with one process
        return ended.returncode
    except Exception as ended:
        codes = exit_codes(ended)
        if not codes:
            raise
        return next((code for code in FIRST if code in codes), min(codes))
    return 0


def torchrun(folder: Path, processes: int) -> None:
    from torch.distributed import run

    run.run(run.parse_args(["--standalone", f"--nproc-per-node={processes}", "-m", "trainer", str(folder)]))


def accelerate(folder: Path, config: Path, processes: int) -> None:
    from accelerate.commands.launch import launch_command

    launch_command(accelerate_arguments(folder, config, processes))


def accelerate_arguments(folder: Path, config: Path, processes: int) -> argparse.Namespace:
    """As `accelerate launch --config_file CONFIG --num_processes N -m trainer FOLDER` reads them."""
    from accelerate.commands.launch import launch_command_parser

    arguments = ["--config_file", str(config), "--num_processes", str(processes), "-m", "trainer", str(folder)]
    return launch_command_parser().parse_args(arguments)


def exit_codes(ended: Exception) -> list[int]:
    """What the processes left with, when one or more did not leave well; empty for any other exception."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if isinstance(ended, SignalException):
        return [3]  # ordered to stop: each has written its checkpoint, or was too late for one
    if isinstance(ended, ChildFailedError):
        return [failure.exitcode for failure in ended.failures.values()]
    return []


def assert_as_many(processes: int) -> None:
    """Refuse to train with another number of processes than was requested.

    Raises:
        ConfigInvalid: naming both numbers.
    """
    wanted = int(os.environ.get(REQUESTED_PROCESSES, processes))
    if wanted != processes:
        raise ConfigInvalid(
            f"{wanted} processes were requested, but {processes} are available.",
            remedy="Request as many as there are devices; on CPUs start them with torchrun.",
        )


def wait_for_all() -> None:
    """Until every process of the run is here; at once when there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "torch" in sys.modules:
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
