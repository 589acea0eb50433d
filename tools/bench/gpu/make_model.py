#!/usr/bin/env python3
"""Makes a model folder of Hugging Face with a published shape, random weights and a tokenizer of exactly as many ids.

    make_model.py FOLDER --shape smol135m|llama1b|qwen06b [--tiny] [--labels N] [--weights] [--device cuda] [--seed 1]

Without --weights it writes config.json and the tokenizer and needs no torch; with it, model.safetensors in bf16 as well (normal
with deviation 0.02, norms 1), drawn on the device; what is there already stays as it is. --labels N makes a predictor:
a sequence classification folder with a score of N rows and a steerlm.json that names N attributes. --tiny: 2 layers of width 64.

The tokenizer is a byte-level BPE of made-up words (words_of): a syllable is a consonant and a vowel, and " bakumi" is one piece.
So a text of n such words, the first of them a bare syllable, is exactly n tokens, and every id of the vocabulary is a token
that a text can have. The last three ids are <|endoftext|>, <|im_start|> and <|im_end|>: the folder speaks ChatML.
"""

import argparse
import itertools
import json
import pathlib

SHAPES = {
    "smol135m": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
                 "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152, "rms_norm_eps": 1e-5, "theta": 100000.0},
    "llama1b": {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
                "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "rms_norm_eps": 1e-5, "theta": 500000.0},
    "qwen06b": {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
                "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "rms_norm_eps": 1e-6, "theta": 1000000.0},
}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "vocab_size": 1024}
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxyz" for vowel in "aeiou"]  # 105; no vowel comes first, so merges never overlap
MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def shape_of(name, tiny):
    shape = dict(SHAPES[name])
    return shape | TINY if tiny else shape


def words_of(vocab_size):
    """The words of a vocabulary, each with its space one piece: 105 of one syllable, then those of two, then of three."""
    count = vocab_size - 256 - len(SYLLABLES) - len(MARKERS)
    words = itertools.chain(*(map("".join, itertools.product(SYLLABLES, repeat=length)) for length in (1, 2, 3)))
    return list(itertools.islice(words, count))


def byte_pieces():
    """The character that stands for each byte in byte-level BPE (GPT-2): printable ones for themselves, others from 256 up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    names = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [names[byte] for byte in range(256)]


def tokenizer_json(vocab_size):
    space = byte_pieces()[ord(" ")]
    words = words_of(vocab_size)
    pieces = byte_pieces() + SYLLABLES + [space + word for word in words]
    # Syllables first, then " ba" from " " and "ba", then one syllable more at the end of each longer word.
    merges = [[s[0], s[1]] for s in SYLLABLES] + [[(space + word)[:-2], word[-2:]] for word in words]
    added = [{"id": len(pieces) + i, "content": marker, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, marker in enumerate(MARKERS)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORD}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": merges}}


def config_json(shape, labels):
    family = {"llama": "Llama", "qwen3": "Qwen3"}[shape["model_type"]]
    theta = shape["theta"]
    config = {key: value for key, value in shape.items() if key != "theta"}
    config |= {"architectures": [family + ("ForSequenceClassification" if labels else "ForCausalLM")], "hidden_act": "silu",
               "attention_bias": False, "attention_dropout": 0.0, "max_position_embeddings": 8192, "initializer_range": 0.02,
               "rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "tie_word_embeddings": True, "use_cache": True,
               "bos_token_id": None, "eos_token_id": shape["vocab_size"] - len(MARKERS), "dtype": "bfloat16"}
    if labels:
        config |= {"id2label": {str(i): f"LABEL_{i}" for i in range(labels)}, "label2id": {f"LABEL_{i}": i for i in range(labels)},
                   "problem_type": "regression"}
    return config


def steerlm_json(labels):
    return {"attributes": {"names": [f"rating{i}" for i in range(labels)], "min": 0, "max": 4}, "head": {"kind": "regression", "bias": False},
            "template": {"name": "chatml", "system": ""}}


def write_json(file, value):
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    part.rename(file)


def write_folder(folder, shape, labels):
    """All but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "config.json").exists():
        return
    write_json(folder / "tokenizer.json", tokenizer_json(shape["vocab_size"]))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": MARKERS[0], "add_bos_token": False,
                                                  "chat_template": CHATML})
    if labels:
        write_json(folder / "steerlm.json", steerlm_json(labels))
    write_json(folder / "config.json", config_json(shape, labels))


def tensor_shapes(shape, labels):
    """{Hugging Face's name: shape}. Projections are (out, in); tied, so there is no lm_head."""
    d, f, e = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    h, g = shape["num_attention_heads"], shape["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (shape["vocab_size"], d), "model.norm.weight": (d,)}
    for i in range(shape["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {layer + "input_layernorm.weight": (d,), layer + "post_attention_layernorm.weight": (d,),
                   layer + "self_attn.q_proj.weight": (h * e, d), layer + "self_attn.k_proj.weight": (g * e, d),
                   layer + "self_attn.v_proj.weight": (g * e, d), layer + "self_attn.o_proj.weight": (d, h * e),
                   layer + "mlp.gate_proj.weight": (f, d), layer + "mlp.up_proj.weight": (f, d), layer + "mlp.down_proj.weight": (d, f)}
        if shape["model_type"] == "qwen3":
            shapes |= {layer + "self_attn.q_norm.weight": (e,), layer + "self_attn.k_norm.weight": (e,)}
    return shapes | ({"score.weight": (labels, d)} if labels else {})


def write_weights(folder, shape, labels, device, seed):
    file = folder / "model.safetensors"
    if file.exists():
        return
    import torch  # late: config and tokenizer are made without it
    from safetensors.torch import save_file
    generator = torch.Generator(device).manual_seed(seed)
    tensors = {}
    for name, size in tensor_shapes(shape, labels).items():
        if "norm" in name:
            tensors[name] = torch.ones(size, dtype=torch.bfloat16)
        else:
            tensors[name] = (0.02 * torch.randn(size, generator=generator, device=device)).to(torch.bfloat16).cpu()
    part = folder / "model.safetensors.part"
    save_file(tensors, part, metadata={"format": "pt"})
    part.rename(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--labels", type=int, default=0)
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shape = shape_of(arguments.shape, arguments.tiny)
    write_folder(arguments.folder, shape, arguments.labels)
    if arguments.weights:
        write_weights(arguments.folder, shape, arguments.labels, arguments.device, arguments.seed)


if __name__ == "__main__":
    main()
