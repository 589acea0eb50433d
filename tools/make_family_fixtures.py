"""Makes tests/fixtures/families: tiny models of every family as Transformers computes them.

    python3 -m venv venv && venv/bin/pip install torch transformers peft numpy
    venv/bin/python tools/make_family_fixtures.py [VARIANT ...]

A folder a variant: config.json as Transformers saves it, config_v4.json (language models and llama_classifier: the same model in
the spelling of Transformers 4), expected.json. Weights are not stored; fixture_support.py says how both sides make them. fp32 on
CPU, one thread, eager attention; the versions that made the files are in expected.json.

variant             what it is about                                                         positions  sequences up to
------------------  -----------------------------------------------------------------------  ---------  ---------------
llama2              as many key heads as query heads, output layer of its own                128        60
llama3              grouped queries, theta 500000, tied                                      128        60
llama31             rotary scaling llama3: factor 8 over 32; every branch of it, head_dim 16 256        150
linear              rotary scaling linear, factor 4 over 64                                  256        150
dynamic             rotary scaling dynamic, factor 2; max_position_embeddings is the         80         150
                    original length; every sequence by a model that saw no longer one
yarn                factor 4 over 32, default betas and attention factor, head_dim 16        128        120
yarn_explicit       the same with beta_fast, beta_slow, mscale, mscale_all_dim, no truncate  128        120
yarn_factor         qwen2 with yarn and an explicit attention_factor                         128        120
mistral             a window of 8 in every layer, head_dim 16                                128        60
mistral_full        sliding_window null                                                      128        60
qwen2               biases of q, k, v; tied; sliding_window is there but not used            128        60
qwen2_windows       the first of three layers sees everything, the others a window of 8      128        60
qwen3               norms of queries and keys, head_dim 16                                   128        60
llama_bias          attention_bias and mlp_bias                                              128        60
*_classifier        llama, mistral (window 8), qwen2, qwen3: three scores without bias       128        60
lora                llama3 with a PEFT adapter (rank 4, alpha 2) on all seven matrices       128        60
lora_score          qwen2_classifier with a PEFT adapter (rank 4, alpha 16) on q_proj and    128        60
                    v_proj; score trained

Greedy texts are longer than 64 positions (a prompt of 40 and 64 more), hence 128 positions where the variant asks for nothing else. The
weights are large on purpose (attention and logits far from flat). What fp32 rounding alone changes, against the same computation
in fp64: log-probabilities 1e-5, gradient norms 3e-6 of the norm, projections 5e-6 of the norm, parameters after ten steps 1e-6 of
the norm, but of k_proj.bias 1e-4: low frequencies leave it nearly without a gradient, and Adam divides that by itself.
"""

import copy
import json
import pathlib
import random
import sys
import tempfile
import warnings

