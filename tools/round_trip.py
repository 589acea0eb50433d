"""Trains a tiny folder of every family with the program and loads what it wrote in Transformers and PEFT.

    python3 -m venv venv && venv/bin/pip install torch transformers peft tokenizers sentencepiece safetensors numpy protobuf
    venv/bin/python tools/round_trip.py --program build/release/steerlm [--only FAMILY ...]

For each family: a random model with a real tokenizer, `model info`, `sft`, and then, against Transformers on the written folder:
token ids, log-probabilities of turns, greedy texts, the chat template; a predictor's scores; a LoRA run's adapter in PEFT, merged
and exported. Prints a Markdown table; exit 1 if a cell is not good. Everything happens in a temporary folder, in fp32 on CPU.
"""

import argparse
import json
import logging
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings

import peft
import sentencepiece
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from round_trip_models import FAMILIES, make_folder, make_lines, make_records

SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. "
          "The assistant gives helpful, detailed, and polite answers to the user's questions.")
LABEL, DIALS = "quality:3,humor:1", "quality=3,humor=1"
COLUMNS = ["info", "ids", "log-probabilities", "greedy", "chat template", "scores", "PEFT", "PEFT scores", "merge", "export", "warnings"]


class Failed(Exception):
    """A comparison that does not hold, or a command that the program refused: the text of the cell."""


def first_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no message"


def one_cell(text):
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("|", "\\|")
    return text if len(text) <= 160 else text[:157] + "..."


class Work:
    """A family's folder, the program, and what Transformers had to say while it loaded what the program wrote."""

    def __init__(self, program, folder, verbose):
        self.program, self.folder, self.verbose, self.messages = program, folder, verbose, []

    def run(self, *arguments, text=None):
        result = subprocess.run([self.program, *map(str, arguments)], input=text, capture_output=True, text=True, cwd=self.folder,
                                timeout=300)
        if result.returncode != 0:
            if self.verbose:
                print(f"{' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stderr}", file=sys.stderr)
            errors = [line for line in result.stderr.splitlines() if "error" in line.lower()]
            raise Failed("refused: " + first_line(errors[-1] if errors else result.stderr))
        return result.stdout

    def json_lines(self, *arguments):
        return [json.loads(line) for line in self.run(*arguments).split("\n") if line]

    def path(self, name):
        return self.folder / name

    def load(self, load, *arguments, **keys):
        """load(*arguments, **keys), with every warning kept. Deprecations are between the libraries."""
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        loggers = [logging.getLogger(name) for name in ("transformers", "peft")]
        transformers.utils.logging.warning_once.cache_clear()
        for logger in loggers:
            logger.addHandler(handler)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loaded = load(*arguments, **keys)
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
        records += [str(w.message) for w in caught if not issubclass(w.category, (FutureWarning, DeprecationWarning))]
        self.messages += [" ".join(record.split()) for record in records]
        return loaded

    def load_model(self, auto, name, **keys):
        """In fp32, whatever the folder's type; no key of the weights missing, unexpected or of another shape."""
        model, info = self.load(auto.from_pretrained, self.path(name), dtype=torch.float32, attn_implementation="eager",
                                output_loading_info=True, **keys)
        wrong = {key: value for key, value in info.items() if value}
        if wrong:
            raise Failed(f"{name}: {wrong}")
        return model.eval()


# ----- what is compared -----------------------------------------------------------------------------------------------------------

def recipe(stage, run, model, more="", steps=6):
    # Large steps, so that what is compared is far from the folder that training started from.
    return (f"stage: {stage}\nrun_dir: {run}\nmodel: {{path: {model}}}\nattributes: {{names: [quality, humor], min: 0, max: 4}}\n"
            f"data: {{train: [{{path: train.jsonl}}], max_tokens: 512}}\n"
            f"optimizer: {{learning_rate: 5e-3}}\ntrain: {{steps: {steps}, batch_size: 4}}\n{more}")


def train(work, name, text):
    work.path(name + ".yaml").write_text(text)
    work.run(text.split()[1], name + ".yaml")


def write_lines(file, records):
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


