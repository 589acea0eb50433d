#include "text/tokenizer_steps.h"

#include <algorithm>

#include "steerlm/core/json_fields.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581
constexpr size_t most_steps = 16;                          // of one kind; files have up to 5
constexpr size_t most_content =
    16;  // bytes that a step writes for a match: a few such steps must not make a text a million times longer
constexpr std::ptrdiff_t most_replacements = 4;

// Calls use(step) for the steps of a Sequence, whose list has the key `list`, or for the one step that is none.
template <class Use>
void for_each_step(const Json* json, const char* kind, const char* list, const std::string& where, Use use,
                   int depth = 0) {
  if (!json) return;
  const auto type = json->is_object() ? json->find("type") : json->end();
  if (!json->is_object() || type == json->end() || *type != "Sequence") return use(*json);
  JsonFields sequence(*json, where, std::string("the ") + kind + " Sequence");
  sequence.ignore({"type"});
  const Json& steps = sequence.require(list);
  sequence.end();
  if (!steps.is_array() || depth > 4) sequence.refuse_value(list);
  for (const Json& step : steps) for_each_step(&step, kind, list, where, use, depth + 1);
}

std::string step_type(const Json& json, const char* kind, const std::string& where) {
  return JsonFields(json, where, std::string("the ") + kind).text("type");
}

[[noreturn]] void refuse_type(const char* kind, const std::string& type, const std::string& where,
                              const char* expected) {
  fail(ExitCode::model,
       {.what = std::string("the ") + kind + " " + type + " is not supported", .where = where, .expected = expected});
}

// {"String": "…"} or {"Regex": "…"}
std::string read_pattern(JsonFields& fields, bool* literal) {
  const Json& pattern = fields.require("pattern");
  for (const char* key : {"String", "Regex"}) {
    if (!pattern.is_object() || pattern.size() != 1 || !pattern.contains(key) || !pattern[key].is_string()) continue;
    *literal = key == std::string_view("String");
    auto text = pattern[key].get<std::string>();
    if (!text.empty()) return text;
  }
  fields.refuse_value("pattern");
}

std::string read_literal(JsonFields& fields) {
  bool literal = false;
  std::string pattern = read_pattern(fields, &literal);
  if (!literal) fields.refuse_value("pattern");
  return pattern;
}

std::string read_content(JsonFields& fields, const char* key) {
  std::string content = fields.text(key);
  if (content.size() > most_content) fields.refuse_value(key);
  return content;
}

template <class Step>
void check_count(const std::vector<Step>& steps, const JsonFields& fields) {
  if (steps.size() > most_steps) fields.refuse("more than " + std::to_string(most_steps) + " steps");
}

template <class Step>
void add_replacement(JsonFields& fields, std::vector<Step>& steps) {
  std::string pattern = read_literal(fields);
  steps.push_back(
      {.kind = Step::Kind::replace, .pattern = std::move(pattern), .content = read_content(fields, "content")});
  if (std::ranges::count(steps, Step::Kind::replace, &Step::kind) > most_replacements)
    fields.refuse("more than 4 of them");
}

PreTokenizerStep read_split(JsonFields& fields) {
  PreTokenizerStep step{.kind = PreTokenizerStep::Kind::split};
  step.pattern = read_pattern(fields, &step.literal);
  const std::string behavior = fields.text("behavior");
  const bool invert = fields.flag("invert", false);
  if (behavior != "Isolated" && behavior != "Removed") fields.refuse_value("behavior");
  step.drop_matches = behavior == "Removed" && !invert;
  step.drop_rest = behavior == "Removed" && invert;
  return step;
}

void read_replacement(JsonFields& fields) {
  if (fields.text("replacement") != space_symbol) fields.refuse_value("replacement");
  if (fields.text("str_rep", std::string(space_symbol)) != space_symbol) fields.refuse_value("str_rep");
}

