#include "steerlm/hf/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hf/chat_template.h"
#include "steerlm/core/json.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

enum class Kind { fresh, base, chat, conditioned, label_writer, regression };

Kind kind_of(const ModelFolder& folder, const ModelCard& card) {
  if (folder.head.kind == HeadKind::regression) return Kind::regression;
  if (card.predictor) return Kind::label_writer;
  if (card.steps == 0) return Kind::fresh;
  if (folder.text_template.name == TemplateName::plain) return Kind::base;
  return folder.attributes.names.empty() ? Kind::chat : Kind::conditioned;
}

// "owner/model", which the hub would link; models/… and runs/… are folders.
bool is_hub_name(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == path.size()) return false;
  const std::string_view owner = path.substr(0, slash), name = path.substr(slash + 1);
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return owner != "models" && owner != "runs" && owner[0] != '.' && name[0] != '.' &&
         std::ranges::all_of(owner, allowed) && std::ranges::all_of(name, allowed);
}

std::string front_matter(Kind kind, const ModelCard& card) {
  std::string text = std::string("---\nlibrary_name: ") + (card.adapter ? "peft" : "transformers") + "\n";
  text += kind == Kind::regression ? "pipeline_tag: text-classification\n" : "pipeline_tag: text-generation\n";
  if (is_hub_name(card.base_model)) text += "base_model: " + card.base_model + "\n";
  return text + "tags:\n- steerlm\n---\n";
}

std::string introduction(Kind kind, const ModelFolder& folder) {
  const std::string steerlm = "SteerLM ([Dong et al. 2023](https://arxiv.org/abs/2310.05344)";
  const std::string method = folder.method.empty() ? ")" : "; defaults of `method: " + folder.method + "`)";
  switch (kind) {
    case Kind::fresh:
      return "# Fresh language model\n\nRandom weights: nothing was trained.\n";
    case Kind::base:
      return "# Base language model\n\nTrained on plain text with steerlm. It continues a text and "
             "answers nobody.\n";
    case Kind::chat:
      return "# Chat model\n\nFine-tuned on conversations with steerlm, without attributes.\n";
    case Kind::conditioned:
      return "# Attribute-conditioned language model\n\nFine-tuned on responses given their "
             "attributes: " +
             steerlm + method + ".\nThe attributes below are the dials that steer it.\n";
    case Kind::label_writer:
      return "# Attribute predictor\n\nA language model that writes the attributes of a response "
             "behind it: " +
             steerlm + method + ".\n";
    case Kind::regression:
      return "# Attribute predictor\n\nA linear head on " +
             std::string(folder.head.pooling == HeadPooling::last
                             ? "the last token"
                             : "the mean of the last hidden states over the tokens of the last response") +
             " gives a score for every attribute of the last response: " + steerlm + method + ".\n";
  }
  return "";
}

std::string attribute_table(const ModelFolder& folder, Kind kind) {
  const Attributes attributes = make_attributes(folder.attributes);
  if (!attributes.declared()) return "";
  const bool dials = kind == Kind::conditioned;
  std::string text = fmt::format("\n## Attributes\n\nIntegers from {} to {}.\n\n", attributes.min, attributes.max);
  text += dials ? "| attribute | default |\n| --- | --- |\n" : "| attribute |\n| --- |\n";
  for (size_t i = 0; i < attributes.names.size(); ++i) {
    text += "| " + attributes.names[i] + (dials ? " | " + std::to_string(attributes.defaults[i]) : "") + " |\n";
  }
  return text;
}

std::string template_section(const ModelFolder& folder) {
  const TemplateOptions& options = folder.text_template;
  std::string text = "\n## Template\n\n`" + std::string(enum_name(options.name)) + "`";
  if (options.name == TemplateName::plain) return text + ": raw text, ended by EOS.\n";
  if (options.name == TemplateName::steerlm) {
    text += options.special_tokens == SpecialTokens::added
                ? ", its markers `<extra_id_0>` to `<extra_id_2>` are pieces of the tokenizer"
                : ", its markers `<extra_id_0>` to `<extra_id_2>` are ordinary text";
  }
  // Indented, so that nothing in the prompt is Markdown.
  return text + ". The system prompt, where a conversation has none of its own:\n\n    " + dump_json(options.system) +
         "\n";
}