@torch.no_grad()
def log_probabilities(model, ids):
    logits = model(torch.tensor([ids])).logits[0]
    return [0.0] + (-torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")).tolist()


def target_runs(mask):
    """First and last + 1 of each stretch of target tokens; one a target turn."""
    starts = [i for i, value in enumerate(mask) if value and (i == 0 or not mask[i - 1])]
    return [(start, next((i for i in range(start, len(mask)) if not mask[i]), len(mask))) for start in starts]


def compare_log_probabilities(work, name, model):
    """`score` against Transformers on the ids of `data show-mask`; the largest difference of a turn's sum."""
    masks = work.json_lines("data", "show-mask", "--model", name, "--input", "train.jsonl", "--json")
    scored = [line for line in work.json_lines("score", "--model", name, "--input", "train.jsonl", "--output", "-",
                                               "--precision", "fp32") if line["tokens"]]
    expected = []
    for record, entry in enumerate(masks):
        values = log_probabilities(model, entry["token_ids"])
        expected += [(record, end - start, sum(values[start:end])) for start, end in target_runs(entry["mask"])]
    if [(line["record"], line["tokens"]) for line in scored] != [(record, count) for record, count, _ in expected]:
        raise Failed("other turns or counts of tokens than show-mask's")
    difference = max(abs(line["logprob"] - value) for line, (_, _, value) in zip(scored, expected))
    if not difference < 1e-3:
        raise Failed(f"differ by {difference:.2g}")
    return difference


def prompt_ids(work, name, text, label, kind="VALUE_TO_TEXT"):
    """What the program puts before the answer: the ids before the first target."""
    write_lines(work.path("prompt.jsonl"), [{"type": kind, "conversations": [
        {"from": "User", "value": text, "label": None}, {"from": "Assistant", "value": "x", "label": label}]}])
    entry, = work.json_lines("data", "show-mask", "--model", name, "--input", "prompt.jsonl", "--json")
    return entry["token_ids"][:entry["mask"].index(1)]


def compare_greedy(work, name, model, tokenizer, count=32):
    prompts = ["What is the best way to learn a language?", "  Café ☕?\n\nYes", "12 and 345", "Tell me about the sea, please."]
    for text in prompts:
        line, = work.json_lines("generate", "--model", name, "--prompt", text, "--set", DIALS, "--temperature", "0",
                                "--max-new-tokens", count, "--precision", "fp32")
        ids = prompt_ids(work, name, text, LABEL)
        with torch.no_grad():
            output = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                                    max_new_tokens=count, tokenizer=tokenizer, output_logits=True, return_dict_in_generate=True)
        expected, got = output.sequences[0, len(ids):].tolist(), line["token_ids"]
        if line["finish"] == "length" and len(got) != count:
            raise Failed(f"finish is length after {len(got)} of {count} ids")
        length = len(got)  # the program also stops at the turn marker, Transformers where generation_config.json says so
        if got != expected[:length]:
            place = next(i for i in range(length) if i >= len(expected) or got[i] != expected[i])
            best = torch.topk(output.logits[min(place, len(expected) - 1)][0], 2).values
            if float(best[0] - best[1]) > 1e-4:  # a tie says nothing
                raise Failed(f"{text!r}: differs at id {place} of {length}, gap {float(best[0] - best[1]):.2g}")
    return "equal"


def compare_ids(work, name, tokenizer):
    """Every line as Transformers has it. Of a sentencepiece model alone, Transformers 5 drops one of the spaces that a text begins
    with, which sentencepiece keeps: there sentencepiece's ids are right."""
    lines = make_lines(tokenizer)
    got = [json.loads(line) for line in work.run("tokenizer", "encode", "--model", name, text="\n".join(lines) + "\n").split("\n") if line]
    if len(got) != len(lines):
        raise Failed(f"{len(got)} lines of ids for {len(lines)} lines")
    wrong, leading = [], 0
    file = work.path("base/tokenizer.model")
    model = sentencepiece.SentencePieceProcessor(model_file=str(file)) if file.exists() else None
    for line, ids in zip(lines, got):
        expected = tokenizer(line, add_special_tokens=False)["input_ids"]
        if ids != expected and model and line.startswith(" ") and ids == model.encode(line):
            leading += 1
        elif ids != expected:
            wrong.append((line, ids, expected))
    if wrong:
        line, ids, expected = wrong[0]
        raise Failed(f"{len(wrong)} of {len(lines)} lines differ: {line!r}: {ids[:8]} and {expected[:8]}")
    return f"equal ({len(lines)}{f', {leading} as sentencepiece' if leading else ''})"


