#include "steerlm/infer/label_decoder.h"

#include <ATen/ops/gather.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

// One label being written in one slot.
struct Writer {
  std::int64_t request = -1;  // -1: the slot is idle
  size_t attribute = 0;
  std::string text;                        // label line up to the attribute's value: "quality:4,"
  std::vector<std::int32_t> fed;           // ids in the cache, prefix included
  std::vector<std::int32_t> goal;          // ids to have in the cache when the value is read
  std::vector<std::int32_t> value_tokens;  // the token that spells each allowed value
};

// Where the values of an attribute are told apart, and by which tokens.
struct ValuePlace {
  std::vector<std::int32_t> goal;          // the prefix and what all values have in common behind it
  std::vector<std::int32_t> value_tokens;  // the token behind it that spells each allowed value
};

// `text`: the label line up to the attribute's name. Nothing where two values go on with the same token.
std::optional<ValuePlace> value_place(const Tokenizer& tokenizer, const std::string& text, int min, int max,
                                      const std::vector<std::int32_t>& prefix) {
  if (max - min >= tokenizer.vocab_size()) return std::nullopt;
  std::vector<std::vector<std::int32_t>> candidates;
  for (int value = min; value <= max; ++value) {
    std::vector<std::int32_t> ids = prefix;
    tokenizer.append_continuation(text + ":" + std::to_string(value), ids);
    candidates.push_back(std::move(ids));
  }
  size_t common = candidates[0].size();
  for (const auto& ids : candidates) {
    const auto mismatch = std::mismatch(candidates[0].begin(), candidates[0].end(), ids.begin(), ids.end());
    common = std::min(common, static_cast<size_t>(mismatch.first - candidates[0].begin()));
  }
  ValuePlace place{.goal = {candidates[0].begin(), candidates[0].begin() + static_cast<std::ptrdiff_t>(common)},
                   .value_tokens = {}};
  std::set<std::int32_t> distinct;
  for (const auto& ids : candidates) {
    if (common == ids.size() || !distinct.insert(ids[common]).second) return std::nullopt;
    place.value_tokens.push_back(ids[common]);
  }
  return place;
}

[[noreturn]] void refuse_values(const Tokenizer& tokenizer, const Attributes& attributes, const std::string& name,
                                ExitCode code) {
  const bool digits = value_place(tokenizer, name, 0, 9, {}).has_value();
  fail(code, {.what = "the tokenizer does not tell all values of an attribute apart by one piece",
              .where = name,
              .expected = "values from " + std::to_string(attributes.min) + " to " + std::to_string(attributes.max) +
                          " that start with different pieces",
              .advice = digits ? "train the predictor with head.kind: regression, or on labels of one digit "
                                 "(attributes.min: 0 or more, attributes.max: 9 or less)"
                               : "train the predictor with head.kind: regression"});
}

// Sets goal and value_tokens, and takes back what the cache holds beyond.
void aim(Writer& writer, const Tokenizer& tokenizer, const Attributes& attributes,
         const std::vector<std::int32_t>& prefix) {
  const std::string& name = attributes.names[writer.attribute];
  std::optional<ValuePlace> place = value_place(tokenizer, writer.text + name, attributes.min, attributes.max, prefix);
  if (!place) refuse_values(tokenizer, attributes, name, ExitCode::model);
  writer.goal = std::move(place->goal);
  writer.value_tokens = std::move(place->value_tokens);
  // A longer label may be split otherwise: what differs is fed again. At least the last token is, its hidden state is
  // needed.
  const auto mismatch = std::mismatch(writer.fed.begin(), writer.fed.end(), writer.goal.begin(), writer.goal.end());
  const size_t same = std::min(static_cast<size_t>(mismatch.first - writer.fed.begin()), writer.goal.size() - 1);
  writer.fed.resize(same);
}

// `logits`: one of each allowed value.
void read_value(Writer& writer, std::span<const float> logits, const Attributes& attributes, DecodedLabel& label) {
  if (!std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); }))
    fail(ExitCode::model,
         {.what = "the predictor's logits of the values of '" + attributes.names[writer.attribute] + "' are not finite",
          .advice = beyond_range});
  const double largest = static_cast<double>(std::ranges::max(logits));
  double total = 0, expected = 0;
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(static_cast<double>(logits[i]) - largest);
    total += weight;
    expected += weight * (attributes.min + static_cast<double>(i));
    if (logits[i] > logits[best]) best = i;
  }
  const int value = attributes.min + static_cast<int>(best);
  label.best.push_back(static_cast<float>(value));
  label.expected.push_back(static_cast<float>(expected / total));
  writer.text += attributes.names[writer.attribute] + ":" + std::to_string(value) + ",";
  ++writer.attribute;
}

}  // namespace

