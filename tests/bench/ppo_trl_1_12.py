"""One PPO run of TRL 1.12.0's PPOTrainer, in an environment that holds it; `ppo.py` starts it and says what it means.

python ppo_trl_1_12.py FOLDER '{"batch": 64, …}'        prints one line of JSON
"""

import gc
import json
import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, set_seed
from trl.experimental.ppo import PPOConfig, PPOTrainer


def peak_kib() -> int:
    """Most memory this process has held, KiB. Not ru_maxrss: that begins at what the parent held when it forked."""
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1])


def main() -> None:
    folder, asked = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(1)
    set_seed(asked["seed"])  # PPOTrainer seeds neither numpy nor what was made before it
    tokenizer = AutoTokenizer.from_pretrained(folder + "/policy", padding_side="left")
    judge = folder + "/reward"
    prompts = json.loads(Path(folder, "prompts.json").read_text())
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=folder + "/trl",
            seed=asked["seed"],
            per_device_train_batch_size=asked["batch"],
            gradient_accumulation_steps=1,  # with more, 1.12.0 makes fewer optimizer steps than asked for
            num_mini_batches=asked["minibatches"],
            num_ppo_epochs=asked["epochs"],
            total_episodes=asked["batch"] * asked["iterations"],
            local_rollout_forward_batch_size=asked["batch"],
            response_length=asked["new_tokens"],
            stop_token="eos",
            missing_eos_penalty=1.0,
            temperature=1.0,
            learning_rate=asked["learning_rate"],
            kl_coef=asked["kl_coef"],
            num_sample_generations=0,
            logging_steps=10**6,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(folder + "/policy"),
        ref_model=AutoModelForCausalLM.from_pretrained(folder + "/policy"),
        reward_model=AutoModelForSequenceClassification.from_pretrained(judge, num_labels=1),
        value_model=AutoModelForSequenceClassification.from_pretrained(judge, num_labels=1),
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
    )
    gc.collect()
    before = peak_kib()
    started = time.process_time()
    trainer.train()
    seconds = time.process_time() - started
    peak = peak_kib()
    trainer.accelerator.unwrap_model(trainer.model).policy.save_pretrained(f"{folder}/trained-trl-{asked['seed']}")
    print(json.dumps({"cpu_s": seconds, "peak_mib": peak / 1024, "before_mib": before / 1024}))


if __name__ == "__main__":
    main()
