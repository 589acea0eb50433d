// A language model that mostly ends its responses soon, a predictor and prompts, in a folder of its own.
#pragma once

#include <string>

#include "end_to_end/program.h"

namespace steerlm {

class Generation : public Program {
 protected:
  void SetUp() override {
    const std::string names = R"("quality", "humor")";
    make_model("untied", "model", names);
    end_responses_soon("model");
    write("model/steerlm.json",
          R"({"attributes": {"names": [)" + names + R"(], "min": 0, "max": 4, "defaults": {"quality": 4}},
                                   "template": {"system": "Be good."}})");
    // The fixture has three scores.
    make_model("classifier", "predictor", names + R"(, "length")");
    std::string prompts;
    for (int i = 0; i < 6; ++i) prompts += R"({"prompt":"question )" + std::to_string(i) + "\"}\n";
    write("prompts.jsonl", prompts);
  }

  std::string generated(const std::string& arguments) {
    const Result result = run("generate --model model --max-new-tokens 6 " + arguments);
    EXPECT_EQ(result.code, 0) << result.errors;
    return result.output;
  }
};

}  // namespace steerlm