void check_label_values(const Tokenizer& tokenizer, const Attributes& attributes, ExitCode code) {
  std::string text;
  for (const std::string& name : attributes.names) {
    if (!value_place(tokenizer, text + name, attributes.min, attributes.max, {}))
      refuse_values(tokenizer, attributes, name, code);
    text += name + ":" + std::to_string(attributes.min) + ",";
  }
}

std::vector<DecodedLabel> decode_labels(const Transformer& model, const Tokenizer& tokenizer,
                                        const Attributes& attributes,
                                        std::span<const std::vector<std::int32_t>> prefixes, std::int64_t slots,
                                        const std::function<bool()>& go_on) {
  std::string longest_label;
  for (const std::string& name : attributes.names) longest_label += name + ":" + std::to_string(attributes.max) + ",";
  const std::int64_t label_tokens =
      static_cast<std::int64_t>(longest_label.size()) + 1;  // a piece has at least one byte
  std::int64_t capacity = 0;
  for (const auto& prefix : prefixes)
    capacity = std::max(capacity, static_cast<std::int64_t>(prefix.size()) + label_tokens);
  capacity = std::min(capacity, model.config.context_length());

  const std::int64_t values = attributes.max - attributes.min + 1;
  slots = std::max(min_slots, std::min<std::int64_t>(slots, static_cast<std::int64_t>(prefixes.size())));
  KvCache cache = make_kv_cache(model, slots, capacity);
  std::vector<Writer> writers(static_cast<size_t>(slots));
  std::vector<DecodedLabel> labels(prefixes.size());
  size_t next = 0;
  for (;;) {
    if (go_on && !go_on()) return {};
    std::vector<SlotPrompt> prompts;
    for (std::int64_t slot = 0; slot < slots && next < prefixes.size(); ++slot) {
      if (writers[slot].request >= 0) continue;
      writers[slot] = Writer{.request = static_cast<std::int64_t>(next)};
      const auto& prefix = prefixes[next++];
      writers[slot].fed.assign(prefix.begin(), prefix.end() - 1);
      prompts.push_back({slot, writers[slot].fed});
    }
    prefill(model, cache, prompts);
    for (const SlotPrompt& prompt : prompts) {
      Writer& writer = writers[prompt.slot];
      aim(writer, tokenizer, attributes, prefixes[writer.request]);
      cache.lengths[prompt.slot] = static_cast<std::int64_t>(writer.fed.size());
    }

    std::vector<bool> active(static_cast<size_t>(slots), false);
    std::vector<std::int32_t> ids(static_cast<size_t>(slots), 0);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      Writer& writer = writers[slot];
      if (writer.request < 0) continue;
      if (static_cast<std::int64_t>(writer.fed.size()) >= capacity) {
        fail(ExitCode::data, {.what = "the conversation leaves no room for the label",
                              .where = "conversation " + std::to_string(writer.request)});
      }
      active[slot] = true;
      ids[slot] = writer.goal[writer.fed.size()];
    }
    if (std::ranges::find(active, true) == active.end()) return labels;

    const std::vector<std::int64_t> stepped = stepped_slots(model, active);
    const auto rows = static_cast<std::int64_t>(stepped.size());
    const at::Tensor hidden_rd = decode_step(model, cache, ids, active);
    // The logits of the values alone, of the slots that come to one.
    std::vector<std::int64_t> columns(static_cast<size_t>(rows * values), 0);
    bool any = false;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t slot = stepped[row];
      Writer& writer = writers[slot];
      if (!active[slot]) continue;
      writer.fed.push_back(ids[slot]);
      if (writer.fed.size() < writer.goal.size()) continue;
      std::ranges::copy(writer.value_tokens, columns.begin() + row * values);
      any = true;
    }
    if (!any) continue;
    const at::Tensor logits_rv = linear_forward(hidden_rd, model.weights.output_vd());
    const at::Tensor of_values =
        to_host(at::gather(logits_rv, 1, to_device(columns, model.device()).view({rows, values})).to(at::kFloat));
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t slot = stepped[row];
      Writer& writer = writers[slot];
      if (!active[slot] || writer.fed.size() < writer.goal.size()) continue;
      read_value(writer, {of_values.const_data_ptr<float>() + row * values, static_cast<size_t>(values)}, attributes,
                 labels[writer.request]);
      if (writer.attribute == attributes.names.size()) {
        writer.request = -1;
        cache.lengths[slot] = 0;
      } else {
        aim(writer, tokenizer, attributes, prefixes[writer.request]);
        cache.lengths[slot] = static_cast<std::int64_t>(writer.fed.size());
      }
    }
  }
}

}  // namespace steerlm
