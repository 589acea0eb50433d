// A sentencepiece tokenizer trained on texts or on the values of records.
#include <fmt/format.h>

#include <deque>
#include <optional>

#include "steerlm/data/compressor.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"
#include "steerlm/text/tokenizer_training.h"

namespace steerlm {
namespace {

// The texts of the values of all records, in their order. Throws data at the first bad record.
class Texts {
 public:
  explicit Texts(const TokenizerOptions& options) : reader_(sources(options), {}, "", reading) {}

  std::optional<std::string> next() {
    while (values_.empty()) {
      auto input = reader_.next();
      if (!input) return std::nullopt;
      if (const BadRecord* bad = std::get_if<BadRecord>(&*input)) refuse(*bad);
      for (Turn& turn : std::get<Record>(*input).conversation.turns) values_.push_back(std::move(turn.value));
    }
    std::string value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

  static std::vector<SourceOptions> sources(const TokenizerOptions& options) {
    std::vector<SourceOptions> sources;
    for (const std::string& path : options.input) sources.push_back({.path = path, .format = options.format});
    return sources;
  }

 private:
  static constexpr ReadOptions reading{.labels = Labels::ignored, .weights = false};

  RecordReader reader_;
  std::deque<std::string> values_;
};

}  // namespace

TrainedTokenizer train_tokenizer_on_files(const TokenizerOptions& options, std::int64_t seed) {
  Texts texts(options);
  TokenizerTraining training;
  training.next_text = [&] { return texts.next(); };
  training.vocab_size = options.vocab_size;
  training.model = options.kind == TokenizerKind::bpe ? TokenizerModel::bpe : TokenizerModel::unigram;
  training.seed = static_cast<std::uint64_t>(seed);
  training.reserve_markers = true;  // text or added: a marker is one piece, and a recipe may ask for either
  training.name = options.output;
  return train_tokenizer(training);
}

// One block: the file is whole or not there, and the ledger knows it again.
Outcome run_tokenizer(const Recipe& recipe, const Context& context) {
  const TokenizerOptions& options = recipe.tokenizer;
  refuse_packed_name(options.output, "tokenizer.output");
  BlockOutputOptions output_given = output_options(recipe, context);
  output_given.counts = {"pieces"};
  const OutputOptions file{.overwrite = context.overwrite, .inputs = output_given.inputs, .make_folder = true};
  if (recipe.run_dir.empty()) check_output(options.output, file);
  if (context.dry_run) {
    KnownFiles known;
    describe_inputs(recipe, known);
    std::int64_t count = 0;
    for (Texts texts(options); texts.next();) ++count;
    if (count == 0) refuse_empty_input("train a tokenizer on", Texts::sources(options));
    context.log->info(fmt::format("would train a tokenizer on {} texts into {}", count, options.output));
    return Outcome::done;
  }
  const auto train = [&] {
    TrainedTokenizer trained = train_tokenizer_on_files(options, recipe.seed);
    if (trained.vocab_size < options.vocab_size) {
      context.log->warn(
          fmt::format("the text fills {} pieces of the {} asked for", trained.vocab_size, options.vocab_size));
    }
    return trained;
  };
  std::int64_t pieces = 0;
  if (recipe.run_dir.empty()) {
    const TrainedTokenizer trained = train();
    Output output(options.output, file);
    output.write(trained.bytes);
    output.finish();
    pieces = trained.vocab_size;
  } else {
    std::optional<RunDirectory> run = begin_run(recipe, context);
    if (run->finished()) return Outcome::done;
    const TrainedTokenizer trained = train();
    run->start();
    BlockOutput output(options.output, run->files().grow("ledger.jsonl"), output_identity(recipe, run->inputs()),
                       output_given);
    if (output.completed_blocks() == 0) output.append(1, trained.bytes, "", {{"pieces", trained.vocab_size}});
    output.finish();
    pieces = output.block_counts().front().at("pieces").get<std::int64_t>();
    run->finish({{"pieces", pieces}}, {options.output});
  }
  context.log->info(fmt::format("tokenizer with {} pieces in {}", pieces, options.output));
  return Outcome::done;
}

}  // namespace steerlm
