"""Writes tests/fixtures/tokenizers/folders.json: tokenizer folders as small edits of other fixtures, and the ids that Transformers
gives for many lines with each. Also tokenizers/lacking and tokenizers/both, which some of them start from.

    python3 -m venv VENV && VENV/bin/pip install tokenizers transformers sentencepiece protobuf torch
    VENV/bin/python tools/make_tokenizer_folder_fixtures.py

A case has a base (`json`: a folder of tests/fixtures/tokenizers, `model`: a file of tests/fixtures/text), JSON merge patches (RFC
7396) of its tokenizer.json and tokenizer_config.json, and the model_type of a config.json. tests/text/tokenizer_folder_test.cpp
builds the same folders. The versions used are noted in the file.
"""

import hashlib
import json
import pathlib
import shutil
import tempfile

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import make_tokenizer_fixtures as base

TEXT = base.OUT.parent / "text"
LINES = 3000
TOLD = 500  # of them have a digest of their own
SPM_CONFIG = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
              "add_bos_token": True, "legacy": False}
LLAMA = {"tokenizer_class": "LlamaTokenizer"}
NEVER = {"pre_tokenizer": {"prepend_scheme": "never"}}
ADDED = [{"id": 0, "content": "<unk>"}, {"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}]
GPT2_STEPS = {"normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                                                    "use_regex": True, "pretokenizers": None}}


def added(*tokens, special=True):
    """The whole list `added_tokens` of tokenizers/both, with tokens behind the vocabulary."""
    size = Tokenizer.from_file(str(base.OUT / "both" / "tokenizer.json")).get_vocab_size()
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    entries = [{**entry, **flags, "special": True} for entry in ADDED]
    return entries + [{"id": size + i, "content": token, **flags} for i, token in enumerate(tokens)]


def cases():
    return [
        # tokenizer.json: the class makes the steps
        {"name": "llama class", "json": "llama2", "config": LLAMA, "model_type": "llama"},
        {"name": "llama class, no config.json", "json": "mistral", "config": {"tokenizer_class": "LlamaTokenizerFast"}},
        {"name": "llama class, legacy", "json": "llama2", "config": {**LLAMA, "legacy": True}, "model_type": "llama"},
        {"name": "llama class, no prefix", "json": "llama2", "config": {**LLAMA, "add_prefix_space": False}, "model_type": "llama"},
        {"name": "code llama class", "json": "llama2", "config": {"tokenizer_class": "CodeLlamaTokenizer"}, "model_type": "llama"},
        {"name": "llama class of a mistral", "json": "llama2", "config": {**LLAMA, "legacy": True}, "model_type": "mistral"},
        {"name": "no class", "json": "llama2", "config": {"tokenizer_class": None}, "model_type": "llama"},
        {"name": "unread prefix key", "json": "llama2", "config": {"add_prefix_space": False}, "model_type": "llama"},
        {"name": "llama class over bytes", "json": "llama3", "config": LLAMA, "model_type": "llama"},
        {"name": "qwen class", "json": "qwen2", "patch": GPT2_STEPS, "config": {"tokenizer_class": "Qwen2Tokenizer"},
         "model_type": "qwen3"},
        {"name": "qwen2 model", "json": "qwen2", "patch": GPT2_STEPS, "model_type": "qwen2"},
        {"name": "qwen3 model, no class", "json": "qwen2", "patch": GPT2_STEPS, "config": {"tokenizer_class": None},
         "model_type": "qwen3"},
        {"name": "qwen3 model, plain class", "json": "qwen2", "patch": GPT2_STEPS, "model_type": "qwen3"},
        {"name": "gpt2 class", "json": "gpt2", "config": {"tokenizer_class": "GPT2Tokenizer"}, "model_type": "llama"},
        {"name": "gpt2 class, prefix", "json": "qwen2", "config": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True},
         "model_type": "llama"},
        {"name": "tokens that the decoder leaves out", "json": "llama2", "model_type": "llama",
         "config": {**LLAMA, "added_tokens_decoder": {"0": {"content": "<unk>", "special": True}, "1": {"content": "<s>", "special": True},
                                                      "2": {"content": "</s>", "special": True}}}},
        # keys
        {"name": "special tokens are split", "json": "llama3", "config": {"split_special_tokens": True}, "model_type": "llama"},
        {"name": "unread BOS key", "json": "llama3", "config": {"add_bos_token": False}, "model_type": "llama"},
        {"name": "unread BOS key without BOS", "json": "qwen2", "config": {"add_bos_token": True, "bos_token": "<|endoftext|>"},
         "model_type": "llama"},
        {"name": "truncation and padding", "json": "llama3", "model_type": "llama", "patch": {
            "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1108, "pad_type_id": 0,
                        "pad_token": "<|end_of_text|>"}}},
        {"name": "bytes without a piece", "json": "lacking", "model_type": "llama"},
        {"name": "bytes without a piece, unk", "json": "lacking", "model_type": "llama", "patch": {"model": {"unk_token": "!"}}},
        {"name": "bytes without a piece, fused unk", "json": "lacking", "model_type": "llama",
         "patch": {"model": {"unk_token": "!", "fuse_unk": True}}},
        # sentencepiece
        {"name": "sentencepiece", "model": "bpe.model", "config": SPM_CONFIG, "model_type": "llama"},
        {"name": "sentencepiece, no prefix", "model": "bpe.model", "config": {**SPM_CONFIG, "add_prefix_space": False},
         "model_type": "llama"},
        {"name": "sentencepiece, split", "model": "bpe.model", "config": {**SPM_CONFIG, "split_special_tokens": True},
         "model_type": "llama"},
        {"name": "sentencepiece of a mistral, unread prefix key", "model": "bpe.model",
         "config": {**SPM_CONFIG, "add_prefix_space": False}, "model_type": "mistral"},
        {"name": "sentencepiece, no legacy key", "model": "bpe.model", "config": {**SPM_CONFIG, "legacy": None}, "model_type": "llama"},
        {"name": "sentencepiece of code llama, unread legacy key", "model": "bpe.model", "model_type": "llama",
         "config": {**SPM_CONFIG, "tokenizer_class": "CodeLlamaTokenizer", "legacy": True}},
        {"name": "sentencepiece, single word", "model": "bpe.model", "model_type": "llama",
         "config": {**SPM_CONFIG, "added_tokens_decoder": {str(620 + i): {"content": word, "single_word": True, "lstrip": i == 1,
                                                                           "rstrip": i == 2, "normalized": False, "special": False}
                                                            for i, word in enumerate(("word", "x=y", "<mask>"))}}},
        # both files
        {"name": "both agree", "model": "bpe.model", "json": "both", "config": SPM_CONFIG, "model_type": "llama"},
        {"name": "both, added tokens", "model": "bpe.model", "json": "both", "config": SPM_CONFIG, "model_type": "llama",
         "patch": {"added_tokens": added("<|user|>", "the")}},
        {"name": "both, added tokens that are not special", "model": "bpe.model", "json": "both", "model_type": "llama",
         "config": {**SPM_CONFIG, "tokenizer_class": "PreTrainedTokenizerFast"},
         "patch": {"added_tokens": added("<|user|>", "house", special=False)}},
        {"name": "both, no prefix", "model": "bpe.model", "json": "both", "patch": NEVER, "model_type": "llama",
         "config": {**SPM_CONFIG, "tokenizer_class": "PreTrainedTokenizerFast"}},
        {"name": "both, no prefix of a mistral", "model": "bpe.model", "json": "both", "patch": NEVER, "config": SPM_CONFIG,
         "model_type": "mistral"},
        {"name": "both, no prefix that the class puts back", "model": "bpe.model", "json": "both", "patch": NEVER,
         "config": SPM_CONFIG, "model_type": "llama"},
        {"name": "both, no BOS", "model": "bpe.model", "json": "both", "patch": {"post_processor": None}, "config": SPM_CONFIG,
         "model_type": "llama"},
        {"name": "both, tiktoken", "model": "tiktoken", "json": "llama3", "model_type": "llama"},
    ]


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def build(case, folder):
    config = {}
    if "json" in case:
        tree = json.loads((base.OUT / case["json"] / "tokenizer.json").read_text(encoding="utf-8"))
        (folder / "tokenizer.json").write_text(base.dump(merge(tree, case.get("patch", {}))), encoding="utf-8")
        config = json.loads((base.OUT / case["json"] / "tokenizer_config.json").read_text(encoding="utf-8"))
    if case.get("model") == "tiktoken":
        (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    elif "model" in case:
        shutil.copy(TEXT / case["model"], folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(merge(config, case.get("config", {}))))
    if "model_type" in case:
        (folder / "config.json").write_text(json.dumps({"model_type": case["model_type"]}))


def digest(case, lines):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        build(case, folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
        first = tokenizer("a")["input_ids"][0]
    rows = [base.dump(row) for row in ids]
    return {"sha256": hashlib.sha256("\n".join(rows).encode()).hexdigest(), "lines": "".join(map(base.short, rows[:TOLD])),
            "first_is_bos": first == tokenizer.bos_token_id}


def write_lacking():
    """Byte-level without a piece for 21 bytes that occur in UTF-8, as SmolLM2 has it."""
    missing = {chr(0x100 + byte) for byte in (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15)} | set("ðñòóôØxZ")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - missing)
    texts = [text for text in base.training_texts() if not missing & set("".join(t for t, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)))]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False,
                                                             limit_alphabet=len(alphabet), special_tokens=["<|endoftext|>", "<|im_start|>"]))
    assert not missing & set(tokenizer.get_vocab())
    folder = base.OUT / "lacking"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(base.dump(json.loads(tokenizer.to_str())), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}) + "\n")


