// score: a model folder, records in, JSON lines out.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "commands/commands.h"
#include "commands/inference_options.h"
#include "commands/job_output.h"
#include "commands/template_request.h"
#include "steerlm/cli/choice.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/made_ahead.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/infer/beta_law.h"
#include "steerlm/infer/score.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/response_scores.h"
#include "steerlm/stages/sample.h"

namespace steerlm {
namespace {

constexpr std::int64_t block_records = 1024, block_groups = 64;  // of a shard

BetaOptions parse_beta(const ScoreArguments& arguments) {
  return {.concentration = arguments.concentration,
          .edges = parse_choice<BetaEdges>(arguments.edges, "kind of edges", "--beta-edges"),
          .combination = parse_choice<BetaCombination>(arguments.combination, "combination", "--beta-combination")};
}

// {"record": line from 0, "turn": index}; `part` where a line gave several records.
Json place_of(const Record& record, size_t turn) {
  Json place = {{"record", record.line - 1}};
  if (record.parts > 1) place["part"] = record.part;
  place["turn"] = turn;
  return place;
}

// Records, read as far as can be without the model's weights.
struct ScoreBlock {
  std::vector<Record> records;
  EncodedRecords scored_turns;  // of a predictor
  // Of a language model: each whole conversation, and which turn each token belongs to.
  std::vector<Example> conversations;
  std::vector<std::vector<std::int32_t>> turns;
  std::optional<double> share_before, share_after;  // of the input
};

// What records have become, until it is written.
struct Piece {
  std::int64_t records = 0, turns = 0, judged = 0;  // judged: have a `label_logprob`
  std::uint64_t input_hash = 0;                     // of the last record
  std::string lines;

