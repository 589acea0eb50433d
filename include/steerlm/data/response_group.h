// The records of SteerLM 2.0, as NeMo-Aligner's train_steerlm2 reads them: a prompt, the label that it was answered at,
// and n responses with the natural logarithms of three probabilities each:
//   {"system": "…", "prompt_turns": [{"from": "User", "value": "…"}], "label": "helpfulness:4,…",
//    "responses": [{"from": "Assistant", "value": "…", "log(P(a|x,y))": -1.9, "log(P(y|x))": -6.2,
//                   "log(Q(y|a,x))": -5.8}]}
// Numbers are numbers, not texts. Unknown keys travel through.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "steerlm/data/dataset.h"
#include "steerlm/data/record.h"
#include "steerlm/data/record_reader.h"

namespace steerlm {

inline constexpr std::string_view label_given_response_key = "log(P(a|x,y))";  // of the predictor
inline constexpr std::string_view response_key = "log(P(y|x))";                // of a model without labels
inline constexpr std::string_view response_given_label_key = "log(Q(y|a,x))";  // of the policy that wrote the responses
inline constexpr std::string_view response_keys[] = {label_given_response_key, response_key, response_given_label_key};
// Our own: how many tokens the two latter are of.
inline constexpr std::string_view response_tokens_key = "tokens";

struct ResponseGroup {
  Json json;  // the line as read
  std::vector<Record>
      records;        // one a response: the prompt's turns, context only, and the response, which is the target
  std::string place;  // file:line
};

// Streams the groups of sources. With `labels` dropped the records are chat without labels: P(y|x). `text`:
// Record::text of the first record is kept.
class ResponseGroupReader {
 public:
  ResponseGroupReader(std::vector<SourceOptions> sources, Attributes attributes, std::string default_system,
                      Labels labels = Labels::obeyed, bool text = false);
  ResponseGroupReader(ResponseGroupReader&&) noexcept;
  ~ResponseGroupReader();

  // Nothing at the end. Throws data at the first bad line, and for a line of another format.
  std::optional<ResponseGroup> next();
  // The same, but what is wrong with a line is given instead of thrown.
  std::optional<std::variant<ResponseGroup, BadRecord>> next_or_bad();
  // How much of the input that was, from 0 to 1, by bytes of the files; nothing where standard input is read.
  std::optional<double> share_read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The weights w' of the responses of one prompt: softmax of log P(a|x,y) + log P(y|x) - log Q'(y|a,x) (HelpSteer2,
// arXiv 2406.08673, section 4.5).
std::vector<double> response_weights(const std::vector<double>& log_w);

// The responses of a prompt side by side, a group each; Example::weight is w', sampling_log_p is log Q'(y|a,x). Of
// data.train and data.validation, or the share data.validation_fraction of the training prompts. A response over
// data.max_tokens is left out (counted) or an error, as data.over_length says. A bad line is put aside where the
// builder does so, also one with a response without one of the three numbers or with another number of tokens than they
// are of. Throws data for the first one otherwise, and where no group of two responses is left to train on. False:
// stopped by the builder.
bool encode_response_groups(const DataOptions& data, const Attributes& attributes,
                            const ConversationTemplate& conversation_template, DatasetBuilder& builder);
// data.validation alone, as encode_validation of data/dataset.h.
bool encode_validation_groups(const DataOptions& data, const Attributes& attributes,
                              const ConversationTemplate& conversation_template, DatasetBuilder& builder);

}  // namespace steerlm
