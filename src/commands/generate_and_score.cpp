// generate and score: a model folder, records in, JSON lines out.
#include <algorithm>
#include <optional>

#include "commands/commands.h"
#include "commands/inference_options.h"
#include "commands/template_request.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/made_ahead.h"
#include "steerlm/core/output.h"
#include "steerlm/core/suggest.h"
#include "steerlm/infer/beta_law.h"
#include "steerlm/infer/score.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/response_scores.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

constexpr size_t block_records = 1024, block_groups = 64;
constexpr std::int64_t batch_tokens = 16384;

std::vector<Prompt> prompts_of(const GenerateArguments& arguments, const OpenModel& model) {
  const std::string system = arguments.system.value_or(model.folder.text_template.system);
  std::vector<Prompt> prompts;
  if (!arguments.input.empty()) {
    const std::vector<SourceOptions> input{{.path = arguments.input}};
    prompts = read_prompts(input, model.attributes, system, 0);
    if (prompts.empty()) refuse_empty_input("answer", input);
    if (arguments.system) {
      for (Prompt& prompt : prompts) prompt.conversation.system = *arguments.system;
    }
  } else {
    Prompt prompt;
    prompt.conversation = {system, {"User"}, ConversationType::none, {{"User", arguments.prompt, std::nullopt}}};
    prompt.json = {{"prompt", arguments.prompt}};
    prompt.file = "--prompt";
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

std::vector<GenerationResult> generate_raw(const OpenModel& model, const std::vector<Prompt>& prompts,
                                           const GenerateArguments& arguments) {
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < prompts.size() * static_cast<size_t>(arguments.samples); ++i) {
    const Prompt& prompt = prompts[i / static_cast<size_t>(arguments.samples)];
    GenerationRequest request{{}, i, prompt.place()};
    model.tokenizer.append_first(prompt.conversation.turns.back().value, request.prompt);
    requests.push_back(std::move(request));
  }
  GenerationSettings settings;
  settings.sampling = arguments.sampling;
  settings.seed = static_cast<std::uint64_t>(arguments.seed);
  settings.eos_ids.assign(model.folder.eos_token_ids.begin(), model.folder.eos_token_ids.end());
  return generate(model.transformer, model.tokenizer, requests, settings, {});
}

}  // namespace

int commands::generate(const GenerateArguments& arguments) {
  check_text(arguments.prompt, "--prompt");
  check_text(arguments.system.value_or(""), "--system");
  check_sampling(arguments.sampling);
  const OutputOptions output_options = output_beside(arguments.model, arguments.input, arguments.overwrite);
  check_output(arguments.output, output_options);
  TemplateRequest request = parse_template(arguments.text_template, arguments.system);
  request.required = !arguments.raw;
  const OpenModel model = open_text_model(arguments.model, arguments.device, arguments.precision, request);
  const std::optional<Label> label = dial_label(model.attributes, parse_dials(arguments.set, "--set"), arguments.model);
  const std::vector<Prompt> prompts = prompts_of(arguments, model);
  Output output(arguments.output, output_options);
  Log log;
  const Context context{.quiet = true, .log = &log};
  for (size_t begin = 0; begin < prompts.size(); begin += block_records) {
    const std::vector<Prompt> block(
        prompts.begin() + static_cast<std::ptrdiff_t>(begin),
        prompts.begin() + static_cast<std::ptrdiff_t>(std::min(prompts.size(), begin + block_records)));
    const size_t samples = static_cast<size_t>(arguments.samples);
    std::vector<GenerationResult> results;
    if (arguments.raw) {
      results = generate_raw(model, block, arguments);
    } else {
      std::vector<SampleRequest> requests;
      for (size_t i = 0; i < block.size() * samples; ++i)
        requests.push_back({&block[i / samples], label, begin * samples + i});
      results = sample_responses(model, requests, arguments.sampling, static_cast<std::uint64_t>(arguments.seed),
                                 "generate", context);
    }
    for (size_t i = 0; i < results.size(); ++i)
      output.write(dump_json(response_json(block[i / samples].json, results[i])) + "\n");
  }
  output.finish();
  return 0;
}