import numpy
import peft
import torch
import transformers
from safetensors.torch import load_file
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from fixture_support import check_generator, fixture_tensor, number, numbers, projection_vector, summary, write_json

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "families"
VOCAB = 96
SETTINGS = {"learning_rate": 1e-3, "betas": [0.9, 0.98], "eps": 1e-8, "weight_decay": 0.01, "clip_grad_norm": 1.0}
COMMON = {"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2}
SHORT = [1, 2, 3, 7, 16, 25, 33, 60]
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def rope(theta=10000.0, kind="default", **keys):
    return {"rope_type": kind, "rope_theta": theta, **keys}


def language_variants():
    """Name -> (config, lengths of the sequences, the batch of `packed`, what to undo to see that the variant matters)."""
    llama = {**COMMON, "rms_norm_eps": 1e-5}
    qwen = {**COMMON, "rms_norm_eps": 1e-6}
    short, batch = SHORT, [3, 5, 7]
    yarn = {"factor": 4.0, "original_max_position_embeddings": 32}
    plain = {"rope_parameters": rope()}
    return {
        "llama2": (LlamaConfig(**{**llama, "num_key_value_heads": 4}), short, batch, {}),
        "llama3": (LlamaConfig(**llama, tie_word_embeddings=True, rope_parameters=rope(500000.0)), short, batch, plain),
        "llama31": (LlamaConfig(**{**llama, "max_position_embeddings": 256}, head_dim=16, rope_parameters=rope(
            50000.0, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)),
            short + [100, 150], [3, 7, 8], {"rope_parameters": rope(50000.0)}),
        "linear": (LlamaConfig(**{**llama, "max_position_embeddings": 256}, rope_parameters=rope(kind="linear", factor=4.0)),
                   short + [100, 150], [3, 7, 8], plain),
        "dynamic": (LlamaConfig(**{**llama, "max_position_embeddings": 80}, rope_parameters=rope(kind="dynamic", factor=2.0)),
                    short + [100, 150], [3, 7, 8], plain),
        "yarn": (LlamaConfig(**llama, head_dim=16, rope_parameters=rope(kind="yarn", **yarn)), short + [100, 120], [3, 7, 8], plain),
        "yarn_explicit": (LlamaConfig(**llama, head_dim=16, rope_parameters=rope(
            kind="yarn", **yarn, beta_fast=4.0, beta_slow=0.5, mscale=1.2, mscale_all_dim=0.7, truncate=False)),
            short + [100, 120], [3, 7, 8], {"rope_parameters": rope(kind="yarn", **yarn)}),
        "yarn_factor": (Qwen2Config(**qwen, rope_parameters=rope(1000000.0, "yarn", **yarn, attention_factor=1.3)),
                        short + [100, 120], [3, 7, 8], {"rope_parameters": rope(1000000.0, "yarn", **yarn)}),
        "mistral": (MistralConfig(**llama, head_dim=16, sliding_window=8), short, batch, {"sliding_window": 9}),
        "mistral_full": (MistralConfig(**llama, sliding_window=None), short, batch, {"sliding_window": 40}),
        "qwen2": (Qwen2Config(**{**qwen, "num_hidden_layers": 3}, tie_word_embeddings=True, use_sliding_window=False, sliding_window=8),
                  short, batch, {}),
        "qwen2_windows": (Qwen2Config(**{**qwen, "num_hidden_layers": 3}, use_sliding_window=True, sliding_window=8,
                                      max_window_layers=1), short, batch, {"layer_types": ["sliding_attention"] * 3}),
        "qwen3": (Qwen3Config(**qwen, head_dim=16), short, batch, {}),
        "llama_bias": (LlamaConfig(**llama, attention_bias=True, mlp_bias=True), short, batch, {}),
    }


def classifier_variants():
    scores = {"num_labels": 3, "problem_type": "regression"}
    llama, qwen = {**COMMON, "rms_norm_eps": 1e-5}, {**COMMON, "rms_norm_eps": 1e-6}
    return {"llama_classifier": LlamaConfig(**llama, **scores),
            "mistral_classifier": MistralConfig(**llama, **scores, head_dim=16, sliding_window=8),
            "qwen2_classifier": Qwen2Config(**qwen, **scores),
            "qwen3_classifier": Qwen3Config(**qwen, **scores, head_dim=16)}


# ----- models ---------------------------------------------------------------------------------------------------------------------

def make_model(config, seed, auto=transformers.AutoModelForCausalLM):
    model = auto.from_config(copy.deepcopy(config), dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(fixture_tensor(seed, name, parameter.shape))
    return model


def forget_lengths(model):
    """Transformers' dynamic scaling remembers the longest sequence seen: put the rotary tables back into their first state."""
    for module in model.modules():
        if getattr(module, "rope_type", None) == "dynamic":
            module.inv_freq = module.original_inv_freq.clone()
            module.max_seq_len_cached = module.original_max_seq_len


def forward(model, ids, **keys):
    forget_lengths(model)
    return model(torch.tensor([ids]), **keys)


def adapter_names(model):
    """Names as in PEFT's file: trained parameters of a PEFT model, in its order."""
    names = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            names[name.replace(".default.", ".").replace(".modules_to_save", "")] = parameter
    return names


def trained(model):
    return adapter_names(model) if isinstance(model, peft.PeftModel) else dict(model.named_parameters())


def shapes(named):
    return {name: list(tensor.shape) for name, tensor in named.items()}


def gradients(model, seed):
    return {name: summary(seed, name, parameter.grad) for name, parameter in trained(model).items()}


# ----- what is computed -----------------------------------------------------------------------------------------------------------

def log_probabilities(model, ids):
    """log p of token i given those before, for i >= 1; and the logits (tokens, vocabulary)."""
    logits = forward(model, ids).logits[0]
    return -torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:], dtype=torch.long), reduction="none"), logits


