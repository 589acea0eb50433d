"""Part c of the check: the program and its rivals on the same model folders and the same tokens, one after the other."""

import json
import math
import os
import pathlib
import re
import sys
import time

import make_data
import make_model

HERE = pathlib.Path(__file__).resolve().parent
LABELS = 5
NEEDS_CARD = "need a card"  # in the message of hf_train.py
WORKS = ("llama1b", "smol135m", "ragged", "generate", "annotate", "lora")


class Sizes:
    """What is computed: the shapes of the published models, or tiny ones; quick: half the repeats, the same data."""

    def __init__(self, tiny, quick):
        half = 2 if quick else 1
        # rows of exactly `length` tokens, `batch` of them a step, computed `rows` at a time by the program (without: all)
        self.llama = {"batch": 4, "length": 64 if tiny else 4096, "steps": 3 if tiny else 10 // half, "count": 16}
        self.smol = {"batch": 4 if tiny else 16, "length": 32 if tiny else 1024, "steps": 3 if tiny else 30 // half, "count": 64}
        self.ragged = {"batch": 4 if tiny else 32, "steps": 3 if tiny else 40 // half}
        self.lora = {"batch": 2, "length": 32 if tiny else 2048, "steps": 3 if tiny else 16 // half, "count": 16}
        self.longest = 128 if tiny else 1024
        self.dialogues = 120 if tiny else 4000
        self.few = 16 if tiny else 64
        self.prompts, self.prompt, self.new_tokens = (4, 16, 24) if tiny else (64, 64, 512)
        self.warm = 2 if tiny else 3


def sizes_of(check):
    return Sizes(check.tiny, check.quick)


def folder_of(check, shape):
    return check.work / "models" / shape


# ----- what needs no card -----------------------------------------------------------------------------------------------------------

def prepare(check):
    """Folders without weights, texts, and the program's token ids of them for the rivals. What is there stays."""
    sizes = sizes_of(check)
    data = check.work / "data"
    stamp = data / "ready"
    if stamp.exists():
        return
    vocab = {}
    for shape in make_model.SHAPES:
        numbers = make_model.shape_of(shape, check.tiny)
        vocab[shape] = numbers["vocab_size"]
        make_model.write_folder(folder_of(check, shape), numbers, 0)

    def write(name, lines):
        (data / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    for name, shape, size in (("llama.txt", "llama1b", sizes.llama), ("smol.txt", "smol135m", sizes.smol), ("lora.txt", "qwen06b", sizes.lora)):
        write(name, make_data.rows(make_data.Words(vocab[shape], 1), size["count"], size["length"]))
        dump_ids(check, name, shape, "--template", "plain", length=size["length"])
    lines = make_data.dialogues(make_data.Words(vocab["smol135m"], 2), sizes.dialogues, sizes.longest)
    write("dialogues.jsonl", lines)
    write("few.jsonl", lines[:sizes.few])
    dump_ids(check, "dialogues.jsonl", "smol135m")
    words = make_data.Words(vocab["llama1b"], 3)
    write("prompts.jsonl", make_data.prompts(words, sizes.prompts, sizes.prompt))
    dump_prompt_ids(check)
    stamp.write_text("")


def dump_ids(check, name, shape, *more, length=None):
    """NAME.ids.jsonl from what `data show-mask --json` prints: ids, and the stretch from the first trained token to the last."""
    text, _ = check.steerlm(f"ids-{name}", "data", "show-mask", "--model", folder_of(check, shape), "--input", check.work / "data" / name,
                            "--json", *more)
    (check.work / "logs" / f"ids-{name}.txt").unlink()  # many times the size of the ids
    rows = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue  # what the command says of the folder
        record = json.loads(line)
        mask = record["mask"]
        begin, end = mask.index(1), len(mask) - mask[::-1].index(1)
        if sum(mask) != end - begin:
            raise ValueError(f"{name}: a row is trained in pieces")
        if length is not None and len(mask) != length:
            raise ValueError(f"{name}: a row of {len(mask)} tokens instead of {length}")
        rows.append({"ids": record["token_ids"], "targets": [begin, end]})
    write_rows(check, name, rows)


def dump_prompt_ids(check):
    """The prompts' words are one id each in the tokenizer that make_model.py wrote."""
    vocab = json.loads((folder_of(check, "llama1b") / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    space = make_model.byte_pieces()[ord(" ")]
    rows = []
    for line in (check.work / "data" / "prompts.jsonl").read_text(encoding="utf-8").splitlines():
        words = json.loads(line)["prompt"].split(" ")
        rows.append({"ids": [vocab[words[0]], *(vocab[space + word] for word in words[1:])], "targets": [0, 0]})
    write_rows(check, "prompts.jsonl", rows)


def write_rows(check, name, rows):
    (check.work / "data" / f"{name}.ids.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def start_weights(check):
    """Starts a process for each folder, all at once: [(name, process)]."""
    prepare(check)
    wanted = [(shape, shape, 0) for shape in make_model.SHAPES] + [("predictor135m", "smol135m", LABELS)]
    processes = []
    for name, shape, labels in wanted:
        folder = folder_of(check, name)
        if not (folder / "model.safetensors").exists():
            command = [sys.executable, HERE / "make_model.py", folder, "--shape", shape, "--labels", labels, "--weights", "--device", check.device]
            processes.append((f"weights-{name}", check.start(f"weights-{name}", command + (["--tiny"] if check.tiny else []))))
    return processes


def finish_weights(check, processes):
    while processes:
        name, process = processes.pop()
        try:
            check.wait(name, process, 90)
        except Exception as error:
            check.failed(f"make_model.py, {name}", error)


# ----- the program's side -----------------------------------------------------------------------------------------------------------

def write_recipe(check, name, text):
    recipe = check.work / "recipes" / f"{name}.yaml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


def sft(check, name, shape, data, template, length, size, more=""):
    """Trains until metrics.jsonl has the steps that are wanted, then ends the program: no checkpoint of many gigabytes is written.
    Returns the median tokens per second after the warm-up, the first loss and the peak memory."""
    sizes = sizes_of(check)
    run = check.work / "runs" / name
    recipe = write_recipe(check, name, f"""stage: sft
run_dir: {run}
device: {check.device}
precision: bf16
model: {{path: {folder_of(check, shape)}}}
template: {template}
data: {{train: [{{path: {check.work / 'data' / data}}}], max_tokens: {length}, shuffle: false}}
optimizer: {{learning_rate: 5e-6}}
train: {{steps: 100000, batch_size: {size['batch']}, micro_batch_tokens: {size.get('rows', size['batch']) * length}}}
checkpoint: {{every_steps: 100000}}
{more}""")
    metrics = run / "metrics.jsonl"
    steps = sizes.warm + size["steps"]
    if check.left() < 5:
        raise RuntimeError(f"{name}: no time left")
    metrics.unlink(missing_ok=True)
    process = check.start(name, [check.program, "sft", recipe, "--fresh"], check.environment)
    limit = time.monotonic() + min(75, check.left())
    lines = []
    try:
        while len(lines) < steps and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
            if metrics.exists():
                whole = metrics.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last line end is half a line
                lines = [values for values in map(json.loads, whole) if "train/tokens_per_second" in values]
    finally:
        ended = process.poll() is not None
        check.stop(process)
    if len(lines) <= sizes.warm:
        log = process.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in log if "error" in line.lower()] or log or ["no output"]
        raise RuntimeError(f"{name}: {len(lines)} steps, {'ended: ' + errors[-1][:200] if ended else 'out of time'}")
    rates = sorted(values["train/tokens_per_second"] for values in lines[sizes.warm:])
    result = {"tokens_per_second": rates[len(rates) // 2], "rates": rates, "first_loss": lines[0]["train/loss"],
              "losses": [[values["train/loss"], values["train/grad_norm"]] for values in lines], "last": lines[-1],
              "peak_bytes": max((values.get("train/peak_bytes") or 0 for values in lines), default=0)}
    check.raw.setdefault("steerlm", {})[name] = result
    return result


def generate(check, count):
    output = check.work / "results" / f"answers-{count}.jsonl"
    _, seconds = check.steerlm(f"generate-{count}", "generate", "--raw", "--model", folder_of(check, "llama1b"), "--input",
                               check.work / "data/prompts.jsonl", "--max-new-tokens", count, "--temperature", 0, "--device", check.device,
                               "--precision", "bf16", "--output", output, "--overwrite", limit=75)
    return seconds, [json.loads(line)["token_ids"] for line in output.read_text(encoding="utf-8").splitlines()]


def annotate(check, name, data):
    output = check.work / "results" / f"{name}-annotated.jsonl"
    recipe = write_recipe(check, name, f"""stage: annotate
run_dir: {check.work / 'runs' / name}
device: {check.device}
precision: bf16
predictor: {folder_of(check, 'predictor135m')}
input: {check.work / 'data' / data}
output: {output}
""")
    return check.steerlm(name, "annotate", recipe, "--fresh", "--overwrite", limit=60)[1]


# ----- side by side -----------------------------------------------------------------------------------------------------------------

def rate(value, unit="tok/s"):
    return f"{value:,.0f} {unit}"


def gibibytes(value):
    return f"{value / 2**30:.1f} GiB" if value else "not measured"


def loss_note(own, rival):
    """Both begin with the same weights and tokens; bf16 leaves a difference in the third decimal or later."""
    return f"first loss {own['first_loss']:.4f}, rival {rival['first_loss']:.4f}" if "first_loss" in rival else ""


def beside(check, work, own, rival, rival_name, reach, note=""):
    """A row of two rates; a rival that failed leaves the ratio empty, and is a failure, but for Liger without a card."""
    if "failed" in rival:
        check.failures += NEEDS_CARD not in rival["failed"]
        check.row(work, rate(own), f"{rival_name}: {rival['failed']}", "", reach, note)
    else:
        check.row(work, rate(own), f"{rival_name}: {rate(rival['tokens_per_second'])}", f"{own / rival['tokens_per_second']:.2f}x", reach, note)


def rival_training(check, wanted):
    """All training rivals in one process: {name: result}."""
    sizes = sizes_of(check)
    data = check.work / "data"
    cases = []
    llama, smol = (f"{folder_of(check, shape)},{data}/{text}.txt.ids.jsonl" for shape, text in (("llama1b", "llama"), ("smol135m", "smol")))
    if "llama1b" in wanted:
        cases += [f"llama-liger,{llama},{sizes.llama['batch']},liger", f"llama-pure,{llama},{sizes.llama['batch']},pure+liger"]
        if not os.environ.get("STEERLM_LIGER"):  # the eager step of this shape fits with half the batch
            cases.append(f"llama-eager,{llama},{sizes.llama['batch'] // 2},eager")
    if "smol135m" in wanted:
        cases += [f"smol-eager,{smol},{sizes.smol['batch']},eager", f"smol-liger,{smol},{sizes.smol['batch']},liger"]
    if "ragged" in wanted:
        cases.append(f"ragged-eager,{folder_of(check, 'smol135m')},{data}/dialogues.jsonl.ids.jsonl,{sizes.ragged['batch']},eager")
    return check.python("hf_train", "hf_train.py", *(part for case in cases for part in ("--case", case)), "--steps",
                        3 if check.tiny else 8 // (2 if check.quick else 1), "--warm", sizes.warm, limit=150)


def rivals_of_training(check, wanted):
    try:
        rivals = rival_training(check, wanted)
    except Exception as error:
        check.failed("hf_train.py", error)
        rivals = {}
    check.raw["hf_train"] = rivals


def trained(check, name):
    return check.raw["hf_train"].get(name, {"failed": "not measured"})


def forecast_row(check, name, measured):
    """What --dry-run forecasts of a training's memory, beside the peak of its tensors. The forecast is in powers of 1,000."""
    text, _ = check.steerlm(f"forecast-{name}", "sft", check.work / "recipes" / f"{name}.yaml", f"run_dir={check.work / 'runs' / name}-forecast",
                            "--dry-run", limit=30)
    found = re.search(r"about ([0-9.]+) (MB|GB) of", text)
    if not found or not measured["peak_bytes"]:
        check.row(f"memory forecast, {name}", found.group(0) if found else "no forecast", gibibytes(measured["peak_bytes"]))
        return
    forecast = float(found.group(1)) * {"MB": 1e6, "GB": 1e9}[found.group(2)]
    check.row(f"memory forecast, {name}", gibibytes(forecast), f"measured: {gibibytes(measured['peak_bytes'])}",
              f"{forecast / measured['peak_bytes']:.2f}x", "within 10 %")


def compare_llama(check):
    size = sizes_of(check).llama
    work = f"SFT step, 1.236 G shape, {size['batch']} x {size['length']:,}"
    own = sft(check, "sft-llama", "llama1b", "llama.txt", "{name: plain}", size["length"], size)
    halves = sft(check, "sft-llama-halves", "llama1b", "llama.txt", "{name: plain}", size["length"], size | {"rows": size["batch"] // 2})
    liger, pure, eager = (trained(check, f"llama-{variant}") for variant in ("liger", "pure", "eager"))
    if "failed" in liger and "failed" not in eager:
        beside(check, work, own["tokens_per_second"], eager, "eager, half the batch", "", "Liger is missing")
    beside(check, work, own["tokens_per_second"], liger, "Liger, autocast", ">= 1.29x, goal 1.4x", loss_note(own, liger))
    beside(check, "the same", own["tokens_per_second"], pure, "Liger, all bf16", ">= 1.0x", loss_note(own, pure))
    for name, result in (("its peak memory", own), ("in two micro-batches", halves)):
        both = result["peak_bytes"] and liger.get("peak_bytes")
        check.row(name, gibibytes(result["peak_bytes"]), f"Liger, autocast: {gibibytes(liger.get('peak_bytes'))}",
                  f"{result['peak_bytes'] / liger['peak_bytes']:.2f}x" if both else "", "<= 0.7x", rate(result["tokens_per_second"]))
    forecast_row(check, "sft-llama", own)


def compare_smol(check):
    size = sizes_of(check).smol
    own = sft(check, "sft-smol", "smol135m", "smol.txt", "{name: plain}", size["length"], size)
    liger, eager = trained(check, "smol-liger"), trained(check, "smol-eager")
    beside(check, f"SFT step, 135 M shape, {size['batch']} x {size['length']:,}", own["tokens_per_second"], liger, "Liger, autocast", ">= 2.3x",
           loss_note(own, liger))
    beside(check, "the same", own["tokens_per_second"], eager, "eager", "", loss_note(own, eager))
    forecast_row(check, "sft-smol", own)


def compare_ragged(check):
    sizes = sizes_of(check)
    size, template = sizes.ragged, '{name: chatml, system: ""}'
    own = sft(check, "sft-ragged", "smol135m", "dialogues.jsonl", template, sizes.longest, size)
    eager = trained(check, "ragged-eager")
    beside(check, f"dialogues of different lengths, 135 M, batch of {size['batch']}", own["tokens_per_second"], eager, "padded, eager", ">= 8x",
           loss_note(own, eager))
    if not check.quick:
        again = sft(check, "sft-ragged-again", "smol135m", "dialogues.jsonl", template, sizes.longest, size)
        steps = min(len(own["losses"]), len(again["losses"]))
        equal = own["losses"][:steps] == again["losses"][:steps]
        check.failures += not equal
        check.row("the same run twice", "equal bits" if equal else "NOT EQUAL", reach="equal bits", note=f"losses and norms of {steps} steps")


def compare_generate(check):
    sizes = sizes_of(check)
    rival = attempt(check, "hf_generate", "hf_generate.py", "--folder", folder_of(check, "llama1b"), "--ids",
                    check.work / "data/prompts.jsonl.ids.jsonl", "--new-tokens", sizes.new_tokens, limit=75)
    # Start and the prompts' forward are in both calls: the difference is decoding. The shorter of two, since a start varies.
    repeats = 1 if check.quick else 2
    one = min(generate(check, 1) for _ in range(repeats))
    full = min(generate(check, sizes.new_tokens) for _ in range(repeats))
    tokens = sum(map(len, full[1])) - sum(map(len, one[1]))
    own = tokens / (full[0] - one[0])
    equal = ""
    if "tokens" in rival:
        first = [own_ids[:1] == rival_ids[:1] for own_ids, rival_ids in zip(full[1], rival["tokens"])]
        equal = f"first token equal in {sum(first)} of {len(first)}"
    shape = make_model.shape_of("llama1b", check.tiny)
    check.raw.setdefault("steerlm", {})["generate"] = {"tokens_per_second": own, "seconds": full[0], "seconds_first": one[0], "tokens": tokens}
    beside(check, f"greedy decoding, 1.236 G, {sizes.prompts} slots, {sizes.new_tokens} tokens", own, rival, "generate", ">= 8x", equal)
    copy = check.raw.get("ceilings", {}).get("copy_bytes_per_second")
    if copy:
        # Bytes of a step: all weights and the cache of all slots, half full on average, once; bf16.
        weights = 2 * sum(math.prod(size) for size in make_model.tensor_shapes(shape, 0).values())
        cache = (2 * 2 * shape["num_hidden_layers"] * shape["num_key_value_heads"] * shape["head_dim"] * sizes.prompts
                 * (sizes.prompt + sizes.new_tokens / 2))
        ceiling = sizes.prompts * copy / (weights + cache)
        check.row("the same, beside weights + cache at the copy rate", rate(own), rate(ceiling), f"{own / ceiling:.0%}", ">= 50 %",
                  f"{(weights + cache) / 1e9:.2f} GB a step, {copy / 1e12:.2f} TB/s")


def compare_annotate(check):
    sizes = sizes_of(check)
    rival = attempt(check, "hf_score", "hf_score.py", "--folder", folder_of(check, "predictor135m"), "--ids",
                    check.work / "data/dialogues.jsonl.ids.jsonl", limit=75)
    repeats = 1 if check.quick else 2  # as in compare_generate
    few = min(annotate(check, "annotate-few", "few.jsonl") for _ in range(repeats))
    full = min(annotate(check, "annotate", "dialogues.jsonl") for _ in range(repeats))
    own = (sizes.dialogues - sizes.few) / max(full - few, 1e-3)
    check.raw.setdefault("steerlm", {})["annotate"] = {"turns_per_second": own, "seconds": full, "seconds_few": few, "turns": sizes.dialogues}
    work = f"annotation, {sizes.dialogues:,} turns of different lengths, 135 M"
    if "failed" in rival:
        check.failures += 1
        check.row(work, rate(own, "turns/s"), rival["failed"], "", ">= 4x")
        return
    lines = (check.work / "results/annotate-annotated.jsonl").read_text(encoding="utf-8").splitlines()
    differences = [abs(a - b) for line, scores in zip(lines, rival["scores"]) for a, b in zip(scores_of(json.loads(line)), scores)]
    note = f"scores differ by at most {max(differences):.1e}, rival in bf16 too" if differences else "no scores to compare"
    check.row(work, rate(own, "turns/s"), f"sorted, padded: {rate(rival['turns_per_second'], 'turns/s')}",
              f"{own / rival['turns_per_second']:.2f}x", ">= 4x", note)


def scores_of(record):
    """The raw scores that annotate wrote on the last turn."""
    scores = (record.get("conversations") or record["messages"])[-1]["scores"]
    return list(scores.values()) if isinstance(scores, dict) else scores


def compare_lora(check):
    size = sizes_of(check).lora
    rival = attempt(check, "hf_lora", "hf_lora.py", "--folder", folder_of(check, "qwen06b"), "--ids", check.work / "data/lora.txt.ids.jsonl",
                    "--batch", size["batch"], "--steps", size["steps"], limit=75)
    own = sft(check, "sft-lora", "qwen06b", "lora.txt", "{name: plain}", size["length"], size, "lora: {rank: 16, alpha: 32}\n")
    beside(check, f"LoRA r = 16, Qwen3-0.6B shape, {size['batch']} x {size['length']:,}", own["tokens_per_second"], rival, "PEFT",
           ">= 2.5x, >= 55k tok/s", loss_note(own, rival))


def attempt(check, name, script, *command, limit):
    """What a rival wrote, or {"failed": why}: steerlm's figure is wanted all the same."""
    try:
        result = check.python(name, script, *command, limit=limit)
    except Exception as error:
        result = {"failed": str(error)}
    check.raw[name] = result
    return result


def compare(check, weights, works):
    finish_weights(check, weights)
    wanted = [work for work in works.split(",") if work] or list(WORKS)
    check.raw["ceilings"] = attempt(check, "ceilings", "ceilings.py", limit=40)
    ceilings = check.raw["ceilings"]
    if "failed" in ceilings:
        check.failed("ceilings.py", ceilings["failed"])
    else:
        check.row("the card: copy, bf16 product", f"{ceilings['copy_bytes_per_second'] / 1e12:.2f} TB/s", "", "", "",
                  f"{ceilings['product_flops'] / 1e12:.0f} TFLOP/s")
    if {"llama1b", "smol135m", "ragged"} & set(wanted):
        rivals_of_training(check, wanted)
    steps = {"llama1b": compare_llama, "smol135m": compare_smol, "ragged": compare_ragged, "generate": compare_generate,
             "annotate": compare_annotate, "lora": compare_lora}
    for work in wanted:
        try:
            steps[work](check)
        except Exception as error:  # one work that fails costs itself alone
            check.failed(work, error)
