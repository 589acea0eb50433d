// A recipe of six steps over twelve conversations, and what its runs have measured.
#pragma once

#include <cstring>

#include "end_to_end/program.h"

namespace steerlm {

class TrainingProgram : public Program {
 protected:
  void SetUp() override {
    model_ = fixture("untied").string();
    std::string lines;
    for (int i = 0; i < 12; ++i) {
      lines += R"({"conversations": [{"from": "User", "value": "question )" + std::to_string(i) +
               R"("}, {"from": "Assistant", "value": "answer )" + std::to_string(i) + R"(", "label": "quality:)" +
               std::to_string(i % 5) + "\"}]}\n";
    }
    write("train.jsonl", lines);
    write("sft.yaml", "stage: sft\nmodel: {path: " + model_ +
                          "}\nattributes: {names: [quality, humor], min: 0, max: 4}\ndata: {train: [{path: "
                          "train.jsonl}], max_tokens: 256}\n"
                          "run_dir: run\noptimizer: {learning_rate: 1e-3}\ntrain: {steps: 6, batch_size: "
                          "4}\ncheckpoint: {every_steps: 1}\n");
  }

  // One value of every line of a metrics.jsonl that has it, by step.
  std::map<std::int64_t, double> metric(const std::string& run_name, const std::string& name) const {
    std::map<std::int64_t, double> values;
    for (const Json& line : json_lines(read(Path(run_name) / "metrics.jsonl"))) {
      if (line.contains(name)) values[line.at("step").get<std::int64_t>()] = line.at(name).get<double>();
    }
    return values;
  }

  // Every tensor of a safetensors file in fp32.
  std::map<std::string, std::vector<float>> weights(const Path& file) const {
    const std::string bytes = read(file);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    std::map<std::string, std::vector<float>> tensors;
    const Json header = parse_json(bytes.substr(8, length), "header", ExitCode::data);
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const auto [begin, end] = entry.at("data_offsets").get<std::pair<size_t, size_t>>();
      tensors[name].resize((end - begin) / sizeof(float));
      std::memcpy(tensors[name].data(), bytes.data() + 8 + length + begin, end - begin);
    }
    return tensors;
  }

  std::string model_;
};

}  // namespace steerlm
