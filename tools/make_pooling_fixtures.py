#!/usr/bin/env python3
"""Writes tests/fixtures/pooling.json: means of hidden states over the tail of a sequence, and the head's scores of them.

    python3 tools/make_pooling_fixtures.py

The states are those of Transformers' LlamaForSequenceClassification on tests/fixtures/models/classifier (fp32, CPU, the state after the
final norm), the means and the products with score.weight are numpy's in fp64. The versions are in the file.
"""

import json
import pathlib
import random

import numpy
import torch
import transformers
from transformers import LlamaForSequenceClassification

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def numbers(values):
    return [float(f"{value:.9g}") for value in values]


def main():
    torch.set_grad_enabled(False)
    model = LlamaForSequenceClassification.from_pretrained(FIXTURES / "models" / "classifier", dtype=torch.float32,
                                                           attn_implementation="eager").eval()
    score = model.score.weight.double().numpy()
    rng = random.Random(9)
    sequences = []
    for length, begins in ((1, [0]), (6, [0, 3]), (24, [5, 23]), (60, [1, 40])):
        ids = [rng.randrange(model.config.vocab_size) for _ in range(length)]
        states = model.model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
        for begin in begins:
            mean = states[begin:].mean(0)
            sequences.append({"ids": ids, "pool_begin": begin, "mean_state": numbers(mean), "scores": numbers(score @ mean)})
    fixture = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": numpy.__version__},
               "sequences": sequences}
    (FIXTURES / "pooling.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
