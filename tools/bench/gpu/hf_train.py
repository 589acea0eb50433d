#!/usr/bin/env python3
"""SFT steps of Transformers: tokens per second and peak memory, as JSON.

    hf_train.py --case NAME,FOLDER,IDS,BATCH,VARIANT [--case …] [--steps 8] [--warm 3] [--device cuda] --output FILE

A case trains the folder's model on the rows of IDS (rival.py), BATCH rows a step, padded to the longest of them. Variants:
    eager         fp32 weights, gradients and moments, bf16 autocast: what a plain training script does
    liger         the same with Liger's kernels (RMSNorm, rope, SwiGLU, linear + cross-entropy fused)
    pure+liger    weights, gradients and moments in bf16 as well: less memory, and an update below 1/256 of a weight is lost
Measured is a whole step, from the batch on the device to the updated weights; the median step after the first --warm. Cases without
Liger are run first: its patches hold for the rest of the process. The file is written anew after each case.
"""

import torch
from transformers import AutoModelForCausalLM

import rival


def run_case(text, arguments):
    _, folder, ids, batch, variant = text.split(",")
    if "liger" in variant:
        if not arguments.device.startswith("cuda"):
            raise RuntimeError("Liger's kernels need a card")
        from liger_kernel.transformers import apply_liger_kernel_to_llama
        apply_liger_kernel_to_llama()
    pure = variant.startswith("pure")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if pure else torch.float32, attn_implementation="sdpa")
    model.to(arguments.device).train()
    return rival.train(model, list(model.parameters()), rival.read_rows(ids), int(batch), arguments.steps, arguments.warm, arguments.device,
                       autocast=not pure)


def main():
    arguments = rival.arguments_of(__doc__, case=[], steps=8, warm=3)
    results = {"versions": rival.versions()}
    for text in sorted(arguments.case, key=lambda case: "liger" in case):
        try:
            results[text.split(",")[0]] = run_case(text, arguments)
        except Exception as error:  # out of memory, no Liger: the other cases go on
            results[text.split(",")[0]] = rival.failure(error)
        rival.forget(arguments.device)
        rival.write(arguments.output, results)


if __name__ == "__main__":
    main()
