"""Model folders for round_trip.py: random weights, real tokenizers, and the text and records that they are trained on."""

import dataclasses
import json
import random

import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaTokenizer, MistralConfig, Qwen2Config, Qwen3Config

from fixture_support import fixture_tensor

SUBJECTS = "the sea|a small dog|my neighbour|the assistant|an old teacher|every student|the quick engine|nobody|Zoë|the café".split("|")
VERBS = "explains|reads|writes about|helps with|forgets|compares|measures|paints|answers|translates".split("|")
OBJECTS = ("the question|two books|12 numbers|a long poem|quality:4,humor:0|the answer: 345|x = y + 1;|the weather|naïve ideas|"
           "C++ code").split("|")
ENDS = [".", "!", "?", ", and so on.", ";", " - really.", "...", " (see page 7)."]


@dataclasses.dataclass(frozen=True)
class Family:
    name: str
    config: type
    keys: dict
    tokenizer: str  # sentencepiece: bpe, bpe+json, unigram (a folder that `model init` makes); byte level: llama3, qwen
    dtype: torch.dtype = torch.float32
    shards: bool = False

    def about(self):
        return f"{'bf16' if self.dtype == torch.bfloat16 else 'fp32'}, {'shards' if self.shards else 'one file'}, {self.tokenizer}"


def rope(kind, theta=10000.0, **keys):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **keys}}


LLAMA31 = rope("llama3", 50000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
FAMILIES = [
    Family("llama2", LlamaConfig, {"num_key_value_heads": 4}, "bpe"),
    Family("fresh", LlamaConfig, {}, "unigram"),
    Family("llama3", LlamaConfig, {**rope("default", 500000.0)}, "llama3", shards=True),
    Family("llama3.1", LlamaConfig, {**LLAMA31, "head_dim": 16, "tie_word_embeddings": True}, "llama3", torch.bfloat16),
    Family("yarn", LlamaConfig, {**rope("yarn", factor=4.0, original_max_position_embeddings=128), "max_position_embeddings": 512}, "bpe"),
    Family("mistral", MistralConfig, {"sliding_window": 16, "head_dim": 16}, "bpe+json", shards=True),
    Family("mistral-bf16", MistralConfig, {"sliding_window": None}, "bpe", torch.bfloat16, shards=True),
    Family("qwen2", Qwen2Config, {"tie_word_embeddings": True, "rms_norm_eps": 1e-6}, "qwen"),
    Family("qwen2-windows", Qwen2Config, {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}, "qwen",
           torch.bfloat16),
    Family("qwen3", Qwen3Config, {"head_dim": 16, "rms_norm_eps": 1e-6}, "qwen", shards=True),
    Family("llama-bias", LlamaConfig, {"attention_bias": True, "mlp_bias": True}, "bpe", torch.bfloat16),
]


def sentence(rng):
    text = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}{rng.choice(ENDS)}"
    return text[0].upper() + text[1:] if rng.random() < 0.5 else text


def write_training_text(file):
    rng = random.Random(1)
    lines = [" ".join(sentence(rng) for _ in range(rng.randint(1, 4))) for _ in range(1500)]
    lines += ["<extra_id_0>System", "<extra_id_1>User", "<extra_id_1>Assistant", "<extra_id_2>quality:4,humor:0"] * 20
    file.write_text("\n".join(lines) + "\n")


def make_records(system):
    """Labels on most assistant turns; two dialogues of several turns; text that no tokenizer has seen."""
    rng = random.Random(2)
    records = []
    for index in range(12):
        turns = []
        for _ in range(1 + index % 3):
            label = f"quality:{rng.randrange(5)},humor:{rng.randrange(5)}" if rng.random() < 0.9 else None
            turns += [{"from": "User", "value": sentence(rng), "label": None},
                      {"from": "Assistant", "value": sentence(rng) + ("\n\n- Schön ☕\n" if index % 4 == 0 else ""), "label": label}]
        records.append({"system": system, "mask": "User", "type": "VALUE_TO_TEXT", "conversations": turns})
    return records


