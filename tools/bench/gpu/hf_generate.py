#!/usr/bin/env python3
"""Greedy decoding with `generate` of Transformers: new tokens per second, as JSON.

    hf_generate.py --folder FOLDER --ids IDS [--new-tokens 512] [--device cuda] --output FILE

All prompts of IDS in one batch, bf16, dynamic cache, nothing stops a response. A call for one new token (the prompts' forward) is
taken from a call for all of them, so that what counts is decoding. `tokens` are the responses' first 16 ids.
"""

import time

import torch
from transformers import AutoModelForCausalLM

import rival


def main():
    arguments = rival.arguments_of(__doc__, folder=None, ids=None, new_tokens=512)
    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.to(arguments.device).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    ids_bt, _, _ = rival.padded(rival.read_rows(arguments.ids), arguments.device)

    def seconds_and_ids(count):
        rival.synchronize(arguments.device)
        begin = time.perf_counter()
        with torch.inference_mode():
            all_bt = model.generate(input_ids=ids_bt, attention_mask=torch.ones_like(ids_bt), do_sample=False, max_new_tokens=count)
        rival.synchronize(arguments.device)
        return time.perf_counter() - begin, all_bt[:, ids_bt.shape[1]:]

    seconds_and_ids(8)
    one, _ = seconds_and_ids(1)
    all_seconds, new_bt = seconds_and_ids(arguments.new_tokens)
    count = new_bt.shape[0] * (new_bt.shape[1] - 1)
    rival.write(arguments.output, {"tokens_per_second": count / (all_seconds - one), "seconds": all_seconds, "seconds_first": one,
                                   "new_tokens": new_bt.shape[1], "tokens": new_bt[:, :16].tolist(),
                                   "peak_bytes": rival.peak_bytes(arguments.device)})


if __name__ == "__main__":
    main()
