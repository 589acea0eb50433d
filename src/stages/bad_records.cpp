#include "stages/bad_records.h"

#include <fmt/format.h>

#include "steerlm/core/json.h"
#include "steerlm/data/place.h"

namespace steerlm {

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

}  // namespace steerlm
