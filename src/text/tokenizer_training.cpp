#include "steerlm/text/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <array>
#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "steerlm/core/rng.h"
#include "steerlm/text/tokenizer.h"
#include "text/spm_log.h"
#include "text/spm_model.h"

namespace steerlm {
namespace {

// Ids 0 to 2, and the bytes.
constexpr std::int64_t fixed_pieces = 3 + 256;
// sentencepiece leaves out longer lines, and its BPE trainer ends the process at 65536 characters without a space.
constexpr size_t longest_line = 4096;
// A line of training ends at: the line end; the tab, which the trainer takes for a boundary; U+2585, which stands for
// unknown characters inside it, so that it leaves out lines that hold it.
constexpr std::array<std::string_view, 3> boundaries{"\n", "\t", "\xE2\x96\x85"};
constexpr size_t most_lines = 5'000'000;

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The lines of the texts, longer ones in parts that end at a space where there is one. Of more than `most_lines` a
// uniform sample, drawn with the seed (reservoir sampling, Vitter 1985, algorithm R).
class Lines {
 public:
  explicit Lines(std::uint64_t seed) : seed_(seed) {}

  void add_text(std::string_view text) {
    while (!text.empty()) {
      size_t end = text.size();
      size_t skip = 0;
      for (const std::string_view boundary : boundaries) {
        const size_t at = text.substr(0, end).find(boundary);
        if (at == std::string_view::npos) continue;
        end = at;
        skip = boundary.size();
      }
      add_line(text.substr(0, end));
      text.remove_prefix(end + skip);
    }
  }
  std::vector<std::string>& lines() { return lines_; }

 private:
  void add_line(std::string_view line) {
    while (line.size() > longest_line) {
      size_t end = line.rfind(' ', longest_line);
      const bool at_space = end != std::string_view::npos && end > 0;
      if (!at_space) {
        end = longest_line;
        while (end > 1 && continues_character(line[end])) --end;
      }
      keep(line.substr(0, end));
      line.remove_prefix(at_space ? end + 1 : end);  // the dummy prefix takes the space's place
    }
    if (!line.empty()) keep(line);
  }
  void keep(std::string_view line) {
    const std::uint64_t number = seen_++;
    if (number < most_lines) {
      lines_.emplace_back(line);
    } else if (const auto place = Rng(seed_, "tokenizer line", number).below(number + 1); place < most_lines) {
      lines_[place] = line;
    }
  }

  std::uint64_t seed_;
  std::uint64_t seen_ = 0;
  std::vector<std::string> lines_;
};

// sentencepiece copies what it is given: a line is let go when it has been.
class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }
  void Next() override { std::string().swap(lines_[at_++]); }

 private:
  std::vector<std::string>& lines_;
  size_t at_ = 0;
};

std::unordered_map<std::string, std::string> trainer_arguments(const TokenizerTraining& training) {
  std::unordered_map<std::string, std::string> arguments{
      {"model_type", training.model == TokenizerModel::bpe ? "bpe" : "unigram"},
      {"vocab_size", std::to_string(training.vocab_size)},
      {"hard_vocab_limit", "false"},  // a smaller one where the text cannot fill it
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},              // a label's value is one piece
      {"split_by_unicode_script", "false"},  // its name with the colon is another; 2-4 % fewer pieces on dialogues
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"max_sentence_length", std::to_string(2 * longest_line)},
      {"num_threads", "1"},  // the order of floating-point sums is fixed
      {"minloglevel", "3"},
  };
  if (training.reserve_markers) {
    arguments["user_defined_symbols"] =
        std::string(system_marker) + "," + std::string(turn_marker) + "," + std::string(label_marker);
  }
  return arguments;
}

[[noreturn]] void fail_vocabulary(const TokenizerTraining& training, std::int64_t smallest) {
  fail(ExitCode::recipe,
       {.what = "the vocabulary is too small for the text",
        .where = training.name,
        .found = std::to_string(training.vocab_size) + " pieces",
        .expected = "at least " + std::to_string(smallest) + ": 3 special pieces, 256 bytes" +
                    (training.reserve_markers ? ", 3 markers" : "") + " and the characters of the text"});
}

// "Vocabulary size is smaller than required_chars. 300 vs 412. …" of trainer_interface.cc; 0 for another message.
std::int64_t required_pieces(const std::string& message) {
  const size_t at = message.find("required_chars");
  const size_t versus = message.find(" vs ", at);
  return at == std::string::npos || versus == std::string::npos ? 0 : std::atoll(message.c_str() + versus + 4);
}

}  // namespace

TrainedTokenizer train_tokenizer(const TokenizerTraining& training) {
  const std::int64_t smallest = fixed_pieces + (training.reserve_markers ? 3 : 0) + 1;
  if (training.vocab_size < smallest) fail_vocabulary(training, smallest);
  if (training.vocab_size > 1 << 24) {
    fail(ExitCode::recipe, {.what = "the vocabulary is too large",
                            .where = training.name,
                            .found = std::to_string(training.vocab_size) + " pieces",
                            .expected = "at most " + std::to_string(1 << 24)});
  }
  silence_sentencepiece();
  Lines lines(training.seed);
  while (const auto text = training.next_text()) lines.add_text(*text);
  if (lines.lines().empty()) {
    fail(ExitCode::data, {.what = "there is no text to train a tokenizer on", .where = training.name});
  }
  std::string bytes;
  LineIterator iterator(lines.lines());
  const auto status = sentencepiece::SentencePieceTrainer::Train(trainer_arguments(training), &iterator, &bytes);
  if (!status.ok()) {
    if (const std::int64_t required = required_pieces(status.error_message())) fail_vocabulary(training, required);
    fail(ExitCode::data, {.what = "sentencepiece cannot train a tokenizer on this text",
                          .where = training.name,
                          .advice = "give more text"});
  }
  const auto vocab_size = static_cast<std::int64_t>(read_spm_model(bytes, training.name).pieces.size());
  return {std::move(bytes), vocab_size};
}

}  // namespace steerlm
