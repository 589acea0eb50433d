#!/usr/bin/env python3
"""Cross-validates a regression predictor with Transformers beside a finished `steerlm crossvalidate`: the same recipe, answers and folds.

    steerlm data convert --input trees.jsonl.gz --output records.jsonl
    steerlm crossvalidate RECIPE                                       # head: {kind: regression}, template chatml
    python3 tools/compare_predictor.py --model MODEL --records records.jsonl --run RUN_DIR [--device cuda] [--output FILE]

MODEL is the recipe's model. Ids are made by the folder's tokenizer as docs/models.md says of chatml; batch, epochs, rate, schedule,
optimiser and data.max_tokens are those of RUN_DIR/fold-1/recipe.yaml; which fold an answer is in is read from RUN_DIR/fold-K. The
model is AutoModel with a linear head on the last token, weights and moments in fp32, and bf16 autocast on a card or where the run was
in bf16. Order of the answers and start of the head are drawn anew, so that the two differ as two seeds do. Exit 1 where the mean over
the folds of an attribute's Pearson correlation or mean absolute error differs by more than the larger of the two standard deviations.
Needs torch, transformers, numpy, scikit-learn (compare_ridge.py) and pyyaml.
"""

import argparse
import json
import math
import pathlib
import random
import sys

import numpy
import torch
import transformers
import yaml

from compare_ridge import encode, rated_records, read_held_out


def refuse_others(recipe, own):
    """Ends where the recipe asks for what is not computed here."""
    for what, found, expected in (
            ("head.kind", own["head"]["kind"], ("regression",)),
            ("head.loss", own["head"].get("loss", "mse"), ("mse",)),
            ("template", own["template"]["name"], ("chatml",)),
            ("schedule.kind", recipe["schedule"]["kind"], ("constant", "cosine")),
            ("schedule.min_learning_rate", float(recipe["schedule"].get("min_learning_rate", 0)), (0,)),
            ("schedule.decay_steps", recipe["schedule"].get("decay_steps", 0), (0,)),
            ("train.steps", recipe["train"].get("steps"), (None,)),
            ("lora", recipe.get("lora"), (None,)),
            ("checkpoint.keep_best", recipe.get("checkpoint", {}).get("keep_best"), (None,))):
        if found not in expected:
            sys.exit(f"{what} is {found!r} in the run; compared is only {' or '.join(map(repr, expected))}")


def learning_rate(recipe, step, steps):
    """Of step 1 to `steps`: linear warm-up, then constant or half a cosine to 0 (optim/schedule)."""
    peak, schedule = recipe["optimizer"]["learning_rate"], recipe["schedule"]
    warmup = schedule["warmup_steps"]
    if step <= warmup:
        return peak * step / warmup
    if schedule["kind"] == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1 - warmup) / max(1, steps - warmup)))