def make_lines(tokenizer):
    """Texts without a line feed: sentences, noise of many scripts, spaces, special tokens in the middle."""
    rng = random.Random(3)
    alphabet = ("abcXYZ 0129.,:;!?'\"-_<>\t  äéßñçøłžабвгд中文字日本語"
                "한국어العربية☕😀👍🏽e\u0301\u00a0\u200b")
    lines = ["", " ", "  ", "a", "I'm you're WE'LL", "don't   stop", "1234567 12,345.67", "\ttab", "end ", "\u3000wide", "a\rb"]
    lines += [sentence(rng) for _ in range(150)]
    lines += ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40))) for _ in range(250)]
    for token in [*tokenizer.all_special_tokens, "<extra_id_0>", "<extra_id_1>"]:
        lines += [token, f"a {token} b", f"{token}{token}x"]
    return lines


# ----- tokenizers -----------------------------------------------------------------------------------------------------------------

def train_sentencepiece(kind, work):
    write_training_text(work.path("text.txt"))
    work.run("tokenizer", "train", "--input", "text.txt", "--output", "text.model", "--vocab-size", 420, "--kind", kind)


def sentencepiece_files(kind, work, folder):
    """A sentencepiece model that the program trains, and the files that Transformers saves beside it."""
    train_sentencepiece("bpe", work)
    model = work.path("text.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(model)
    tokenizer = LlamaTokenizer.from_pretrained(folder, add_bos_token=True, add_eos_token=False, legacy=False)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes(model)
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"add_bos_token": True, "add_eos_token": False, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    if kind != "bpe+json":
        (folder / "tokenizer.json").unlink(missing_ok=True)
    return {"bos_token_id": 1, "eos_token_id": 2}


# Pre-tokenisation as the two families' tokenizer.json files have it.
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
         r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_files(kind, work, folder):
    """A byte-level BPE as Llama 3 or Qwen has it: tokenizer.json and tokenizer_config.json."""
    write_training_text(work.path("text.txt"))
    llama = kind == "llama3"
    tokenizer = Tokenizer(models.BPE(ignore_merges=llama))
    if not llama:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS.format(digits="{1,3}" if llama else "")), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train([str(work.path("text.txt"))], trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    special = (["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"] if llama else
               ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    byte_level = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = processors.Sequence([byte_level, processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])]) if llama else byte_level
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {str(tokenizer.token_to_id(token)): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                                 "single_word": False, "special": True} for token in special}
    config = {"added_tokens_decoder": added, "clean_up_tokenization_spaces": False, "model_max_length": 512}
    if llama:
        config |= {"bos_token": special[0], "eos_token": special[4], "tokenizer_class": "PreTrainedTokenizerFast"}
    else:
        config |= {"add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": special[2], "errors": "replace",
                   "pad_token": special[0], "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    ids = [tokenizer.token_to_id(token) for token in special]
    return ({"bos_token_id": ids[0], "eos_token_id": [ids[1], ids[4]]} if llama else
            {"bos_token_id": None, "eos_token_id": ids[2]})


# ----- folders --------------------------------------------------------------------------------------------------------------------

def make_folder(family, work):
    """base/: what a user downloads."""
    folder = work.path("base")
    if family.tokenizer == "unigram":  # Transformers has no class that reads such a file: the program's own folder
        train_sentencepiece("unigram", work)
        work.run("model", "init", "--output", "base", "--tokenizer", "text.model", "--hidden-size", 32, "--num-hidden-layers", 3,
                 "--num-key-value-heads", 2, "--tie-word-embeddings", "--initializer-range", 0.3)
        return
    folder.mkdir()
    ids = (byte_level_files if family.tokenizer in ("llama3", "qwen") else sentencepiece_files)(family.tokenizer, work, folder)
    rows = len(transformers.AutoTokenizer.from_pretrained(folder)) + (24 if family.tokenizer == "qwen" else 0)  # Qwen pads its embedding
    keys = {"vocab_size": rows, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, **ids, **family.keys}
    model = AutoModelForCausalLM.from_config(family.config(**keys), dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(fixture_tensor(1, name, parameter.shape))
    model.to(family.dtype).save_pretrained(folder, max_shard_size="60KB" if family.shards else "1GB")