def compare_chat_template(work, name, tokenizer):
    """The bytes that the contract gives, for dials that are set and for the defaults, after an earlier turn too."""
    if not tokenizer.chat_template:
        raise Failed("no chat template")
    first = tokenizer.bos_token if tokenizer.bos_token_id in tokenizer("x")["input_ids"] else ""
    head = f"{first}<extra_id_0>System\n{SYSTEM}\n<extra_id_1>User\n"
    tail = "\n<extra_id_1>Assistant\n<extra_id_2>{label}\n"
    user, answer = {"role": "user", "content": " How are you?\n"}, {"role": "assistant", "content": "Fine."}
    system = {"role": "system", "content": SYSTEM}
    cases = [([system, user], {"quality": 3, "humor": 1}, head + user["content"] + tail.format(label=LABEL)),
             ([user], {"quality": 3, "humor": 1}, head + user["content"] + tail.format(label=LABEL)),
             ([system, user], {}, head + user["content"] + tail.format(label="quality:0,humor:0")),
             ([system, user, answer, user], {"quality": 3, "humor": 1}, head + user["content"] + tail.format(label=LABEL) +
              answer["content"] + "\n<extra_id_1>User\n" + user["content"] + tail.format(label=LABEL))]
    for messages, dials, expected in cases:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **dials)
        if text != expected:
            place = next((i for i, (a, b) in enumerate(zip(text, expected)) if a != b), min(len(text), len(expected)))
            raise Failed(f"byte {place}: {text[place:place + 30]!r}, expected {expected[place:place + 30]!r}")
    return f"equal ({len(cases)})"


@torch.no_grad()
def compare_scores(work, name, template_folder, model):
    """A regression input is a TEXT_TO_VALUE prompt: it ends with the bare label marker."""
    texts = ["What is the best way to learn a language?", "Café ☕"]
    write_lines(work.path("scored.jsonl"), [{"conversations": [{"from": "User", "value": text}, {"from": "Assistant", "value": "x"}]}
                                            for text in texts])
    lines = work.json_lines("score", "--model", name, "--input", "scored.jsonl", "--output", "-", "--precision", "fp32")
    difference = 0.0
    for text, line in zip(texts, lines, strict=True):
        ids = prompt_ids(work, template_folder, text, LABEL, "TEXT_TO_VALUE")
        for got, value in zip(line["scores"].values(), model(torch.tensor([ids])).logits[0].tolist(), strict=True):
            difference = max(difference, abs(got - value))
    if not difference < 1e-4:
        raise Failed(f"differ by {difference:.2g}")
    return f"{difference:.1e}"


# ----- one family -----------------------------------------------------------------------------------------------------------------

def check_language_model(work, cells):
    train(work, "sft", recipe("sft", "runs/sft", "base"))
    name = "runs/sft/model"
    tokenizer = work.load(AutoTokenizer.from_pretrained, work.path(name))
    model = work.load_model(AutoModelForCausalLM, name)
    attempt(cells, "ids", lambda: compare_ids(work, name, tokenizer))
    attempt(cells, "log-probabilities", lambda: f"{compare_log_probabilities(work, name, model):.1e}")
    attempt(cells, "greedy", lambda: compare_greedy(work, name, model, tokenizer))
    attempt(cells, "chat template", lambda: compare_chat_template(work, name, tokenizer))
    attempt(cells, "export", lambda: check_export(work, name, model))


def check_export(work, name, model):
    work.run("model", "export", "--model", name, "--output", "exported", "--dtype", "bf16")
    exported = work.load_model(AutoModelForCausalLM, "exported")
    work.load(AutoTokenizer.from_pretrained, work.path("exported"))
    config = json.loads(work.path("exported/config.json").read_text())
    if config.get("dtype", config.get("torch_dtype")) != "bfloat16":
        raise Failed("config.json does not say bfloat16")
    for key, value in model.state_dict().items():
        if not torch.equal(exported.state_dict()[key], value.to(torch.bfloat16).float()):
            raise Failed(f"{key} is not the rounded tensor")
    return "equal"


def check_predictor(work):
    train(work, "predictor", recipe("train-predictor", "runs/predictor", "base", "head: {kind: regression, bias: false}\n"))
    model = work.load_model(AutoModelForSequenceClassification, "runs/predictor/model")
    return compare_scores(work, "runs/predictor/model", "runs/sft/model", model)


def load_adapter(work, auto, name, **keys):
    base = auto.from_pretrained(work.path("base"), dtype=torch.float32, attn_implementation="eager", **keys).eval()
    return base, work.load(peft.PeftModel.from_pretrained, base, work.path(name)).eval()


def check_adapter(work):
    train(work, "lora", recipe("sft", "runs/lora", "base", "lora: {rank: 4, alpha: 8, targets: [q_proj, v_proj, down_proj]}\n"))
    name = "runs/lora/model"
    missing = [file for file in ("adapter_config.json", "adapter_model.safetensors") if not work.path(f"{name}/{file}").exists()]
    if missing:
        raise Failed("no " + ", ".join(missing))
    _, model = load_adapter(work, AutoModelForCausalLM, name)
    largest = max(float(p.abs().max()) for key, p in model.named_parameters() if "lora_B" in key)
    if largest < 1e-3:
        raise Failed("the adapter was not trained, or not loaded")
    return f"{compare_log_probabilities(work, name, model):.1e}"


