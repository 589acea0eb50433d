#!/usr/bin/env python3
"""The program beside its rivals on a CPU, by turns, in fp32, on the same folders and the same tokens; prints a table of ratios.

    bench.py [--works sft,score,sample,lora,two] [--rounds 2] [--smollm2 FOLDER] [--work build/cpu_bench] [--output FILE]

sft     SFT steps of a model of 24.4 M parameters, V = 32,000, 8 x 256 tokens, beside Transformers; peak memory of both processes
score   regression scores of 600 dialogues of different lengths, the same trunk, beside Transformers sorted by length and padded
sample  24 prompts, up to 220 new tokens each, of the folder that --smollm2 names, fp32 and bf16, beside `generate` of Transformers
lora    SFT with LoRA, r = 8, of that folder on dialogues, beside PEFT
two     two trainings of the toy model on the same cores at the same time, beside one alone

--smollm2 is what tools/get_smollm2.sh makes; without it sample and lora are left out. Each side is a process of its own. A rate is the median
over the steps of a run after the first; of several rounds the best counts, since other work on the machine only slows. Needs torch,
transformers and peft in the Python that runs this, and a build in build/release.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent / "gpu"))  # texts, rows and timing are those of the check on a card

import make_data  # noqa: E402
import make_model  # noqa: E402

PROGRAM = ROOT / "build/release/steerlm"
VOCABULARY = 32000
SHAPE = ["--hidden-size", 288, "--intermediate-size", 768, "--num-hidden-layers", 6, "--num-attention-heads", 6]  # 24.4 M, untied
STEPS, WARM = 8, 1
DIALOGUES, FEW = 600, 60


def run(command):
    """(standard output, seconds) of a process."""
    begin = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, errors = process.communicate()
    seconds = time.monotonic() - begin
    if process.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))}: exit {process.returncode}\n{errors}")
    return out, seconds


def steerlm(*command):
    return run([PROGRAM, *command])


def rival(kind, **arguments):
    """What the rival of that kind measured, in a process of its own."""
    text = json.dumps({"kind": kind} | {key: value if isinstance(value, int) else str(value) for key, value in arguments.items()})
    return json.loads(run([sys.executable, __file__, "--rival", text])[0].splitlines()[-1])


def median(values):
    return sorted(values)[len(values) // 2]


class Bench:
    def __init__(self, arguments):
        self.work, self.smollm2, self.rounds = arguments.work.resolve(), arguments.smollm2, arguments.rounds
        self.work.mkdir(parents=True, exist_ok=True)
        self.rows, self.raw = [], {"cores": os.cpu_count()}

    def row(self, *cells):
        self.rows.append(cells)
        print("| " + " | ".join(cells) + " |", flush=True)

    def beside(self, work, unit, own, other, name):
        """`own` and `other`: a round of each side, which returns a rate."""
        rates = [(own(), other()) for _ in range(self.rounds)]
        self.raw[work] = rates
        best = [max(side) for side in zip(*rates)]
        self.row(work, f"{best[0]:,.0f} {unit}", f"{name}: {best[1]:,.0f} {unit}", f"{best[0] / best[1]:.2f}x")

    def write(self, name, text):
        (self.work / name).write_text(text, encoding="utf-8")
        return self.work / name

    def start_training(self, name, recipe):
        """The process of a training whose recipe has the run directory RUN."""
        shutil.rmtree(self.work / "runs" / name, ignore_errors=True)
        file = self.write(f"{name}.yaml", recipe.replace("RUN", str(self.work / "runs" / name)))
        return subprocess.Popen([PROGRAM, "run", file, "--quiet"])

    def finish_training(self, name, process):
        """(tokens per second, peak bytes)"""
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"bench: the training {name} has failed")
        lines = [json.loads(line) for line in (self.work / "runs" / name / "metrics.jsonl").read_text().splitlines()]
        rates = [line["train/tokens_per_second"] for line in lines if "train/tokens_per_second" in line]
        return median(rates[WARM:]), usage.ru_maxrss * 1024

    def train(self, name, recipe):
        return self.finish_training(name, self.start_training(name, recipe))


def base_folder(bench):
    """The model of 24.4 M parameters, with random weights."""
    folder = bench.work / "base"
    if not folder.exists():
        tokenizer = bench.work / "tokenizer"
        tokenizer.mkdir(exist_ok=True)
        (tokenizer / "tokenizer.json").write_text(json.dumps(make_model.tokenizer_json(VOCABULARY)), encoding="utf-8")
        (tokenizer / "tokenizer_config.json").write_text(json.dumps({"eos_token": make_model.MARKERS[0], "add_bos_token": False}))
        steerlm("model", "init", "--output", folder, "--tokenizer", tokenizer, *SHAPE)
    return folder


def dialogues(bench, vocabulary, longest):
    lines = make_data.dialogues(make_data.Words(vocabulary, 2), DIALOGUES, longest)
    bench.write("few.jsonl", "\n".join(lines[:FEW]) + "\n")
    return bench.write("dialogues.jsonl", "\n".join(lines) + "\n")


def token_rows(bench, folder, data, *more):
    """A file with the ids and the trained stretch of each record, as the rivals read them."""
    out, _ = steerlm("data", "show-mask", "--model", folder, "--input", data, "--json", *more)
    rows = []
    for record in map(json.loads, out.splitlines()):
        mask = record["mask"]
        rows.append(json.dumps({"ids": record["token_ids"], "targets": [mask.index(1), len(mask) - mask[::-1].index(1)]}))
    return bench.write(f"{data.stem}.ids.jsonl", "\n".join(rows) + "\n")


# ----- the works --------------------------------------------------------------------------------------------------------------------

def compare_sft(bench):
    folder = base_folder(bench)
    data = bench.write("rows.txt", "\n".join(make_data.rows(make_data.Words(VOCABULARY, 1), 8 * STEPS, 256)) + "\n")
    ids = token_rows(bench, folder, data, "--template", "plain")
    recipe = f"""stage: sft
