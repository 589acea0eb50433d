#include "infer/response.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/sampling.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

bool is_end(const GenerationSettings& settings, std::int32_t id) {
  return std::ranges::find(settings.eos_ids, id) != settings.eos_ids.end();
}

// Whether the text of the last tokens holds the stop text. Every token but a control piece has at least one byte, and
// the new token may end anywhere in the stop text, so a tail of its length and a few more tokens is enough.
bool ends_in_stop_text(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids, const std::string& stop_text) {
  if (stop_text.empty()) return false;
  const size_t tail = std::min(ids.size(), stop_text.size() + 8);
  return tokenizer.decode_continuation(std::span(ids).last(tail)).find(stop_text) != std::string::npos;
}

}  // namespace

at::Tensor response_logits(const Transformer& model, const at::Tensor& hidden_rd) {
  const at::Tensor& w_vd = model.weights.output_vd();
  if (hidden_rd.is_cuda() && hidden_rd.scalar_type() == at::kBFloat16) return at::mm(hidden_rd, w_vd.t(), at::kFloat);
  if (hidden_rd.is_cuda() || hidden_rd.size(0) >= min_slots ||
      rows_are_independent(hidden_rd.scalar_type(), hidden_rd.size(0)))
    return linear_forward(hidden_rd, w_vd).to(at::kFloat).contiguous();
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < hidden_rd.size(0); ++i)
    rows.push_back(
        linear_forward(hidden_rd.narrow(0, i, 1).expand({min_slots, -1}).contiguous(), w_vd).narrow(0, 0, 1));
  return at::cat(rows).to(at::kFloat).contiguous();
}

double draw_of(const GenerationSettings& settings, std::uint64_t sample, size_t index) {
  return Rng(settings.seed, "sample " + std::to_string(sample), index).uniform();
}

at::Tensor in_one_tensor(const SampledTokens& drawn) {
  return at::stack({drawn.logprobs_r, drawn.ids_r.to(at::kDouble)});
}

HostTokens from_one_tensor(const at::Tensor& on_host_2r) {
  const std::int64_t rows = on_host_2r.size(1);
  const double* number = on_host_2r.const_data_ptr<double>();
  HostTokens tokens{{}, {number, number + rows}};
  for (std::int64_t row = 0; row < rows; ++row) tokens.ids.push_back(static_cast<std::int32_t>(number[rows + row]));
  return tokens;
}

HostTokens sample_rows(const at::Tensor& logits_rv, const std::vector<double>& uniform,
                       const GenerationSettings& settings) {
  const SamplingOptions& sampling = settings.sampling;
  return from_one_tensor(to_host(in_one_tensor(sample_tokens(logits_rv, to_device(uniform, logits_rv.device()),
                                                             sampling.temperature, sampling.top_k, sampling.top_p))));
}

bool append_token(const Tokenizer& tokenizer, const GenerationSettings& settings, const SampledToken& token,
                  GenerationResult& result) {
  if (std::isnan(token.logprob)) {
    fail(ExitCode::model, {.what = "the model's logits are not finite",
                           .found = fmt::format("NaN or infinity after {} tokens of the response", result.ids.size()),
                           .advice = beyond_range});
  }
  result.ids.push_back(token.id);
  result.logprob += token.logprob;
  result.stopped = is_end(settings, token.id) || ends_in_stop_text(tokenizer, result.ids, settings.stop_text);
  return result.stopped;
}

std::string response_text(const Tokenizer& tokenizer, std::span<const std::int32_t> ids,
                          const GenerationSettings& settings) {
  if (!settings.stop_text.empty()) {  // first, as <extra_id_1> may be a piece that is one of the ids
    std::string text = tokenizer.decode_continuation(ids);
    if (const size_t marker = text.find(settings.stop_text); marker != std::string::npos) {
      text.resize(marker);
      if (text.ends_with('\n')) text.pop_back();
      return text;
    }
  }
  if (!ids.empty() && is_end(settings, ids.back())) ids = ids.first(ids.size() - 1);
  return tokenizer.decode_continuation(ids);
}

size_t settled_length(std::string_view text, std::string_view stop_text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  while (text.ends_with(replacement)) text.remove_suffix(replacement.size());
  if (stop_text.empty()) return text.size();
  const std::string end = "\n" + std::string(stop_text);
  for (size_t held = std::min(text.size(), end.size() - 1); held > 0; --held) {
    const std::string_view tail = text.substr(text.size() - held);
    if (end.starts_with(tail) || stop_text.starts_with(tail)) return text.size() - held;
  }
  return text.size();
}

}  // namespace steerlm
