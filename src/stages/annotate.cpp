// Stage 2, batch annotation (SteerLM section 3.2): a predictor writes the labels of every assistant turn of data sets
// of any size. Works in blocks of consecutive input records, whose batches are of consecutive records too; what was
// scored is written, synced and entered in the ledger every second, so that a kill or a stop costs little and the
// output's bytes do not depend on it.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "stages/bad_records.h"
#include "stages/recipe_shard.h"
#include "steerlm/core/made_ahead.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/shard.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/progress.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

using Input = std::variant<Record, BadRecord>;

// The next `size` input lines; fewer at the end, and where the run is to stop.
std::vector<Input> read_block(RecordReader& reader, std::int64_t size) {
  std::vector<Input> block;
  while (static_cast<std::int64_t>(block.size()) < size && !stop_requested()) {
    auto input = reader.next();
    if (!input) break;
    block.push_back(std::move(*input));
  }
  return block;
}

// Consecutive records of the input, read as far as can be without the predictor.
struct Block {
  std::vector<Input> inputs;
  std::vector<Record> records;  // the good ones
  EncodedRecords encoded;
  std::optional<double> share_before, share_after;  // of the input
};

Block encode_block(const OpenModel& predictor, std::vector<Input> inputs) {
  Block block{.inputs = std::move(inputs)};
  for (const Input& input : block.inputs) {
    if (const Record* record = std::get_if<Record>(&input)) block.records.push_back(*record);
  }
  block.encoded = encode_for_prediction(predictor, block.records);
  return block;
}

std::uint64_t input_hash(const Input& input) {
  return std::visit([](const auto& each) { return each.input_hash; }, input);
}

struct Counts {
  std::int64_t annotated = 0, bad = 0, turns = 0, not_kept = 0;

  void add(const Counts& other) {
    annotated += other.annotated;
    bad += other.bad;
    turns += other.turns;
    not_kept += other.not_kept;
  }
};

Json to_json(const Counts& counts) {
  return {{"annotated", counts.annotated}, {"bad", counts.bad}, {"turns", counts.turns}, {"not_kept", counts.not_kept}};
}

Counts counts_of(const Json& json) {
  return {json.at("annotated").get<std::int64_t>(), json.at("bad").get<std::int64_t>(),
          json.at("turns").get<std::int64_t>(), json.at("not_kept").get<std::int64_t>()};
}

// What the input lines from some on have become, until it is written.
struct Piece {
  std::int64_t records = 0;
  std::string output, quarantine;
  Counts counts;
  std::uint64_t input_hash = 0;  // of the last one
};

// Writes the annotated records of a block, with the bad ones between them, as far as predictions come.
class BlockWriter {
 public:
  BlockWriter(const Block& block, const OpenModel& predictor, const AnnotateOptions& options)
      : block_(block), predictor_(predictor), options_(options) {
    for (const Record& record : block.records) bytes_ += text_bytes(record);
  }

  void take(std::span<const RecordPrediction> predictions, Piece& piece) {
    for (const RecordPrediction& prediction : predictions) {
      put_bad_ones_aside(piece);
      const Record& record = block_.records[record_++];
      ++piece.records;
      piece.input_hash = input_hash(block_.inputs[input_++]);
      bytes_taken_ += text_bytes(record);
      if (!prediction.fault.empty()) {
        put_aside(record.file, record.line, prediction.fault, record.text, piece);
        continue;
      }
      piece.output += dump_json(annotate(record, prediction.turns, options_.human_labels == HumanLabels::keep,
                                         predictor_.attributes, &piece.counts.not_kept)) +
                      "\n";
      ++piece.counts.annotated;
      piece.counts.turns += static_cast<std::int64_t>(prediction.turns.size());
    }
    if (record_ == block_.records.size()) put_bad_ones_aside(piece);
  }

  // Of the work that the block is.
  double share_taken() const {
    return bytes_ == 0 ? 1 : static_cast<double>(bytes_taken_) / static_cast<double>(bytes_);
  }

 private:
  void put_bad_ones_aside(Piece& piece) {
    for (; input_ < block_.inputs.size(); ++input_, ++piece.records) {
      const BadRecord* bad = std::get_if<BadRecord>(&block_.inputs[input_]);
      if (bad == nullptr) return;
      put_aside(bad->file, bad->line, bad->reason, bad->text, piece);
      piece.input_hash = bad->input_hash;
    }
  }
  void put_aside(const std::string& file, std::int64_t line, const std::string& reason, const std::string& text,
                 Piece& piece) const {
    if (options_.on_bad_record == OnBadRecord::stop) refuse_bad_record(file, line, reason);
    piece.quarantine += quarantine_line(file, line, reason, text);
    ++piece.counts.bad;
  }

