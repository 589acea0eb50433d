"""How many prompts get other ids when they are encoded as one text, as other programs do, than segment by segment, as here.

    measure_prompt_ids.py PROGRAM FOLDER RECORDS

FOLDER is a model folder with a chat template, RECORDS are records without labels. Of every record the prompt of its last target turn:
its ids (`steerlm data show-mask`), and those of Transformers' tokenizer for the rendered chat template: as it is; with its BOS taken off and
left to the tokenizer; and, where the template can be cut, encoded part by part, which is what the card's code does there. Needs a Python environment with transformers, jinja2, sentencepiece and protobuf (figures: transformers 5.24.0).
"""

import json
import subprocess
import sys

import transformers


def last_prompts(program, folder, records):
    shown = subprocess.run([program, "data", "show-mask", "--model", folder, "--input", records, "--json"], capture_output=True, check=True)
    with open(records, encoding="utf-8") as file:
        for line, mask_line in zip(file, shown.stdout.decode().splitlines()):
            record, mask = json.loads(line), json.loads(mask_line)
            turns, trained = record["conversations"], mask["mask"]
            targets = [i for i, turn in enumerate(turns) if i and turn["from"] == "Assistant"]
            starts = [i for i, m in enumerate(trained) if m and not (i and trained[i - 1])]
            if not targets or len(targets) != len(starts):
                continue
            system = [{"role": "system", "content": record["system"]}] if "system" in record else []
            yield mask["token_ids"][:starts[-1]], system + [
                {"role": turn["from"].lower(), "content": turn["value"]} for turn in turns[:targets[-1]]]


def main():
    program, folder, records = sys.argv[1:]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    total = rendered = bos_left_out = parts = 0
    cuts = "steerlm_cut" in tokenizer.chat_template
    for ids, messages in last_prompts(program, folder, records):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        total += 1
        rendered += tokenizer(text, add_special_tokens=False)["input_ids"] != ids
        if cuts:
            text_with_cuts = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, steerlm_cut="\0")
            assert text_with_cuts.replace("\0", "") == text
            parts += [i for part in text_with_cuts.split("\0") for i in tokenizer(part, add_special_tokens=False)["input_ids"]] != ids
        bos_left_out += tokenizer(text.removeprefix(tokenizer.bos_token or ""))["input_ids"] != ids
    print(f"{total} prompts: other ids as rendered {rendered}, with BOS left to the tokenizer {bos_left_out}"
          + (f", part by part {parts}" if cuts else ""))


if __name__ == "__main__":
    main()
