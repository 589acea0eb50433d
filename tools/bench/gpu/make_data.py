#!/usr/bin/env python3
"""Makes the texts of the benches, from one seed, in the made-up words of make_model.py. Needs no torch.

    make_data.py rows FILE.txt --vocab V --count N --length T         a line a row; with template plain exactly T tokens, EOS the last
    make_data.py dialogues FILE.jsonl --vocab V --count N --longest T   a question and an answer each; lengths as of real dialogues
    make_data.py prompts FILE.jsonl --vocab V --count N --length T      lines for `generate --raw`: exactly T tokens each

Words are drawn with a probability of 1 / (rank + 3), as the words of a language are. The lengths of dialogues are
log-normal with median 180 tokens (of --longest 1,024; in proportion for another), cut off at --longest and below at 24;
the question has 0.1 to 0.6 of the words. Of a dialogue 18 tokens are markers and role names (ChatML, no system prompt).
"""

import argparse
import itertools
import json
import pathlib
import random

from make_model import SYLLABLES, words_of

MARKERS_OF_A_DIALOGUE = 18
SHORTEST, MEDIAN, LONGEST, SPREAD = 24, 180, 1024, 0.8


class Words:
    def __init__(self, vocab_size, seed):
        self.words = words_of(vocab_size)
        self.cumulative = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self.random = random.Random(seed)
        self.random.shuffle(self.words)

    def text(self, tokens):
        """A text of that many tokens wherever it stands: a bare syllable, then words with their space."""
        drawn = self.random.choices(self.words, cum_weights=self.cumulative, k=tokens - 1)
        return " ".join([self.random.choice(SYLLABLES), *drawn])


def rows(words, count, length):
    return [words.text(length - 1) for _ in range(count)]


def dialogues(words, count, longest):
    lines = []
    for _ in range(count):
        length = round(MEDIAN * longest / LONGEST * words.random.lognormvariate(0, SPREAD))
        free = max(min(length, longest), SHORTEST) - MARKERS_OF_A_DIALOGUE
        question = max(1, min(free - 1, round(free * words.random.uniform(0.1, 0.6))))
        turns = [{"role": "user", "content": words.text(question)}, {"role": "assistant", "content": words.text(free - question)}]
        lines.append(json.dumps({"messages": turns}))
    return lines


def prompts(words, count, length):
    return [json.dumps({"prompt": words.text(length)}) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["rows", "dialogues", "prompts"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--vocab", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--length", type=int)
    parser.add_argument("--longest", type=int, default=LONGEST)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.kind != "dialogues" and arguments.length is None:
        parser.error(f"{arguments.kind}: --length is needed")
    words = Words(arguments.vocab, arguments.seed)
    if arguments.kind == "dialogues":
        lines = dialogues(words, arguments.count, arguments.longest)
    else:
        lines = {"rows": rows, "prompts": prompts}[arguments.kind](words, arguments.count, arguments.length)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
