"""Writes tests/fixtures/text/chat.model and chat.json: what the published chat templates of ChatML and Llama 3 make of conversations,
and the ids of it.

Needs a Python environment with transformers, jinja2, sentencepiece and protobuf. The versions used are noted in chat.json.
"""

import io
import json
import pathlib
import random
import re

import jinja2
import sentencepiece
import transformers
from make_text_fixtures import OUT, continuation, sentence, write_json
from sentencepiece import sentencepiece_model_pb2 as proto

# What the folders of models tuned with these markers carry; Llama 3's trims its contents, so none here begins or ends in a space.
PUBLISHED = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
              "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
              "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
              "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
}
MARKERS = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

# turns: role, value, label
CONVERSATIONS = [
    {"system": "Be kind.", "type": "VALUE_TO_TEXT", "turns": [
        ["User", "What is 2 + 2?", None], ["Assistant", "It is 4.\n\nReally.", "quality:4,humor:0"],
        ["User", "Sure?", None], ["Assistant", "Yes.", "quality:1,humor:3"]]},
    {"system": "", "type": None, "turns": [["User", "Say </s> in 日本語 😀", None], ["Assistant", "{{ no }}", None], ["User", "Why?", None]]},
    {"system": "Two\nlines {% raw %}", "type": "VALUE_TO_TEXT", "turns": [
        ["User", "first", None], ["Assistant", "part", "humor:3"], ["Assistant", "no label", None]]},
    {"system": "Judge.", "type": "TEXT_TO_VALUE", "turns": [
        ["User", "rate me", None], ["Assistant", "good", "quality:3,humor:1"], ["Assistant", "unlabelled", None],
        ["User", "more", None], ["Assistant", "last", "humor:2"]]},
]


def as_messages(conversation):
    messages = [{"role": "system", "content": conversation["system"]}] if conversation["system"] else []
    for role, value, label in conversation["turns"]:
        line = f"{label}\n" if conversation["type"] == "VALUE_TO_TEXT" and label is not None else ""
        messages.append({"role": role.lower(), "content": line + value})
        if conversation["type"] == "TEXT_TO_VALUE" and label is not None:
            messages.append({"role": "label", "content": label})
    return messages


def train():
    rng = random.Random(2)
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(sentence(rng) for _ in range(1500)), model_writer=buffer, normalization_rule_name="identity",
        remove_extra_whitespaces=False, byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, num_threads=1,
        hard_vocab_limit=False, minloglevel=2, vocab_size=420, model_type="bpe", user_defined_symbols=MARKERS)
    return buffer.getvalue()


def encode(text, bos, first, rest):
    """A text between two markers is encoded as one, which is no other way to split it than the program's: here no piece goes across
    a line end."""
    ids, begins = [], True
    if bos and text.startswith("<s>"):
        ids, text = [1], text[3:]
    for part in re.split("(" + "|".join(map(re.escape, MARKERS)) + ")", text):
        if not part:
            continue
        ids += first.encode(part) if begins else [rest.piece_to_id(part)] if part in MARKERS else rest.encode(part)
        begins = False
    return ids


def main():
    model = train()
    (OUT / "chat.model").write_bytes(model)
    first, rest = sentencepiece.SentencePieceProcessor(model_proto=model), continuation(model)
    tokenizer = transformers.LlamaTokenizer(bos_token="<s>")
    result = {"transformers": transformers.__version__, "jinja2": jinja2.__version__, "sentencepiece": sentencepiece.__version__,
              "conversations": CONVERSATIONS, "rendered": {}}
    for name, template in PUBLISHED.items():
        tokenizer.chat_template = template
        result["rendered"][name] = []
        for conversation in CONVERSATIONS:
            messages = as_messages(conversation)
            entry = {}
            for key, prompt in (("text", False), ("prompt", True)):
                text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
                entry[key] = text
                entry[key + "_ids"] = encode(text, name == "llama3", first, rest)
            result["rendered"][name].append(entry)
    write_json(OUT / "chat.json", result)


if __name__ == "__main__":
    main()
