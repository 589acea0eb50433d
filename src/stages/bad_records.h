// Records of an input that cannot be used: put aside one by one, or the end of the run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "steerlm/data/dataset.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {

// What the message of a share of bad records ends with.
inline constexpr const char* list_all = "; `steerlm data check` with this recipe lists all";

// A line of OUTPUT.quarantine.jsonl: {"file", "line", "reason", "record": the text of the line}.
std::string quarantine_line(const std::string& file, std::int64_t line, const std::string& reason,
                            const std::string& text);

// Throws data.
[[noreturn]] void refuse_bad_record(const std::string& file, std::int64_t line, const std::string& reason);

// Throws data where more than `max_bad_share` of all records are bad; `where` lists them.
void check_bad_share(std::int64_t bad, std::int64_t all, double max_bad_share, const std::string& where,
                     const std::string& advice);

// The same before a run has written anything, of its training data: throws data too where the recipe takes no bad
// record and one was put aside by an earlier process, or by another run of the same data.
void check_bad_records(const Dataset& dataset, const Recipe& recipe);

// run_dir/quarantine.jsonl of the `count` records that bad(0), bad(1) … tell, which is said; no file where there are
// none. After RunDirectory::start().
void write_quarantine(RunDirectory& run, std::int64_t count, const std::function<BadRecord(size_t)>& bad,
                      const Context& context);
void write_quarantine(RunDirectory& run, const Dataset& dataset, const DataOptions& data, const Context& context);
void write_quarantine(RunDirectory& run, const std::vector<BadRecord>& bad, const Context& context);

// The prompts of bootstrap and steerlm2. Bad ones are appended to `bad`, or the first one ends the run; throws data
// where they are too many, or no prompt is left that leaves room for an answer in the policy's context.
std::vector<Prompt> read_good_prompts(const std::vector<SourceOptions>& sources, std::int64_t max,
                                      const OpenModel& policy, const BadRecordOptions& options,
                                      std::vector<BadRecord>& bad);

}  // namespace steerlm
