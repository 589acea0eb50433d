#!/usr/bin/env python3
"""Scores of a regression head with Transformers: turns per second, as JSON.

    hf_score.py --folder FOLDER --ids IDS [--batch 64] [--device cuda] --output FILE

The rows are sorted by length and padded in batches, bf16: the usual way to keep padding small. Reading, encoding and writing are not
counted; for steerlm they are. A row ends with the last trained token of IDS, the end marker of the scored turn.
"""

import time

import torch
from transformers import AutoModelForSequenceClassification

import rival


def main():
    arguments = rival.arguments_of(__doc__, folder=None, ids=None, batch=64)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.folder, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.to(arguments.device).eval()
    model.config.pad_token_id = 0
    rows = [{"ids": row["ids"][:row["targets"][1]], "targets": row["targets"]} for row in rival.read_rows(arguments.ids)]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["ids"]), reverse=True)

    def score(chosen):
        ids_bt, mask_bt, _ = rival.padded([rows[i] for i in chosen], arguments.device)
        return model(input_ids=ids_bt, attention_mask=mask_bt).logits.float()

    with torch.inference_mode():
        for begin in (0, max(0, len(order) - arguments.batch)):
            score(order[begin:begin + arguments.batch])
        rival.synchronize(arguments.device)
        begin_time = time.perf_counter()
        results = [score(order[begin:begin + arguments.batch]) for begin in range(0, len(order), arguments.batch)]
        scores_na = torch.cat(results).cpu()
        seconds = time.perf_counter() - begin_time
    by_row = dict(zip(order, scores_na.tolist()))
    rival.write(arguments.output, {"turns_per_second": len(rows) / seconds, "turns": len(rows), "seconds": seconds,
                                   "tokens": sum(len(row["ids"]) for row in rows), "scores": [by_row[i] for i in range(min(64, len(rows)))],
                                   "peak_bytes": rival.peak_bytes(arguments.device)})


if __name__ == "__main__":
    main()