  void write(BlockOutput& output) {
    if (records > 0) output.append(records, lines, "", {{"turns", turns}, {"judged", judged}}, input_hash);
    *this = {};
  }
};

// A line an assistant turn of the record.
void add_scores(const Record& record, const RecordPrediction& prediction, const OpenModel& model,
                const ScoreArguments& arguments, Piece& piece) {
  if (!prediction.fault.empty()) fail(ExitCode::data, {.what = prediction.fault, .where = where(record)});
  const BetaOptions beta = parse_beta(arguments);
  const std::vector<std::string>& names = score_names(model);
  for (const TurnScores& turn : prediction.turns) {
    Json scores = Json::object();
    for (size_t a = 0; a < turn.scores.size(); ++a) scores[names[a]] = turn.scores[a];
    Json line = place_of(record, turn.turn);
    line["scores"] = std::move(scores);
    const std::optional<Label>& label = record.conversation.turns.at(turn.turn).label;
    if (arguments.label_logprob && label && !label->text.empty()) {
      line["label_logprob"] = label_log_probability(turn.scores, *label, model.attributes, beta);
      ++piece.judged;
    }
    piece.lines += dump_json(line) + "\n";
    ++piece.turns;
  }
  ++piece.records;
  piece.input_hash = record.input_hash;
}

void encode_conversations(const OpenModel& model, ScoreBlock& block) {
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  const std::int64_t context = model.folder.config.context_length();
  for (const Record& record : block.records) {
    EncodedConversation encoded = conversation_template.encode(record.conversation);
    if (static_cast<std::int64_t>(encoded.ids.size()) > context) {
      fail(ExitCode::data, {.what = "the conversation is longer than the model's context",
                            .where = where(record),
                            .found = std::to_string(encoded.ids.size()) + " tokens",
                            .expected = "at most " + std::to_string(context)});
    }
    block.conversations.push_back({std::move(encoded.ids), std::move(encoded.target), {}});
    block.turns.push_back(std::move(encoded.turn));
  }
}

void add_log_probabilities(const ScoreBlock& block, size_t r, const TokenScores& log_p, Piece& piece) {
  const Record& record = block.records[r];
  const std::vector<std::int32_t>& turns = block.turns[r];
  for (size_t t = 0; t < record.conversation.turns.size(); ++t) {
    if (record.conversation.turns[t].from != "Assistant") continue;
    double sum = 0;
    std::int64_t tokens = 0;
    for (size_t i = 0; i < turns.size(); ++i) {
      if (turns[i] != static_cast<std::int32_t>(t) || block.conversations[r].target[i] == 0) continue;
      sum += log_p[i];
      ++tokens;
    }
    Json line = place_of(record, t);
    line["logprob"] = sum;
    line["tokens"] = tokens;
    piece.lines += dump_json(line) + "\n";
    ++piece.turns;
  }
  ++piece.records;
  piece.input_hash = record.input_hash;
}

// Whether the model is asked for scores, and not for log-probabilities of its own.
bool asks_predictor(const ScoreArguments& arguments, const ModelFolder& folder) {
  return folder.head.kind == HeadKind::regression || arguments.label_logprob;
}

// What the scores depend on, beside model and input.
Json settings_of(const ScoreArguments& arguments, const OpenModel& model) {
  const BetaOptions beta = parse_beta(arguments);
  return {{"command", "score"},
          {"template", arguments.text_template},
          {"no_labels", arguments.no_labels},
          {"responses", arguments.responses},
          {"label_logprob", arguments.label_logprob},
          {"beta", {beta.concentration, enum_name(beta.edges), enum_name(beta.combination)}},
          {"precision", computed_precision(model)}};
}

bool goes_on() { return !stop_requested(); }

// Records of SteerLM 2.0, with what the model says of each response.
int score_groups(const OpenModel& model, const ScoreArguments& arguments, JobOutput& output, const Context& context) {
  ResponseScore score = ResponseScore::response_given_label;
  if (asks_predictor(arguments, model.folder)) {
    score = ResponseScore::label_given_response;
  } else if (arguments.no_labels) {
    score = ResponseScore::response;
  }
  const std::vector<SourceOptions> input{{.path = arguments.input}};
  ResponseGroupReader reader = read_groups(model, score, input);
  ShardInput read{.block_records = block_groups};
  std::int64_t to_skip = output.blocks.records_done();
  Progress progress("score", "prompts", 0, progress_output(context), to_skip);
  const double start = monotonic_seconds();
  // The next groups of this shard, all of one block; none at the end.
  const auto next_groups = [&] {
    std::vector<ResponseGroup> groups;
    while (groups.size() < scored_groups(model) && !stop_requested()) {
      if (!groups.empty() && read.records % block_groups == 0) break;
      auto group = reader.next();
      if (!group) break;
      read.hash = group->records.front().input_hash;
      if (!output.shard.has(read.records++ / block_groups)) continue;
      if (to_skip == 0)
        groups.push_back(std::move(*group));
      else if (--to_skip == 0)
        output.blocks.check_input(read.hash);
    }
    return groups;
  };
  const auto tell_progress = [&] {
    if (const auto share = reader.share_read()) progress.share(*share);
    progress.update(output.blocks.records_done());
  };
  const std::optional<ScoredGroups> scored =
      score_into(output.blocks, model, score, parse_beta(arguments), default_batch_tokens, next_groups, tell_progress);
  if (!scored) return end_stopped(arguments.job, context);
  if (!output.blocks.finished()) output.blocks.check_skipped(to_skip);
  if (read.records == 0 && !output.blocks.finished()) refuse_empty_input("score", input);
  if (!finish_job_output(output, read)) return end_stopped(arguments.job, context);
  progress.finish();
  context.log->info(
      fmt::format("the responses to {} prompts scored into {}", output.blocks.records_done(), arguments.job.output));
  tell_throughput(context, scored->responses, scored->tokens, monotonic_seconds() - start);
  return 0;
}

void check_score_options(const ScoreArguments& arguments, const OpenModel& model) {
  const ModelFolder& folder = model.folder;
  if (arguments.no_labels && asks_predictor(arguments, folder)) {
    fail(ExitCode::recipe, {.what = "--no-labels is for the log-probabilities of a language model, not for scores",
                            .where = folder.path.string()});
  }
  if (asks_predictor(arguments, folder) && (arguments.label_logprob || arguments.responses)) require_predictor(model);
  if (!asks_predictor(arguments, folder)) require_language_model(folder, "--model");
  if (!asks_predictor(arguments, folder) && folder.text_template.name == TemplateName::plain) {
    fail(ExitCode::recipe,
         {.what = "a text of the template plain has no turns whose log-probabilities could be told apart",
          .where = folder.path.string(),
          .expected = "another template",
          .advice = "`steerlm evaluate` gives the perplexity of texts; --template names a template "
                    "of turns for a model that was trained with one"});
  }
}

// The next `block_records` records; fewer at the end, and where the job is to stop. Throws data at the first bad one.
std::vector<Record> read_block(RecordReader& reader) {
  std::vector<Record> records;
  while (std::ssize(records) < block_records && !stop_requested()) {
    auto entry = reader.next();
    if (!entry) break;
    if (const BadRecord* bad = std::get_if<BadRecord>(&*entry)) refuse(*bad);
    records.push_back(std::get<Record>(std::move(*entry)));
  }
  return records;
}

int score_records(const OpenModel& model, const ScoreArguments& arguments, JobOutput& output, const Context& context) {
  const bool predictor = asks_predictor(arguments, model.folder);
  const std::vector<SourceOptions> input{{.path = arguments.input}};
  const Labels labels = predictor && !arguments.label_logprob ? Labels::ignored
                        : arguments.no_labels                 ? Labels::dropped
                                                              : Labels::obeyed;
  RecordReader reader(input, model.attributes, model.folder.text_template.system,
                      {.labels = labels, .weights = !predictor});
  Progress progress("score", "records", 0, progress_output(context), output.blocks.records_done());
  // Until `blocks` has ended these are its thread's.
  std::int64_t number = 0, to_skip = output.blocks.records_done();
  ShardInput whole{.block_records = block_records};
  std::optional<double> share_read = 0;
  // The blocks of this shard, what is left of them. On a GPU one is read and encoded while the one before is scored; of
  // an output that is finished none is read.
  const bool ahead = model.transformer.device().is_cuda() && !output.blocks.finished();
  MadeAhead<ScoreBlock> blocks(ahead, [&]() -> std::optional<ScoreBlock> {
    while (!stop_requested()) {
      ScoreBlock block{.share_before = share_read};
      block.records = read_block(reader);
      if (block.records.empty()) return std::nullopt;
      block.share_after = share_read = reader.share_read();
      whole.records += std::ssize(block.records);
      whole.hash = block.records.back().input_hash;
      if (!output.shard.has(number++)) continue;
      const auto done = std::min(to_skip, std::ssize(block.records));
      to_skip -= done;
      if (done > 0 && to_skip == 0) output.blocks.check_input(block.records[static_cast<size_t>(done - 1)].input_hash);
      if (block.share_before && block.share_after)
        *block.share_before += (*block.share_after - *block.share_before) * static_cast<double>(done) /
                               static_cast<double>(block.records.size());
      block.records.erase(block.records.begin(), block.records.begin() + done);
      if (block.records.empty()) continue;
      if (predictor)
        block.scored_turns = encode_for_prediction(model, block.records);
      else
        encode_conversations(model, block);
      return block;
    }
    return std::nullopt;
  });
  const double start = monotonic_seconds();
  double written = start;
  std::int64_t scored = 0, tokens = 0;  // by this process
  while (!output.blocks.finished()) {
    const std::optional<ScoreBlock> block = blocks.next();
    if (stop_requested()) return end_stopped(arguments.job, context);
    if (!block) {
      output.blocks.check_skipped(to_skip);
      break;
    }
    Piece piece;
    size_t next = 0;  // record of the block
    double bytes = 0, bytes_taken = 0;
    for (const Record& record : block->records) bytes += static_cast<double>(text_bytes(record));
    const auto tell_share = [&] {
      if (block->share_before && block->share_after)
        progress.share(*block->share_before +
                       (*block->share_after - *block->share_before) * (bytes > 0 ? bytes_taken / bytes : 1));
    };
    tell_share();
    const auto taken = [&] {
      if (monotonic_seconds() - written >= seconds_between_appends) {
        piece.write(output.blocks);
        written = monotonic_seconds();
      }
      tell_share();
      progress.update(output.blocks.records_done() + piece.records);
    };
    if (predictor) {
      const auto take = [&](std::span<const RecordPrediction> predictions) {
        for (const RecordPrediction& prediction : predictions) {
          bytes_taken += static_cast<double>(text_bytes(block->records[next]));
          add_scores(block->records[next++], prediction, model, arguments, piece);
          tokens += prediction.tokens;
        }
        taken();
      };
      predict_each(model, block->records, block->scored_turns, default_batch_tokens, take, goes_on);
    } else {
      std::vector<size_t> ends;
      for (size_t r = 0; r < block->records.size(); ++r) ends.push_back(r + 1);
      const auto take = [&](std::span<const TokenScores> log_p) {
        for (; next < log_p.size(); ++next) {
          bytes_taken += static_cast<double>(text_bytes(block->records[next]));
          add_log_probabilities(*block, next, log_p[next], piece);
          tokens += std::ssize(log_p[next]);
        }
        taken();
        return goes_on();
      };
      token_log_probabilities(model.transformer, block->conversations,
                              {scored_at_once(model, default_batch_tokens), ends}, take);
    }
    piece.write(output.blocks);
    scored += static_cast<std::int64_t>(next);
    if (next < block->records.size()) return end_stopped(arguments.job, context);
  }
  if (number == 0 && !output.blocks.finished()) refuse_empty_input("score", input);
  std::int64_t turns = 0, judged = 0;
  for (const Json& counts : output.blocks.block_counts()) {
    turns += counts.at("turns").get<std::int64_t>();
    judged += counts.at("judged").get<std::int64_t>();
  }
  const bool nothing = turns == 0 || (arguments.label_logprob && judged == 0);
  if (nothing && !output.shard.is_part()) discard_job_output(output);
  if (turns == 0 && !output.shard.is_part())
    fail(ExitCode::data, {.what = "nothing was scored: no record has an assistant turn", .where = arguments.input});
  if (arguments.label_logprob && judged == 0 && !output.shard.is_part()) {
    fail(ExitCode::data, {.what = "no assistant turn has a label whose probability could be told",
                          .where = arguments.input,
                          .advice = "give the turns labels, or leave --label-logprob out"});
  }
  if (!finish_job_output(output, whole)) return end_stopped(arguments.job, context);
  progress.finish();
  context.log->info(fmt::format("{} records ({} assistant turns) scored into {}", output.blocks.records_done(), turns,
                                arguments.job.output));
  tell_throughput(context, scored, tokens, monotonic_seconds() - start);
  return 0;
}

}  // namespace

int commands::score(const ScoreArguments& arguments) {
  const OutputOptions output_options = output_beside(arguments.model, arguments.input, arguments.job.overwrite);
  check_job_output(arguments.job, output_options);
  parse_beta(arguments);  // a wrong word is told before a model is read
  Log log(arguments.job.quiet);
  const Context context = begin_job(arguments.job, log);
  const OpenModel model = open_model(arguments.model, parse_computing(arguments.device, arguments.precision),
                                     parse_template(arguments.text_template));
  print_notes(model.notes);
  print_template(model.folder);
  check_score_options(arguments, model);
  const std::vector<std::string> counts =
      arguments.responses ? std::vector<std::string>{} : std::vector<std::string>{"turns", "judged"};
  JobOutput output = open_job_output(arguments.job, output_options, settings_of(arguments, model),
                                     {{arguments.model, ExitCode::model}, {arguments.input, ExitCode::data}}, counts);
  return arguments.responses ? score_groups(model, arguments, output, context)
                             : score_records(model, arguments, output, context);
}

}  // namespace steerlm
