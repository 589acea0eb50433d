#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {
namespace {

constexpr std::string_view taken[] = {"prompt", "chosen", "rejected"};

void add_answer(const Json& row, const Json* answer, const std::string& name, const Conversion& conversion,
                std::vector<Json>& records) {
  const std::string& where = conversion.where;
  Json turns = Json::array();
  turns.push_back(make_turn("User", as_text(find_member(row, "prompt"), "'prompt'", where)));
  turns.push_back(make_turn("Assistant", as_text(answer, "'" + name + "'", where)));
  records.push_back(make_record(std::move(turns)));
  records.back()["response"] = name;
  carry_over(row, taken, records.back(), conversion.unobeyed);
}

}  // namespace

std::vector<Json> from_reward_bench(const Json& row, const Conversion& conversion) {
  std::vector<Json> records;
  for (const std::string key : {"chosen", "rejected"}) add_answer(row, find_member(row, key), key, conversion, records);
  return records;
}

std::vector<Json> from_reward_bench_2(const Json& row, const Conversion& conversion) {
  std::vector<Json> records;
  for (const std::string key : {"chosen", "rejected"}) {
    const Json& answers = as_array(find_member(row, key), "'" + key + "'", conversion.where);
    if (answers.empty()) {
      fail(ExitCode::data,
           {.what = "'" + key + "' is empty", .where = conversion.where, .expected = "one answer or more"});
    }
    for (size_t i = 0; i < answers.size(); ++i)
      add_answer(row, &answers[i], key + "[" + std::to_string(i) + "]", conversion, records);
  }
  return records;
}

}  // namespace steerlm
