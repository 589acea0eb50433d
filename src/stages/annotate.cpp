// Stage 2, batch annotation (SteerLM section 3.2): a predictor writes the labels of every assistant turn of data sets
// of any size. Works in blocks of consecutive input records; a block is scored, written, synced and entered in the
// ledger as one, so that a kill costs one block and the output's bytes do not depend on it.
#include <fmt/format.h>

#include <optional>

#include "steerlm/core/made_ahead.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/progress.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

using Input = std::variant<Record, BadRecord>;

struct Shard {
  std::int64_t index, count;
};

Shard parse_shard(const std::string& text) {
  const size_t slash = text.find('/');
  return {std::stoll(text.substr(0, slash)), std::stoll(text.substr(slash + 1))};
}

// The next `size` input lines; fewer at the end.
std::vector<Input> read_block(RecordReader& reader, std::int64_t size) {
  std::vector<Input> block;
  while (static_cast<std::int64_t>(block.size()) < size) {
    auto input = reader.next();
    if (!input) break;
    block.push_back(std::move(*input));
  }
  return block;
}

std::string quarantine_line(const std::string& file, std::int64_t line, const std::string& reason, const Json& record) {
  return dump_json({{"file", file}, {"line", line}, {"reason", reason}, {"record", record}}) + "\n";
}

struct BlockResult {
  std::string output, quarantine;
  std::int64_t annotated = 0, bad = 0, turns = 0, not_kept = 0;
};

// Consecutive records of the input, read as far as can be without the predictor.
struct Block {
  std::vector<Input> inputs;
  std::vector<Record> records;  // the good ones
  EncodedRecords encoded;
};

Block encode_block(const OpenModel& predictor, std::vector<Input> inputs) {
  Block block{std::move(inputs), {}, {}};
  for (const Input& input : block.inputs) {
    if (const Record* record = std::get_if<Record>(&input)) block.records.push_back(*record);
  }
  block.encoded = encode_for_prediction(predictor, block.records);
  return block;
}

[[noreturn]] void refuse_bad_record(const std::string& file, std::int64_t line, const std::string& reason) {
  fail(ExitCode::data, {.what = reason,
                        .where = place(file, line),
                        .advice = "mend the record, or put such records aside with on_bad_record: quarantine"});
}

BlockResult annotate_block(const OpenModel& predictor, const Block& block, const AnnotateOptions& options) {
  const std::vector<Record>& records = block.records;
  const std::vector<RecordPrediction> predictions =
      predict_records(predictor, records, block.encoded, options.batch_tokens);
  BlockResult result;
  size_t next = 0;
  const auto put_aside = [&](const std::string& file, std::int64_t line, const std::string& reason,
                             const Json& record) {
    if (options.on_bad_record == OnBadRecord::stop) refuse_bad_record(file, line, reason);
    result.quarantine += quarantine_line(file, line, reason, record);
    ++result.bad;
  };
  for (const Input& input : block.inputs) {
    if (const BadRecord* bad = std::get_if<BadRecord>(&input)) {
      put_aside(bad->file, bad->line, bad->reason, bad->text);
      continue;
    }
    const Record& record = records[next];
    const RecordPrediction& prediction = predictions[next++];
    if (!prediction.fault.empty()) {
      put_aside(record.file, record.line, prediction.fault, record.json);
      continue;
    }
    result.output += dump_json(annotate(record, prediction.turns, options.human_labels == HumanLabels::keep,
                                        predictor.attributes, &result.not_kept)) +
                     "\n";
    ++result.annotated;
    result.turns += static_cast<std::int64_t>(prediction.turns.size());
  }
  return result;
}

void check_bad_share(std::int64_t bad, std::int64_t all, const AnnotateOptions& options, const std::string& where,
                     const std::string& advice) {
  const double share = all > 0 ? static_cast<double>(bad) / static_cast<double>(all) : 0;
  if (share <= options.max_bad_share) return;
  fail(ExitCode::data, {.what = "too many bad records",
                        .where = where,
                        .found = fmt::format("{} of {} ({:.1f} %)", bad, all, 100 * share),
                        .expected = fmt::format("at most {:.1f} % (max_bad_share)", 100 * options.max_bad_share),
                        .advice = advice});
}

struct InputCounts {
  std::int64_t lines = 0;          // of the whole input
  std::int64_t good = 0, bad = 0;  // of this shard
};

// What can be said without the predictor. Throws as the run would.
InputCounts count_input(RecordReader reader, const Shard& shard, const AnnotateOptions& options) {
  InputCounts counts;
  std::string first_place, first_reason;  // of the bad ones
  while (const auto input = reader.next()) {
    if (counts.lines++ / options.block_records % shard.count != shard.index) continue;
    const BadRecord* bad = std::get_if<BadRecord>(&*input);
    if (bad == nullptr) {
      ++counts.good;
      continue;
    }
    if (options.on_bad_record == OnBadRecord::stop) refuse_bad_record(bad->file, bad->line, bad->reason);
    if (++counts.bad > 1) continue;
    first_place = place(bad->file, bad->line);
    first_reason = bad->reason;
  }
  check_bad_share(counts.bad, counts.good + counts.bad, options, first_place,
                  "here: " + first_reason + "; `steerlm data check --input FILE` lists all of a file");
  return counts;
}

}  // namespace

