"""Writes tests/fixtures/text: small sentencepiece models, and what sentencepiece and Transformers make of many lines.

Needs a Python environment with transformers 4 (its LlamaTokenizer is the one over sentencepiece), sentencepiece and protobuf:
    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install 'transformers<5' sentencepiece protobuf
    /tmp/venv/bin/python tools/make_text_fixtures.py
The versions used are noted in lines.json.
"""

import hashlib
import io
import json
import pathlib
import random

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as proto

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "text"
MARKERS = ["<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]

WORDS = """the a of and to in is it you that he was for on are with as his they be at one have this from or had by hot but some
what there we can out other were all your when up use word how said an each she which do their time if will way about many then
them would write like so these her long make thing see him two has look more day could go come did my sound no most number who
over know water than call first people may down side been now find any new work part take get place made live where after back
little only round man year came show every good me give our under name very through just form much great think say help low line
before turn cause same mean differ move right boy old too does tell sentence set three want air well also play small end put home
read hand port large spell add even land here must big high such follow act why ask men change went light kind off need house
picture try us again animal point mother world near build self earth father quality toxicity humor creativity helpfulness""".split()
NASTY = ["<s>", "</s>", "<unk>", "<pad>", "<s></s>", " <s> ", "<extra_id_1>", "<extra_id_2>", "  ", "     ", "\t", "é", "ß",
         "日本語", "😀", "👩‍👩‍👧", "\u00a0", "\u200b", "▁", "▁▁", "0123456789",
         "quality:4,humor:0", "<0x0A>", "⁇", "\r", "(", ")", "--", "...", "\x01", "İ", "ﬁ"]


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(3, 14))]
    text = " ".join(words).capitalize()
    return text + rng.choice([".", "!", "?", ", " + rng.choice(WORDS) + "."])


def line(rng):
    kind = rng.random()
    if kind < 0.3:
        return sentence(rng)
    parts = []
    for _ in range(rng.randint(1, 6)):
        parts.append(rng.choice(NASTY) if rng.random() < 0.5 else rng.choice(WORDS))
        if rng.random() < 0.5:
            parts.append(" ")
    return "".join(parts)


def train(name, texts, **options):
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=buffer, normalization_rule_name="identity", remove_extra_whitespaces=False,
        byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, num_threads=1, hard_vocab_limit=False,
        minloglevel=2, **options)
    (OUT / name).write_bytes(buffer.getvalue())
    return buffer.getvalue()


def digest(ids):
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()[:16]


def continuation(model):
    edited = proto.ModelProto.FromString(model)
    edited.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=edited.SerializeToString())


CONVERSATIONS = [
    {"system": "Be kind.", "mask": ["User"], "type": "VALUE_TO_TEXT", "turns": [
        ["User", "What is 2 + 2?", None], ["Assistant", "It is 4.\n\nReally.", "quality:4,humor:0"],
        ["User", "Sure?", None], ["Assistant", " yes ", None]]},
    {"system": "", "mask": ["User"], "type": None, "turns": [
        ["User", "Say <s> and </s>", None], ["Assistant", "<s> <extra_id_1> 😀", "quality:1"], ["User", "", None]]},
    {"system": "Two\nlines", "mask": ["Assistant"], "type": "VALUE_TO_TEXT", "turns": [
        ["User", "first is context", None], ["Assistant", "masked", ""], ["User", "trained", "quality:0"], ["User", "and this", ""]]},
    {"system": "Judge.", "mask": ["User"], "type": "TEXT_TO_VALUE", "turns": [
        ["User", "rate me", None], ["Assistant", "good", "quality:3,humor:1"], ["Assistant", "unlabelled", None],
        ["Assistant", "empty", ""], ["User", "more", None], ["Assistant", "last", "humor:2"]]},
]


def reference(conversation, first, rest, marker_ids):
    """contracts.md section 7, written without the C++ code at hand: ids and mask."""
    def marker(i):
        return [marker_ids[i]] if marker_ids else rest.encode(MARKERS[i])

    text = rest.encode
    ids = ([*first.encode(MARKERS[0])[:-1], marker_ids[0], *text("System\n" + conversation["system"] + "\n")] if marker_ids
           else first.encode(MARKERS[0] + "System\n" + conversation["system"] + "\n"))
    mask = [0] * len(ids)

    def put(piece_ids, trained=False):
        ids.extend(piece_ids)
        mask.extend([int(trained)] * len(piece_ids))

    trained = False
    for number, (role, value, label) in enumerate(conversation["turns"]):
        put(marker(1), trained)
        put(text(role + "\n"))
        trained = role not in conversation["mask"]
        if conversation["type"] == "TEXT_TO_VALUE":
            trained = trained and bool(label)
            put(text(value))
            put(text("\n"))
            if label is not None:
                put(marker(2))
                put(text(label), trained)
                put(text("\n"), trained)
            continue
        trained = trained and number > 0
        if conversation["type"] == "VALUE_TO_TEXT" and label is not None:
            put(marker(2) + text(label + "\n") if marker_ids else text(MARKERS[2] + label + "\n"))
        put(text(value), trained)
        put(text("\n"), trained)
    if trained:
        put(marker(1), True)
    return {"ids": ids, "mask": mask}


def hide_markers(model):
    edited = proto.ModelProto.FromString(model)
    for piece in edited.pieces:
        if piece.piece in MARKERS:
            piece.type = proto.ModelProto.SentencePiece.CONTROL
    return edited.SerializeToString()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(3000)] + ["  indented    text", "日本語 😀 é"] * 20
    models = {
        "bpe.model": train("bpe.model", texts, vocab_size=620, model_type="bpe"),
        "unigram.model": train("unigram.model", texts, vocab_size=600, model_type="unigram"),
        "markers.model": train("markers.model", texts, vocab_size=640, model_type="bpe", user_defined_symbols=[*MARKERS, "▁▁▁▁"]),
    }
    lines = sorted({line(rng) for _ in range(650)})
    rng.shuffle(lines)
    result = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__, "lines": lines, "ids": {}}
    for name, model in models.items():
        for legacy in (False, True):
            tokenizer = transformers.LlamaTokenizer(vocab_file=str(OUT / name), legacy=legacy)
            encoded = [tokenizer.encode(text, add_special_tokens=False) for text in lines]
            result["ids"][name + (" legacy" if legacy else "")] = [digest(ids) for ids in encoded]
        processor = continuation(model)
        result["ids"][name + " continuation"] = [digest(processor.encode(text)) for text in lines]
    write_json(OUT / "lines.json", result)

    templates = {}
    for name, model in models.items():
        first = sentencepiece.SentencePieceProcessor(model_proto=model)
        marker_ids = [first.piece_to_id(marker) for marker in MARKERS] if name == "markers.model" else None
        rest = continuation(hide_markers(model))
        templates[name] = [reference(conversation, first, rest, marker_ids) for conversation in CONVERSATIONS]
    write_json(OUT / "conversations.json", {"conversations": CONVERSATIONS, "encoded": templates})


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