namespace {

template <class E>
E parse_choice(const std::string& text, const std::string& option) {
  if (const std::optional<E> value = enum_value<E>(text)) return *value;
  const std::vector<std::string> choices = enum_choices<E>();
  fail(ExitCode::recipe, {.what = "unknown value of " + option,
                          .where = option,
                          .found = "'" + text + "'",
                          .expected = "one of " + join(choices),
                          .advice = suggest(text, choices)});
}

BetaOptions parse_beta(const ScoreArguments& arguments) {
  return {.concentration = arguments.concentration,
          .edges = parse_choice<BetaEdges>(arguments.edges, "--beta-edges"),
          .combination = parse_choice<BetaCombination>(arguments.combination, "--beta-combination")};
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
};

// A line an assistant turn of each record. Returns how many have a `label_logprob`.
std::int64_t score_with_predictor(const OpenModel& model, const ScoreBlock& block, const ScoreArguments& arguments,
                                  Output& output) {
  const BetaOptions beta = parse_beta(arguments);
  const std::vector<Record>& records = block.records;
  std::int64_t judged = 0;
  const auto predictions = predict_records(model, records, block.scored_turns, batch_tokens);
  const std::vector<std::string>& names = score_names(model);
  for (size_t r = 0; r < records.size(); ++r) {
    if (!predictions[r].fault.empty()) fail(ExitCode::data, {.what = predictions[r].fault, .where = where(records[r])});
    for (const TurnScores& turn : predictions[r].turns) {
      Json scores = Json::object();
      for (size_t a = 0; a < turn.scores.size(); ++a) scores[names[a]] = turn.scores[a];
      Json line = place_of(records[r], turn.turn);
      line["scores"] = std::move(scores);
      const std::optional<Label>& label = records[r].conversation.turns.at(turn.turn).label;
      if (arguments.label_logprob && label && !label->text.empty()) {
        line["label_logprob"] = label_log_probability(turn.scores, *label, model.attributes, beta);
        ++judged;
      }
      output.write(dump_json(line) + "\n");
    }
  }
  return judged;
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

void score_with_language_model(const OpenModel& model, const ScoreBlock& block, Output& output) {
  const std::vector<Record>& records = block.records;
  const std::vector<Example>& examples = block.conversations;
  const std::vector<std::vector<std::int32_t>>& turns = block.turns;
  const auto log_p = token_log_probabilities(model.transformer, examples, batch_tokens);
  for (size_t r = 0; r < records.size(); ++r) {
    for (size_t t = 0; t < records[r].conversation.turns.size(); ++t) {
      if (records[r].conversation.turns[t].from != "Assistant") continue;
      double sum = 0;
      std::int64_t tokens = 0;
      for (size_t i = 0; i < turns[r].size(); ++i) {
        if (turns[r][i] != static_cast<std::int32_t>(t) || examples[r].target[i] == 0) continue;
        sum += log_p[r][i];
        ++tokens;
      }
      Json line = place_of(records[r], t);
      line["logprob"] = sum;
      line["tokens"] = tokens;
      output.write(dump_json(line) + "\n");
    }
  }
}

// Whether the model is asked for scores, and not for log-probabilities of its own.
bool asks_predictor(const ScoreArguments& arguments, const ModelFolder& folder) {
  return folder.head.kind == HeadKind::regression || arguments.label_logprob;
}

// Records of SteerLM 2.0, with what the model says of each response.
void score_groups(const OpenModel& model, const ScoreArguments& arguments, Output& output) {
  ResponseScore score = ResponseScore::response_given_label;
  if (asks_predictor(arguments, model.folder)) {
    score = ResponseScore::label_given_response;
  } else if (arguments.no_labels) {
    score = ResponseScore::response;
  }
  const std::vector<SourceOptions> input{{.path = arguments.input}};
  ResponseGroupReader reader = read_groups(model, score, input);
  std::int64_t seen = 0;
  for (;;) {
    std::vector<ResponseGroup> groups;
    while (groups.size() < block_groups) {
      auto group = reader.next();
      if (!group) break;
      groups.push_back(std::move(*group));
    }
    if (groups.empty()) break;
    score_responses(model, score, parse_beta(arguments), batch_tokens, groups);
    for (const ResponseGroup& group : groups) output.write(dump_json(group.json) + "\n");
    seen += static_cast<std::int64_t>(groups.size());
  }
  if (seen == 0) refuse_empty_input("score", input);
  output.finish();
}

void check_score_options(const ScoreArguments& arguments, const ModelFolder& folder) {
  if (arguments.no_labels && asks_predictor(arguments, folder)) {
    fail(ExitCode::recipe, {.what = "--no-labels is for the log-probabilities of a language model, not for scores",
                            .where = folder.path.string()});
  }
  if (asks_predictor(arguments, folder) && (arguments.label_logprob || arguments.responses)) require_predictor(folder);
}

}  // namespace

int commands::score(const ScoreArguments& arguments) {
  const OutputOptions output_options = output_beside(arguments.model, arguments.input, arguments.overwrite);
  check_output(arguments.output, output_options);
  parse_beta(arguments);  // a wrong word is told before a model is read
  const OpenModel model = open_model(arguments.model, parse_computing(arguments.device, arguments.precision),
                                     parse_template(arguments.text_template));
  print_notes(model.notes);
  print_template(model.folder);
  check_score_options(arguments, model.folder);
  Output output(arguments.output, output_options);
  if (arguments.responses) {
    score_groups(model, arguments, output);
    return 0;
  }
  const bool predictor = asks_predictor(arguments, model.folder);
  const std::vector<SourceOptions> input{{.path = arguments.input}};
  const Labels labels = predictor && !arguments.label_logprob ? Labels::ignored
                        : arguments.no_labels                 ? Labels::dropped
                                                              : Labels::obeyed;
  RecordReader reader(input, model.attributes, model.folder.text_template.system,
                      {.labels = labels, .weights = !predictor});
  std::int64_t turns = 0, seen = 0, judged = 0;
  // On a GPU a block is read and encoded while the one before is scored.
  MadeAhead<ScoreBlock> blocks(model.transformer.device().is_cuda(), [&]() -> std::optional<ScoreBlock> {
    ScoreBlock block;
    while (block.records.size() < block_records) {
      auto entry = reader.next();
      if (!entry) break;
      if (const BadRecord* bad = std::get_if<BadRecord>(&*entry)) refuse(*bad);
      block.records.push_back(std::get<Record>(std::move(*entry)));
    }
    if (block.records.empty()) return std::nullopt;
    if (predictor)
      block.scored_turns = encode_for_prediction(model, block.records);
    else
      encode_conversations(model, block);
    return block;
  });
  while (const std::optional<ScoreBlock> block = blocks.next()) {
    if (predictor)
      judged += score_with_predictor(model, *block, arguments, output);
    else
      score_with_language_model(model, *block, output);
    seen += static_cast<std::int64_t>(block->records.size());
    for (const Record& record : block->records) {
      turns += std::ranges::count_if(record.conversation.turns, [](const Turn& t) { return t.from == "Assistant"; });
    }
  }
  if (seen == 0) refuse_empty_input("score", input);
  if (turns == 0)
    fail(ExitCode::data, {.what = "nothing was scored: no record has an assistant turn", .where = arguments.input});
  if (arguments.label_logprob && judged == 0) {
    fail(ExitCode::data, {.what = "no assistant turn has a label whose probability could be told",
                          .where = arguments.input,
                          .advice = "give the turns labels, or leave --label-logprob out"});
  }
  output.finish();
  return 0;
}

}  // namespace steerlm
