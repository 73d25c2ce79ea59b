"""A trainer that keeps the run folder's contract and trains nothing: `python stand_in_trainer.py FOLDER --parent PID`.

What it does is in the run's config: `steps` of `seconds` each, `die_at` (kills itself there, once per `deaths`),
`fail` (a typed failure), `deaf` (hears no SIGTERM), `stale` (leaves a result of an older attempt). It counts its starts
in starts.txt.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from trainer.run.checkpoints import file_sha256, write_json
from trainer.run.run_folder import locked

stop = False


def ask_to_stop(*_: object) -> None:
    global stop
    stop = True


def main() -> int:
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, ask_to_stop)
    run = json.loads((folder / "run.json").read_text())
    config, attempt = run["config"], run["attempt"]
    if config.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with locked(folder):
        with (folder / "starts.txt").open("a") as starts:
            starts.write(f"{attempt}\n")
        begun = len((folder / "starts.txt").read_text().split())
        if config.get("fail"):
            error = {"kind": config["fail"], "message": "It cannot be done.", "step": 1, "remedy": "Change it."}
            write_json(folder / "result.json", {"schema": 1, "attempt": attempt, "ok": False, "error": error})
            return 2
        checkpoint = folder / "step.txt"
        step = int(checkpoint.read_text()) if checkpoint.exists() else 0
        steps = config.get("steps", 3)
        with (folder / "progress.jsonl").open("a") as progress:
            while step < steps:
                if stop:
                    return 3
                time.sleep(config.get("seconds", 0.01))
                step += 1
                checkpoint.write_text(str(step))
                line = {"t": time.time(), "attempt": attempt, "kind": "metrics", "step": step, "of": steps}
                progress.write(json.dumps(line | {"metrics": {"loss": 1 / step}}) + "\n")
                progress.flush()
                if config.get("die_at") == step and begun <= config.get("deaths", 1):
                    os.kill(os.getpid(), signal.SIGKILL)
                if config.get("die_always"):
                    checkpoint.write_text(str(step - 1))
                    os.kill(os.getpid(), signal.SIGKILL)
        print("trained")
        model = folder / "model"
        model.mkdir(exist_ok=True)
        (model / "words.txt").write_text("a model")
        files = {"words.txt": {"sha256": file_sha256(model / "words.txt"), "bytes": 7}}
        write_json(model / "manifest.json", {"schema": 1, "kind": "policy", "stage": run["stage"], "files": files})
        write_json(
            folder / "result.json",
            {
                "schema": 1,
                "attempt": attempt - 1 if config.get("stale") else attempt,
                "ok": True,
                "metrics": {"loss": 0.5},
                "model": {"path": "model", "manifest_sha256": file_sha256(model / "manifest.json")},
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