def batch_loss(model, sequences, batch):
    """Sum over the target tokens of all sequences of the batch, divided by their count."""
    total, count = torch.zeros(()), 0
    for index in batch:
        logprob, _ = log_probabilities(model, sequences[index]["ids"])
        weight = torch.tensor(sequences[index]["target"][1:], dtype=torch.float32)
        total, count = total - (logprob * weight).sum(), count + int(weight.sum())
    return total / count, count


@torch.no_grad()
def make_sequences(model, lengths, seed):
    rng = random.Random(seed)
    vector = projection_vector(seed, "logits", VOCAB)
    sequences = []
    for index, length in enumerate(lengths):
        ids = [rng.randrange(VOCAB) for _ in range(length)]
        target = [0] + [int(rng.random() < 0.6) for _ in range(length - 1)]
        logprob, logits = log_probabilities(model, ids) if length > 1 else (torch.zeros(0), forward(model, ids).logits[0])
        if length > 1:
            target[-1] = 1
        entry = {"ids": ids, "target": target, "logprobs": numbers(logprob),
                 "logit_projection": [number(value) for value in logits.numpy().astype(numpy.float64) @ vector]}
        if index in (0, len(lengths) // 2, len(lengths) - 1):
            entry["last_logits"] = numbers(logits[-1])
        sequences.append(entry)
    return sequences


def train_ten_steps(model, sequences, seed):
    named = trained(model)
    decayed = [p for p in named.values() if p.dim() >= 2]
    others = [p for p in named.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": SETTINGS["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
                                  lr=SETTINGS["learning_rate"], betas=tuple(SETTINGS["betas"]), eps=SETTINGS["eps"])
    steps, usable = [], len(sequences) - 1
    for step in range(10):
        batch = [1 + 2 * step % usable, 1 + (2 * step + 1) % usable]  # not the first: one token has nothing to predict
        optimizer.zero_grad()
        loss, _ = batch_loss(model, sequences, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(named.values(), SETTINGS["clip_grad_norm"])
        optimizer.step()
        steps.append({"batch": batch, "loss": number(loss), "grad_norm": number(norm)})
    assert max(step["grad_norm"] for step in steps) > 1, "no step was clipped"
    return {"settings": SETTINGS, "steps": steps,
            "parameters": {name: summary(seed, name, parameter) for name, parameter in named.items()}}


@torch.no_grad()
def greedy(model, prompt, count, cached):
    """Ids and the smallest distance of the best logit to the second; EOS does not end it."""
    ids, gap, cache = list(prompt), float("inf"), None
    forget_lengths(model)
    for step in range(count):
        if cached:
            output = model(torch.tensor([ids if step == 0 else ids[-1:]]), cache=cache, use_cache=True)
            cache = output.cache
        else:
            output = forward(model, ids, use_cache=False)
        best = torch.topk(output.logits[0, -1], 2)
        gap = min(gap, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[len(prompt):], gap


def greedy_entry(model, length, variant):
    """A prompt whose continuation is the same with and without the cache, not all one token, and never a near tie."""
    for attempt in range(50):
        rng = random.Random(f"{variant} {length} {attempt}")
        prompt = [rng.randrange(VOCAB) for _ in range(length)]
        ids, gap = greedy(model, prompt, 64, cached=True)
        again, gap_again = greedy(model, prompt, 64, cached=False)
        if min(gap, gap_again) > 1e-3 and len(set(ids)) >= 8:
            assert ids == again, (variant, "the cache changes the text")
            return {"prompt": prompt, "ids": ids, "smallest_gap": number(min(gap, gap_again))}
    raise AssertionError(f"{variant}: no prompt of {length} ids without a near tie")


def greedy_beyond(model, variant):
    """Dynamic scaling past the original length: cached keys keep the base they were rotated with, and the two ways part."""
    rng = random.Random(variant)
    prompt = [rng.randrange(VOCAB) for _ in range(40)]
    return {"prompt": prompt, "with_cache": greedy(model, prompt, 64, True)[0], "without_cache": greedy(model, prompt, 64, False)[0]}


@torch.no_grad()
def check_not_flat(model, ids):
    output = forward(model, ids, output_attentions=True)
    assert output.logits.abs().max() > 1
    for attention in output.attentions:
        entropy = -(attention * attention.clamp_min(1e-30).log()).sum(-1)  # (1, heads, tokens)
        uniform = (attention[0, 0, -1] > 0).sum().log()
        assert entropy[..., -1].mean() < uniform - 0.25, f"attention is nearly uniform: entropy {entropy[..., -1].mean()} of {uniform}"


@torch.no_grad()
def check_matters(model, config, seed, ids, undo):
    """The logits change when the point of the variant is taken away."""
    if undo:
        other = copy.deepcopy(config)
        for key, value in undo.items():
            setattr(other, key, value)
        difference = (forward(make_model(other, seed), ids).logits - forward(model, ids).logits).abs().max()
        assert difference > 0.05, (undo, float(difference))


# ----- files ----------------------------------------------------------------------------------------------------------------------

def older_spelling(config):
    """config.json as Transformers 4 wrote it: rope_theta, rope_scaling, torch_dtype, no layer_types."""
    config = dict(config)
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters["rope_theta"]
    scaling = {key: value for key, value in parameters.items() if key not in ("rope_theta", "rope_type")}
    if scaling:  # the key was "type" before the scaling llama3 came
        scaling["rope_type" if parameters["rope_type"] == "llama3" else "type"] = parameters["rope_type"]
    config["rope_scaling"] = scaling or None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.44.2"
    config.pop("layer_types", None)
    if config["model_type"] in ("llama", "mistral") and config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
        config.pop("head_dim")
    if config["model_type"] == "qwen2" and not config["use_sliding_window"]:
        config["sliding_window"] = 8  # Qwen2's own folders name a window that is not used
    return dict(sorted(config.items()))


def save_config(model, folder, older):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        text = (pathlib.Path(temporary) / "config.json").read_text()
    (folder / "config.json").write_text(text if text.endswith("\n") else text + "\n")
    if not older:
        return
    (folder / "config_v4.json").write_text(json.dumps(older_spelling(json.loads(text)), indent=2) + "\n")
    auto = transformers.AutoModelForCausalLM if hasattr(model, "lm_head") else transformers.AutoModelForSequenceClassification
    with torch.no_grad():
        reread = auto.from_config(transformers.AutoConfig.from_pretrained(folder / "config_v4.json"), attn_implementation="eager").eval()
        reread.load_state_dict(model.state_dict())
        ids = list(range(3, 63))
        assert torch.equal(forward(reread, ids).logits, forward(model, ids).logits), "the older spelling is another model"


def versions():
    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "numpy": numpy.__version__}


def language_numbers(model, name, seed, lengths, batch):
    sequences = make_sequences(model, lengths, seed)
    check_not_flat(model, sequences[-1]["ids"])
    result = {"sequences": sequences}
    loss, count = batch_loss(model, sequences, batch)
    loss.backward()
    result["packed"] = {"batch": batch, "loss": number(loss), "target_tokens": count, "gradients": gradients(model, seed)}
    model.zero_grad()
    result["greedy"] = [greedy_entry(model, length, name) for length in ((5, 16) if name == "dynamic" else (5, 40))]
    if name == "dynamic":
        result["greedy_beyond"] = greedy_beyond(model, name)
    return result


def language_model(name, seed):
    config, lengths, batch, undo = language_variants()[name]
    model = make_model(config, seed)
    save_config(model, OUT / name, older=True)
    result = {"versions": versions(), "seed": seed, "parameters": shapes(trained(model)),
              **language_numbers(model, name, seed, lengths, batch)}
    check_matters(model, config, seed, result["sequences"][-1]["ids"], undo)
    result["adamw"] = train_ten_steps(model, result["sequences"], seed)
    write_json(OUT / name / "expected.json", result)


def score_numbers(model, seed):
    rng = random.Random(seed)
    sequences, total, count = [], torch.zeros(()), 0
    for length, labels in ((1, [0, 4, None]), (9, [2, None, 1]), (31, [3, 3, 0]), (60, [None, 1, 4])):
        ids = [rng.randrange(VOCAB) for _ in range(length)]
        scores = forward(model, ids).logits[0]
        sequences.append({"ids": ids, "scores": numbers(scores), "labels": labels})
        for score, label in zip(scores, labels):
            if label is not None:
                total, count = total + (score - label) ** 2, count + 1
    (total / count).backward()
    return {"sequences": sequences, "loss": number(total / count), "known_labels": count, "gradients": gradients(model, seed)}


def classifier(name, seed):
    model = make_model(classifier_variants()[name], seed, transformers.AutoModelForSequenceClassification)
    save_config(model, OUT / name, older=name == "llama_classifier")
    write_json(OUT / name / "expected.json",
               {"versions": versions(), "seed": seed, "parameters": shapes(trained(model)), **score_numbers(model, seed)})


def add_adapter(model, seed, folder, alpha, **keys):
    """Wraps the model, fills the adapter's matrices, writes adapter_config.json; returns it and the shapes in PEFT's file by name."""
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=alpha, lora_dropout=0.0, **keys)).eval()
    with torch.no_grad():
        for name, parameter in adapter_names(model).items():
            if "lora_" in name:  # a head that is saved whole starts as the base model's
                parameter.copy_(fixture_tensor(seed, name, parameter.shape))
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        saved = load_file(pathlib.Path(temporary) / "adapter_model.safetensors")
        config = json.loads((pathlib.Path(temporary) / "adapter_config.json").read_text())
    assert set(saved) == set(adapter_names(model)), "PEFT's file has other names"
    config["target_modules"].sort()  # a set: its order changes from run to run
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    return model, shapes(dict(sorted(saved.items())))


