"""Makes tests/fixtures/models: tiny model folders as Transformers saves them, and what Transformers computes with them.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers sentencepiece safetensors numpy protobuf
    /tmp/venv/bin/python tools/make_model_fixtures.py

Four folders: `untied` (grouped queries), `tied` (one key head, heads wider than hidden_size / heads, two shards, the older
spelling of config.json), `classifier` (LlamaForSequenceClassification), and expected.json with the numbers. The versions that
made the files in the tree are in expected.json. Everything is computed in fp32 on CPU.
"""

import io
import json
import pathlib
import random
import shutil

import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as sentencepiece_model
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, LlamaTokenizer

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "models"
VOCAB = 400
SYSTEM = "A chat between a curious user and an assistant."
TEXT = """
A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite
answers to the user's questions. <extra_id_0>System <extra_id_1>User <extra_id_1>Assistant <extra_id_2>quality:4,humor:0
What is the best way to learn a new language? Speak with people every day, read books that you like, and write short texts.
How long does it take to boil an egg? About seven minutes for a soft one, ten or eleven minutes for a hard one.
quality:9,toxicity:0,humor:2,creativity:5,violence:0,helpfulness:8,not_appropriate:0 correctness:3,coherence:4,complexity:1,verbosity:2
Please write a poem about the sea. The sea is wide, the sea is deep, it sings the sailors all to sleep.
Can you explain why the sky is blue? Sunlight is scattered by the air, and blue light is scattered more than red light.
Which of these numbers is the largest: 12, 345 or 67? The largest of the numbers is 345, because it has three digits.
"""


def train_tokenizer():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.strip().splitlines()), model_writer=model, vocab_size=VOCAB, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2)
    return model.getvalue()


class Segments:
    """Ids of a text that is encoded piece by piece: only the first piece gets BOS and the dummy prefix."""

    def __init__(self, model, add_bos):
        proto = sentencepiece_model.ModelProto()
        proto.ParseFromString(model)
        self.first = sentencepiece.SentencePieceProcessor(model_proto=model)
        proto.normalizer_spec.add_dummy_prefix = False
        self.next = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        self.add_bos = add_bos
        self.ids, self.turn = [], []

    def add(self, text, turn=-1):
        if self.ids:
            new = self.next.encode(text)
        else:
            new = ([self.first.bos_id()] if self.add_bos else []) + self.first.encode(text)
        self.ids += new
        self.turn += [turn] * len(new)

    def take(self):
        taken = self.ids, self.turn
        self.ids, self.turn = [], []
        return taken


def encode(segments, record):
    """The template `steerlm` for VALUE_TO_TEXT and for chat without labels. turn[i]: the turn whose target token i is, else -1."""
    labels = record["type"] == "VALUE_TO_TEXT"
    turns = record["conversations"]
    target = [turn["from"] not in record["mask"].split(",") and i > 0 for i, turn in enumerate(turns)]
    segments.add(f"<extra_id_0>System\n{record['system']}\n")
    for i, turn in enumerate(turns):
        segments.add("<extra_id_1>", i - 1 if i > 0 and target[i - 1] else -1)
        segments.add(turn["from"] + "\n")
        if labels and turn.get("label") is not None:
            segments.add(f"<extra_id_2>{turn['label']}\n")
        segments.add(turn["value"], i if target[i] else -1)
        segments.add("\n", i if target[i] else -1)
    if target[-1]:
        segments.add("<extra_id_1>", len(turns) - 1)
    return segments.take()


RECORDS = [
    {"system": SYSTEM, "mask": "User", "type": "VALUE_TO_TEXT", "conversations": [
        {"from": "User", "value": "What is the best way to learn a language?", "label": None},
        {"from": "Assistant", "value": "Speak every day, and read books.", "label": "quality:4,humor:0"}]},
    {"system": SYSTEM, "mask": "User", "type": "VALUE_TO_TEXT", "conversations": [
        {"from": "User", "value": "  Caf\u00e9 \u2615?\n\nYes", "label": None},
        {"from": "Assistant", "value": "Sch\u00f6n. ", "label": "quality:2,humor:1"},
        {"from": "User", "value": "", "label": None},
        {"from": "Assistant", "value": "12 and 345\n- red\n- blue", "label": None}]},
    {"system": "", "mask": "User", "type": None, "conversations": [
        {"from": "User", "value": "Why is the sky blue?"},
        {"from": "Assistant", "value": "Light is scattered."},
        {"from": "User", "value": "Thanks"}]},
]