std::string training_section(Kind kind, const ModelCard& card) {
  if (card.steps == 0 && !card.ridge) return "";
  std::string text = "\n## Training\n\n";
  text += card.ridge ? "Ridge regression of the head on the hidden states of the base model, whose weights are as they "
                       "were.\n\n"
                     : fmt::format("{} optimiser steps.\n\n", card.steps);
  text +=
      fmt::format("| data | records read | examples | tokens of the examples | {} |\n| --- | --- | --- | --- | --- |\n",
                  kind == Kind::regression ? "known attribute values" : "trained tokens of them");
  for (const auto& [name, part] : {std::pair{"training", card.training}, std::pair{"validation", card.validation}}) {
    if (part.records == 0) continue;
    text += fmt::format("| {} | {} | {} | {} | {} |\n", name, part.records, part.examples, part.tokens, part.targets);
  }
  if (card.bad > 0) text += fmt::format("\n{} further records could not be used and were put aside.\n", card.bad);
  if (card.metrics.empty()) return text;
  text += "\nOn the validation part:\n\n| metric | value |\n| --- | --- |\n";
  for (const auto& [name, value] : card.metrics) {
    text += "| " + name.substr(name.find('/') + 1) + " | " +
            (std::isfinite(value) ? fmt::format("{:.4g}", value) : "undefined") + " |\n";
  }
  return text;
}

// Up to two dials at their defaults, which are the values that the model is steered with: "quality=4, humor=0".
std::string example_dials(const ModelFolder& folder, const char* separator) {
  std::string text;
  int count = 0;
  const Attributes attributes = make_attributes(folder.attributes);
  for (size_t i = 0; i < attributes.names.size() && count < 2; ++i) {
    if (!is_keyword_dial(attributes.names[i])) continue;
    text += (count++ > 0 ? separator : "") + attributes.names[i] + "=" + std::to_string(attributes.defaults[i]);
  }
  return text;
}

struct Usage {
  Kind kind;
  const ModelFolder& folder;
  const ModelCard& card;
  bool by_parts;  // how a rendered text is encoded
};

std::string opening_code(const char* model_class, const Usage& usage) {
  const ModelFolder& folder = usage.folder;
  const bool by_parts = usage.by_parts && usage.kind != Kind::base;
  std::string text = fmt::format(
      "```python\n{1}from transformers import {0}, AutoTokenizer\n{2}\nfolder = \"DIR\"\n"
      "tokenizer = AutoTokenizer.from_pretrained(folder)\n",
      model_class, by_parts ? "import torch\n" : "",
      usage.card.adapter ? "from peft import PeftConfig, PeftModel\n" : "");
  if (!usage.card.adapter) return text + fmt::format("model = {}.from_pretrained(folder)\n", model_class);
  // The base's padding may be the token that is scored, which the class would pass over.
  const std::string head = folder.head.kind == HeadKind::regression
                               ? fmt::format(", num_labels={}, pad_token_id=None", folder.attributes.names.size())
                               : "";
  return text + fmt::format(
                    "base = {}.from_pretrained(PeftConfig.from_pretrained(folder).base_model_name_or_path{})\n"
                    "model = PeftModel.from_pretrained(base, folder)\n",
                    model_class, head);
}

// The ids of a rendered text as the program has them. Byte-level BPE merges across the ends of segments, which the
// program does not: there the text is encoded part by part. sentencepiece does not merge them, but puts a prefix before
// a text.
std::string encoding_code(const std::string& text, bool by_parts) {
  if (!by_parts)
    return "inputs = tokenizer(" + text + ".removeprefix(tokenizer.bos_token or \"\"), return_tensors=\"pt\")\n";
  return "ids = [i for part in " + text +
         ".split(\"\\0\") for i in tokenizer(part, add_special_tokens=False)[\"input_ids\"]]\n"
         "inputs = {\"input_ids\": torch.tensor([ids]), \"attention_mask\": torch.ones(1, len(ids), "
         "dtype=torch.long)}\n";
}