Outcome run_annotate(const Recipe& recipe, const Context& context) {
  const AnnotateOptions& options = recipe.annotate;
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;

  const OpenModel predictor = open_model(options.predictor, computing_of(recipe), template_request(recipe));
  tell_template(predictor.folder, context);
  warn_notes(predictor.notes, context);
  require_predictor(predictor.folder);
  if (is_pairwise(predictor.folder.head.loss)) {
    context.log->warn(fmt::format(
        "{} was trained on preferences (head.loss {}): its scores order responses and are on no scale, so that labels "
        "made of them say little",
        options.predictor, enum_name(predictor.folder.head.loss)));
  }
  // Labels are written over: those of other attributes, and weights of turns, are nobody's fault here.
  const bool keep = options.human_labels == HumanLabels::keep;
  const auto open_input = [&] {
    return RecordReader(options.input, predictor.attributes, predictor.folder.text_template.system,
                        {.labels = keep ? Labels::kept : Labels::ignored, .weights = false});
  };
  const Shard shard = parse_shard(options.shard);
  // Standard input can be read once: what is wrong with it shows on the way.
  const bool looks_ahead = context.dry_run || (context.fresh && !reads_standard_input(recipe));
  const InputCounts counted = looks_ahead ? count_input(open_input(), shard, options) : InputCounts();
  if (looks_ahead && counted.lines == 0) refuse_empty_input("annotate", options.input);
  if (context.dry_run) {
    context.log->info(
        fmt::format("would annotate {} records with {}; {} bad ones", counted.good, options.predictor, counted.bad));
    return Outcome::done;
  }

  RecordReader reader = open_input();
  std::vector<Input> first = read_block(reader, options.block_records);
  if (first.empty()) refuse_empty_input("annotate", options.input);
  run->start();
  BlockOutputOptions output_given = output_options(recipe, context);
  output_given.counts = {"annotated", "bad", "turns", "not_kept"};
  BlockOutput output(options.output, run->files().grow("ledger.jsonl"), output_identity(recipe, run->inputs()),
                     output_given);
  std::int64_t annotated = 0, bad = 0, turns = 0, not_kept = 0;
  for (const Json& counts : output.block_counts()) {
    annotated += counts.at("annotated").get<std::int64_t>();
    bad += counts.at("bad").get<std::int64_t>();
    turns += counts.at("turns").get<std::int64_t>();
    not_kept += counts.at("not_kept").get<std::int64_t>();
  }
  const std::int64_t completed = output.completed_blocks();
  if (completed > 0) context.log->info(fmt::format("goes on after {} blocks", completed));
  Progress progress("annotate", "records", 0, standard_error_progress(context.quiet), annotated + bad);
  // The blocks of this shard that are not done yet. On a GPU one is read and encoded while the one before is scored; on
  // a CPU the threads that score are all that there are.
  std::int64_t number = 0, own_block = 0;
  MadeAhead<Block> blocks(predictor.transformer.device().is_cuda(), [&]() -> std::optional<Block> {
    for (;; ++number) {
      std::vector<Input> inputs = number == 0 ? std::move(first) : read_block(reader, options.block_records);
      if (inputs.empty()) return std::nullopt;
      if (number % shard.count != shard.index || own_block++ < completed) continue;
      ++number;
      return encode_block(predictor, std::move(inputs));
    }
  });
  while (!output.finished()) {
    const std::optional<Block> block = blocks.next();
    if (!block) break;
    if (stop_requested()) {
      context.log->info("stopped on request; everything is saved, the same command goes on");
      return Outcome::stopped;
    }
    const BlockResult result = annotate_block(predictor, *block, options);
    output.append(
        static_cast<std::int64_t>(block->inputs.size()), result.output, result.quarantine,
        {{"annotated", result.annotated}, {"bad", result.bad}, {"turns", result.turns}, {"not_kept", result.not_kept}});
    annotated += result.annotated;
    bad += result.bad;
    turns += result.turns;
    not_kept += result.not_kept;
    progress.update(annotated + bad, fmt::format("{} bad", bad));
  }
  if (!output.finished()) output.finish();
  progress.finish();
  context.log->info(fmt::format("{} records ({} assistant turns) annotated into {}, {} put aside{}", annotated, turns,
                                options.output, bad, bad > 0 ? " in " + output.quarantine_path().string() : ""));
  if (not_kept > 0) {
    context.log->warn(
        fmt::format("{} values that people gave are not integers from {} to {} and could not be kept; "
                    "they are in gt_label",
                    not_kept, predictor.attributes.min, predictor.attributes.max));
  }
  check_bad_share(bad, annotated + bad, options, output.quarantine_path().string(),
                  "the file says what is wrong with each");
  if (turns == 0 && annotated + bad > 0) {
    fail(ExitCode::data, {.what = annotated > 0 ? "nothing was annotated: no record has an assistant turn"
                                                : "nothing was annotated: every record is a bad one",
                          .where = options.input.front().path,
                          .found = fmt::format("{} records", annotated + bad)});
  }
  run->finish({{"annotated", annotated}, {"bad", bad}, {"turns", turns}}, {options.output});
  return Outcome::done;
}

}  // namespace steerlm
