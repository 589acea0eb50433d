"""What tools/chaos.py kills: tiny runs of the toy language. Each job has a folder, in which its recipes are, and its commands run in a folder
of that folder; `data` and the job `pipeline`, whose models the others use, are beside."""
import random
import subprocess

COMMON = """
seed: 7
device: cpu
precision: fp32
"""
STEERED = COMMON + """
attributes:
  names: [quality, toxicity, humor, creativity, complexity, verbosity]
  min: 0
  max: 4
  defaults: {quality: 4, toxicity: 0, humor: 0, creativity: 2, complexity: 2, verbosity: 2}
template: {system: "Do the task.", special_tokens: added}
"""
OPTIMIZER = "optimizer: {learning_rate: 2e-3}\n"
SAMPLING = "sampling: {temperature: 0.7, top_k: 50, max_new_tokens: 48}\n"

SETUP = "../../pipeline/reference/run"
RECIPES = {
    "pipeline": "stage: pipeline\nrun_dir: run" + STEERED + """
steps:
  - name: tokenizer
    stage: tokenizer
    tokenizer: {input: [../../data/tokenizer.txt], vocab_size: 700, kind: bpe, output: "@self/tokenizer.model"}
  - name: base
    stage: sft
    template: {name: plain}
    model:
      init: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 2, initializer_range: 0.06}
      tokenizer: "@tokenizer/tokenizer.model"
    data: {train: [{path: ../../data/base.txt}], max_tokens: 256}
    optimizer: {learning_rate: 2e-3}
    train: {epochs: 1, batch_size: 32}
    checkpoint: {every_steps: 8}
  - name: predictor
    stage: train-predictor
    model: {path: "@base/model"}
    head: {kind: regression}
    data: {train: [{path: ../../data/train.jsonl}], validation: [{path: ../../data/validation.jsonl}], max_tokens: 256}
    optimizer: {learning_rate: 1e-3}
    train: {epochs: 1, batch_size: 32}
    checkpoint: {every_steps: 8}
  - name: annotate
    stage: annotate
    predictor: "@predictor/model"
    input: ../../data/train.jsonl
    output: "@self/annotated.jsonl"
  - name: sft
    stage: sft
    model: {path: "@base/model"}
    data: {train: [{path: "@annotate/annotated.jsonl"}], max_tokens: 256}
    optimizer: {learning_rate: 2e-3}
    train: {epochs: 1, batch_size: 32}
    checkpoint: {every_steps: 8}
  - name: evaluate
    stage: evaluate
    model: {path: "@sft/model"}
    predictor: "@predictor/model"
    data: {validation: [{path: ../../data/truth.jsonl}], max_tokens: 256}
""",
    "sft": f"stage: sft\nrun_dir: run{STEERED}model: {{path: {SETUP}/sft/model}}\n{OPTIMIZER}" + """
data: {train: [{path: ../../data/train.jsonl}], validation: [{path: ../../data/truth.jsonl}], max_tokens: 256, cache_dir: cache}
train: {steps: 30, batch_size: 32}
evaluate: {every_steps: 6}
checkpoint: {every_steps: 3, keep: 2, keep_best: {metric: validation/loss}}
""",
    "train-predictor": f"stage: train-predictor\nrun_dir: run{STEERED}model: {{path: {SETUP}/base/model}}\n{OPTIMIZER}" + """
head: {kind: regression}
data: {train: [{path: ../../data/train.jsonl}], validation_fraction: 0.1, max_tokens: 256}
train: {epochs: 2, batch_size: 32}
checkpoint: {every_steps: 4}
""",
    "ridge": f"stage: train-predictor\nrun_dir: run{STEERED}model: {{path: {SETUP}/base/model}}" + """
head: {kind: ridge}
data: {train: [{path: ../../data/train.jsonl}], validation: [{path: ../../data/truth.jsonl}], max_tokens: 256}
""",
    "crossvalidate": f"stage: train-predictor\nrun_dir: run{STEERED}model: {{path: {SETUP}/base/model}}\n{OPTIMIZER}" + """
head: {kind: regression}
data: {train: [{path: ../../data/truth.jsonl}], max_tokens: 256}
train: {steps: 6, batch_size: 16}
checkpoint: {every_steps: 2}
""",
    "annotate": f"stage: annotate\nrun_dir: run{COMMON}predictor: {SETUP}/predictor/model" + """
input: ../../data/with-bad.jsonl
output: annotated.jsonl
block_records: 64
""",
    "generate": f"stage: generate\nrun_dir: run{COMMON}model: {{path: {SETUP}/sft/model}}\n{SAMPLING}" + """
prompts: [{path: ../../data/prompts-with-bad.jsonl}]
samples_per_prompt: 2
max_bad_share: 0.2
output: answers.jsonl
""",
    "bootstrap": f"stage: bootstrap\nrun_dir: run{COMMON}policy: {SETUP}/sft/model\npredictor: {SETUP}/predictor/model\n" + f"""
prompts: [{{path: ../../data/prompts.jsonl}}]
samples_per_prompt: 2
labels_from: {SETUP}/annotate/annotated.jsonl
{SAMPLING}{OPTIMIZER}train: {{epochs: 2, batch_size: 16}}
checkpoint: {{every_steps: 2}}
""",
    "steerlm2": f"stage: steerlm2\nrun_dir: run{COMMON}policy: {SETUP}/sft/model\nprior: {SETUP}/sft/model\n" + f"""
predictor: {SETUP}/predictor/model
prompts: [{{path: ../../data/prompts.jsonl, limit: 16}}]
samples_per_prompt: 4
iterations: 2
{SAMPLING.replace("top_k: 50", "top_p: 0.9")}{OPTIMIZER}train: {{epochs: 2, batch_size: 8}}
checkpoint: {{every_steps: 1}}
""",
    "evaluate": f"stage: evaluate\nrun_dir: run{COMMON}model: {{path: {SETUP}/sft/model}}\npredictor: {SETUP}/predictor/model\n" + f"""
data: {{validation: [{{path: ../../data/truth.jsonl}}], max_tokens: 256}}
dials: {{prompts: [{{path: ../../data/prompts.jsonl}}], max_prompts: 6, judge: predictor, {SAMPLING.strip()}}}
""",
    "seeds": "stage: pipeline\nrun_dir: run" + STEERED + f"""
steps:
  - name: sft
    stage: sft
    model: {{path: {SETUP}/base/model}}
    data: {{train: [{{path: ../../data/truth.jsonl}}], max_tokens: 256}}
    train: {{steps: 4, batch_size: 16}}
    checkpoint: {{every_steps: 2}}
  - name: evaluate
    stage: evaluate
    model: {{path: "@sft/model"}}
    data: {{validation: [{{path: ../../data/truth.jsonl}}], max_tokens: 256}}
""",
}


