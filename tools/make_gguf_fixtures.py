"""Makes tests/fixtures/gguf: small GGUF files, and what the `gguf` package and Transformers make of them.

    python3 -m venv venv && venv/bin/pip install torch transformers gguf sentencepiece protobuf numpy
    venv/bin/python tools/make_gguf_fixtures.py

blocks.gguf          a tensor of every type that is read, of random blocks
blocks.safetensors   their numbers in fp32 as the package's dequantize() gives them
MODEL.gguf           tiny models with random weights, written by the package's GGUFWriter with the names and the order of rows of
                     llama.cpp's converter (conversion/llama.py, permute); tokenizers are those of tests/fixtures
expected.json        versions; MODEL: ids of a sequence, log-probabilities and some logits that Transformers computes with the
                     dequantised weights, and ids of lines of text; the expression of every kind of pre-tokenizer that Transformers knows

model       what it is about
----------  ---------------------------------------------------------------------------------------------------------------------
llama       grouped queries, tied, rope_freqs of Llama 3.1's scaling, Q4_K and Q6_K; the byte-level tokenizer that lacks bytes
llama_spm   an output layer of its own, F32, F16 and BF16; a sentencepiece BPE tokenizer
qwen2       biases of q, k, v; tied; Q8_0, Q5_1; Qwen's tokenizer
qwen3       norms of queries and keys, heads wider than width / heads, yarn, Q5_K; the byte-level tokenizer again

Transformers loads llama_spm and qwen2 from the GGUF files too (it reads neither rope_freqs nor yarn nor the width of Qwen 3's heads of the
others); the script ends with an error where these logits differ by more than 1e-5 from its own, or ids from those of the tokenizers' own
libraries.
"""

import copy
import json
import pathlib
import unicodedata

import gguf
import numpy
import sentencepiece
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from fixture_support import numbers, write_json

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"
OUT = FIXTURES / "gguf"
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
PRE_KINDS = ["llama-bpe", "llama3", "llama-v3", "tekken", "qwen2", "deepseek-r1-qwen", "megrez", "kormo"]
LINES = ["Hello world", " two  spaces", "1234567 and  89", "don't can't I'LL", "naïve façade — “quoted”", "line\nbreak\n\n  indented",
         "日本語のテキスト", "emoji 🙂🙃 done", "tab\tand\r\nCRLF", "a<|im_start|>b", "x=3.14; y+=2", "    ", "ÅA\u030a combining", "\u0007 bell"]

random = numpy.random.default_rng(20)


# ----- blocks -----------------------------------------------------------------------------------------------------------------------

def set_halves(blocks, places, low, high):
    """Random fp16 numbers of either sign at the byte offsets `places` of every block."""
    for place in places:
        size = random.uniform(low, high, len(blocks)) * random.choice([-1, 1], len(blocks))
        blocks[:, place:place + 2] = size.astype(numpy.float16).view(numpy.uint8).reshape(-1, 2)


HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def random_blocks(name, rows, columns, low=0.001, high=1.0):
    """Bytes (rows, bytes of a row) of a tensor of the type."""
    if name == "F32":
        return random.normal(size=(rows, columns)).astype(numpy.float32)
    if name == "F16":
        return random.normal(size=(rows, columns)).astype(numpy.float16)
    if name == "BF16":
        return gguf.quantize(random.normal(size=(rows, columns)).astype(numpy.float32), Type.BF16)
    width, size = gguf.GGML_QUANT_SIZES[Type[name]]
    blocks = random.integers(0, 256, (rows * columns // width, size), dtype=numpy.uint8)
    set_halves(blocks, HALVES[name], low, high)
    return blocks.reshape(rows, -1)


def make_blocks():
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "llama")
    for name in TYPES:
        columns = max(32, gguf.GGML_QUANT_SIZES[Type[name]][0])
        writer.add_tensor(name, random_blocks(name, 3, columns), raw_dtype=Type[name])
    close(writer)
    reader = gguf.GGUFReader(OUT / "blocks.gguf")
    numbers_of = {t.name: numpy.ascontiguousarray(gguf.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
    assert all(numpy.isfinite(x).all() and x.dtype == numpy.float32 for x in numbers_of.values())
    save_file(numbers_of, OUT / "blocks.safetensors")


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ----- tokenizers -------------------------------------------------------------------------------------------------------------------

def shrunk(source, count):
    """A tokenizer.json with the first `count` merges alone; ids count on. Added tokens that GGUF cannot say (inside words, normalised) are
    pieces like others."""
    model = source["model"]
    model["merges"] = model["merges"][:count]
    pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
    added = [token for token in source["added_tokens"] if token["special"] or token["content"] not in model["vocab"]]
    kept = {"".join(pair) for pair in pairs} | {token["content"] for token in added}
    texts = [text for text in sorted(model["vocab"], key=model["vocab"].get) if len(text) == 1 or text in kept]
    model["vocab"] = {text: i for i, text in enumerate(texts)}
    following = len(texts)
    for token in added:
        token.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
        token["id"] = model["vocab"].get(token["content"], following)
        following += token["content"] not in model["vocab"]
    source["added_tokens"] = added
    return source


def byte_level(name, pre):
    """(what writes the keys of the GGUF file, number of tokens, ids of LINES by the library `tokenizers`), of a tokenizer.json of
    tests/fixtures/tokenizers, shrunk."""
    source = shrunk(json.loads((FIXTURES / "tokenizers" / name / "tokenizer.json").read_text()), 150)
    vocab = source["model"]["vocab"]
    tokens = dict(vocab, **{token["content"]: token["id"] for token in source["added_tokens"]})
    types = {token["id"]: gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED for token in source["added_tokens"]}
    texts = [text for text, _ in sorted(tokens.items(), key=lambda item: item[1])]
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in source["model"]["merges"]]
    config = json.loads((FIXTURES / "tokenizers" / name / "tokenizer_config.json").read_text())

    def keys(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(texts)
        writer.add_token_types([types.get(i, gguf.TokenType.NORMAL) for i in range(len(texts))])
        writer.add_token_merges(merges)
        writer.add_eos_token_id(tokens[config["eos_token"]])
        writer.add_add_bos_token(False)

    reference = tokenizers.Tokenizer.from_str(json.dumps(source))
    return keys, len(texts), [reference.encode(line, add_special_tokens=False).ids for line in LINES]


def sentencepiece_bpe(name):
    """The same of a model of tests/fixtures/text, ids by the library sentencepiece."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / "text" / name))
    count = model.vocab_size()
    kinds = [gguf.TokenType.UNKNOWN if model.is_unknown(i) else gguf.TokenType.CONTROL if model.is_control(i) else
             gguf.TokenType.BYTE if model.is_byte(i) else gguf.TokenType.NORMAL for i in range(count)]

    def keys(writer):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([model.id_to_piece(i) for i in range(count)])
        writer.add_token_scores([model.get_score(i) for i in range(count)])
        writer.add_token_types(kinds)
        writer.add_bos_token_id(model.bos_id())
        writer.add_eos_token_id(model.eos_id())
        writer.add_unk_token_id(model.unk_id())
        writer.add_add_bos_token(True)
        writer.add_chat_template("{{ messages }}")

    return keys, count, model.encode(LINES)


# ----- models -----------------------------------------------------------------------------------------------------------------------

NAMES = {"embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
         "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


def gguf_name(name):
    parts = name.split(".")
    stem = next(theirs for ours, theirs in NAMES.items() if ".".join(parts[:-1]).endswith(ours))
    return (f"blk.{parts[2]}." if parts[1] == "layers" else "") + f"{stem}.{parts[-1]}"


def permute(weights, heads):
    """llama.cpp's order of the rows of queries and keys (conversion/llama.py)."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def unpermute(weights, heads):
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def heads_of(config, name):
    return config.num_attention_heads if "q_proj" in name else config.num_key_value_heads if "k_proj" in name else None


def common_keys(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_name("fixture")


def llama3_divisors(config):
    """generate_extra_tensors of conversion/llama.py, in its words: what the frequencies are divided by."""
    scaling, dim = config.rope_parameters, config.head_dim
    freqs = 1.0 / (scaling["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    low = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    result = []
    for freq in freqs:
        wavelength = 2 * numpy.pi / freq
        if wavelength < high:
            result.append(1)
        elif wavelength > low:
            result.append(scaling["factor"])
        else:
            smooth = (scaling["original_max_position_embeddings"] / wavelength - scaling["low_freq_factor"]) / (
                scaling["high_freq_factor"] - scaling["low_freq_factor"])
            result.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return numpy.array(result, dtype=numpy.float32)


def make_model(name, config, tokenizer, types, more_keys):
    """`types`: GGUF name without block -> type, "" for all others; norms and biases are F32."""
    keys, vocab, line_ids = tokenizer
    config.vocab_size = vocab
    model = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32, attn_implementation="eager").eval()
    arch, path = config.model_type, OUT / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, arch)
    common_keys(writer, config)
    more_keys(writer)
    keys(writer)
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config))
    named = [(n, p) for n, p in model.named_parameters()]
    for hf_name, parameter in named:
        shape, theirs = tuple(parameter.shape), gguf_name(hf_name)
        if len(shape) == 1:
            center, width = (1.0, 0.35) if "norm" in hf_name else (0.0, 0.4)
            values = (center + width * random.uniform(-1, 1, shape)).astype(numpy.float32)
            if arch == "llama" and heads_of(config, hf_name):
                values = permute(values, heads_of(config, hf_name))
            writer.add_tensor(theirs, values)
            continue
        kind = types.get(theirs, types.get(theirs.split(".", 2)[-1], types[""]))
        if kind.endswith("_K"):
            data = random_blocks(kind, *shape, low=0.0002, high=0.0006)
        else:
            width = 0.9 if "embed_tokens" in hf_name else 2.6 / shape[1] ** 0.5
            values = (width * random.uniform(-1, 1, shape)).astype(numpy.float32)
            if arch == "llama" and heads_of(config, hf_name):
                values = permute(values, heads_of(config, hf_name))
            data = gguf.quantize(values, Type[kind])
        writer.add_tensor(theirs, numpy.ascontiguousarray(data), raw_dtype=Type[kind])
    close(writer)

    stored = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    with torch.no_grad():
        for hf_name, parameter in named:
            values = stored[gguf_name(hf_name)]
            if arch == "llama" and heads_of(config, hf_name):
                values = unpermute(values, heads_of(config, hf_name))
            parameter.copy_(torch.from_numpy(numpy.array(values)).reshape(parameter.shape))
        ids = random.integers(3, vocab, 40).tolist()
        logits = model(torch.tensor([ids])).logits[0]
        if name in ("llama_spm", "qwen2"):
            theirs = transformers.AutoModelForCausalLM.from_pretrained(OUT, gguf_file=path.name, attn_implementation="eager").eval()
            difference = (theirs(torch.tensor([ids])).logits[0] - logits).abs().max().item()
            assert difference < 1e-5, (name, difference)
            # Transformers drops a space at the start of a text for sentencepiece's models, and leaves Qwen's normalisation out.
            reference = transformers.AutoTokenizer.from_pretrained(OUT, gguf_file=path.name)
            for line, wanted in zip(LINES, line_ids):
                text = unicodedata.normalize("NFC", line) if name == "qwen2" else line
                assert name == "llama_spm" and line[0] == " " or reference(text, add_special_tokens=False)["input_ids"] == wanted, line
    logprobs = logits.log_softmax(-1)
    return {"ids": ids, "logprobs": numbers(logprobs[torch.arange(39), torch.tensor(ids[1:])]), "every_8th_last_logit": numbers(logits[-1, ::8]),
            "line_ids": line_ids}


def main():
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    make_blocks()
    common = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
              "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    lacking, qwen = byte_level("lacking", "smollm"), byte_level("qwen2", "qwen2")
    llama3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192}
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    yarn = {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32}

    def yarn_keys(writer):
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_scaling_orig_ctx_len(32)
        writer.add_key_length(16)
        writer.add_value_length(16)

    def llama_keys(writer):
        writer.add_rope_dimension_count(8)

    expected = {
        "versions": {"gguf": gguf_version(), "transformers": transformers.__version__, "torch": torch.__version__,
                     "tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__},
        "lines": LINES,
        "patterns": {kind: GGUF_PRE_TOKENIZER_SPLITS[kind] for kind in PRE_KINDS},
        "llama": make_model("llama", transformers.LlamaConfig(
            **{**common, "max_position_embeddings": 256}, intermediate_size=256, rms_norm_eps=1e-5, tie_word_embeddings=True, head_dim=8,
            rope_parameters=llama3), lacking,
            {"blk.0.ffn_down.weight": "Q4_K", "blk.1.ffn_down.weight": "Q6_K", "token_embd.weight": "Q5_0", "": "Q4_1"}, llama_keys),
        "llama_spm": make_model("llama_spm", transformers.LlamaConfig(
            **{**common, "num_hidden_layers": 1}, intermediate_size=32, rms_norm_eps=1e-5, tie_word_embeddings=False, head_dim=8,
            rope_parameters=plain), sentencepiece_bpe("bpe.model"),
            {"attn_q.weight": "F32", "attn_k.weight": "F32", "ffn_up.weight": "BF16", "": "F16", "output.weight": "Q4_0",
             "token_embd.weight": "Q4_0"}, llama_keys),
        "qwen2": make_model("qwen2", transformers.Qwen2Config(
            **{**common, "num_hidden_layers": 1}, intermediate_size=64, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False,
            rope_parameters=plain), qwen, {"token_embd.weight": "Q5_1", "": "Q8_0"}, lambda writer: None),
        "qwen3": make_model("qwen3", transformers.Qwen3Config(
            **{**common, "num_hidden_layers": 1}, intermediate_size=256, rms_norm_eps=1e-6, tie_word_embeddings=True, head_dim=16,
            rope_parameters=yarn), lacking, {"ffn_down.weight": "Q5_K", "": "Q4_0"}, yarn_keys),
    }
    write_json(OUT / "expected.json", expected)


def gguf_version():
    from importlib.metadata import version
    return version("gguf")


if __name__ == "__main__":
    main()