run_dir: RUN
device: cpu
precision: fp32
template: {{name: plain}}
model: {{path: {folder}}}
data: {{train: [{{path: {data}}}], max_tokens: 256, shuffle: false}}
optimizer: {{learning_rate: 5e-6}}
train: {{steps: {STEPS}, batch_size: 8}}
"""
    peaks = {}

    def own():
        rate, peaks["steerlm"] = bench.train("sft", recipe)
        return rate

    def other():
        result = rival("train", folder=folder, ids=ids, batch=8)
        peaks["rival"] = result["peak"]
        return result["rate"]

    bench.beside("SFT step, 24.4 M, V = 32,000, 8 x 256", "tok/s", own, other, "Transformers")
    bench.raw["peaks"] = peaks
    bench.row("its peak memory, whole process", *(f"{peaks[side] / 1e6:,.0f} MB" for side in ("steerlm", "rival")),
              f"{peaks['steerlm'] / peaks['rival']:.2f}x")


def compare_score(bench):
    folder, data = base_folder(bench), dialogues(bench, VOCABULARY, 1024)
    rated = bench.work / "rated.jsonl"
    steerlm("data", "measure", "--input", data, "--output", rated, "--overwrite", "--attributes", "length:characters,words:words", "--min", 0,
            "--max", 4)
    bench.train("predictor", f"""stage: train-predictor
run_dir: RUN
device: cpu
model: {{path: {folder}}}
template: {{name: chatml, system: ""}}
attributes: {{names: [length, words], min: 0, max: 4}}
head: {{kind: regression, bias: false}}
data: {{train: [{{path: {rated}}}], max_tokens: 1024}}
train: {{steps: 2, batch_size: 4}}
""")
    predictor = bench.work / "runs/predictor/model"
    ids = token_rows(bench, predictor, data)

    def score(name):
        return steerlm("score", "--model", predictor, "--input", bench.work / name, "--output", "/dev/null", "--device", "cpu")[1]

    def own():  # the start is in both calls
        return (DIALOGUES - FEW) / (score("dialogues.jsonl") - score("few.jsonl"))

    bench.beside("regression scores, 24.4 M, different lengths", "conversations/s", own,
                 lambda: rival("score", folder=predictor, ids=ids)["rate"], "Transformers, sorted and padded")


def compare_sample(bench):
    prompts = [f"Write a few sentences about {word}." for word in make_model.words_of(1024)[300:324]]
    bench.write("prompts.jsonl", "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))

    def generate(precision, new_tokens):
        out, seconds = steerlm("generate", "--model", bench.smollm2, "--input", bench.work / "prompts.jsonl", "--max-new-tokens", new_tokens,
                               "--temperature", 0.7, "--device", "cpu", "--precision", precision)
        return sum(len(json.loads(line)["token_ids"]) for line in out.splitlines()), seconds

    def own(precision):
        (few, start), (tokens, seconds) = generate(precision, 1), generate(precision, 220)
        return (tokens - few) / (seconds - start)

    for precision, dtype in ("fp32", "float32"), ("bf16", "bfloat16"):
        bench.beside(f"sampling, SmolLM2-135M, 24 prompts, up to 220 tokens, {precision}", "tok/s", lambda: own(precision),
                     lambda: rival("generate", folder=bench.smollm2, prompts=bench.work / "prompts.jsonl", dtype=dtype)["rate"], "generate")


def compare_lora(bench):
    folder = bench.smollm2.resolve()
    data = bench.write("talk.jsonl", "\n".join(make_data.dialogues(make_data.Words(VOCABULARY, 2), 4 * 4, 256)) + "\n")
    ids = token_rows(bench, folder, data, "--template", "chatml")
    recipe = f"""stage: sft
