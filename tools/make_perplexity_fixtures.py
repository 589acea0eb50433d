#!/usr/bin/env python3
"""Writes tests/stages/perplexity_numbers.h: the likelihood of responses that Transformers computes with a fixture model.

  python3 tools/make_perplexity_fixtures.py > tests/stages/perplexity_numbers.h

The ids are made here, segment by segment, with sentencepiece: a response behind its prompt in the template `steerlm` without
labels, and as plain text. Noted are the versions that were used.
"""

import sys

import sentencepiece
import torch
import transformers
from make_model_fixtures import OUT, Segments

PROMPTS = [("Be good.", ["Why is the sky blue?"]),
           (None, ["  Café ☕?\n\nYes", "Schön. ", "12 and 345"])]  # user and assistant in turn; None: the model's system prompt
SYSTEM = "Be brief."  # the model's
RESPONSES = ["Light is scattered by the air.", "  red\n- blue, ü", "a"]


def prefix(segments, template, system, turns):
    if template == "plain":
        segments.add("\n".join(turns))
        segments.add("\n")
        return
    segments.add(f"<extra_id_0>System\n{system}\n")
    for i, turn in enumerate([*turns, None]):
        segments.add("<extra_id_1>")
        segments.add(("User" if i % 2 == 0 else "Assistant") + "\n")
        if turn is not None:
            segments.add(turn)
            segments.add("\n")


def main():
    folder = OUT / "untied"
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
    segments = Segments((folder / "tokenizer.model").read_bytes(), True)
    print(f"""// Made by tools/make_perplexity_fixtures.py with Python {sys.version.split()[0]}, transformers {transformers.__version__}, torch {torch.__version__},
// sentencepiece {sentencepiece.__version__}.
#pragma once

#include <vector>

namespace steerlm {{

// Of prompt p and response r the entry 3 p + r: the sum of the log-probabilities of the response's tokens, their number.
struct KnownLikelihood {{
  double sum;
  int tokens;
}};""")
    for template in "steerlm", "plain":
        rows = []
        for system, turns in PROMPTS:
            for response in RESPONSES:
                prefix(segments, template, SYSTEM if system is None else system, turns)
                begin = len(segments.ids)
                segments.add(response)
                ids, _ = segments.take()
                with torch.no_grad():
                    log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
                total = sum(log_p[i - 1, ids[i]].item() for i in range(begin, len(ids)))
                rows.append(f"{{{total:.12g}, {len(ids) - begin}}}")
        print(f"inline const std::vector<KnownLikelihood> {template}_likelihoods{{{', '.join(rows)}}};")
    print("\n}  // namespace steerlm")


main()
