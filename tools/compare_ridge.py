#!/usr/bin/env python3
"""Holds a cross-validation of a ridge head against Transformers and scikit-learn.

    steerlm data convert --input trees.jsonl.gz --output records.jsonl
    steerlm crossvalidate RECIPE                                       # head: {kind: ridge}, the trees, template chatml
    python3 tools/compare_ridge.py --model MODEL --records records.jsonl --run RUN_DIR [--features DIR] [--limit N]

Three things are computed without the program:
  ids        each rated answer, encoded part by part by the folder's tokenizer as docs/models.md says of chatml
  features   the last hidden states of AutoModel in fp32: at the last token, or with head.pooling: mean their mean from the first token
             of the answer on (--limit: of the first N answers alone)
  scores     of each held-out fold: StandardScaler and Ridge fitted on the other folds, with the penalty of the
             smallest error over the parts of the training dialogues, which are cut as the program cuts them

Which fold an answer is in is read from RUN_DIR/fold-K/validation.jsonl, and its features from RUN_DIR/features once they have
been compared. Exit 1 where ids differ, features differ by more than 1e-3 of their norm, a penalty differs, or scores by more than
0.01. Needs torch, transformers, numpy and scikit-learn.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import numpy
import torch
import transformers
from safetensors.torch import load_file
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def encode(record, turn, system, tokenizer):
    """The ids of a conversation up to a scored turn, ended by <|im_end|>, and where the turn's value begins in them."""
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    text = lambda part: tokenizer(part, add_special_tokens=False, split_special_tokens=True).input_ids
    system = record.get("system", system)
    turns = ([("system", system)] if system else []) + [
        (each["from"].lower(), each["value"]) for each in record["conversations"][:turn + 1]]
    ids = []
    for place, (role, value) in enumerate(turns):
        ids += [start] + text(role + "\n")
        value_begin = len(ids)
        ids += text(value) + [end]
        if place + 1 < len(turns):
            ids += text("\n")
    return tuple(ids), value_begin


def read_features(folder):
    rows = {}
    for path in sorted(folder.glob("*/features.safetensors")):
        block = load_file(path)
        ids, ends, pooled = block["ids"].tolist(), block["cu_seqlens"].tolist(), block["pool_begins"].tolist()
        for row, (begin, end) in enumerate(zip(ends, ends[1:])):
            rows[tuple(ids[begin:end]), pooled[row]] = block["features"][row].double().numpy()
    return rows


def read_held_out(run):
    lines = []
    for folder in run.glob("fold-*"):
        for line in (folder / "validation.jsonl").read_text().splitlines():
            lines.append(json.loads(line) | {"fold": int(folder.name[len("fold-"):])})
    return sorted(lines, key=lambda line: (line["file"], line["line"], line["part"], line["turn"]))


