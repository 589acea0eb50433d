// A sentencepiece tokenizer trained on texts or on the values of records.
#include <fmt/format.h>

#include <deque>
#include <optional>

#include "steerlm/core/paths.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"
#include "steerlm/text/tokenizer_training.h"

namespace steerlm {

std::int64_t train_tokenizer_on_files(const TokenizerOptions& options, std::int64_t seed) {
  std::vector<SourceOptions> sources;
  for (const std::string& path : options.input) sources.push_back({.path = path, .format = options.format});
  RecordReader reader(sources, {}, "", {.labels = Labels::ignored});
  std::deque<std::string> values;
  TokenizerTraining training;
  training.next_text = [&]() -> std::optional<std::string> {
    while (values.empty()) {
      auto input = reader.next();
      if (!input) return std::nullopt;
      if (const BadRecord* bad = std::get_if<BadRecord>(&*input)) {
        fail(ExitCode::data, {.what = bad->reason, .where = bad->file + ":" + std::to_string(bad->line)});
      }
      for (Turn& turn : std::get<Record>(*input).conversation.turns) values.push_back(std::move(turn.value));
    }
    std::string value = std::move(values.front());
    values.pop_front();
    return value;
  };
  training.vocab_size = options.vocab_size;
  training.model = options.kind == TokenizerKind::bpe ? TokenizerModel::bpe : TokenizerModel::unigram;
  training.seed = static_cast<std::uint64_t>(seed);
  training.reserve_markers = true;  // text or added: a marker is one piece, and a recipe may ask for either
  training.output = options.output;
  return train_tokenizer(training);
}

Outcome run_tokenizer(const Recipe& recipe, const Context& context) {
  const TokenizerOptions& options = recipe.tokenizer;
  if (context.dry_run) {
    describe_inputs(recipe);
    context.log->info("would train a tokenizer into " + options.output);
    return Outcome::done;
  }
  std::optional<RunDirectory> run;
  if (!recipe.run_dir.empty()) run.emplace(recipe, context);
  if (run && run->state() == RunDirectory::State::finished && is_there(options.output, ExitCode::resources)) {
    context.log->info(options.output + ": trained already, nothing to do (--fresh starts over)");
    return Outcome::done;
  }
  const std::int64_t pieces = train_tokenizer_on_files(options, recipe.seed);
  if (pieces < options.vocab_size) {
    context.log->warn(fmt::format("the text fills {} pieces of the {} asked for", pieces, options.vocab_size));
  }
  context.log->info(fmt::format("tokenizer with {} pieces in {}", pieces, options.output));
  if (run) run->finish({{"pieces", pieces}});
  return Outcome::done;
}

}  // namespace steerlm
