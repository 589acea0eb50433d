"""Writes tests/fixtures/tokenizers: small tokenizer.json files, and what the library `tokenizers` makes of many lines.

    python3 -m venv VENV && VENV/bin/pip install tokenizers transformers
    VENV/bin/python tools/make_tokenizer_fixtures.py

With --data FOLDER --program PATH it writes nothing and compares `PATH tokenizer encode` and `decode` with Transformers on every text of
the record files in FOLDER and on the generated lines instead, and prints the counts.

Lines are drawn with the Philox generator of include/steerlm/core/rng.h, so that the tests make the same ones: tests/text/nasty_lines.h
is the other half of `nasty_line`. The versions used are noted in lines.json.
"""

import argparse
import base64
import gzip
import hashlib
import json
import pathlib
import random
import re
import subprocess

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "tokenizers"
LINES = 20000
PLAIN = 1000  # of them, also as the texts of a conversation
SEED = 5
MARKERS = ["<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")

# Marks of Unicode 10 to 15, whose order and composition the NFC of `tokenizers` 0.23 does not know yet; utf8proc does. Where a text has
# them in an order that is not canonical, the ids of a tokenizer with NFC differ.
NEW_MARKS = [(0x7FD, 0x7FD), (0x898, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C), (0xEBA, 0xEBA), (0x1715, 0x1715),
             (0x1ABF, 0x1ACE), (0x1DF6, 0x1DFA), (0xA82C, 0xA82C), (0x10D24, 0x10D27), (0x10EAB, 0x10EAC), (0x10EFD, 0x10EFF),
             (0x10F46, 0x10F50), (0x10F82, 0x10F85), (0x11070, 0x11070), (0x1133B, 0x1133B), (0x1145E, 0x1145E), (0x11839, 0x1183A),
             (0x11930, 0x11930), (0x11935, 0x11935), (0x1193D, 0x1193E), (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34),
             (0x11A47, 0x11A47), (0x11A99, 0x11A99), (0x11D42, 0x11D42), (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x11F41, 0x11F42),
             (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F), (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF), (0x1E4EC, 0x1E4EF)]

# Parts that lines are made of, beside characters drawn from all planes.
PARTS = json.loads((OUT / "parts.json").read_text(encoding="utf-8"))


