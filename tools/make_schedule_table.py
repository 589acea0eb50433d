"""Makes tests/optim/schedule_table.inc: the learning rates of Transformers' schedulers, for tests/optim/schedule_test.cpp.

    python3 -m venv venv && venv/bin/pip install torch transformers
    venv/bin/python tools/make_schedule_table.py
"""

import pathlib

import torch
import transformers
from transformers import get_scheduler

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "optim" / "schedule_table.inc"
PEAK = 1e-3

# Ours: kind, warmup_steps, min_learning_rate, decay_steps, steps. Theirs: name and what it takes beside.
CASES = [
    (("linear", 0, 0, 0, 1), "linear", {}),
    (("linear", 0, 0, 0, 2), "linear", {}),
    (("linear", 0, 0, 0, 5), "linear", {}),
    (("linear", 3, 0, 0, 10), "linear", {}),
    (("cosine", 0, 0, 0, 2), "cosine", {}),
    (("cosine", 2, 0, 0, 8), "cosine", {}),
    (("cosine", 2, 1e-4, 0, 8), "cosine_with_min_lr", {"min_lr": 1e-4}),
    (("wsd", 2, 0, 4, 10), "warmup_stable_decay", {"num_decay_steps": 4, "decay_type": "linear"}),
    (("wsd", 0, 1e-4, 3, 7), "warmup_stable_decay", {"num_decay_steps": 3, "decay_type": "linear", "min_lr_ratio": 0.1}),
    (("constant", 2, 0, 0, 5), "constant_with_warmup", {}),
]


def rates(name, warmup, steps, keys):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps, scheduler_specific_kwargs=keys)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def main():
    lines = [f"// Made by tools/make_schedule_table.py with transformers {transformers.__version__}, torch {torch.__version__}."]
    for (kind, warmup, floor, decay, steps), name, keys in CASES:
        theirs = rates(name, warmup, steps, keys)[warmup:]
        numbers = ", ".join(repr(rate) for rate in theirs)
        lines.append(f'{{"{name}", {{ScheduleKind::{kind}, {warmup}, {floor}, {decay}}}, {steps}, {{{numbers}}}}},')
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
