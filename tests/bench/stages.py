"""Our SFT and reward stages, run by a worker as jobs, beside bare TRL scripts: same model, rows, batch and steps.

    python tests/bench/stages.py FOLDER        FOLDER as tests/bench/chain.py left it (at least its SFT and feedback)

Ours counts everything: the worker that follows the run, its beats and the curves it writes to SQLite, the trainer's
child with progress and checkpoints. Each side runs a short and a long training; the difference of their CPU seconds
over the difference of their rows is the cost of a row, so that starting up counts for neither.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# stage: (folder of the base model, rows of the snapshot, kind of row, epochs of the short and the long training)
STAGES = {
    "sft": ("pretrain", "demonstrations", "demonstration", (2, 14)),
    "reward": ("sft", "feedback", "preference", (0.25, 1.25)),
}
BATCH, LEARNING_RATE, MAX_LENGTH, ROUNDS = 32, 1e-3, 128, 4


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def rows_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines())
    return [line["row"] for line in lines if line["row"]["kind"] == kind for _ in range(line["count"])]


def ours(stage: str, chain: Path, epochs: float) -> None:
    """A queued run of the stage in an empty service, carried out as a worker would."""
    base, snapshot, _, _ = STAGES[stage]
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {"DATA_DIR": data, "DJANGO_SETTINGS_MODULE": "feedback.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from feedback.models import Chain, DatasetSnapshot, Job, ModelVersion, Person, TrainingRun
        from feedback.services.platform import people, projects
        from workers.execution import run_job

        def take_over(folder: Path, to: str) -> dict[str, str]:
            import hashlib

            shutil.copytree(folder, Path(data) / to)
            return {"path": to, "manifest_sha256": hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()}

        ada = people.create_person(by=None, username="ada", password="blue kettle 47 hums")
        Person.objects.filter(pk=ada.pk).update(is_site_admin=True)
        ada.refresh_from_db()
        project = projects.open_project(by=ada, name="Bench", slug="bench", kinds=["comparison"])
        frozen = take_over(chain / snapshot, "snapshots/1")
        started_from = take_over(chain / base / "model", "models/1")
        job = Job.objects.create(kind=Job.Kind.TRAINING, queue="train", project=project, requested_by=ada)
        config: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": BATCH,
            "learning_rate": LEARNING_RATE,
            "max_length": MAX_LENGTH,
            "evaluations": 1,
        }
        config |= {"samples": 0} if stage == "sft" else {"normalise_samples": 0}
        TrainingRun.objects.create(
            project=project,
            job=job,
            chain=Chain.objects.create(project=project, stages=[stage], kind=stage, requested_by=ada),
            stage=stage,
            number=1,
            config=config,
            snapshot=DatasetSnapshot.objects.create(
                project=project, number=1, state=DatasetSnapshot.State.FROZEN, content_hash="-", **frozen
            ),
            base_model=ModelVersion.objects.create(
                project=project, kind="policy", number=1, stage=base, **started_from
            ),
            folder=f"runs/{job.public_id}",
        )
        before = cpu_seconds()
        run_job(job.pk)
        spent = cpu_seconds() - before
        job.refresh_from_db()
        assert job.status == Job.Status.SUCCEEDED, (job.error, job.log_tail[-2000:])
        print(json.dumps({"cpu_s": spent, "steps": job.steps}))


def bare(stage: str, chain: Path, epochs: float) -> None:
    """The script that somebody would write by hand."""
    before = cpu_seconds()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    torch.set_num_threads(1)
    base, snapshot, kind, _ = STAGES[stage]
    folder = str(chain / base / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    told = {"prompt", "completion"} if stage == "sft" else {"prompt", "chosen", "rejected"}
    rows: list[dict[str, Any]] = [
        {
            name: value if name == "prompt" else [{"role": "assistant", "content": value}]
            for name, value in row.items()
            if name in told
        }
        for row in rows_of(chain / snapshot, kind)
    ]
    given: dict[str, Any] = {
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": epochs,
        "learning_rate": LEARNING_RATE,
        "max_length": MAX_LENGTH,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    with tempfile.TemporaryDirectory() as output:
        data = Dataset.from_list(rows)
        if stage == "sft":
            model = AutoModelForCausalLM.from_pretrained(folder)
            args = SFTConfig(output_dir=output, **given)
            trainer: Any = SFTTrainer(model, args=args, processing_class=tokenizer, train_dataset=data)
        else:
            model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
            judged = RewardConfig(output_dir=output, **given)
            trainer = RewardTrainer(model, args=judged, processing_class=tokenizer, train_dataset=data)
        trainer.train()
        trainer.save_model(output + "/model")
    print(json.dumps({"cpu_s": cpu_seconds() - before, "steps": trainer.state.global_step}))


def main() -> None:
    if len(sys.argv) == 5:
        return {"ours": ours, "bare": bare}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    chain = Path(sys.argv[1]).resolve()
    for stage, (_, _, _, epochs) in STAGES.items():
        rates: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(ROUNDS):
            for side, seen in rates.items():
                told = []
                for length in epochs:
                    command = [sys.executable, __file__, side, stage, str(chain), str(length)]
                    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
                    if done.returncode:
                        sys.exit(f"{command} left with {done.returncode}:\n{done.stderr[-3000:]}")
                    told.append(json.loads(done.stdout.strip().splitlines()[-1]))
                short, long = told
                seen.append(BATCH * (long["steps"] - short["steps"]) / (long["cpu_s"] - short["cpu_s"]))
                print(stage, side, f"{seen[-1]:.0f} rows per CPU second", told, flush=True)
        ratios = sorted(o / b for o, b in zip(rates["ours"], rates["bare"], strict=True))
        spread = f"median of {ROUNDS}, {ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"{stage}: {median(ratios):.2f} x of a bare TRL script's rows per CPU second ({spread})", flush=True)


if __name__ == "__main__":
    main()