PreTokenizerStep::Prepend read_prepend(JsonFields& fields) {
  using Prepend = PreTokenizerStep::Prepend;
  const std::string scheme = fields.text("prepend_scheme", "always");
  if (scheme != "always" && scheme != "first" && scheme != "never") fields.refuse_value("prepend_scheme");
  // Files of older versions have add_prefix_space in its place.
  if (!fields.flag("add_prefix_space", true)) return Prepend::never;
  return scheme == "always" ? Prepend::always : scheme == "first" ? Prepend::first : Prepend::never;
}

std::int32_t token_id(const std::string& token, const TokenizerJson& json, const JsonFields& fields) {
  const auto added = std::ranges::find(json.added, token, &AddedToken::text);
  if (added != json.added.end()) return *added->id;
  const auto piece =
      std::ranges::find(json.vocabulary, token, [](const auto& entry) -> const std::string& { return entry.first; });
  if (piece == json.vocabulary.end()) fields.refuse("the token '" + token + "' is not in the vocabulary");
  return piece->second;
}

// The ids of special_tokens, which must be those of the vocabulary.
void check_special_tokens(const Json& json, const TokenizerJson& result, const std::string& where) {
  if (!json.is_object()) fail(ExitCode::model, {.what = "'special_tokens' is not an object", .where = where});
  for (const auto& [name, value] : json.items()) {
    JsonFields fields(value, where, "the special token '" + name + "' of the post-processor");
    const Json& ids = fields.require("ids");
    if (ids.size() != 1 || !ids.is_array() || ids[0] != token_id(name, result, fields)) fields.refuse_value("ids");
  }
}

// "single": [{"SpecialToken": {"id": "<s>", …}}, {"Sequence": {"id": "A", …}}, …]
void read_template(JsonFields& fields, TokenizerJson& result, const std::string& where) {
  fields.ignore({"type", "pair"});
  const Json& single = fields.require("single");
  if (!single.is_array()) fields.refuse_value("single");
  if (const Json* tokens = fields.find("special_tokens")) check_special_tokens(*tokens, result, where);
  bool text_seen = false;
  for (const Json& item : single) {
    if (item.is_object() && item.contains("Sequence") && !text_seen) {
      text_seen = true;
      continue;
    }
    const auto token = item.is_object() ? item.find("SpecialToken") : item.end();
    if (!item.is_object() || token == item.end() || !token->is_object() || !token->contains("id") ||
        !(*token)["id"].is_string()) {
      fields.refuse_value("single");
    }
    auto& place = text_seen ? result.last : result.first;
    if (place) fields.refuse_value("single");
    place = token_id((*token)["id"].get<std::string>(), result, fields);
  }
  if (!text_seen) fields.refuse_value("single");
}

}  // namespace

void read_normalizer(const Json* json, const std::string& where, TokenizerJson& result) {
  for_each_step(json, "normalizer", "normalizers", where, [&](const Json& entry) {
    const std::string type = step_type(entry, "normalizer", where);
    JsonFields fields(entry, where, "the normalizer " + type);
    fields.ignore({"type"});
    if (type == "NFC") {
      result.normalizer.push_back({NormalizerStep::Kind::nfc, "", ""});
    } else if (type == "Prepend") {
      result.normalizer.push_back({NormalizerStep::Kind::prepend, "", read_content(fields, "prepend")});
    } else if (type == "Replace") {
      add_replacement(fields, result.normalizer);
    } else {
      refuse_type("normalizer", type, where, "NFC, Prepend, Replace or a Sequence of them");
    }
    check_count(result.normalizer, fields);
    fields.end();
  });
}