def scale_weights(model, seed):
    """Larger than a fresh model's, so that attention and logits are far from flat."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(1.5 * noise / parameter.shape[1] ** 0.5)
    return model.eval()


def number(value):
    return float(f"{float(torch.as_tensor(value).detach()):.9g}")


def numbers(tensor):
    return [number(value) for value in tensor.detach().flatten().tolist()]


def spread(count, wanted=6):
    return sorted({i * (count - 1) // max(1, wanted - 1) for i in range(wanted)})


def gradients(model):
    result = {}
    for name, parameter in model.named_parameters():
        flat = parameter.grad.flatten()
        index = spread(flat.numel())
        result[name] = {"norm": number(flat.norm()), "index": index, "values": numbers(flat[index])}
    return result


def token_losses(model, ids):
    """-log p of token i given those before, for i >= 1."""
    logits = model(torch.tensor([ids])).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none"), logits


def batch_loss(model, sequences, batch):
    """Sum over the target tokens of all sequences of the batch, divided by their count."""
    total, count = torch.zeros(()), 0
    for index in batch:
        loss, _ = token_losses(model, sequences[index]["ids"])
        weight = torch.tensor(sequences[index]["target"][1:], dtype=torch.float32)
        total, count = total + (loss * weight).sum(), count + int(weight.sum())
    return total / count, count


def make_sequences(model, vocab, seed):
    rng = random.Random(seed)
    sequences = []
    for length in (1, 2, 3, 7, 16, 25, 33, 40):
        ids = [rng.randrange(vocab) for _ in range(length)]
        target = [0] + [int(rng.random() < 0.6) for _ in range(length - 1)]
        entry = {"ids": ids, "target": target}
        with torch.no_grad():
            if length == 1:
                logits = model(torch.tensor([ids])).logits[0]
            else:
                target[-1] = 1
                loss, logits = token_losses(model, ids)
                entry["logprobs"] = numbers(-loss)
                entry["loss"] = number((loss * torch.tensor(target[1:])).sum() / sum(target))
        if length in (1, 7, 40):
            entry["last_logits"] = numbers(logits[-1])
        entry["logit_norms"] = numbers(logits.norm(dim=1))
        sequences.append(entry)
    return sequences


def language_model(folder, tokenizer, add_bos, vocab):
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    sequences = make_sequences(model, vocab, 11)
    packed = [4, 7]
    loss, count = batch_loss(model, sequences, packed)
    loss.backward()
    result = {"sequences": sequences,
              "packed": {"batch": packed, "loss": number(loss), "target_tokens": count, "gradients": gradients(model)}}
    model.zero_grad()

    segments = Segments(tokenizer, add_bos)
    result["conversations"] = []
    for record in RECORDS:
        ids, turn = encode(segments, record)
        with torch.no_grad():
            logprob = -token_losses(model, ids)[0]
        scores = []
        for i, entry in enumerate(record["conversations"]):
            if entry["from"] == "Assistant":
                places = [p for p, t in enumerate(turn) if t == i]
                scores.append({"turn": i, "tokens": len(places), "logprob": number(sum(logprob[p - 1] for p in places))})
        result["conversations"].append({"record": record, "ids": ids, "turn": turn, "scores": scores})

    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    settings = {"learning_rate": 1e-3, "betas": [0.9, 0.98], "eps": 1e-8, "weight_decay": 0.01, "clip_grad_norm": 1.0}
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.98), eps=1e-8)
    steps = []
    for step in range(10):
        batch = [1 + 2 * step % 7, 1 + (2 * step + 1) % 7]  # not the first: one token has nothing to predict
        optimizer.zero_grad()
        loss, count = batch_loss(model, sequences, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_grad_norm"])
        optimizer.step()
        steps.append({"batch": batch, "loss": number(loss), "target_tokens": count, "grad_norm": number(norm)})
    after = {n: {"norm": number(p.norm()), "index": spread(p.numel()), "values": numbers(p.flatten()[spread(p.numel())])}
             for n, p in model.named_parameters()}
    result["adamw"] = {"settings": settings, "steps": steps, "parameters": after}
    return result


def classifier(folder):
    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    rng = random.Random(5)
    sequences, total, count = [], torch.zeros(()), 0
    for length, labels in ((1, [0, 4, None]), (9, [2, None, 1]), (31, [3, 3, 0])):
        ids = [rng.randrange(VOCAB) for _ in range(length)]
        scores = model(torch.tensor([ids])).logits[0]
        sequences.append({"ids": ids, "scores": numbers(scores), "labels": labels})
        for score, label in zip(scores, labels):
            if label is not None:
                total, count = total + (score - label) ** 2, count + 1
    (total / count).backward()
    return {"sequences": sequences, "loss": number(total / count), "known_labels": count, "gradients": gradients(model)}


def save_tokenizer(folder, tokenizer, add_bos):
    file = folder / "tokenizer.model"
    file.write_bytes(tokenizer)
    LlamaTokenizer.from_pretrained(folder, add_bos_token=add_bos, add_eos_token=False, legacy=False).save_pretrained(folder)
    file.write_bytes(tokenizer)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["add_bos_token"] = add_bos
    config["add_eos_token"] = False
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "tokenizer.json").unlink(missing_ok=True)


def older_spelling(file):
    """config.json as Transformers 4 wrote it."""
    config = json.loads(file.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in ("untied", "tied", "classifier"):
        shutil.rmtree(OUT / name, ignore_errors=True)
        (OUT / name).mkdir(parents=True)
    tokenizer = train_tokenizer()
    common = {"bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 256}
    untied = LlamaConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False, **common)
    scale_weights(LlamaForCausalLM(untied), 1).save_pretrained(OUT / "untied")
    save_tokenizer(OUT / "untied", tokenizer, True)

    tied = LlamaConfig(vocab_size=VOCAB + 8, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2,
                       num_key_value_heads=1, head_dim=16, rms_norm_eps=1e-6, tie_word_embeddings=True,
                       rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, **common)
    scale_weights(LlamaForCausalLM(tied), 2).save_pretrained(OUT / "tied", max_shard_size="60KB")
    save_tokenizer(OUT / "tied", tokenizer, False)
    older_spelling(OUT / "tied" / "config.json")

    labelled = LlamaConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                           num_key_value_heads=4, rms_norm_eps=1e-5, tie_word_embeddings=False, num_labels=3, **common)
    scale_weights(LlamaForSequenceClassification(labelled), 3).save_pretrained(OUT / "classifier")
    save_tokenizer(OUT / "classifier", tokenizer, True)

    for file in OUT.rglob("*.safetensors"):
        file.chmod(0o644)
    expected = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "sentencepiece": sentencepiece.__version__},
        "untied": language_model(OUT / "untied", tokenizer, True, VOCAB),
        "tied": language_model(OUT / "tied", tokenizer, False, VOCAB),
        "classifier": classifier(OUT / "classifier"),
    }
    (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
