#!/usr/bin/env python3
"""LoRA steps of PEFT on Transformers, rank 16 on all seven projections: tokens per second and peak memory, as JSON.

    hf_lora.py --folder FOLDER --ids IDS [--batch 2] [--rank 16] [--steps 8] [--warm 3] [--device cuda] --output FILE

The base is in bf16 and frozen, the adapter in fp32 (as PEFT makes it) under bf16 autocast; eager, no checkpointing.
"""

import peft
import torch
from transformers import AutoModelForCausalLM

import rival

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    arguments = rival.arguments_of(__doc__, folder=None, ids=None, batch=2, rank=16, steps=8, warm=3)
    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.bfloat16, attn_implementation="sdpa").to(arguments.device)
    model = peft.get_peft_model(model, peft.LoraConfig(r=arguments.rank, lora_alpha=2 * arguments.rank, target_modules=PROJECTIONS,
                                                       task_type="CAUSAL_LM")).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    result = rival.train(model, parameters, rival.read_rows(arguments.ids), arguments.batch, arguments.steps, arguments.warm,
                         arguments.device, autocast=True)
    rival.write(arguments.output, result | {"versions": rival.versions(), "trained": sum(p.numel() for p in parameters)})


if __name__ == "__main__":
    main()