// An argument of apply_chat_template.
std::string cut_argument(bool by_parts) { return by_parts ? ", steerlm_cut=\"\\0\"" : ""; }

// What generates from `messages`, or from `prompt`.
std::string generating_code(const std::string& prompt, bool by_parts, const std::string& max_new_tokens,
                            const std::string& cut) {
  return prompt + encoding_code("prompt", by_parts) +
         "output = model.generate(**inputs, max_new_tokens=" + max_new_tokens +
         ", do_sample=False, pad_token_id=tokenizer.eos_token_id, "
         "tokenizer=tokenizer)\n"
         "response = tokenizer.decode(output[0, inputs[\"input_ids\"].shape[1]:], "
         "skip_special_tokens=True)" +
         cut + "\nprint(response)\n```\n";
}

// Takes off what ends a response, where decoding spells it.
std::string cut_code(const ModelFolder& folder) {
  const TurnLayout* layout = turn_layout(folder.text_template.name);
  if (layout != nullptr) return ".removesuffix(\"" + std::string(layout->end) + "\")";
  return ".removesuffix(\"<extra_id_1>\").removesuffix(\"\\n\")";
}

std::string chat_usage(const Usage& usage) {
  const ModelFolder& folder = usage.folder;
  const bool dials = usage.kind == Kind::conditioned;
  const std::string set = dials ? example_dials(folder, ",") : "";
  const std::string keywords = dials ? example_dials(folder, ", ") : "";
  std::string text = "```\nsteerlm generate --model DIR --prompt \"Name a red fruit.\"" +
                     (set.empty() ? "" : " --set " + set) + "\nsteerlm chat --model DIR" +
                     (set.empty() ? "" : " --set " + set) + "\n```\n\nWith Transformers:\n\n";
  text += opening_code("AutoModelForCausalLM", usage);
  text += generating_code(
      "messages = [{\"role\": \"user\", \"content\": \"Name a red fruit.\"}]\n"
      "prompt = tokenizer.apply_chat_template(messages, tokenize=False, "
      "add_generation_prompt=True" +
          cut_argument(usage.by_parts) + (keywords.empty() ? "" : ", " + keywords) + ")\n",
      usage.by_parts, "256", cut_code(folder));
  if (!dials) return text;
  text += "\nDials that are not given keep their defaults.";
  for (const std::string& name : folder.attributes.names) {
    if (!is_keyword_dial(name))
      text += " `" + name + "` cannot be a keyword here and keeps its default in Transformers.";
  }
  return text + "\n";
}

constexpr const char* scored_messages =
    "messages = [{\"role\": \"user\", \"content\": \"Name a red fruit.\"}, {\"role\": \"assistant\", \"content\": \"A "
    "cherry.\"}]\n";

std::string label_writer_usage(const Usage& usage) {
  std::string text =
      "```\nsteerlm score --model DIR --input records.jsonl --output scores.jsonl\n```\n\nWith "
      "Transformers, which unlike steerlm "
      "does not hold it to the names and values above:\n\n" +
      opening_code("AutoModelForCausalLM", usage);
  return text + generating_code(scored_messages + ("prompt = tokenizer.apply_chat_template(messages, tokenize=False, "
                                                   "add_generation_prompt=True" +
                                                   cut_argument(usage.by_parts) + ")\n"),
                                usage.by_parts, "128", cut_code(usage.folder));
}