void read_pre_tokenizer(const Json* json, const std::string& where, TokenizerJson& result) {
  using Kind = PreTokenizerStep::Kind;
  for_each_step(json, "pre-tokenizer", "pretokenizers", where, [&](const Json& entry) {
    const std::string type = step_type(entry, "pre-tokenizer", where);
    JsonFields fields(entry, where, "the pre-tokenizer " + type);
    fields.ignore({"type"});
    if (!result.pre_tokenizer.empty() && result.pre_tokenizer.back().kind == Kind::byte_level) {
      fields.refuse("a step behind ByteLevel is not supported");
    }
    if (type == "Split") {
      result.pre_tokenizer.push_back(read_split(fields));
    } else if (type == "Digits") {
      result.pre_tokenizer.push_back(
          {.kind = Kind::split, .pattern = fields.flag("individual_digits", false) ? "\\p{N}" : "\\p{N}+"});
    } else if (type == "ByteLevel") {
      PreTokenizerStep step{.kind = Kind::byte_level, .add_prefix_space = fields.flag("add_prefix_space", true)};
      if (fields.flag("use_regex", true)) step.pattern = gpt2_pattern;
      fields.ignore({"trim_offsets"});
      result.pre_tokenizer.push_back(std::move(step));
    } else if (type == "Metaspace") {
      read_replacement(fields);
      PreTokenizerStep step{.kind = Kind::metaspace, .prepend = read_prepend(fields)};
      step.split_words = fields.flag("split", true);
      result.pre_tokenizer.push_back(std::move(step));
    } else {
      refuse_type("pre-tokenizer", type, where, "Split, Digits, ByteLevel, Metaspace or a Sequence of them");
    }
    check_count(result.pre_tokenizer, fields);
    fields.end();
  });
}

void read_decoder(const Json* json, const std::string& where, TokenizerJson& result) {
  using Kind = DecoderStep::Kind;
  for_each_step(json, "decoder", "decoders", where, [&](const Json& entry) {
    const std::string type = step_type(entry, "decoder", where);
    JsonFields fields(entry, where, "the decoder " + type);
    fields.ignore({"type"});
    if (type == "ByteLevel") {
      fields.ignore({"add_prefix_space", "trim_offsets", "use_regex"});
      result.decoder.push_back({.kind = Kind::byte_level});
    } else if (type == "Replace") {
      add_replacement(fields, result.decoder);
    } else if (type == "ByteFallback" || type == "Fuse") {
      result.decoder.push_back({.kind = type == "Fuse" ? Kind::fuse : Kind::byte_fallback});
    } else if (type == "Strip") {
      DecoderStep step{.kind = Kind::strip, .pattern = fields.text("content")};
      const std::int64_t start = fields.integer("start", 0, 1 << 20);
      const std::int64_t stop = fields.integer("stop", INT64_MIN, INT64_MAX);
      if (step.pattern.empty() || utf8_length(step.pattern[0]) != step.pattern.size()) fields.refuse_value("content");
      if (stop != 0) fields.refuse_value("stop");
      if (result.decoder.empty() || result.decoder.back().kind != Kind::fuse) fields.refuse("it does not follow Fuse");
      step.start = static_cast<size_t>(start);
      result.decoder.push_back(std::move(step));
    } else if (type == "Metaspace") {
      read_replacement(fields);
      const bool prefix = read_prepend(fields) != PreTokenizerStep::Prepend::never;
      fields.ignore({"split"});
      result.decoder.push_back({.kind = Kind::metaspace, .prefix = prefix});
    } else {
      refuse_type("decoder", type, where,
                  "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip or a Sequence of them");
    }
    check_count(result.decoder, fields);
    fields.end();
  });
  if (result.decoder.empty()) {
    fail(ExitCode::model, {.what = "the tokenizer has no decoder, so ids cannot become text", .where = where});
  }
}

void read_post_processor(const Json* json, const std::string& where, TokenizerJson& result) {
  for_each_step(json, "post-processor", "processors", where, [&](const Json& entry) {
    const std::string type = step_type(entry, "post-processor", where);
    JsonFields fields(entry, where, "the post-processor " + type);
    if (type == "TemplateProcessing") {
      read_template(fields, result, where);
      fields.end();
    } else if (type != "ByteLevel") {  // which moves offsets only
      refuse_type("post-processor", type, where, "TemplateProcessing, ByteLevel or a Sequence of them");
    }
  });
}

}  // namespace steerlm
