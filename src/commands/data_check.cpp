// data check and data stats.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "commands/commands.h"
#include "commands/template_request.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/preference.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/response_group.h"
#include "steerlm/data/statistics.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/predict.h"
#include "steerlm/stages/recipe_files.h"
#include "steerlm/stages/sample.h"

namespace steerlm {
namespace {

// What is read, and with which eyes.
struct Plan {
  std::vector<SourceOptions> records;
  std::vector<SourceOptions> prompts;
  std::vector<SourceOptions> pairs;  // those of the records whose lines are preferences
  bool trains_pairs = false;         // a line of more than two responses is a bad one
  Attributes attributes;
  ReadOptions reading;
  TemplateOptions text_template;
  std::optional<ModelFolder> folder;
  std::optional<Tokenizer> tokenizer;  // lengths are counted in tokens where there is one
  // Of `folder`: what it cannot annotate, or answer at these dials, is a bad one.
  bool annotates = false, answers = false;
  std::optional<Label> dials;
  std::int64_t max_tokens = 0;  // what is longer is counted; 0: no limit
  // What the records are trained by: one that cannot be encoded so is a bad one. `max_tokens` holds.
  std::optional<Objective> objective;
  OverLength over_length = OverLength::drop;
  std::optional<DataOptions> response_groups;  // of steerlm2: what it trains on
  std::string on_bad_record;                   // what the run does with bad records; "" where it is no run
};

void append(std::vector<SourceOptions>& to, const std::vector<SourceOptions>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

void use_folder(Plan& plan, const Recipe& recipe, const std::string& path) {
  TemplateRequest request = template_request(recipe);
  request.required = false;  // of a template that is not chosen yet tokens are counted with steerlm's
  const auto [folder, tokenizer] = open_folder(path, request);
  print_template(folder);
  if (!folder.attributes.names.empty()) plan.attributes = make_attributes(folder.attributes);
  plan.text_template = folder.text_template;
  plan.folder = folder;
  plan.tokenizer = tokenizer;
  print_notes(folder_notes(folder, tokenizer));
  const std::int64_t context = folder.config.context_length();
  plan.max_tokens = plan.max_tokens == 0 ? context : std::min(plan.max_tokens, context);
}

// What a run of the recipe does with bad records.
std::string bad_records_in(const Recipe& recipe) {
  if (recipe.stage == Stage::evaluate || recipe.stage == Stage::tokenizer) return "the run stops at the first one";
  const bool annotates = recipe.stage == Stage::annotate, generates = recipe.stage == Stage::generate;
  const OnBadRecord action = annotates   ? recipe.annotate.on_bad_record
                             : generates ? recipe.generate.on_bad_record
                                         : recipe.bad_records.on_bad_record;
  const double most = annotates   ? recipe.annotate.max_bad_share
                      : generates ? recipe.generate.max_bad_share
                                  : recipe.bad_records.max_bad_share;
  if (action == OnBadRecord::stop) return "the run stops at the first one (on_bad_record: stop)";
  return fmt::format("the run puts them aside where they are at most {:g} % (max_bad_share)", 100 * most);
}

Plan plan_of_recipe(const DataInput& input) {
  Recipe recipe = load_recipe(input.recipe, input.overrides, std::nullopt);
  settle_ratings(recipe);
  Plan plan{.reading = read_options(recipe), .text_template = recipe.text_template};
  plan.on_bad_record = bad_records_in(recipe);
  append(plan.records, recipe.data.train);
  append(plan.records, recipe.data.validation);
  switch (recipe.stage) {
    case Stage::train_predictor:
    case Stage::sft:
    case Stage::evaluate:
      plan.max_tokens = recipe.data.max_tokens;
      plan.over_length = recipe.data.over_length;
      if (recipe.stage == Stage::sft) plan.objective = Objective::response;
      if (recipe.stage == Stage::train_predictor) {
        plan.objective = recipe.head.kind == PredictorKind::language_model ? Objective::label : Objective::regression;
      }
      if (recipe.model.init) {
        plan.tokenizer = Tokenizer::load(recipe.model.tokenizer);
        print_notes(plan.tokenizer->notes());
      } else if (!recipe.model.path.empty()) {
        use_folder(plan, recipe, recipe.model.path);
      }
      if (recipe.dials) plan.prompts = recipe.dials->prompts;
      if (recipe.pairs) {
        append(plan.records, recipe.pairs->sources);
        plan.pairs = recipe.pairs->sources;
      }
      if (recipe.stage == Stage::train_predictor && is_pairwise(recipe.head.loss)) {
        plan.pairs = plan.records;
        plan.trains_pairs = true;
        plan.objective = Objective::preference;
      }
      break;
    case Stage::annotate:
      plan.records = recipe.annotate.input;
      use_folder(plan, recipe, recipe.annotate.predictor);
      plan.annotates = true;
      break;
    case Stage::bootstrap:
      plan.records.push_back({.path = recipe.bootstrap.labels_from});
      plan.prompts = recipe.bootstrap.prompts;
      use_folder(plan, recipe, recipe.bootstrap.policy);
      break;
    case Stage::steerlm2:
      plan.prompts = recipe.steerlm2.prompts;
      plan.max_tokens = recipe.data.max_tokens;
      use_folder(plan, recipe, recipe.steerlm2.policy);
      if (plan.prompts.empty()) {
        plan.response_groups = recipe.data;
        plan.response_groups->max_tokens = plan.max_tokens;
      }
      break;
    case Stage::generate:
      plan.prompts = recipe.generate.prompts;
      use_folder(plan, recipe, recipe.generate.model);
      plan.answers = true;
      plan.dials = dial_label(plan.attributes, recipe.generate.set, recipe.generate.model);
      break;
    case Stage::tokenizer:
      for (const std::string& path : recipe.tokenizer.input)
        plan.records.push_back({.path = path, .format = recipe.tokenizer.format});
      break;
    case Stage::pipeline:
      break;  // refused by load_recipe
  }
  if (!plan.folder || plan.folder->attributes.names.empty()) {
    recipe.attributes.defaults.clear();  // nothing is steered here, and their names may be those of a model folder
    plan.attributes = make_attributes(recipe.attributes);
  }
  return plan;
}

Plan plan_of(const DataInput& input) {
  if (input.recipe.empty() == input.source.path.empty()) {
    fail(ExitCode::recipe, {.what = "give either a recipe or --input", .advice = "steerlm data check --input FILE"});
  }
  if (!input.recipe.empty()) return plan_of_recipe(input);
  return {.records = {input.source}, .attributes = input.attributes, .reading = input.reading};
}

// Everything that is counted.
struct Survey {
  explicit Survey(const Attributes& attributes) : statistics(attributes) {}
  DataStatistics statistics;
  Histogram tokens;
  std::int64_t prompts = 0;
  std::int64_t pairs = 0;  // lines of which one response of two is preferred
  std::int64_t without_preference = 0, several = 0;
  std::int64_t pairs_over_length = 0;
  std::int64_t bad = 0;
  std::set<std::string> bad_places;
  std::int64_t over_length = 0;
  std::int64_t marker_text = 0;
  std::int64_t without_target = 0;                   // of a record whose every turn is masked, weightless or the first
  std::int64_t context_turns = 0;                    // of weight 0
  std::map<unsigned char, std::int64_t> lost_bytes;  // bytes of the texts that the tokenizer has no piece for
  ReadNotes notes;
};

void count_lost_bytes(const Conversation& conversation, const std::string& bytes_without_piece, Survey& survey) {
  const auto count = [&](const std::string& text) {
    for (size_t at = text.find_first_of(bytes_without_piece); at != std::string::npos;
         at = text.find_first_of(bytes_without_piece, at + 1))
      ++survey.lost_bytes[static_cast<unsigned char>(text[at])];
  };
  count(conversation.system);
  for (const Turn& turn : conversation.turns) count(turn.value);
}

bool has_target(const Conversation& conversation) {
  for (size_t t = 0; t < conversation.turns.size(); ++t) {
    if (is_target(conversation, t)) return true;
  }
  return false;
}

// Throws data where training could make nothing of it.
void encode(const Record& record, const Plan& plan, const ConversationTemplate& conversation_template) {
  std::vector<Example> examples;
  DatasetCounts counts;
  encode_record(record, conversation_template, {*plan.objective, plan.max_tokens, plan.over_length}, examples, counts);
}

void survey_record(const Record& record, const Plan& plan,
                   const std::optional<ConversationTemplate>& conversation_template, Survey& survey) {
  const bool plain = plan.text_template.name == TemplateName::plain;
  const bool target = plain || has_target(record.conversation);
  if (conversation_template && plan.objective && !plan.trains_pairs) encode(record, plan, *conversation_template);
  if (plan.annotates) {
    const std::string fault = prediction_fault(*plan.folder, *plan.tokenizer, *conversation_template, record);
    if (!fault.empty()) fail(ExitCode::data, {.what = fault, .where = where(record)});
  }
  survey.statistics.add(record);
  for (const Turn& turn : record.conversation.turns) survey.context_turns += turn.context_only;
  survey.without_target += !target;
  const std::vector<size_t> marked = turns_with_marker_text(record.conversation, plan.text_template.name);
  survey.marker_text += !marked.empty();
  for (const size_t turn : marked)
    std::cout << where(record) << ", turn " << turn + 1 << ": marker text in the value\n";
  if (plan.tokenizer && !plan.tokenizer->bytes_without_piece().empty())
    count_lost_bytes(record.conversation, plan.tokenizer->bytes_without_piece(), survey);
  if (conversation_template) {
    const auto length = static_cast<std::int64_t>(conversation_template->encode(record.conversation).ids.size());
    survey.tokens.add(length);
    survey.over_length += plan.max_tokens > 0 && length > plan.max_tokens;
  }
}

void report_bad(Survey& survey, const Error& error) {
  survey.bad_places.insert(error.faults().front().where);
  ++survey.bad;
  std::cout << error.what() << "\n";
}

void survey_preference(const Preference& preference, const Plan& plan,
                       const std::optional<ConversationTemplate>& conversation_template, Survey& survey) {
  if (preference.better == 0) {
    ++survey.without_preference;
    return;
  }
  if (!preference.is_pair()) {
    if (plan.trains_pairs) refuse_several_responses(preference);
    ++survey.several;
    return;
  }
  if (plan.trains_pairs && conversation_template) {
    for (const Record& record : preference.responses) encode(record, plan, *conversation_template);
  }
  ++survey.pairs;
  if (!conversation_template || plan.max_tokens == 0) return;
  survey.pairs_over_length += std::ranges::any_of(preference.responses, [&](const Record& record) {
    const size_t last = record.conversation.turns.size() - 1;
    return static_cast<std::int64_t>(conversation_template->encode_scored_turn(record.conversation, last).ids.size()) >
           plan.max_tokens;
  });
}

// The lines that training puts aside. One that is bad as a record is said already.
void survey_response_groups(const Plan& plan, const ConversationTemplate& conversation_template, Survey& survey) {
  DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
  builder.puts_aside = true;
  encode_response_groups(*plan.response_groups, plan.attributes, conversation_template, builder);
  const Dataset dataset = builder.finish();
  for (size_t i = 0; i < dataset.bad.size(); ++i) {
    const BadRecord bad = dataset.bad.read(i, *plan.response_groups);
    const std::string where = place(bad.file, bad.line);
    if (!survey.bad_places.contains(where))
      report_bad(survey, Error(ExitCode::data, {{.what = bad.reason, .where = where}}));
  }
}

Survey survey_all(const Plan& plan, bool stop_at_first) {
  Survey survey(plan.attributes);
  std::optional<ConversationTemplate> conversation_template;
  if (plan.tokenizer) conversation_template.emplace(plan.text_template, *plan.tokenizer);
  RecordReader reader(plan.records, plan.attributes, plan.text_template.system, plan.reading);
  while (const auto entry = reader.next()) {
    try {
      if (const auto* bad = std::get_if<BadRecord>(&*entry)) {
        fail(ExitCode::data, {.what = bad->reason, .where = place(bad->file, bad->line)});
      }
      survey_record(std::get<Record>(*entry), plan, conversation_template, survey);
    } catch (const Error& error) {
      if (stop_at_first || error.code() != ExitCode::data) throw;
      report_bad(survey, error);
    }
  }
  survey.notes = reader.notes();
  for (const SourceOptions& source : plan.prompts) {
    ReadNotes notes;
    const auto prompts = read_prompts({source}, plan.attributes, plan.text_template.system, 0,
                                      stop_at_first ? BadPrompts::refused : BadPrompts::kept, &notes);
    for (const auto& [key, lines] : notes.unobeyed) survey.notes.unobeyed[key] += lines;
    for (const Prompt& prompt : prompts) {
      std::string fault = prompt.fault;
      if (fault.empty() && plan.answers)
        fault = request_fault(*plan.folder, *plan.tokenizer, conversation_template, {&prompt, plan.dials, 0});
      if (fault.empty()) {
        ++survey.prompts;
        continue;
      }
      const Error error(ExitCode::data, {{.what = fault, .where = prompt.place()}});
      if (stop_at_first) throw error;
      report_bad(survey, error);
    }
  }
  PreferenceReader pairs(plan.pairs, plan.text_template.system);
  for (;;) {
    try {
      const auto preference = pairs.next();
      if (!preference) break;
      survey_preference(*preference, plan, conversation_template, survey);
    } catch (const Error& error) {
      if (stop_at_first || error.code() != ExitCode::data) throw;
      // A line that is bad as a record is said already.
      if (!survey.bad_places.contains(error.faults().front().where)) report_bad(survey, error);
    }
  }
  if (plan.response_groups) survey_response_groups(plan, *conversation_template, survey);
  return survey;
}

void print_counts(const Plan& plan, const Survey& survey) {
  const DataStatistics& statistics = survey.statistics;
  std::vector<std::vector<std::string>> rows{{"", "count"}};
  const auto row = [&](const std::string& name, std::int64_t count) { rows.push_back({name, format_count(count)}); };
  row("records", statistics.records);
  for (const auto& [type, count] : statistics.types) row("  type " + type, count);
  if (!plan.pairs.empty()) {
    row("pairs of responses", survey.pairs);
    row("lines without a preference", survey.without_preference);
    if (survey.several > 0) row("lines of more than two responses", survey.several);
    if (plan.tokenizer && plan.max_tokens > 0)
      row("pairs over " + format_count(plan.max_tokens) + " tokens", survey.pairs_over_length);
  }
  row("bad records", survey.bad);
  row("blank lines", survey.notes.blank_lines);
  if (!plan.prompts.empty()) row("prompts", survey.prompts);
  row("user turns", statistics.user_turns);
  row("assistant turns", statistics.assistant_turns);
  row("labelled assistant turns", statistics.labelled_turns);
  if (survey.context_turns > 0) row("turns of weight 0", survey.context_turns);
  row("records without a target", survey.without_target);
  row("records with marker text", survey.marker_text);
  if (plan.tokenizer && plan.max_tokens > 0)
    row("records over " + format_count(plan.max_tokens) + " tokens", survey.over_length);
  std::string names;
  std::int64_t lost = 0;
  for (const auto& [byte, count] : survey.lost_bytes) {
    names += fmt::format("{}0x{:02X}: {}", names.empty() ? "" : ", ", byte, format_count(count));
    lost += count;
  }
  if (lost > 0) row("bytes without a piece", lost);
  std::cout << format_table(rows);
  if (lost > 0) {
    std::cout << "\nThe tokenizer has no piece for these bytes of the texts, so that the model does not see them: "
              << names << "\n";
  }
  if (survey.notes.helpsteer) std::cout << "\n" << helpsteer_note(*plan.reading.helpsteer_attributes);
  if (survey.notes.unobeyed.empty()) return;
  std::vector<std::vector<std::string>> keys{{"not obeyed: other programs act on it", "lines"}};
  for (const auto& [key, lines] : survey.notes.unobeyed) keys.push_back({key, format_count(lines)});
  std::cout << "\n" << format_table(keys);
}

void print_histogram(const std::string& name, const Histogram& histogram) {
  if (histogram.count() == 0) return;
  std::vector<std::vector<std::string>> rows{{name + " of a record", "records", "share %"}};
  for (const Histogram::Bin& bin : histogram.bins()) {
    const std::string range =
        bin.first == bin.last ? format_count(bin.first) : format_count(bin.first) + " - " + format_count(bin.last);
    rows.push_back({range, format_count(bin.count),
                    format_number(100.0 * static_cast<double>(bin.count) / static_cast<double>(histogram.count()), 1)});
  }
  std::cout << "\n"
            << format_table(rows) << "mean " << format_number(histogram.mean(), 1) << ", largest "
            << format_count(histogram.max()) << "\n";
}

void print_labels(const DataStatistics& statistics) {
  if (statistics.labels.empty()) return;
  std::vector<std::vector<std::string>> rows{{"attribute", "count", "missing", "mean", "sd", "value: count"}};
  for (const auto& [name, label] : statistics.labels) {
    std::string values;
    for (const auto& [value, count] : label.values)
      values += (values.empty() ? "" : ", ") + std::to_string(value) + ": " + format_count(count);
    const double mean = label.count() > 0 ? label.mean() : std::numeric_limits<double>::quiet_NaN();
    rows.push_back({name, format_count(label.count()), format_count(statistics.assistant_turns - label.count()),
                    format_number(mean, 2), format_number(label.standard_deviation(), 2), values});
  }
  std::cout << "\n" << format_table(rows);
}

}  // namespace

int commands::check_data(const DataInput& input) {
  const Plan plan = plan_of(input);
  const Survey survey = survey_all(plan, false);
  if (survey.bad + survey.marker_text > 0) std::cout << "\n";
  print_counts(plan, survey);
  print_histogram("turns", survey.statistics.turns);
  print_histogram("characters", survey.statistics.characters);
  print_histogram("tokens", survey.tokens);
  print_labels(survey.statistics);
  std::cout.flush();
  if (survey.bad > 0) {
    fail(ExitCode::data, {.what = format_count(survey.bad) + (survey.bad == 1 ? " bad record" : " bad records"),
                          .advice = "each is listed with its line and reason on standard output" +
                                    (plan.on_bad_record.empty() ? "" : "; " + plan.on_bad_record)});
  }
  return 0;
}

int commands::data_statistics(const DataInput& input) {
  const Plan plan = plan_of(input);
  const Survey survey = survey_all(plan, true);
  print_counts(plan, survey);
  print_labels(survey.statistics);
  return 0;
}

}  // namespace steerlm
