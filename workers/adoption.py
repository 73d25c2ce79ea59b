"""Models from elsewhere: copied beside our own, checked, described by a manifest, and registered.

Safe to repeat: the copy is made aside and renamed into a folder named by the job; a second delivery finds it there.
Only safetensors and plain text are taken, never pickles and never code.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import Job, ModelVersion
from feedback.rules.stages import GIVEN
from feedback.services import adoption, tokenizers
from workers.work import JobFailed, Outcome, Work

TAKEN = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
HOURS = 6 * 3600.0  # what fetching or copying a large file may take
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
HEADS = {"policy": "ForCausalLM", "encoder": "ForMaskedLM"}
OURS = ("reward", "classifier", "tagger")  # their heads mean something only as our recipes write them


def carry_out(work: Work) -> Outcome:
    """Copy, check, describe. The row is written with the job's end."""
    asked = work.job.payload
    relative = f"models/given-{work.job.public_id}"
    place = settings.DATA_DIR / relative
    if not place.is_dir():
        aside = place.with_name(f".{place.name}")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            source = from_hub(work, asked, aside) if asked["hub"] else from_folder(asked["folder"])
            if source != aside:
                copy(work, source, aside)
            added = ready(aside, asked["kind"])
            check(aside, asked["kind"])
            described(aside, asked, added)
            aside.rename(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    manifest, sha256 = verified(place)
    metrics = {
        "source": asked["hub"] or asked["folder"],
        "bytes": sum(one["bytes"] for one in manifest["files"].values()),
        "added": manifest["config"]["added"],
    }

    def record() -> ModelVersion:
        tokenizers.keep(place)
        return adoption.adopt(
            job=work.job,
            kind=asked["kind"],
            path=relative,
            manifest=manifest,
            manifest_sha256=sha256,
            metrics=metrics,
        )

    return Outcome({"path": relative}, record)


def from_folder(named: str) -> Path:
    """The folder, if it lies where models may be taken from; links that lead out of there count as outside."""
    roots = [settings.DATA_DIR / "models", *settings.MODEL_FOLDERS]
    folder = (roots[0] / named).resolve()
    if not any(folder.is_relative_to(root.resolve()) and folder != root.resolve() for root in roots):
        raise JobFailed(
            Job.ErrorKind.CONFIG,
            f"{named} lies outside the folders that models are taken from.",
            "Put it below models/ in the data folder, or have its place added to MODEL_FOLDERS.",
        )
    if not folder.is_dir():
        raise JobFailed(Job.ErrorKind.DATA, f"There is no folder {named}.", "Check the path on the server.")
    return folder


def from_hub(work: Work, asked: dict[str, Any], aside: Path) -> Path:
    """Fetch into `aside`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    work.say(f"fetching {asked['hub']}")
    try:
        with work.long_step(HOURS):
            snapshot_download(
                asked["hub"], revision=asked["revision"] or None, local_dir=aside, allow_patterns=list(TAKEN)
            )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise JobFailed(
            Job.ErrorKind.CONFIG,
            f"{asked['hub']} cannot be fetched: {str(error).splitlines()[0][:200]}",
            "Check the id and whether this machine reaches the hub; or fetch it elsewhere and name the folder.",
        ) from error
    shutil.rmtree(aside / ".cache", ignore_errors=True)
    return aside


def copy(work: Work, source: Path, aside: Path) -> None:
    """Files directly in the folder that may be taken. A link is followed only within it."""
    for pattern in TAKEN:
        for file in sorted(source.glob(pattern)):
            work.check()
            if file.resolve().is_relative_to(source) and file.is_file():
                work.say(f"copying {file.name}")
                with work.long_step(HOURS):
                    shutil.copyfile(file, aside / file.name)
    if not any(aside.iterdir()):
        held = "only pickled weights" if any(any(source.glob(one)) for one in PICKLES) else "no model"
        raise JobFailed(Job.ErrorKind.DATA, f"The folder holds {held}.", "Save it as safetensors (save_pretrained).")


def ready(folder: Path, kind: str) -> list[str]:
    """Give a base model's tokenizer what chat needs and it lacks, such as a pad token; what was added.

    What cannot even be loaded is left to `check`, which says why.
    """
    from trainer.chat import make_ready
    from trainer.errors import TrainerError

    weights = kind == ModelVersion.Kind.POLICY
    if not (weights or kind == ModelVersion.Kind.TOKENIZER) or (weights and not any(folder.glob("*.safetensors"))):
        return []
    with suppress(TrainerError, OSError, ValueError):
        return make_ready(folder, weights=weights)
    return []


def check(folder: Path, kind: str) -> None:
    """Whether it is what it is said to be, and can be used.

    Raises:
        JobFailed: no weights in safetensors, another architecture, or a tokenizer that would train silently wrong.
    """
    from trainer.encoders import load_encoder_tokenizer
    from trainer.errors import TrainerError
    from trainer.models import load_tokenizer

    if kind != ModelVersion.Kind.TOKENIZER:
        if not any(folder.glob("*.safetensors")):
            raise JobFailed(
                Job.ErrorKind.DATA,
                "It has no weights in safetensors; pickled ones are never loaded.",
                "Convert it first.",
            )
        told = _config(folder)
        named = ", ".join(told.get("architectures") or []) or "none named"
        if kind in HEADS and not named.endswith(HEADS[kind]):
            raise JobFailed(Job.ErrorKind.DATA, f"Its architecture is {named}, which is no {kind}.", "Name its kind.")
        if kind in OURS and "touchstone" not in told:
            raise JobFailed(
                Job.ErrorKind.DATA, f"It is no {kind} that this trainer made: its config.json does not say so.", ""
            )
    load = load_encoder_tokenizer if kind in ("encoder", "classifier", "tagger") else load_tokenizer
    try:
        load(folder)
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message.replace(str(folder), "it"), error.remedy) from error


def described(folder: Path, asked: dict[str, Any], added: list[str]) -> None:
    from trainer.checkpoints import MANIFEST, write_manifest

    (folder / MANIFEST).unlink(missing_ok=True)
    source = {name: asked[name] for name in ("folder", "hub", "revision") if asked[name]} | {"added": added}
    write_manifest(folder, kind=asked["kind"], run={"stage": GIVEN}, config=source, inputs={})


def verified(place: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its hash, every file compared with it."""
    from trainer.checkpoints import MANIFEST, file_sha256, open_model
    from trainer.errors import TrainerError

    sha256 = file_sha256(place / MANIFEST)
    try:
        return open_model(place, sha256), sha256
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, error.remedy) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise JobFailed(
            Job.ErrorKind.DATA, "It has no readable config.json.", "Save it with save_pretrained."
        ) from None
    return told