def rated_records(path, held_out):
    """{(file, line, part): record} of the records with a rated answer, which are in the order of the file in the held-out lines."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    rated = [record for record in records if any(turn.get("label") for turn in record["conversations"])]
    places = sorted({(line["file"], line["line"], line["part"]) for line in held_out})
    if len(rated) != len(places):
        sys.exit(f"{len(rated)} records of {path} are rated, {len(places)} are in validation.jsonl of the folds")
    return dict(zip(places, rated))


def dialogue_parts(dialogues, count):
    """As dialogue_folds of the program: the distinct hashes in an order of their own, dealt out in turn."""
    hashes = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in dialogues]
    order = {value: place for place, value in
             enumerate(sorted(set(hashes), key=lambda value: value * 0x9E3779B97F4A7C15 % 2**64))}
    return numpy.array([order[value] % count for value in hashes])


def predictions(x, y, others, penalties):
    """Ridge predictions for `others` under each penalty, by one singular value decomposition of the standardised rows."""
    scaler = StandardScaler().fit(x)
    u, s, vt = numpy.linalg.svd(scaler.transform(x), full_matrices=False)
    projected, z = u.T @ (y - y.mean()), scaler.transform(others) @ vt.T
    return [z @ (s / (s * s + penalty) * projected) + y.mean() for penalty in penalties]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--records", required=True)
    parser.add_argument("--run", required=True, type=pathlib.Path)
    parser.add_argument("--features", type=pathlib.Path, help="the recipe's head.features; not given: RUN/features")
    parser.add_argument("--limit", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    faults = 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    features, held_out = read_features(arguments.features or arguments.run / "features"), read_held_out(arguments.run)

    own = json.loads((arguments.run / "fold-1/model/steerlm.json").read_text())
    system, pooling = own["template"]["system"], own["head"].get("pooling", "last")

    by_place = rated_records(arguments.records, held_out)
    keys = []  # ids, and the first token whose state is pooled
    for line in held_out:
        ids, begin = encode(by_place[line["file"], line["line"], line["part"]], line["turn"], system, tokenizer)
        keys.append((ids, begin if pooling == "mean" else len(ids) - 1))
    unknown = sum(key not in features for key in keys)
    print(f"ids: {len(keys) - unknown} of {len(keys)} rated answers as the program has them, pooling {pooling}")
    if unknown:
        return 1

    model = transformers.AutoModel.from_pretrained(arguments.model, dtype=torch.float32).eval()
    distinct = list(dict.fromkeys(keys))
    distinct = distinct[:arguments.limit or len(distinct)]
    worst = 0.0
    for key in distinct:
        ids, begin = key
        state = model(torch.tensor([ids])).last_hidden_state[0, begin:].double().mean(0).numpy()
        worst = max(worst, numpy.linalg.norm(state - features[key]) / numpy.linalg.norm(state))
        if not arguments.limit:
            features[key] = state
    print(f"features: of {len(distinct)} answers at most {worst:.1e} of their norm from Transformers'")
    faults += worst > 1e-3

    x = numpy.array([features[key] for key in keys])
    fold = numpy.array([line["fold"] for line in held_out])
    dialogues = [line["dialogue"] for line in held_out]
    report = []
    for name in held_out[0]["scores"]:
        y = numpy.array([line["labels"].get(name, numpy.nan) for line in held_out], dtype=float)
        ours = numpy.array([line["scores"][name] for line in held_out])
        theirs = numpy.full(len(y), numpy.nan)
        penalties = []
        for k in sorted(set(fold)):
            fit = json.loads((arguments.run / f"fold-{k}" / "ridge.json").read_text())
            others = numpy.flatnonzero(fold != k)
            parts = dialogue_parts([dialogues[row] for row in others], fit["penalty_folds"])
            known = ~numpy.isnan(y[others])
            rows = others[known]
            # Held-out errors are weighed by row, as the program does.
            errors = numpy.zeros(len(fit["penalties"]))
            for part in numpy.unique(parts[known]):
                inside = parts[known] == part
                for p, predicted in enumerate(predictions(x[rows[~inside]], y[rows[~inside]], x[rows[inside]],
                                                          fit["penalties"])):
                    errors[p] += numpy.square(predicted - y[rows[inside]]).sum()
            chosen = fit["penalties"][int(numpy.argmin(errors))]
            penalties.append((chosen, fit["attributes"][name]["penalty"]))
            theirs[fold == k] = make_pipeline(StandardScaler(), Ridge(alpha=chosen)).fit(x[rows], y[rows]).predict(
                x[fold == k])
        known = ~numpy.isnan(y)
        difference = numpy.abs(ours - theirs).max()
        same = sum(a == b for a, b in penalties)
        faults += difference > 0.01 or same < len(penalties)
        pearson = lambda scores, rows=known: numpy.corrcoef(scores[rows], y[rows])[0, 1]
        of_folds = lambda scores: [pearson(scores, known & (fold == k)) for k in sorted(set(fold))]
        spread = lambda scores: f"{numpy.mean(of_folds(scores)):.4f} ± {numpy.std(of_folds(scores), ddof=1):.4f}"
        mae = lambda scores: numpy.abs(scores[known] - y[known]).mean()
        report.append((name, f"{known.sum()}", f"{same}/{len(penalties)}", f"{difference:.1e}", f"{mae(ours):.4f}",
                       f"{mae(theirs):.4f}", f"{pearson(ours):.4f}", f"{pearson(theirs):.4f}", spread(ours), spread(theirs)))
    print("attribute  answers  equal penalties  largest difference of scores  MAE  MAE of the other  Pearson  of the other  "
          "Pearson, mean of the folds ± standard deviation  of the other")
    for row in report:
        print("  ".join(row))
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, numpy {numpy.__version__}: "
          + ("equal" if faults == 0 else f"{faults} differences"))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
