#include "steerlm/infer/label_decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "steerlm/core/error.h"
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

// Where the values of the attribute are told apart: sets goal and value_tokens, and takes back what the cache holds
// beyond.
void aim(Writer& writer, const Tokenizer& tokenizer, const Attributes& attributes,
         const std::vector<std::int32_t>& prefix) {
  std::vector<std::vector<std::int32_t>> candidates;
  for (int value = attributes.min; value <= attributes.max; ++value) {
    std::vector<std::int32_t> ids = prefix;
    tokenizer.append_continuation(writer.text + attributes.names[writer.attribute] + ":" + std::to_string(value), ids);
    candidates.push_back(std::move(ids));
  }
  size_t common = candidates[0].size();
  for (const auto& ids : candidates) {
    const auto mismatch = std::mismatch(candidates[0].begin(), candidates[0].end(), ids.begin(), ids.end());
    common = std::min(common, static_cast<size_t>(mismatch.first - candidates[0].begin()));
  }
  writer.goal.assign(candidates[0].begin(), candidates[0].begin() + static_cast<std::ptrdiff_t>(common));
  writer.value_tokens.clear();
  std::set<std::int32_t> distinct;
  for (const auto& ids : candidates) {
    if (common < ids.size()) distinct.insert(ids[common]);
    writer.value_tokens.push_back(common < ids.size() ? ids[common] : 0);
  }
  if (distinct.size() != candidates.size()) {
    fail(
        ExitCode::model,
        {.what = "the tokenizer does not tell all values of an attribute apart by one piece",
         .where = attributes.names[writer.attribute],
         .expected = "values from " + std::to_string(attributes.min) + " to " + std::to_string(attributes.max) +
                     " that start with different pieces",
         .advice =
             "train the predictor on a range of one digit (attributes.max: 9 or less), or with head.kind: regression"});
  }
  // A longer label may be split otherwise: what differs is fed again. At least the last token is, its hidden state is
  // needed.
  const auto mismatch = std::mismatch(writer.fed.begin(), writer.fed.end(), writer.goal.begin(), writer.goal.end());
  const size_t same = std::min(static_cast<size_t>(mismatch.first - writer.fed.begin()), writer.goal.size() - 1);
  writer.fed.resize(same);
}

void read_value(Writer& writer, const float* logits, const Attributes& attributes, DecodedLabel& label) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int32_t token : writer.value_tokens) largest = std::max(largest, static_cast<double>(logits[token]));
  const bool finite =
      std::ranges::all_of(writer.value_tokens, [&](auto token) { return std::isfinite(logits[token]); });
  if (!finite)
    fail(ExitCode::model,
         {.what = "the predictor's logits of the values of '" + attributes.names[writer.attribute] + "' are not finite",
          .advice = beyond_range});
  double total = 0, expected = 0;
  size_t best = 0;
  for (size_t i = 0; i < writer.value_tokens.size(); ++i) {
    const double weight = std::exp(static_cast<double>(logits[writer.value_tokens[i]]) - largest);
    total += weight;
    expected += weight * (attributes.min + static_cast<double>(i));
    if (logits[writer.value_tokens[i]] > logits[writer.value_tokens[best]]) best = i;
  }
  const int value = attributes.min + static_cast<int>(best);
  label.best.push_back(static_cast<float>(value));
  label.expected.push_back(static_cast<float>(expected / total));
  writer.text += attributes.names[writer.attribute] + ":" + std::to_string(value) + ",";
  ++writer.attribute;
}

}  // namespace

std::vector<DecodedLabel> decode_labels(const Transformer& model, const Tokenizer& tokenizer,
                                        const Attributes& attributes,
                                        std::span<const std::vector<std::int32_t>> prefixes, std::int64_t slots) {
  std::string longest_label;
  for (const std::string& name : attributes.names) longest_label += name + ":" + std::to_string(attributes.max) + ",";
  const std::int64_t label_tokens =
      static_cast<std::int64_t>(longest_label.size()) + 1;  // a piece has at least one byte
  std::int64_t capacity = 0;
  for (const auto& prefix : prefixes)
    capacity = std::max(capacity, static_cast<std::int64_t>(prefix.size()) + label_tokens);
  capacity = std::min(capacity, model.config.context_length());

  slots = std::max(min_slots, std::min<std::int64_t>(slots, static_cast<std::int64_t>(prefixes.size())));
  KvCache cache = make_kv_cache(model, slots, capacity);
  std::vector<Writer> writers(static_cast<size_t>(slots));
  std::vector<DecodedLabel> labels(prefixes.size());
  size_t next = 0;
  for (;;) {
    std::vector<bool> active(static_cast<size_t>(slots), false);
    std::vector<std::int32_t> ids(static_cast<size_t>(slots), 0);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      Writer& writer = writers[slot];
      if (writer.request < 0 && next < prefixes.size()) {
        writer = Writer{};
        writer.request = static_cast<std::int64_t>(next++);
        const auto& prefix = prefixes[writer.request];
        writer.fed.assign(prefix.begin(), prefix.end() - 1);
        prefill(model, cache, slot, writer.fed);
        aim(writer, tokenizer, attributes, prefix);
        cache.lengths[slot] = static_cast<std::int64_t>(writer.fed.size());
      }
      if (writer.request < 0) continue;
      if (static_cast<std::int64_t>(writer.fed.size()) >= capacity) {
        fail(ExitCode::data, {.what = "the conversation leaves no room for the label",
                              .where = "conversation " + std::to_string(writer.request)});
      }
      active[slot] = true;
      ids[slot] = writer.goal[writer.fed.size()];
    }
    if (std::ranges::find(active, true) == active.end()) return labels;

    const at::Tensor hidden_rd = decode_step(model, cache, ids, active);
    const at::Tensor logits_rv = linear_forward(hidden_rd, model.weights.output_vd()).to(at::kFloat).contiguous();
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      if (!active[slot]) continue;
      Writer& writer = writers[slot];
      writer.fed.push_back(ids[slot]);
      if (writer.fed.size() < writer.goal.size()) continue;
      read_value(writer, logits_rv.const_data_ptr<float>() + slot * logits_rv.size(1), attributes,
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
