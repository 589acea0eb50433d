"""What the rivals share: rows of token ids, batches, timing, memory. A rival is what somebody would run instead of steerlm.

A file of ids (made by check.py from what `steerlm data show-mask` prints) has one JSON object a line: ids, and targets =
[begin, end), the tokens that are trained. So a rival computes on the very tokens of steerlm's run, and its first loss, from the
same weights, has to be steerlm's first loss.
"""

import argparse
import gc
import json
import pathlib
import time

import torch


def arguments_of(description, **more):
    """--device, --output and what `more` says (name: default)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="JSON")
    for name, default in more.items():
        name = "--" + name.replace("_", "-")
        if isinstance(default, list):
            parser.add_argument(name, action="append", default=default)
        elif default is None:
            parser.add_argument(name, required=True)
        else:
            parser.add_argument(name, type=type(default), default=default)
    return parser.parse_args()


def read_rows(file):
    with open(file, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def padded(rows, device):
    """ids, attention mask and labels (b, t) of rows, zeros and -100 to the right of the shorter ones. The mask is None where all are equally
    long: Transformers then takes the faster causal attention."""
    longest = max(len(row["ids"]) for row in rows)
    ids_bt = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask_bt = torch.zeros(len(rows), longest, dtype=torch.int64)
    labels_bt = torch.full((len(rows), longest), -100, dtype=torch.int64)
    for i, row in enumerate(rows):
        row_ids = torch.tensor(row["ids"])
        begin, end = row["targets"]
        ids_bt[i, :len(row_ids)] = row_ids
        mask_bt[i, :len(row_ids)] = 1
        labels_bt[i, begin:end] = row_ids[begin:end]
    full = bool(mask_bt.all())
    return ids_bt.to(device), None if full else mask_bt.to(device), labels_bt.to(device)


def synchronize(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_bytes(device):
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0


def forget(device):
    """Gives back the memory of a case that is over."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def median(values):
    return sorted(values)[len(values) // 2]


def train(model, parameters, rows, batch, steps, warm, device, autocast):
    """SFT steps: forward, backward, gradient norm clipped to 1, fused AdamW; batches in the order of the rows, over and over.
    Tokens per second is the median over the steps after the `warm` first, padding not counted."""
    optimizer = torch.optim.AdamW(parameters, lr=5e-6, fused=True)
    rates, first_loss = [], None
    for step in range(warm + steps):
        chosen = [rows[(step * batch + i) % len(rows)] for i in range(batch)]
        ids_bt, mask_bt, labels_bt = padded(chosen, device)
        synchronize(device)
        begin = time.perf_counter()
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=autocast):
            loss = model(input_ids=ids_bt, attention_mask=mask_bt, labels=labels_bt, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize(device)
        seconds = time.perf_counter() - begin
        if step == 0:
            first_loss = loss.item()
        if step >= warm:
            rates.append(sum(len(row["ids"]) for row in chosen) / seconds)
    return {"tokens_per_second": median(rates), "rates": rates, "first_loss": first_loss, "peak_bytes": peak_bytes(device)}


def write(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def versions():
    import peft
    import transformers
    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def failure(error):
    text = str(error).strip().splitlines()
    return {"failed": f"{type(error).__name__}: {text[0] if text else ''}"[:300]}
