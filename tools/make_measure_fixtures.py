"""Makes tests/fixtures/text/measures.json: what other programs measure of the texts below, for tests/eval/text_measures_test.cpp.

    python3 -m venv venv && venv/bin/pip install textstat==0.7.4 setuptools lexicalrichness markdown-it-py numpy
    venv/bin/python tools/make_measure_fixtures.py

type_token_ratio and mtld are lexicalrichness's, over words split by a pattern that says the same as eval/text_measures.h;
flesch_kincaid, sentences and words textstat's (it counts syllables by a dictionary and hyphenation, so that its grade is near ours
and not equal); list_items and code_lines are counted in the tree that markdown-it, a CommonMark parser, makes; characters and
upper_case are Python's own Unicode tables; edges and levels are numpy's quantile and searchsorted.
"""

import importlib.metadata
import json
import pathlib
import re
import unicodedata

import numpy
import textstat
from lexicalrichness import LexicalRichness
from markdown_it import MarkdownIt

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "text" / "measures.json"

# Plain prose: every measure means the same in all programs.
PROSE = {
    "simple": "The cat sat on the mat. It was a warm day. The cat saw a bird. The bird flew up to a tree. The cat went back to sleep.",
    "ordinary": "When you plan a garden, think first about the light. Most vegetables need six hours of sun each day, and they will not "
                "grow well under a tree. After that, look at the soil. Sand drains quickly and clay holds water for a long time. Mix in "
                "some compost before you plant anything, and water the bed in the morning.",
    "learned": "The administration of international organisations necessitates considerable diplomatic sensitivity. Representatives of "
               "different governments frequently misunderstand procedural obligations, particularly in complicated negotiations. "
               "Successful coordination consequently presupposes institutional knowledge and extraordinary patience.",
    "questions": "What is a good name for a dog? Do you want a short name? A short name is easy to call. Would you like to hear more?",
    "one": "Yes.",
    "repetition": "no no no no no no no no no no no no no no no no no no no no",
    "distinct": "every word here differs from all others",
}
# Texts of chat answers: markup, other scripts, what is not quite markup.
MARKUP = {
    "list": "Here is what you need:\n\n- two eggs\n- some flour\n- a pan\n\nThen:\n\n1. Mix all.\n2. Heat the pan.\n3. Fry.\n",
    "nested": "* first\n  * inside\n  * and more\n* second\n\nText - with a dash - and 3. no list.\n",
    "code": "Run this:\n\n```python\nimport sys\n\nprint(sys.argv)\n- not a list\n```\n\nand then\n\n~~~\none\n```\ntwo\n~~~\n",
    "open fence": "```\nfirst\nsecond",
    "inline": "```no fence``` here\n\n* * *\n\n- - -\n\n-no item\n\n1) one\n2) two\n",
    "other scripts": "Ça va très bien, merci ! Ärger über Öl. Привет, Мир? 日本語のテキスト。",
    "shouting": "STOP! Do NOT press the RED button.",
    "numbers": "In 2024 it rose by 3.5 percent, from 1.2 to 1.3.",
    "typeset": "It’s the “best” well-known café – don’t miss it…",
    "none": "",
    "blank": "  \n\t\n",
    "marks": "?! ... --- ???",
}
WORD = re.compile(r"\d+(?:\.\d+)+|\w+(?:['’-]\w+)*")


def long_text(generator, types, length):
    """Words drawn with the frequencies of Zipf's law, so that mtld has many factors."""
    weights = 1 / numpy.arange(1, types + 1)
    return " ".join(f"w{i}" for i in generator.choice(types, size=length, p=weights / weights.sum())) + "."


def diversity(text):
    words = [word.lower() for word in WORD.findall(text)]
    if not words:
        return {"type_token_ratio": None, "mtld": None}
    rich = LexicalRichness(" ".join(words), preprocessor=None, tokenizer=lambda joined: joined.split(" "))
    return {"type_token_ratio": rich.ttr, "mtld": rich.mtld(threshold=0.72)}


def markup(text):
    tokens = MarkdownIt("commonmark").parse(text)
    return {"list_items": sum(token.type == "list_item_open" for token in tokens),
            "code_lines": sum(len([line for line in token.content.split("\n") if line.strip()]) for token in tokens if token.type == "fence")}


def upper_case(text):
    cased = [c for c in text if unicodedata.category(c) in ("Lu", "Lt", "Ll")]
    return sum(unicodedata.category(c) != "Ll" for c in cased) / len(cased) if cased else None


def main():
    generator = numpy.random.default_rng(2310)
    long_texts = {f"long {types}": long_text(generator, types, length) for types, length in ((30, 200), (120, 500), (400, 800))}
    texts = []
    for kind, group in (("prose", PROSE), ("markup", MARKUP), ("long", long_texts)):
        for name, text in group.items():
            entry = {"name": name, "kind": kind, "text": text, "characters": len(text), "question_marks": text.count("?"),
                     "upper_case": upper_case(text), **diversity(text), **markup(text)}
            if kind == "prose":
                entry |= {"words": textstat.lexicon_count(text), "sentences": textstat.sentence_count(text),
                          "flesch_kincaid": textstat.flesch_kincaid_grade(text)}
            texts.append(entry)
    samples = {"continuous": generator.normal(100, 30, 101).round(2), "counts": generator.poisson(0.4, 100).astype(float),
               "ones": numpy.minimum(generator.uniform(0.5, 1.4, 60), 1.0).round(4), "one value": numpy.full(7, 3.0),
               "two": numpy.array([1.0, 2.0])}
    bins = []
    for name, values in samples.items():
        values = numpy.float32(values).astype(float)  # as the program keeps them
        expected = []
        for levels in (2, 5, 10):
            edges = numpy.quantile(values, numpy.arange(1, levels) / levels)
            expected.append({"edges": edges.tolist(), "levels": numpy.searchsorted(edges, values, side="left").tolist()})
        bins.append({"name": name, "values": values.tolist(), "expected": expected})
    versions = {name: importlib.metadata.version(name) for name in ("textstat", "lexicalrichness", "markdown-it-py", "numpy")}
    OUT.write_text(json.dumps({"made by": "tools/make_measure_fixtures.py", "versions": versions, "texts": texts, "bins": bins},
                              ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