def write_both():
    """What Transformers saves beside text/bpe.model."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        build({"model": "bpe.model", "config": SPM_CONFIG, "model_type": "llama"}, folder)
        transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder / "saved")
        tree = json.loads((folder / "saved" / "tokenizer.json").read_text(encoding="utf-8"))
    out = base.OUT / "both"
    out.mkdir(exist_ok=True)
    (out / "tokenizer.json").write_text(base.dump(tree), encoding="utf-8")
    (out / "tokenizer_config.json").write_text(json.dumps(SPM_CONFIG) + "\n")


def main():
    write_lacking()
    write_both()
    # Without new marks, whose order the NFC of `tokenizers` does not know, and without leading spaces, see docs/models.md.
    lines = [line for line in (base.nasty_line(index).lstrip(" ▁") for index in range(LINES)) if not base.has_new_marks(line)]
    indices = [index for index in range(LINES) if base.has_new_marks(base.nasty_line(index).lstrip(" ▁"))]
    result = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "count": LINES,
              "left_out": indices, "cases": []}
    for case in cases():
        result["cases"].append({**case, **digest(case, lines)})
        print(case["name"], result["cases"][-1]["first_is_bos"], result["cases"][-1]["lines"][:20], flush=True)
    (base.OUT / "folders.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