JOBS = {  # name: its commands, one after the other
    "pipeline": ["pipeline ../pipeline.yaml"],
    "sft": ["sft ../sft.yaml"],
    "train-predictor": ["train-predictor ../train-predictor.yaml"],
    "ridge": ["train-predictor ../ridge.yaml"],
    "crossvalidate": ["crossvalidate ../crossvalidate.yaml --folds 2"],
    "annotate": [f"annotate ../annotate.yaml shard={i}/3 run_dir=run-{i} output=part-{i}.jsonl" for i in range(3)] +
                ["annotate --merge annotated.jsonl.gz part-0.jsonl part-1.jsonl part-2.jsonl"],
    "generate": ["run ../generate.yaml"] +
                [f"generate --model {SETUP}/sft/model --input ../../data/prompts.jsonl --max-new-tokens 48 --shard {i}/2 "
                 f"--output part-{i}.jsonl.zst" for i in range(2)] +
                ["generate --merge answers.jsonl.zst part-0.jsonl.zst part-1.jsonl.zst"],
    "score": [f"score --model {SETUP}/predictor/model --input ../../data/many.jsonl --output scores.jsonl.gz",
              f"score --model {SETUP}/sft/model --input ../../data/many.jsonl --output logprobs.jsonl"],
    "bootstrap": ["bootstrap ../bootstrap.yaml"],
    "steerlm2": ["steerlm2 ../steerlm2.yaml"],
    "evaluate": ["evaluate ../evaluate.yaml"],
    "seeds": ["pipeline ../seeds.yaml --seeds 1,2"],
}
HAS_STEPS = {"pipeline", "crossvalidate", "seeds"}  # whose work is done by processes of their own
TWO_THREADS = {"ridge"}  # is solved in fp64 by LAPACK, whose last bits depend on the number of threads


def make_data(program, folder):
    subprocess.run([program, "data", "make-toy", "--output", folder, "--count", "800"], check=True, stderr=subprocess.DEVNULL)
    lines = (folder / "train.jsonl").read_text().splitlines()
    (folder / "with-bad.jsonl").write_text("\n".join(line if i % 50 != 7 else '{"bad": %d}' % i for i, line in enumerate(lines)) + "\n")
    (folder / "many.jsonl").write_text("\n".join(lines * 4) + "\n")
    prompts = (folder / "prompts.jsonl").read_text().splitlines()
    prompts.insert(3, '{"prompt": 3}')
    (folder / "prompts-with-bad.jsonl").write_text("\n".join(prompts) + "\n")


# A predictor of 2 layers, and records of a few words.
MANY_RECIPE = "stage: pipeline\nrun_dir: setup" + STEERED + """
steps:
  - name: tokenizer
    stage: tokenizer
    tokenizer: {input: [data/tokenizer.txt], vocab_size: 700, kind: bpe, output: "@self/tokenizer.model"}
  - name: predictor
    stage: train-predictor
    model:
      init: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
      tokenizer: "@tokenizer/tokenizer.model"
    head: {kind: regression}
    data: {train: [{path: data/train.jsonl}], max_tokens: 256}
    optimizer: {learning_rate: 1e-2}
    train: {epochs: 1, batch_size: 32}
"""
MANY = "annotate ../many.yaml"


def make_many(program, folder, records):
    make_data(program, folder / "data")
    (folder / "setup.yaml").write_text(MANY_RECIPE)
    subprocess.run([program, "pipeline", "setup.yaml", "--quiet"], cwd=folder, check=True)
    (folder / "many.yaml").write_text("stage: annotate\nrun_dir: run" + COMMON + "predictor: ../setup/predictor/model\n"
                                      "input: ../many.jsonl\noutput: annotated.jsonl\n")
    draw = random.Random(1)
    words = ["apple", "kiwi", "fig", "numo", "tada", "zode", "grak", "lemon", "gemibebasi"]
    with open(folder / "many.jsonl", "w") as file:
        for number in range(records):
            question, answer = " ".join(draw.choices(words, k=2)), " ".join(draw.choices(words, k=draw.randint(1, 6)))
            file.write('{"id":%d,"conversations":[{"from":"User","value":"copy %s"},{"from":"Assistant","value":"%s"}]}\n' %
                       (number, question, answer))
