"""Compares the folder that `steerlm model import` makes of a GGUF file with what the `gguf` package and Transformers make of the file.

    venv/bin/python tools/compare_gguf.py FILE.gguf FOLDER --program build/release/steerlm --data real-data

(the packages of tools/make_gguf_fixtures.py). Prints: tensors of the folder that differ from the dequantised ones in a bit; lines of the record
files in --data whose ids differ, from Transformers with the GGUF file, with the folder, and with the GGUF file and single digits cut off
first, as the tokenizer.json of SmolLM2 does; the largest difference of the logits of a text. Architectures without other rows, scaling or
tokenizers than Transformers knows how to read.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import tempfile

import torch
import transformers
from safetensors.torch import load_file
from tokenizers import pre_tokenizers

from make_tokenizer_fixtures import real_texts


def ids_of_program(program, folder, lines):
    text = "\n".join(lines) + "\n"
    out = subprocess.run([program, "tokenizer", "encode", "--model", folder], input=text.encode(), capture_output=True, check=True).stdout
    return [json.loads(line) for line in out.decode().splitlines()]


def differing(name, tokenizer, lines, ours):
    theirs = tokenizer(lines, add_special_tokens=False)["input_ids"]
    different = [i for i, ids in enumerate(theirs) if ids != ours[i]]
    print(f"{name}: {len(different)} of {len(lines)} lines have other ids")
    for i in different[:3]:
        print("   ", repr(lines[i][:80]))
    return [lines[i] for i in different]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("folder")
    parser.add_argument("--program", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--lines", type=int, default=20000)
    arguments = parser.parse_args()
    place = {"gguf_file": arguments.gguf.name}
    print("Transformers", transformers.__version__, "torch", torch.__version__)

    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.gguf.parent, **place, dtype=torch.float32).eval()
    ours = {name: tensor for file in pathlib.Path(arguments.folder).glob("*.safetensors") for name, tensor in load_file(file).items()}
    theirs = {name: tensor for name, tensor in model.state_dict().items() if name in ours}
    different = [name for name in ours if name not in theirs or not torch.equal(ours[name].view(torch.int32), theirs[name].view(torch.int32))]
    print(f"{len(different)} of {len(ours)} tensors differ from Transformers'", different[:3])

    lines = list(itertools.islice(real_texts(arguments.data), arguments.lines))
    ids = ids_of_program(arguments.program, arguments.folder, lines)
    differing("Transformers with the folder", transformers.AutoTokenizer.from_pretrained(arguments.folder), lines, ids)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.gguf.parent, **place)
    others = differing("Transformers with the GGUF file", tokenizer, lines, ids)
    print(f"    {sum(any(c.isnumeric() for c in line) for line in others)} of them hold digits")
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), backend.pre_tokenizer])
    differing("the same with single digits", tokenizer, lines, ids)

    text = torch.tensor([tokenizer("The capital of France is Paris. " * 12)["input_ids"]])
    own = transformers.AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    print("largest difference of a logit, Transformers with the folder:", (own(text).logits - model(text).logits).abs().max().item())
    # The program's own numbers: the log-probability of the first greedy token behind each of 32 lines, and a greedy text.
    prompts = [line for line in lines if 40 < len(line) < 200][:32]
    found = generate(arguments, prompts, 1)
    largest = 0.0
    for prompt, line in zip(prompts, found):
        logprobs = model(torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])).logits[0, -1].log_softmax(-1)
        largest = max(largest, abs(logprobs[line["token_ids"][0]].item() - line["logprob"]))
    print(f"largest difference of a token's log-probability in {len(prompts)}, program and Transformers: {largest:.2e}")
    start = ["The capital of France is", "Two plus two equals", "def fibonacci(n):"]
    for prompt, line in zip(start, generate(arguments, start, 24)):
        first = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        logits = model(torch.tensor([first + line["token_ids"]])).logits[0, len(first) - 1:-1]
        print(f"{prompt!r}: greedy text {'equal' if logits.argmax(-1).tolist() == line['token_ids'] else 'DIFFERENT'}")


def generate(arguments, prompts, count):
    with tempfile.TemporaryDirectory() as temporary:
        source, out = pathlib.Path(temporary) / "in.jsonl", pathlib.Path(temporary) / "out.jsonl"
        source.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
        subprocess.run([arguments.program, "generate", "--model", arguments.folder, "--raw", "--input", str(source), "--temperature", "0",
                        "--max-new-tokens", str(count), "--output", str(out)], check=True, capture_output=True,
                       env={**os.environ, "OMP_WAIT_POLICY": "passive"})
        return [json.loads(line) for line in out.read_text().splitlines()]


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
