"""Writes tests/fixtures/text/normalised: small sentencepiece models that change a text before they split it, the ids that sentencepiece gives
for some lines, and the hash of the tokenizer.json that the program writes for each, with which `tokenizers` gives the same ids.

    python3 -m venv VENV && VENV/bin/pip install sentencepiece protobuf tokenizers
    VENV/bin/python tools/make_spm_json_fixtures.py --program build/release/steerlm

A model's rules are a few of nmt_nfkc's, under its name: the whole table has 240 KB. Stops where `tokenizers` gives other ids. With --model
FILE it writes nothing and compares the ids of that model on the generated lines and on every character instead.
"""

import argparse
import hashlib
import json
import pathlib
import random
import subprocess
import tempfile

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "text" / "normalised"
RULES = {"ﬁ": "fi", "Ｆ": "F", "ｕ": "u", "ｌ": "l", "½": "1⁄2", "\t": " ", "\u00a0": " ", "\u3000": " ", "e\u0301": "é", "\u200b": ""}
TEXT = ["the quick brown fox finds a fine full house", "é and naïve café by the sea", "a  b   c, 1⁄2 of it.", "Full of fun <A> and foo"] * 5
MODELS = {"unigram": {"model_type": "unigram", "vocab_size": 70, "user_defined_symbols": ["<A>", "foo"]},
          "bpe": {"model_type": "bpe", "vocab_size": 330, "byte_fallback": True}}
PARTS = ["<A>", "foo", " ", "  ", "é", "e\u0301", "ﬁ", "Ｆｕｌｌ", "½", "\t", "\u00a0", "\u3000", "\u200b", "▁", "house", "fine", "o", "1", "日本", "🙂", "."]


def train(name, folder):
    rules = folder / "rules.tsv"
    rules.write_text("".join("\t".join(" ".join(f"{ord(c):x}" for c in text) for text in rule) + "\n" for rule in RULES.items()))
    text = folder / "text.txt"
    text.write_text("\n".join(TEXT) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(folder / name), normalization_rule_tsv=str(rules),
                                             hard_vocab_limit=False, num_threads=1, minloglevel=2, **MODELS[name])
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / f"{name}.model").read_bytes())
    model.normalizer_spec.name = "nmt_nfkc"
    for path in ("input", "model_prefix"):
        model.trainer_spec.ClearField(path)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model.SerializeToString(deterministic=True)


def written_json(program, model, folder):
    """The bytes of the tokenizer.json that the program writes beside the model."""
    subprocess.run([program, "model", "init", "--tokenizer", str(model), "--output", str(folder), "--hidden-size", "8", "--num-hidden-layers", "1",
                    "--num-attention-heads", "1"], check=True, capture_output=True)
    return (folder / "tokenizer.json").read_bytes()


def generated_lines(count):
    draw = random.Random(5)
    return ["".join(draw.choices(PARTS, k=draw.randint(1, 9))) for _ in range(count)]


def different(processor, tokenizer, lines):
    return [line for line in lines if processor.encode(line) != tokenizer.encode(line, add_special_tokens=False).ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if arguments.model:
            tokenizer = tokenizers.Tokenizer.from_str(written_json(arguments.program, arguments.model, folder / "made").decode())
            processor = sentencepiece.SentencePieceProcessor(model_file=arguments.model)
            characters = [f"a{chr(c)}b" for c in range(1, 0x30000) if not 0xD800 <= c < 0xE000]
            for kind, lines in (("lines", generated_lines(20000)), ("characters", characters)):
                print(f"{len(different(processor, tokenizer, lines))} of {len(lines)} {kind} have other ids")
            return
        OUT.mkdir(exist_ok=True)
        lines = generated_lines(300)
        expected = {"versions": {"sentencepiece": sentencepiece.__version__, "tokenizers": tokenizers.__version__}, "lines": lines, "models": {}}
        for model in MODELS:
            path = OUT / f"{model}.model"
            path.write_bytes(train(model, folder))
            written = written_json(arguments.program, path, folder / f"made-{model}")
            processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
            wrong = different(processor, tokenizers.Tokenizer.from_str(written.decode()), lines)
            assert not wrong, (model, wrong[:3])
            expected["models"][model] = {"tokenizer_json_sha256": hashlib.sha256(written).hexdigest(), "ids": processor.encode(lines)}
        (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
