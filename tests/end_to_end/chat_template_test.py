#!/usr/bin/env python3
"""The chat template of a written model folder renders what the program encodes, byte for byte.

    chat_template_test.py PROGRAM FIXTURES

Trains a step of every kind of folder, renders its template with Jinja as Transformers does (ImmutableSandboxedEnvironment, trim_blocks,
lstrip_blocks), and compares with the pieces that `steerlm data show-mask` prints.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import jinja2.sandbox
except ImportError:
    sys.exit("this test needs jinja2 (Debian package python3-jinja2)")

SYSTEM = "Quote ' and \" and \\ and \\n.\n{{ system }} {% raw %} {# no #}\tüber 日本 😀\r."
NASTY = "{{ 7 * 7 }} {% if x %} ' \" \\ \\' `${x}` {#\nline\r\n<extra_id_1> </s> <|im_end|> <|eot_id|> 日本 😀"
FAILURES = []


def check(what, found, expected):
    if found != expected:
        FAILURES.append(f"{what}\n  found    {found!r}\n  expected {expected!r}")


def turn(role, value, label=None):
    return {"from": role, "value": value, "label": label}


def record(turns, system=None, kind="VALUE_TO_TEXT"):
    made = {} if system is None else {"system": system}
    return {**made, "mask": "User", "type": kind, "conversations": turns}


LABELLED = [
    record([turn("User", "u1"), turn("Assistant", "a1\n", "quality:4,humor:0")]),
    record([turn("User", " u1 "), turn("Assistant", "\n a1", "quality:1,humor:3"), turn("User", NASTY),
            turn("Assistant", NASTY, "quality:0,humor:4")], "Another {{ system }} prompt's."),
    record([turn("User", "x", "quality:2,humor:2"), turn("Assistant", "", "quality:2,humor:1"), turn("Assistant", "twice", "quality:3,humor:0"),
            turn("User", "and the last is the user's")], ""),
]
WITHOUT = record([turn("User", "u1"), turn("Assistant", "no line"), turn("User", "u2"), turn("Assistant", "empty line", "")])


class Folder:
    """A folder that a step of training has made."""

    def __init__(self, program, root, name, tokenizer, template, stage="sft", head=None, attributes="names: [quality, humor], min: 0, max: 4, "
                 "defaults: {quality: 4}"):
        self.program, self.name = program, name
        data = root / "train.jsonl"
        data.write_text("".join(json.dumps(r) + "\n" for r in LABELLED[:2]), encoding="utf-8")
        recipe = {"stage": stage, "run_dir": str(root / name), "data": {"train": [{"path": str(data)}], "max_tokens": 2048},
                  "template": {**template, "system": SYSTEM}, "train": {"steps": 1, "batch_size": 2},
                  "model": {"tokenizer": str(tokenizer), "init": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}}}
        if head:
            recipe["head"] = head
        text = json.dumps(recipe, ensure_ascii=False)[:-1] + ", \"attributes\": {" + attributes + "}}"
        done = subprocess.run([program, stage, "-", "--quiet"], input=text.encode(), capture_output=True)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr.decode()}")
        self.path = root / name / "model"
        self.config = json.loads((self.path / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.source = self.config.get("chat_template")
        self.layout = template["name"]

    def render(self, messages, trim=True, **dials):
        def raise_exception(message):
            raise jinja2.exceptions.TemplateError(message)

        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=trim, lstrip_blocks=trim)
        environment.globals["raise_exception"] = raise_exception
        arguments = {"add_generation_prompt": False, "bos_token": "<s>", "eos_token": "</s>", **dials}
        return environment.from_string(self.source).render(messages=messages, tools=None, documents=None, **arguments)

    def masks(self, records):
        """Of every record its text, and the text before the targets of each turn."""
        lines = "".join(json.dumps(r) + "\n" for r in records)
        done = subprocess.run([self.program, "data", "show-mask", "--model", str(self.path), "--input", "-", "--json"],
                              input=lines.encode(), capture_output=True, check=True)
        for line in done.stdout.decode().splitlines():
            shown = json.loads(line)
            starts = [i for i, m in enumerate(shown["mask"]) if m and not (i and shown["mask"][i - 1])]
            yield text_of(shown["pieces"]), [text_of(shown["pieces"][:i]) for i in starts]


def text_of(pieces):
    text = b""
    for piece in pieces:
        byte = re.fullmatch("<0x([0-9A-F]{2})>", piece)
        text += bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
    text = text.decode()
    return re.sub("^(<s>)? ", r"\1", text)  # sentencepiece's dummy prefix


def messages_of(record, turns=None):
    messages = [] if "system" not in record else [{"role": "system", "content": record["system"]}]
    for entry in record["conversations"][:turns]:
        messages.append({"role": entry["from"].lower(), "content": entry["value"]})
        if entry["label"] is not None or entry["from"] == "Assistant":
            messages[-1]["label"] = entry["label"]
    return messages


def dials_of(label):
    return {name: int(value) for name, value in (part.split(":") for part in label.split(","))}


def check_conditioned(folder):
    records = LABELLED + [WITHOUT]
    for number, (text, prompts) in enumerate(folder.masks(records)):
        made = records[number]
        what = f"{folder.name}, record {number}"
        check(what, folder.render(messages_of(made)), text)
        check(what + ", trim_blocks off", folder.render(messages_of(made), trim=False), text)
        if made is WITHOUT:
            continue
        targets = [i for i, entry in enumerate(made["conversations"]) if entry["from"] == "Assistant"]
        assert len(targets) == len(prompts), what
        for target, prompt in zip(targets, prompts):
            dials = dials_of(made["conversations"][target]["label"])
            check(f"{what}, prompt of turn {target}", folder.render(messages_of(made, target), add_generation_prompt=True, **dials), prompt)
    # Dials that are not given, earlier turns without a label: those of the request, as `generate` has it.
    first = LABELLED[1]["conversations"]
    asked = messages_of(record(first[:1] + [turn("Assistant", "a", "quality:4,humor:2")] + first[2:3]))
    for label in ({}, {"label": None}):
        given = [dict(asked[0]), {"role": "assistant", "content": "a", **label}, dict(asked[2])]
        check(f"{folder.name}, label {label}", folder.render(given, add_generation_prompt=True, humor=2),
              folder.render(asked, add_generation_prompt=True, quality=4, humor=2))
    for bad in ({"quality": 5}, {"quality": -1}, {"quality": "4"}, {"quality": True}, {"humor": 1.5}):
        check_raises(folder, f"dials {bad}", messages_of(LABELLED[0], 1), "an integer from 0 to 4", **bad)


def check_raises(folder, what, messages, text, **dials):
    try:
        folder.render(messages, **dials)
        FAILURES.append(f"{folder.name}, {what}: was rendered")
    except jinja2.exceptions.TemplateError as error:
        if text not in str(error):
            FAILURES.append(f"{folder.name}, {what}: {error}")


def check_judge(folder):
    """A language model that writes labels."""
    records = [{**r, "type": "TEXT_TO_VALUE"} for r in [*LABELLED, WITHOUT]]
    for number, (text, prompts) in enumerate(folder.masks(records)):
        what = f"{folder.name}, record {number}"
        turns = records[number]["conversations"]
        check(what, folder.render(messages_of(records[number])), text)
        targets = [i for i, entry in enumerate(turns) if entry["from"] == "Assistant" and entry["label"]]
        assert len(targets) == len(prompts), what
        for target, prompt in zip(targets, prompts):
            check(f"{what}, label of turn {target}", folder.render(messages_of(records[number], target + 1), add_generation_prompt=True), prompt)


def check_scorer(folder):
    """A regression head: the turns without labels, up to the end of the last one."""
    records = [{**r, "type": None, "conversations": [{**entry, "label": None} for entry in r["conversations"]]} for r in LABELLED[:2]]
    for number, (text, _) in enumerate(folder.masks(records)):
        expected = text.removesuffix("<extra_id_1>") + "<extra_id_2>" if folder.layout == "steerlm" else text.removesuffix("\n")
        check(f"{folder.name}, record {number}", folder.render(messages_of(LABELLED[number])), expected)


def check_cuts(folder, system, marker_parts):
    """Byte-level BPE: the parts of a prompt that the keyword steerlm_cut gives are the segments that the program encodes."""
    asked = messages_of(LABELLED[0], 1)
    whole = folder.render(asked, add_generation_prompt=True, quality=4)
    parts = folder.render(asked, add_generation_prompt=True, quality=4, steerlm_cut="\0").split("\0")
    check(f"{folder.name}, joined", "".join(parts), whole)
    check(f"{folder.name}, parts", parts, system + marker_parts + [""])


def main():
    program, fixtures = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        bpe, markers, chat = (fixtures / "text" / name for name in ("bpe.model", "markers.model", "chat.model"))
        with_bos = root / "with-bos"
        with_bos.mkdir()
        (with_bos / "tokenizer.model").write_bytes(chat.read_bytes())
        (with_bos / "tokenizer_config.json").write_text('{"add_bos_token": true, "bos_token": "<s>", "chat_template": "{{ x.__class__ }}"}')
        steerlm = {"name": "steerlm"}
        kinds = {"text": (bpe, steerlm), "added": (markers, {**steerlm, "special_tokens": "added"}), "chatml": (chat, {"name": "chatml"}),
                 "llama3": (with_bos, {"name": "llama3"}), "steerlm-bos": (with_bos, steerlm)}
        for name, (tokenizer, template) in kinds.items():
            check_conditioned(Folder(program, root, "sft-" + name, tokenizer, template))
            check_judge(Folder(program, root, "judge-" + name, tokenizer, template, "train-predictor", {"kind": "language_model"}))
            check_scorer(Folder(program, root, "scorer-" + name, tokenizer, template, "train-predictor", {"kind": "regression"}))
        # A dial that cannot be a keyword keeps its default.
        odd = Folder(program, root, "odd", bpe, steerlm, attributes="names: [quality, humor, range], min: 0, max: 4, defaults: {range: 3}")
        check("odd names", odd.render(messages_of(LABELLED[0], 1), add_generation_prompt=True, quality=1, range=2)[-36:],
              "<extra_id_2>quality:1,humor:0,range:3\n"[-36:])
        check_raises(odd, "role", [{"role": "tool", "content": "x"}], "the role tool")
        check_raises(odd, "content", [{"role": "user", "content": [{"type": "text"}]}], "not a text")
        qwen = fixtures / "tokenizers" / "qwen2"
        check_cuts(Folder(program, root, "cut-text", qwen, steerlm), [f"<extra_id_0>System\n{SYSTEM}\n"],
                   ["<extra_id_1>", "User\n", "u1", "\n", "<extra_id_1>", "Assistant\n", "<extra_id_2>quality:4,humor:0\n"])
        check_cuts(Folder(program, root, "cut-chatml", qwen, {"name": "chatml"}),
                   ["<|im_start|>", "system\n", SYSTEM, "<|im_end|>", "\n"],
                   ["<|im_start|>", "user\n", "u1", "<|im_end|>", "\n", "<|im_start|>", "assistant\n", "quality:4,humor:0\n"])
        plain = Folder(program, root, "plain", with_bos, {"name": "plain"})
        check("plain", plain.source, None)
    if FAILURES:
        sys.exit("\n".join(FAILURES))


if __name__ == "__main__":
    main()
