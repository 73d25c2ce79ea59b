"""`python -m trainer.preflight.adopt FOLDER KIND ANSWER PARENT`: make a copied model ready and try it, within bounds.

Everything of a model from elsewhere that is run or rendered for the first time runs here, in a process whose caller may
end it, and which ends with the process PARENT. ANSWER becomes `{"added": [words], "faults": [{"name", "severity",
"sentence", "remedy"}]}` or `{"failed": {"sentence", "remedy"}}`, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trainer.json_types import JsonObject
from trainer.run.run_folder import die_with_parent

OURS = ("reward", "classifier", "tagger")  # their heads mean something only as our recipes write them
SPARE_MEMORY = 8 << 30  # bytes of address space; the libraries alone map 1 GiB, and 5 where there is a GPU
SECONDS, SECONDS_FOR_A_GIB = 300, 60  # of computing


class Refused(Exception):
    """The model is of no use here; a sentence and what to do."""

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.remedy = sentence, remedy


def adopt(folder: Path, kind: str) -> dict[str, object]:
    """Make the model in `folder` ready for `kind`, in place, and try it.

    Raises:
        Refused: it is not what it claims to be, or cannot be used.
    """
    if kind != "tokenizer":
        check_config(folder, kind)
    from trainer.errors import TrainerError

    try:
        added = make_ready(folder, kind)
        faults = check(folder, kind)
    except TrainerError as error:
        raise Refused(error.message.replace(str(folder), "it"), error.remedy) from error
    for fault in faults:
        if fault["severity"] == "block":
            raise Refused(fault["sentence"], fault["remedy"])
    return {"added": added, "faults": faults}


def check_config(folder: Path, kind: str) -> None:
    """Whether config and weights are of the kind.

    Raises:
        Refused: no weights in safetensors, or another architecture.
    """
    if not any(folder.glob("*.safetensors")):
        raise Refused("It has no weights in safetensors; pickled ones are never loaded.", "Convert it first.")
    try:
        config: JsonObject = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = list(map(str, config.get("architectures") or []))
    except (OSError, ValueError, AttributeError, TypeError):
        raise Refused("It has no readable config.json.", "Save it with save_pretrained.") from None
    if kind in OURS and "touchstone" not in config:
        raise Refused(f"It is no {kind} that this trainer made: its config.json does not say so.")
    model_type = str(config.get("model_type") or "")
    if kind in ("policy", "encoder") and not (model_type and set(named) & architectures(model_type, kind)):
        what = ", ".join(named) or "none named"
        raise Refused(f"Its architecture is {what}, which is no {kind}.", "Name its kind.")


def architectures(model_type: str, kind: str) -> set[str]:
    """Names of the classes of a model type that can be taken as a kind, by transformers' own tables."""
    from transformers.models.auto import modeling_auto as tables

    causal, masked = tables.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, tables.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind == "policy":
        return _names(causal.get(model_type))
    if model_type not in masked or model_type not in tables.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES:
        return set()
    trunks = tables.MODEL_MAPPING_NAMES, tables.MODEL_FOR_PRETRAINING_MAPPING_NAMES
    names = _names(masked[model_type])
    for table in trunks:
        names |= _names(table.get(model_type))
    return names


def _names(named: Sequence[str] | None) -> set[str]:
    return set() if named is None else {named} if isinstance(named, str) else set(named)


def make_ready(folder: Path, kind: str) -> list[str]:
    """What a policy's tokenizer lacks, given to it; in words what was added."""
    from trainer.errors import ModelCorrupt
    from trainer.preflight import chat_preparation

    if kind not in ("policy", "tokenizer"):
        return []
    try:
        return chat_preparation.make_ready(folder, weights=kind == "policy")
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"No tokenizer can be loaded from {folder}: {str(error).splitlines()[0][:200]}") from error


def check(folder: Path, kind: str) -> list[dict[str, str]]:
    """Faults of the model, as JSON."""
    if kind == "tokenizer":
        from trainer.modeling.loading import load_tokenizer
        from trainer.modeling.template_check import template_faults

        return list(map(asdict, template_faults(load_tokenizer(folder))))
    from trainer.modeling.encoders import load_encoder_tokenizer
    from trainer.modeling.loading import load_tokenizer as load_policy_tokenizer
    from trainer.preflight import model_check

    if kind == "policy":
        return list(map(asdict, model_check.check_policy(folder)))
    if kind == "encoder":
        return list(map(asdict, model_check.check_encoder(folder)))
    (load_policy_tokenizer if kind == "reward" else load_encoder_tokenizer)(folder)
    return []


def bound(folder: Path) -> None:
    """Leave the kernel word when to end this process: too much memory, or too long."""
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    most = SPARE_MEMORY + 6 * weights  # half precision is loaded in float32: two bytes become four
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = SECONDS + SECONDS_FOR_A_GIB * (weights >> 30)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def main() -> None:
    folder, kind, answer = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    die_with_parent(int(sys.argv[4]))
    bound(folder)
    try:
        outcome = adopt(folder, kind)
    except Refused as refused:
        outcome = {"failed": {"sentence": refused.sentence, "remedy": refused.remedy}}
    except MemoryError:
        outcome = {"failed": {"sentence": "It needs more memory than this machine gives it.", "remedy": ""}}
    answer.write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main()