run_dir: RUN
device: cpu
precision: fp32
template: {{name: chatml}}
model: {{path: {folder}}}
lora: {{rank: 8}}
data: {{train: [{{path: {data}}}], max_tokens: 1024, shuffle: false}}
train: {{steps: 4, batch_size: 4}}
"""
    bench.beside("LoRA r = 8, SmolLM2-135M, dialogues", "tok/s", lambda: bench.train("lora", recipe)[0],
                 lambda: rival("lora", folder=folder, ids=ids, batch=4)["rate"], "PEFT")


def compare_two(bench):
    toy = bench.work / "toy"
    if not toy.exists():
        steerlm("data", "make-toy", "--output", toy, "--count", 2000)
        steerlm("tokenizer", "train", "--input", toy / "tokenizer.txt", "--output", bench.work / "toy.model", "--vocab-size", 900, "--kind", "bpe")
    recipe = f"""stage: sft
run_dir: RUN
device: cpu
template: {{name: plain}}
model:
  init: {{hidden_size: 128, intermediate_size: 256, num_hidden_layers: 4, num_attention_heads: 4}}
  tokenizer: {bench.work / "toy.model"}
data: {{train: [{{path: {toy / "base.txt"}}}], max_tokens: 256}}
train: {{steps: 400, batch_size: 64}}
"""
    alone = max(bench.train("alone", recipe)[0] for _ in range(bench.rounds))
    processes = [(name, bench.start_training(name, recipe)) for name in ("first", "second")]
    both = [bench.finish_training(name, process)[0] for name, process in processes]
    bench.raw["two"] = {"alone": alone, "both": both}
    bench.row("two toy trainings at once", " and ".join(f"{rate:,.0f}" for rate in both) + " tok/s", f"one alone: {alone:,.0f} tok/s",
              " and ".join(f"{rate / alone:.0%}" for rate in both))


# ----- the rivals -------------------------------------------------------------------------------------------------------------------

def run_rival(kind, folder, ids="", batch=0, prompts="", dtype="float32"):
    import resource

    import torch
    import transformers

    import rival as shared

    result = {}
    if kind in ("train", "lora"):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        if kind == "lora":
            import peft
            targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"))
        parameters = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
        steps = (STEPS if kind == "train" else 4) - WARM
        result["rate"] = shared.train(model, parameters, shared.read_rows(ids), batch, steps, WARM, "cpu", autocast=False)["tokens_per_second"]
    elif kind == "score":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
        model.config.pad_token_id = 0
        rows = sorted(shared.read_rows(ids), key=lambda row: len(row["ids"]), reverse=True)
        with torch.inference_mode():
            begin = time.perf_counter()
            for first in range(0, len(rows), 32):
                ids_bt, mask_bt, _ = shared.padded(rows[first:first + 32], "cpu")
                model(input_ids=ids_bt, attention_mask=mask_bt)
            result["rate"] = len(rows) / (time.perf_counter() - begin)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa").eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        questions = [json.loads(line)["prompt"] for line in pathlib.Path(prompts).read_text().splitlines()]
        texts = [tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
                 for question in questions]
        inputs = tokenizer(texts, return_tensors="pt", padding=True)
        begin = time.perf_counter()
        out = model.generate(**inputs, do_sample=True, temperature=0.7, top_k=0, max_new_tokens=220, pad_token_id=tokenizer.pad_token_id)
        new = out[:, inputs["input_ids"].shape[1]:]
        ends = (new == model.generation_config.eos_token_id if isinstance(model.generation_config.eos_token_id, int)
                else torch.isin(new, torch.tensor(model.generation_config.eos_token_id)))
        lengths = torch.where(ends.any(1), ends.int().argmax(1) + 1, new.shape[1])
        result["rate"] = int(lengths.sum()) / (time.perf_counter() - begin)
    print(json.dumps(result | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main():
    works = {"sft": compare_sft, "score": compare_score, "sample": compare_sample, "lora": compare_lora, "two": compare_two}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(works))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--smollm2", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/cpu_bench")
    parser.add_argument("--output", type=pathlib.Path, help="default: result.json in --work")
    parser.add_argument("--rival", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rival:
        return run_rival(**json.loads(arguments.rival))
    bench = Bench(arguments)
    print("| work | steerlm | rival | ratio |\n| --- | --- | --- | --- |")
    for name in arguments.works.split(","):
        if name not in works:
            parser.error(f"unknown work {name}; there are {', '.join(works)}")
        if name in ("sample", "lora") and arguments.smollm2 is None:
            bench.row(name, "left out: no --smollm2", "", "")
            continue
        works[name](bench)
    (arguments.output or bench.work / "result.json").write_text(json.dumps(bench.raw | {"rows": bench.rows}, indent=1) + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