  const Block& block_;
  const OpenModel& predictor_;
  const AnnotateOptions& options_;
  size_t input_ = 0, record_ = 0;  // the next ones
  std::int64_t bytes_ = 0, bytes_taken_ = 0;
};

struct InputCounts {
  std::int64_t lines = 0;          // of the whole input
  std::int64_t good = 0, bad = 0;  // of this shard
};

// What an annotation that wrote no label ends with.
void refuse_no_turns(std::int64_t good, std::int64_t bad, std::int64_t turns, const AnnotateOptions& options) {
  if (turns > 0 || good + bad == 0) return;
  fail(ExitCode::data, {.what = good > 0 ? "nothing was annotated: no record has an assistant turn"
                                         : "nothing was annotated: every record is a bad one",
                        .where = options.input.front().path,
                        .found = fmt::format("{} records", good + bad)});
}

// What can be said without computing a score. Throws as the run would.
InputCounts count_input(RecordReader reader, const OpenModel& predictor, const Shard& shard,
                        const AnnotateOptions& options) {
  const ConversationTemplate conversation_template = make_template(predictor.folder, predictor.tokenizer);
  InputCounts counts;
  std::int64_t turns = 0;
  std::string first_place, first_reason;  // of the bad ones
  while (const auto input = reader.next()) {
    if (!shard.has(counts.lines++ / options.block_records)) continue;
    std::string file, reason;
    std::int64_t line = 0;
    if (const BadRecord* bad = std::get_if<BadRecord>(&*input)) {
      std::tie(file, line, reason) = std::tie(bad->file, bad->line, bad->reason);
    } else {
      const Record& record = std::get<Record>(*input);
      std::tie(file, line) = std::tie(record.file, record.line);
      reason = prediction_fault(predictor.folder, predictor.tokenizer, conversation_template, record);
      if (reason.empty()) turns += std::ranges::count(record.conversation.turns, "Assistant", &Turn::from);
    }
    if (reason.empty()) {
      ++counts.good;
      continue;
    }
    if (options.on_bad_record == OnBadRecord::stop) refuse_bad_record(file, line, reason);
    if (++counts.bad > 1) continue;
    first_place = place(file, line);
    first_reason = reason;
  }
  check_bad_share(counts.bad, counts.good + counts.bad, options.max_bad_share, first_place,
                  "here: " + first_reason + list_all);
  refuse_no_turns(counts.good, counts.bad, turns, options);
  return counts;
}

}  // namespace

