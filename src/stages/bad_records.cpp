#include "stages/bad_records.h"

#include <fmt/format.h>

#include <algorithm>

#include "steerlm/core/json.h"
#include "steerlm/data/place.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/sample.h"

namespace steerlm {
namespace {

constexpr const char* quarantine_name = "quarantine.jsonl";

// Lines of the data: records, of preferences and of responses to compare the prompts that they are of.
std::int64_t lines_read(const DatasetCounts& counts) {
  const std::int64_t prompts = counts.groups + counts.single;
  return prompts > 0 ? prompts : counts.conversations;
}

}  // namespace

std::string quarantine_line(const std::string& file, std::int64_t line, const std::string& reason,
                            const std::string& text) {
  return dump_json({{"file", file}, {"line", line}, {"reason", reason}, {"record", text}}) + "\n";
}

void refuse_bad_record(const std::string& file, std::int64_t line, const std::string& reason) {
  fail(ExitCode::data, {.what = reason,
                        .where = place(file, line),
                        .advice = "mend the record and start over with --fresh, or put such records aside with "
                                  "on_bad_record=quarantine, which goes on"});
}

void check_bad_share(std::int64_t bad, std::int64_t all, double max_bad_share, const std::string& where,
                     const std::string& advice) {
  const double share = all > 0 ? static_cast<double>(bad) / static_cast<double>(all) : 0;
  if (share <= max_bad_share) return;
  fail(ExitCode::data, {.what = "too many bad records",
                        .where = where,
                        .found = fmt::format("{} of {} ({:.1f} %)", bad, all, 100 * share),
                        .expected = fmt::format("at most {:.1f} % (max_bad_share)", 100 * max_bad_share),
                        .advice = advice + "; a larger max_bad_share takes them"});
}

void check_bad_records(const Dataset& dataset, const Recipe& recipe) {
  if (dataset.bad.empty()) return;
  const BadRecord first = dataset.bad.read(0, recipe.data);
  if (recipe.bad_records.on_bad_record == OnBadRecord::stop) refuse_bad_record(first.file, first.line, first.reason);
  const auto bad = static_cast<std::int64_t>(dataset.bad.size());
  check_bad_share(bad, bad + lines_read(dataset.train_counts) + lines_read(dataset.validation_counts),
                  recipe.bad_records.max_bad_share, place(first.file, first.line), "here: " + first.reason + list_all);
}

void write_quarantine(RunDirectory& run, std::int64_t count, const std::function<BadRecord(size_t)>& bad,
                      const Context& context) {
  if (count == 0) {
    if (run.files().owns(quarantine_name)) run.files().remove(quarantine_name);
    return;
  }
  TemporaryFile part(run.path() / run_mark_folder / quarantine_name);
  for (std::int64_t i = 0; i < count; ++i) {
    const BadRecord record = bad(static_cast<size_t>(i));
    part.file().write(quarantine_line(record.file, record.line, record.reason, record.text));
  }
  run.files().take_in(part.path(), quarantine_name);
  part.keep();
  context.log->warn(format_count(count) +
                    (count == 1 ? " record cannot be used and was" : " records cannot be used and were") +
                    " put aside in " + (run.path() / quarantine_name).string());
}

void write_quarantine(RunDirectory& run, const Dataset& dataset, const DataOptions& data, const Context& context) {
  write_quarantine(
      run, static_cast<std::int64_t>(dataset.bad.size()), [&](size_t i) { return dataset.bad.read(i, data); }, context);
}

void write_quarantine(RunDirectory& run, const std::vector<BadRecord>& bad, const Context& context) {
  write_quarantine(
      run, std::ssize(bad), [&](size_t i) { return bad[i]; }, context);
}

std::vector<Prompt> read_good_prompts(const std::vector<SourceOptions>& sources, std::int64_t max,
                                      const OpenModel& policy, const BadRecordOptions& options,
                                      std::vector<BadRecord>& bad) {
  const bool stops = options.on_bad_record == OnBadRecord::stop;
  std::vector<Prompt> prompts = read_prompts(sources, policy.attributes, policy.folder.text_template.system, max,
                                             stops ? BadPrompts::refused : BadPrompts::kept);
  const size_t before = bad.size();
  for (const Prompt& prompt : prompts) {
    if (!prompt.fault.empty()) bad.push_back({prompt.file, prompt.line, prompt.fault, prompt.text});
  }
  if (bad.size() > before) {
    check_bad_share(std::ssize(bad) - static_cast<std::int64_t>(before), std::ssize(prompts), options.max_bad_share,
                    place(bad[before].file, bad[before].line), "here: " + bad[before].reason + list_all);
  }
  std::erase_if(prompts, [](const Prompt& prompt) { return !prompt.fault.empty(); });
  if (prompts.empty()) refuse_empty_input("sample from", sources);
  const std::optional<ConversationTemplate> conversation_template = make_template(policy.folder, policy.tokenizer);
  const auto fault = [&](const Prompt& prompt) {
    return request_fault(policy.folder, policy.tokenizer, conversation_template, {&prompt, std::nullopt, 0});
  };
  if (std::ranges::all_of(prompts, [&](const Prompt& prompt) { return !fault(prompt).empty(); })) {
    fail(ExitCode::data, {.what = "no prompt can be answered",
                          .where = prompts.front().place(),
                          .found = fmt::format("{} prompts; here: {}", prompts.size(), fault(prompts.front()))});
  }
  return prompts;
}

}  // namespace steerlm