def check_adapter_scores(work):
    train(work, "lora-predictor", recipe("train-predictor", "runs/lora-predictor", "base", "head: {kind: regression, bias: false}\n"
                                         "lora: {rank: 4, alpha: 8, targets: [q_proj, v_proj]}\n"))
    with warnings.catch_warnings():  # the base has no head yet
        warnings.simplefilter("ignore")
        verbosity = transformers.utils.logging.get_verbosity()
        transformers.utils.logging.set_verbosity_error()
        _, model = load_adapter(work, AutoModelForSequenceClassification, "runs/lora-predictor/model", num_labels=2,
                                pad_token_id=None)
        transformers.utils.logging.set_verbosity(verbosity)
    return compare_scores(work, "runs/lora-predictor/model", "runs/sft/model", model)


@torch.no_grad()
def check_merge(work, dtype):
    work.run("model", "merge", "--model", "runs/lora/model", "--output", "merged")
    merged = work.load_model(AutoModelForCausalLM, "merged")
    work.load(AutoTokenizer.from_pretrained, work.path("merged"))
    _, model = load_adapter(work, AutoModelForCausalLM, "runs/lora/model")
    expected = model.merge_and_unload()
    if dtype == torch.bfloat16:
        for parameter in expected.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    ids = torch.arange(3, 60)[None]
    difference = float((merged(ids).logits - expected(ids).logits).abs().max())
    if not difference < (1e-4 if dtype == torch.float32 else 0.05):  # a weight beside a rounding edge may fall on either side
        raise Failed(f"logits differ by {difference:.2g}")
    return f"{difference:.1e}"


def check_info(work, family):
    info = json.loads(work.run("model", "info", "--model", "base"))
    tensors = {}
    for file in work.path("base").glob("*.safetensors"):
        tensors |= load_file(file)
    count = sum(tensor.numel() for tensor in tensors.values())
    if info["parameters"] != count:
        raise Failed(f"{info['parameters']} parameters, not {count}")
    if info["dtype"] != {torch.float32: "fp32", torch.bfloat16: "bf16"}[family.dtype]:
        raise Failed(f"dtype {info['dtype']}")
    return "good"


def attempt(cells, column, check):
    try:
        cells[column] = check()
    except Failed as failed:
        cells[column] = failed
    except Exception as error:  # of Transformers or PEFT: a folder that they cannot read is a result
        cells[column] = Failed(f"failed: {type(error).__name__}: {first_line(str(error))}")


def check_family(family, program, folder, verbose):
    """Column -> text, or the Failed that took its place."""
    cells = {}
    work = Work(program, folder, verbose)
    attempt(cells, "info", lambda: make_folder(family, work))
    if isinstance(cells["info"], Failed):
        return cells
    write_lines(work.path("train.jsonl"), make_records(SYSTEM))
    attempt(cells, "info", lambda: check_info(work, family))
    failed = {}
    attempt(failed, "sft", lambda: check_language_model(work, cells))
    if isinstance(failed["sft"], Failed):  # before there was anything to compare
        cells["log-probabilities"] = failed["sft"]
        return cells
    attempt(cells, "scores", lambda: check_predictor(work))
    attempt(cells, "PEFT", lambda: check_adapter(work))
    attempt(cells, "PEFT scores", lambda: check_adapter_scores(work))
    attempt(cells, "merge", lambda: check_merge(work, family.dtype))
    messages = list(dict.fromkeys(work.messages))
    cells["warnings"] = Failed(f"{len(messages)}: {messages[0]}") if messages else "none"
    if verbose:
        print("\n".join(messages), file=sys.stderr)
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/release/steerlm")
    parser.add_argument("--only", nargs="+", choices=[family.name for family in FAMILIES], default=None, metavar="FAMILY")
    parser.add_argument("--verbose", action="store_true", help="whole messages on stderr")
    arguments = parser.parse_args()
    program = pathlib.Path(arguments.program).resolve()
    if not program.is_file():
        parser.error(f"{program}: no such program")
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    good = True
    print(f"| family | folder | {' | '.join(COLUMNS)} | s |\n| {'--- | ' * (len(COLUMNS) + 3)}")
    for family in FAMILIES:
        if arguments.only and family.name not in arguments.only:
            continue
        begin = time.time()
        with tempfile.TemporaryDirectory() as folder:
            cells = check_family(family, program, pathlib.Path(folder), arguments.verbose)
        texts = [one_cell(str(cells.get(column, "-"))) for column in COLUMNS]
        good = good and all(column in cells and not isinstance(cells[column], Failed) for column in COLUMNS)
        print(f"| {family.name} | {family.about()} | {' | '.join(texts)} | {time.time() - begin:.0f} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