Outcome run_annotate(const Recipe& recipe, const Context& context) {
  const AnnotateOptions& options = recipe.annotate;
  const Shard shard = recipe_shard(recipe);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);

  const OpenModel predictor = open_model(options.predictor, computing_of(recipe), template_request(recipe));
  tell_template(predictor.folder, context);
  warn_notes(predictor.notes, context);
  require_predictor(predictor);
  if (is_pairwise(predictor.folder.head.loss)) {
    context.log->warn(fmt::format(
        "{} was trained on preferences (head.loss {}): its scores order responses and are on no scale, so that labels "
        "made of them say little",
        options.predictor, enum_name(predictor.folder.head.loss)));
  }
  ReadOptions reading = read_options(recipe);
  reading.text = true;
  const auto open_input = [&] {
    return RecordReader(options.input, predictor.attributes, predictor.folder.text_template.system, reading);
  };
  // Standard input can be read once: what is wrong with it shows on the way.
  const bool looks_ahead = context.dry_run || (context.fresh && !reads_standard_input(recipe));
  const InputCounts counted = looks_ahead ? count_input(open_input(), predictor, shard, options) : InputCounts();
  if (looks_ahead && counted.lines == 0) refuse_empty_input("annotate", options.input);
  if (context.dry_run) {
    context.log->info(
        fmt::format("would annotate {} records with {}; {} bad ones", counted.good, options.predictor, counted.bad));
    return Outcome::done;
  }

  RecordReader reader = open_input();
  std::vector<Input> first = read_block(reader, options.block_records);
  if (first.empty() && !stop_requested()) refuse_empty_input("annotate", options.input);
  run->start();
  BlockOutputOptions output_given = output_options(recipe, context);
  output_given.counts = {"annotated", "bad", "turns", "not_kept"};
  output_given.needs_quarantine = shard.is_part();
  BlockOutput output(options.output, run->files().grow("ledger.jsonl"), output_identity(recipe, run->inputs()),
                     output_given);
  const Json job = shard_job(recipe, run->inputs());
  // Of an output that is whole the file that describes it may be lost: the input is read to count its records.
  const bool whole = output.finished(),
             describes = shard.is_part() && !is_there(shard_file(options.output), ExitCode::resources);
  Counts counts;
  for (const Json& each : output.block_counts()) counts.add(counts_of(each));
  std::int64_t to_skip = output.records_done();  // of this shard's records
  if (to_skip > 0 && !output.finished()) context.log->info(fmt::format("goes on after {} records", to_skip));
  Progress progress("annotate", "records", 0, progress_output(context), counts.annotated + counts.bad);
  // The blocks of this shard that are not done yet; of the first one, which a stop may have cut, what is left. On a GPU
  // one is read and encoded while the one before is scored; on a CPU the threads that score are all that there are.
  std::int64_t number = 0;
  ShardInput input{.block_records = options.block_records};
  std::optional<double> share_read = 0;
  MadeAhead<Block> blocks(predictor.transformer.device().is_cuda(), [&]() -> std::optional<Block> {
    while (!stop_requested()) {
      std::optional<double> before = share_read;
      std::vector<Input> inputs = number == 0 ? std::exchange(first, {}) : read_block(reader, options.block_records);
      if (inputs.empty()) return std::nullopt;
      share_read = reader.share_read();
      input.records += std::ssize(inputs);
      input.hash = input_hash(inputs.back());
      if (!shard.has(number++)) continue;
      const auto done = std::min(to_skip, static_cast<std::int64_t>(inputs.size()));
      to_skip -= done;
      if (done > 0 && to_skip == 0) output.check_input(input_hash(inputs[static_cast<size_t>(done - 1)]));
      if (before && share_read)
        *before += (*share_read - *before) * static_cast<double>(done) / static_cast<double>(inputs.size());
      inputs.erase(inputs.begin(), inputs.begin() + done);
      if (inputs.empty() || whole) continue;
      Block block = encode_block(predictor, std::move(inputs));
      block.share_before = before;
      block.share_after = share_read;
      return block;
    }
    return std::nullopt;
  });
  const double begin = monotonic_seconds();
  double written = begin;
  std::int64_t new_records = 0, new_tokens = 0;
  while (!whole || describes) {
    const std::optional<Block> block = blocks.next();
    if (stop_requested()) return tell_stopped(context);
    if (!block) {
      output.check_skipped(to_skip);
      if (shard.is_part()) {
        write_shard_file(options.output, output, job, shard, input);
        run->files().enter_output(shard_file(options.output), true);
      }
      if (!output.finish()) return tell_stopped(context);
      break;
    }
    BlockWriter writer(*block, predictor, options);
    Piece piece;
    const auto write = [&] {
      if (piece.records == 0) return;
      output.append(piece.records, piece.output, piece.quarantine, to_json(piece.counts), piece.input_hash);
      counts.add(piece.counts);
      piece = {};
      written = monotonic_seconds();
    };
    const auto tell_share = [&](double taken) {
      if (block->share_before && block->share_after)
        progress.share(*block->share_before + (*block->share_after - *block->share_before) * taken);
    };
    tell_share(0);
    const auto take = [&](std::span<const RecordPrediction> predictions) {
      writer.take(predictions, piece);
      for (const RecordPrediction& prediction : predictions) new_tokens += prediction.tokens;
      new_records += static_cast<std::int64_t>(predictions.size());
      if (monotonic_seconds() - written >= seconds_between_appends) write();
      tell_share(writer.share_taken());
      progress.update(counts.annotated + counts.bad + piece.records, fmt::format("{} bad", counts.bad));
    };
    const bool taken = predict_each(predictor, block->records, block->encoded, options.batch_tokens, take,
                                    [] { return !stop_requested(); });
    if (taken && block->records.empty()) take({});  // bad ones alone
    write();
    if (!taken) return tell_stopped(context);
  }
  progress.finish();
  const auto& [annotated, bad, turns, not_kept] = counts;
  context.log->info(fmt::format("{} records ({} assistant turns) annotated into {}, {} put aside{}", annotated, turns,
                                options.output, bad, bad > 0 ? " in " + output.quarantine_path().string() : ""));
  tell_throughput(context, new_records, new_tokens, monotonic_seconds() - begin);
  if (not_kept > 0) {
    context.log->warn(
        fmt::format("{} values that people gave are not integers from {} to {} and could not be kept; "
                    "they are in gt_label",
                    not_kept, predictor.attributes.min, predictor.attributes.max));
  }
  check_bad_share(bad, annotated + bad, options.max_bad_share, output.quarantine_path().string(),
                  "the file says what is wrong with each");
  refuse_no_turns(annotated, bad, turns, options);
  run->finish({{"annotated", annotated}, {"bad", bad}, {"turns", turns}}, outputs_of(options.output, shard));
  return Outcome::done;
}

}  // namespace steerlm