class Philox:
    """Rng of core/rng.h: the stream of (seed, purpose, index)."""

    def __init__(self, seed, purpose, index):
        key = 0xCBF29CE484222325
        for byte in purpose.encode():
            key = (key ^ byte) * 0x100000001B3 % 2**64
        key ^= seed * 0x9E3779B97F4A7C15 % 2**64
        self.key, self.index, self.position = (key % 2**32, key >> 32), index, 0

    def block(self, number):
        c = [number % 2**32, number >> 32, self.index % 2**32, self.index >> 32]
        k = list(self.key)
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(b >> 32) ^ c[1] ^ k[0], b % 2**32, (a >> 32) ^ c[3] ^ k[1], a % 2**32]
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        return c

    def bits(self):
        if self.position % 4 == 0:
            self.words = self.block(self.position // 4)
        self.position += 1
        return self.words[(self.position - 1) % 4]

    def below(self, count):
        if count <= 1:
            return 0
        while True:
            high = self.bits()
            product = (high << 32 | self.bits()) * count
            if product % 2**64 >= (2**64 - count) % count:
                return product >> 64


def nasty_character(rng):
    """A character of any plane but surrogates, NUL and the line end; half of them of the first two."""
    limits = [0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x30000, 0x110000]
    while True:
        value = rng.below(limits[rng.below(len(limits))])
        if value not in (0, 10) and not 0xD800 <= value < 0xE000:
            return chr(value)


def nasty_line(index):
    rng = Philox(SEED, "nasty line", index)
    text = ""
    for _ in range(rng.below(12)):
        kind = rng.below(8)
        if kind < 4:
            part = PARTS[rng.below(len(PARTS))]
        elif kind == 4:
            part = nasty_character(rng)
        elif kind == 5:
            part = " " * (1 + rng.below(1 << rng.below(6)))
        elif kind == 6:
            first, size = nasty_character(rng), 1 + rng.below(5)
            part = "".join(chr(min(ord(first) + i, 0x10FFFF)) for i in range(size) if not 0xD800 <= ord(first) + i < 0xE000)
        else:
            part = PARTS[rng.below(len(PARTS))] * (1 + rng.below(1 << rng.below(9)) if rng.below(16) == 0 else 2)
        text += part
    return text.replace("\n", "")


def training_texts():
    rng = random.Random(1)
    words = [part for part in PARTS if part.isalpha()]
    texts = []
    for _ in range(4000):
        texts.append("".join(rng.choice([" ", " ", " ", "  ", "", "\t"]) + rng.choice(words) + rng.choice(["", "", "", ".", ",", "'s", "!\r"])
                             for _ in range(rng.randint(3, 12))))
    return texts + ["".join(rng.choice(PARTS) for _ in range(8)) for _ in range(1500)]


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def llama3(texts):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1100, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    # Pieces that no merges lead to, as Llama 3 has them: only ignore_merges finds them.
    edited = json.loads(tokenizer.to_str())
    for piece in ["ĠSteerLMSteerLM", "thethe", "quick", "Ġ((", "æĹ¥æľ¬èªŀæĹ¥æľ¬èªŀ", "'re", "AA"]:
        edited["model"]["vocab"].setdefault(piece, len(edited["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(edited))
    tokenizer.add_special_tokens([special(t) for t in ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"]])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])])
    return tokenizer, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "tokenizer_class": "PreTrainedTokenizerFast"}


def qwen2(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1100, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens([special(t) for t in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("<think>", normalized=False),
                          AddedToken("Å", normalized=True), AddedToken("word", single_word=True, normalized=True)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {"add_bos_token": False, "bos_token": None, "eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}


def gpt2(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=["<|endoftext|>"]))
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, special=True, normalized=False), *MARKERS])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}


def spm_model(texts):
    """Merges as a sentencepiece BPE has them: over words that start with their space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1150, limit_alphabet=200, show_progress=False,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]))
    edited = json.loads(tokenizer.to_str())
    # The byte pieces are pieces, not added tokens, and runs of spaces have pieces.
    edited["added_tokens"] = [token for token in edited["added_tokens"] if not token["content"].startswith("<0x")]
    for length in (2, 4, 8, 16):
        edited["model"]["vocab"].setdefault("▁" * length, len(edited["model"]["vocab"]))
        edited["model"]["merges"].append(["▁" * (length // 2)] * 2)
    return edited


def first_token(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1",
                                                             special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])


SPM_CONFIG = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "PreTrainedTokenizerFast"}


def llama2(texts):
    edited = spm_model(texts)
    edited["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(edited))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([special("[INST]"), special("<pad>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("[TOOL]", normalized=False, rstrip=True), AddedToken("plain", normalized=True)])
    first_token(tokenizer)
    return tokenizer, SPM_CONFIG


def metaspace(scheme, split):
    def make(texts):
        tokenizer = Tokenizer.from_str(json.dumps(spm_model(texts)))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
        decoder = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        tokenizer.decoder = decoders.Sequence(decoder + ([decoders.Strip(" ", 1, 0)] if scheme != "never" else []))
        tokenizer.add_special_tokens([special("[INST]"), special("<pad>", lstrip=True)])
        first_token(tokenizer)
        return tokenizer, SPM_CONFIG
    return make


def unknown(texts):
    """Without byte fallback: characters that are not in the alphabet are unk, fused within a word."""
    edited = spm_model(texts)
    edited["model"]["byte_fallback"] = False
    tokenizer = Tokenizer.from_str(json.dumps(edited))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    return tokenizer, SPM_CONFIG


KINDS = {"llama3": llama3, "qwen2": qwen2, "gpt2": gpt2, "llama2": llama2, "mistral": metaspace("first", False),
         "metaspace": metaspace("never", True), "unknown": unknown}


def write(folder, name, make):
    tokenizer, config = make(training_texts())
    tree = json.loads(tokenizer.to_str())
    if name in ("qwen2", "llama2"):  # merges as older files spell them
        tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "tokenizer.json").write_text(dump(tree), encoding="utf-8")
    (folder / name / "tokenizer_config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")


def load(folder, name):
    return transformers.AutoTokenizer.from_pretrained(folder / name)


def check_generator():
    """Philox 4x32-10 against a known answer of Random123."""
    rng = Philox(0, "", 0)
    rng.key, rng.index = (0, 0), 0
    assert [hex(word) for word in rng.block(0)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def encode_lines(tokenizer, lines):
    """Ids without BOS and EOS, and the texts that they decode to."""
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    return ids, tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def plain_tokenizer(path, prefix):
    """The tokenizer of append_first and append_continuation: special tokens and markers are text, the prefix is there or not."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    for token in tree["added_tokens"]:
        token["special"] = token["special"] or token["content"] in MARKERS
    if not prefix:
        steps = (tree["normalizer"] or {}).get("normalizers", [])
        steps[:] = [step for step in steps if step["type"] != "Prepend"]
        for step in [tree["pre_tokenizer"], *(tree["pre_tokenizer"] or {}).get("pretokenizers", [])]:
            if step and step["type"] == "Metaspace":
                step["prepend_scheme"] = "never"
            if step and step["type"] == "ByteLevel":
                step["add_prefix_space"] = False
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.encode_special_tokens = True
    return tokenizer


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def short(text):
    """12 bits of the SHA-256: two characters of base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:3])[:2].decode()


def has_new_marks(line):
    return any(first <= ord(character) <= last for character in line for first, last in NEW_MARKS)


def digests(name, lines):
    if name == "qwen2":
        lines = [line for line in lines if not has_new_marks(line)]
    ids, texts = encode_lines(load(OUT, name), lines)
    rows = [dump([line_ids, text]) for line_ids, text in zip(ids, texts)]
    result = {"lines": "".join(map(short, rows)), "sha256": hashlib.sha256("\n".join(rows).encode()).hexdigest()}
    # "plain" is a token that is looked for with its prefix; without one the edited tokenizer would look for another text.
    sample = [line for line in lines if "plain" not in line]
    for key, prefix in {"first": True, "continuation": False}.items():
        encodings = plain_tokenizer(OUT / name / "tokenizer.json", prefix).encode_batch(sample, add_special_tokens=False)
        result[key] = "".join(short(dump(encoding.ids)) for encoding in encodings[:PLAIN])
    return result


def main():
    check_generator()
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--program")
    arguments = parser.parse_args()
    lines = [nasty_line(index) for index in range(LINES)]
    if arguments.data:
        return compare(arguments, lines)
    result = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__,
              "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(), "count": LINES,
              "new_marks": [index for index, line in enumerate(lines) if has_new_marks(line)], "kinds": {}}
    for name, make in KINDS.items():
        write(OUT, name, make)
        result["kinds"][name] = digests(name, lines)
    (OUT / "lines.json").write_text(re.sub(r"(?<=[\[\d,])\s+(?=[\d\]])", "", json.dumps(result, indent=1)) + "\n", encoding="utf-8")


def real_texts(folder):
    for path in sorted(folder.iterdir()):
        if ".json" not in path.name:
            continue
        opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
        with opened as file:
            records = json.load(file) if path.name.endswith(".json") else map(json.loads, file)
            for record in records:
                yield from strings(record)


def strings(value):
    if isinstance(value, str):
        yield from (line for line in value.split("\n") if line)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def compare(arguments, nasty):
    real = list(real_texts(arguments.data))
    print(f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}; {len(real)} real lines of {arguments.data}, "
          f"{sum(map(len, real))} characters; {len(nasty)} generated lines")
    for name in KINDS:
        for kind, lines in {"real": real, "generated": nasty}.items():
            ids, texts = encode_lines(load(OUT, name), lines)
            run = lambda command, text: subprocess.run([arguments.program, "tokenizer", command, "--model", OUT / name],
                                                       input=text.encode(), capture_output=True, check=True).stdout.decode()
            encoded = [json.loads(line) for line in run("encode", "\n".join(lines) + "\n").split("\n")[:-1]]
            decoded = run("decode", "\n".join(map(json.dumps, ids)) + "\n").split("\n")[:-1]
            wrong = [line for line, a, b in zip(lines, encoded, ids, strict=True) if a != b]
            wrong_text = [line for line, a, b in zip(lines, decoded, texts, strict=True) if a != b]
            tokens = sum(map(len, encoded))
            print(f"{name}, {kind}: {tokens} ids; lines with other ids {len(wrong)}, with another text {len(wrong_text)}", flush=True)
            if name == "qwen2":
                print("    of these with new marks:", sum(map(has_new_marks, wrong)))
            for line in wrong[:2] + wrong_text[:2]:
                print("   ", ascii(line)[:200])


if __name__ == "__main__":
    main()