def scores(model, head, rows, device, bf16):
    """(n, a) of the head at the last token of each row, rows padded on the right."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = 1
    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
        states = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
    last = torch.tensor([len(row) - 1 for row in rows], device=device)
    return head(states[torch.arange(len(rows), device=device), last].float())


def fit(folder, recipe, rows, labels, device, bf16, seed):
    """A model and its head, trained on rows of ids and (n, a) labels, NaN where there is none."""
    torch.manual_seed(seed)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).train()
    head = torch.nn.Linear(model.config.hidden_size, labels.shape[1], bias=recipe["head_bias"]).to(device)
    torch.nn.init.normal_(head.weight, std=model.config.initializer_range)
    if head.bias is not None:
        torch.nn.init.zeros_(head.bias)
    parameters = [*model.parameters(), *head.parameters()]
    options = recipe["optimizer"]
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": options["weight_decay"]},
         {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}],
        lr=options["learning_rate"], betas=tuple(options["betas"]), eps=float(options["eps"]))
    batch, epochs, order = recipe["train"]["batch_size"], recipe["train"]["epochs"], random.Random(seed)
    steps_per_epoch = math.ceil(len(rows) / batch)
    step = 0
    for _ in range(epochs):
        places = order.sample(range(len(rows)), len(rows))
        for begin in range(0, len(rows), batch):
            step += 1
            chosen = places[begin:begin + batch]
            target = torch.tensor(labels[chosen], dtype=torch.float32, device=device)
            known = ~torch.isnan(target)
            error = scores(model, head, [rows[i] for i in chosen], device, bf16) - torch.nan_to_num(target)
            (torch.square(error)[known].sum() / known.sum()).backward()
            if options["clip_grad_norm"] > 0:
                torch.nn.utils.clip_grad_norm_(parameters, options["clip_grad_norm"])
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, epochs * steps_per_epoch)
            optimizer.step()
            optimizer.zero_grad()
    return model.eval(), head


def figures(predicted, labels):
    """Pearson correlation and mean absolute error of the known values."""
    known = ~numpy.isnan(labels)
    return (numpy.corrcoef(predicted[known], labels[known])[0, 1], numpy.abs(predicted[known] - labels[known]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--records", required=True)
    parser.add_argument("--run", required=True, type=pathlib.Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=pathlib.Path, help="JSON with the figures of each fold")
    arguments = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    recipe = yaml.safe_load((arguments.run / "fold-1/recipe.yaml").read_text())
    own = json.loads((arguments.run / "fold-1/model/steerlm.json").read_text())
    refuse_others(recipe, own)
    recipe["head_bias"] = own["head"]["bias"]
    bf16 = arguments.device.startswith("cuda") or recipe["precision"] == "bf16"
    held_out = read_held_out(arguments.run)

    by_place = rated_records(arguments.records, held_out)
    rows = [encode(by_place[line["file"], line["line"], line["part"]], line["turn"], own["template"]["system"], tokenizer)[0]
            for line in held_out]
    names = list(held_out[0]["scores"])
    labels = numpy.array([[line["labels"].get(name, numpy.nan) for name in names] for line in held_out], dtype=float)
    ours = numpy.array([[line["scores"][name] for name in names] for line in held_out])
    fold = numpy.array([line["fold"] for line in held_out])
    short = numpy.array([len(row) <= recipe["data"]["max_tokens"] for row in rows])

    result = {name: {"steerlm": [], "transformers": [], "mean": []} for name in names}
    for k in sorted(set(fold)):
        train, test = numpy.flatnonzero((fold != k) & short), numpy.flatnonzero(fold == k)
        model, head = fit(arguments.model, recipe, [rows[i] for i in train], labels[train], arguments.device, bf16, int(k))
        theirs = numpy.zeros((len(test), len(names)))
        with torch.no_grad():
            for begin in range(0, len(test), 16):
                part = slice(begin, begin + 16)
                theirs[part] = scores(model, head, [rows[i] for i in test[part]], arguments.device, bf16).cpu().numpy()
        for a, name in enumerate(names):
            result[name]["steerlm"].append(figures(ours[test, a], labels[test, a]))
            result[name]["transformers"].append(figures(theirs[:, a], labels[test, a]))
            known = ~numpy.isnan(labels[test, a])
            result[name]["mean"].append(float(numpy.abs(labels[test, a][known] - numpy.nanmean(labels[train, a])).mean()))
        print(f"fold {k}: trained on {len(train)} answers, {len(test)} held out", flush=True)

    faults = 0
    print("| attribute | MAE of the mean | MAE, steerlm | MAE, Transformers | Pearson, steerlm | Pearson, Transformers |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        cells = [numpy.array(result[name]["mean"])]
        for which in (1, 0):
            pair = [numpy.array([each[which] for each in result[name][side]]) for side in ("steerlm", "transformers")]
            faults += not abs(pair[0].mean() - pair[1].mean()) <= max(each.std(ddof=1) for each in pair)
            cells += pair
        print("| " + " | ".join([name, *(f"{cell.mean():.3f} ± {cell.std(ddof=1):.3f}" for cell in cells)]) + " |")
    print(f"transformers {transformers.__version__}, torch {torch.__version__}: "
          + ("equal within the spread over the folds" if faults == 0 else f"{faults} figures differ by more than the spread"))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