// `begin`: how many tokens of `text` are before the value of its last turn. Each segment of a text that is cut ends
// with a cut.
std::string response_begin_code(const ModelFolder& folder, bool by_parts) {
  const TurnLayout* layout = turn_layout(folder.text_template.name);
  if (by_parts) {
    return fmt::format(
        "begin = sum(len(tokenizer(part, add_special_tokens=False)[\"input_ids\"]) for part in "
        "text.split(\"\\0\")[:{}])\n",
        layout != nullptr ? -3 : -4);
  }
  const std::string end = layout != nullptr ? std::string(layout->end) : "\\n" + std::string(label_marker);
  return "before = text.removesuffix(\"" + end +
         "\").removesuffix(messages[-1][\"content\"])\n"
         "begin = len(tokenizer(before.removeprefix(tokenizer.bos_token or \"\"))[\"input_ids\"])\n";
}

std::string regression_usage(const Usage& usage) {
  const ModelFolder& folder = usage.folder;
  std::string text =
      "```\nsteerlm score --model DIR --input records.jsonl --output scores.jsonl\n```\n\nWith "
      "Transformers";
  const bool mean = folder.head.pooling == HeadPooling::mean;
  if (mean) text += ", whose class for sequence classification would score the last token instead of the mean";
  text += folder.head.bias ? std::string(mean ? " and" : ", which") + " does not read the head's bias:\n\n" : ":\n\n";
  text += opening_code("AutoModelForSequenceClassification", usage) + scored_messages +
          "text = tokenizer.apply_chat_template(messages, tokenize=False" + cut_argument(usage.by_parts) + ")\n" +
          encoding_code("text", usage.by_parts);
  text += mean ? response_begin_code(folder, usage.by_parts) +
                     "states = model.base_model(**inputs).last_hidden_state[0, begin:]\n"
                     "scores = states.mean(0) @ model.score.weight.T\n"
               : "scores = model(**inputs).logits[0]\n";
  if (folder.head.bias) {
    text +=
        "\nfrom pathlib import Path\nfrom safetensors.torch import load_file\nfor file in "
        "Path(folder).glob(\"*.safetensors\"):\n"
        "    for name, weight in load_file(file).items():\n        if name.endswith(\"score.bias\"):\n"
        "            scores = scores + weight\n";
  }
  return text + "print(dict(zip(" + dump_json(folder.attributes.names) + ", scores.tolist())))\n```\n";
}

std::string usage_section(const Usage& usage, const Tokenizer& tokenizer) {
  std::string text = "\n## Use\n\n`DIR` stands for the path of this folder.";
  if (tokenizer.path().extension() == ".model")
    text += " Transformers reads a `tokenizer.model` with the help of the packages sentencepiece and protobuf.";
  if (usage.by_parts && usage.kind != Kind::base && usage.kind != Kind::fresh)
    text +=
        " The prompt is encoded part by part, as it was in training: its tokenizer would merge characters across the "
        "ends of the parts.";
  text += "\n\n";
  switch (usage.kind) {
    case Kind::regression:
      return text + regression_usage(usage);
    case Kind::label_writer:
      return text + label_writer_usage(usage);
    case Kind::base:
      return text +
             "```\nsteerlm generate --model DIR --raw --prompt \"Once upon a time\"\n```\n\nWith "
             "Transformers:\n\n" +
             opening_code("AutoModelForCausalLM", usage) +
             generating_code("prompt = \"Once upon a time\"\n", false, "64", "");
    case Kind::fresh:
      return "\nIt is a start for `steerlm sft` and `steerlm train-predictor`.\n";
    case Kind::chat:
    case Kind::conditioned:
      break;
  }
  return text + chat_usage(usage);
}

}  // namespace

std::string model_card(const ModelFolder& folder, const Tokenizer& tokenizer, const ModelCard& card) {
  const Kind kind = kind_of(folder, card);
  std::string text = front_matter(kind, card) + "\n" + introduction(kind, folder);
  if (card.adapter)
    text +=
        "\nThis folder is a LoRA adapter: it holds what was trained and needs the model that adapter_config.json "
        "names.\n";
  text += attribute_table(folder, kind) + template_section(folder) + training_section(kind, card) +
          usage_section({kind, folder, card, encodes_segments_alike(tokenizer)}, tokenizer);
  return text +
         "\nThe licence is for whoever publishes the model to state: it follows from those of the "
         "base model and of the data.\n";
}

}  // namespace steerlm