def lora(seed):
    folder = OUT / "lora"
    base = make_model(language_variants()["llama3"][0], seed)
    save_config(base, folder, older=False)
    result = {"versions": versions(), "seed": seed, "parameters": shapes(trained(base))}
    model, result["adapter_parameters"] = add_adapter(base, seed, folder, 2, target_modules=LINEARS, task_type="CAUSAL_LM")
    result.update(language_numbers(model, "lora", seed, SHORT, [3, 5, 7]))

    merged = copy.deepcopy(model).merge_and_unload()
    assert list(shapes(trained(merged))) == list(result["parameters"])
    difference = 0.0
    with torch.no_grad():
        for sequence in result["sequences"]:
            with_adapter, alone = (forward(m, sequence["ids"]).logits for m in (model, merged))
            difference = max(difference, float((with_adapter - alone).abs().max() / with_adapter.abs().max()))
    assert difference < 1e-5, difference
    result["merged"] = {"largest_difference": number(difference),
                        "parameters": {name: summary(seed, name, p) for name, p in merged.named_parameters()}}
    result["adamw"] = train_ten_steps(model, result["sequences"], seed)
    write_json(folder / "expected.json", result)


def lora_score(seed):
    folder = OUT / "lora_score"
    base = make_model(classifier_variants()["qwen2_classifier"], seed, transformers.AutoModelForSequenceClassification)
    save_config(base, folder, older=False)
    result = {"versions": versions(), "seed": seed, "parameters": shapes(trained(base))}
    model, result["adapter_parameters"] = add_adapter(base, seed, folder, 16, target_modules=["q_proj", "v_proj"], task_type="SEQ_CLS",
                                                      modules_to_save=["score"])
    result.update(score_numbers(model, seed))
    write_json(folder / "expected.json", result)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # PEFT's use of Transformers
    check_generator()
    every = {name: language_model for name in language_variants()} | {name: classifier for name in classifier_variants()}
    every |= {"lora": lambda _, seed: lora(seed), "lora_score": lambda _, seed: lora_score(seed)}
    for seed, (name, make) in enumerate(every.items(), start=1):
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            make(name, seed)
            size = sum(file.stat().st_size for file in (OUT / name).iterdir())
            print(f"{name:20} seed {seed:2} {size / 1000:6.1f} KB", flush=True)


if __name__ == "__main__":
    main()
