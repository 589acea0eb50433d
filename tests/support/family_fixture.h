// tests/fixtures/families: a config.json as Transformers saves it, weights that both sides make with the counter-based
// generator (tools/fixture_support.py), and what Transformers computed with them.
#pragma once

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {

inline Path family_path(const std::string& variant) {
  return Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "families" / variant;
}

inline Json family_json(const std::string& variant, const char* file) {
  const Path path = family_path(variant) / file;
  return parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
}

// Element (i, j) of the tensor is center + width * (2 u - 1), u the j-th draw of row i.
inline at::Tensor family_tensor(std::uint64_t seed, const std::string& name, std::vector<std::int64_t> shape) {
  const std::int64_t columns = shape.back(), rows = shape.size() == 1 ? 1 : shape[0];
  double center = 0, width = 2.6 / std::sqrt(static_cast<double>(columns));
  if (name.find("norm") != std::string::npos) {
    center = 1;
    width = 0.35;
  } else if (name.ends_with(".bias")) {
    width = 0.4;
  } else if (name.find("embed_tokens") != std::string::npos) {
    width = 0.9;
  } else if (name.find("lora_") != std::string::npos) {
    width = 1.5 / std::sqrt(static_cast<double>(columns));
  }
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* data = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < rows; ++i) {
    Rng rng(seed, "fixture " + name, static_cast<std::uint64_t>(i));
    for (std::int64_t j = 0; j < columns; ++j) {
      const double u = static_cast<double>(rng.bits()) / 4294967296.0;
      data[i * columns + j] = static_cast<float>(center + width * (2 * u - 1));
    }
  }
  return tensor;
}

inline NamedTensors family_tensors(const Json& expected, const char* key) {
  NamedTensors tensors;
  for (const auto& [name, shape] : expected.at(key).items()) {
    tensors.emplace_back(
        name, family_tensor(expected.at("seed").get<std::uint64_t>(), name, shape.get<std::vector<std::int64_t>>()));
  }
  return tensors;
}

// The folder as a user would bring it; the tokenizer aside.
inline void write_family_folder(const std::string& variant, const Path& folder) {
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(family_path(variant) / "config.json", folder / "config.json");
  write_safetensors(folder / "model.safetensors", family_tensors(family_json(variant, "expected.json"), "parameters"),
                    {{"format", "pt"}});
}

// The same with an adapter folder beside it, whose base it is.
inline void write_adapter_fixture(const std::string& variant, const Path& base, const Path& folder) {
  write_family_folder(variant, base);
  std::filesystem::create_directories(folder);
  Json config = family_json(variant, "adapter_config.json");
  config["base_model_name_or_path"] = base.string();
  write_file_atomic(folder / "adapter_config.json", config.dump(2));
  const Json expected = family_json(variant, "expected.json");
  NamedTensors tensors = family_tensors(expected, "adapter_parameters");
  for (auto& [name, tensor] : tensors) {  // a score starts as the base's
    if (name == "base_model.model.score.weight")
      tensor = family_tensor(expected.at("seed").get<std::uint64_t>(), "score.weight", tensor.sizes().vec());
  }
  write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
}

// Dot product with the fixture's random vector of this name.
inline double family_projection(std::uint64_t seed, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kDouble).contiguous();
  const double* values = flat.const_data_ptr<double>();
  Rng rng(seed, "projection " + name, 0);
  double sum = 0;
  for (std::int64_t i = 0; i < flat.numel(); ++i)
    sum += values[i] * (2 * (static_cast<double>(rng.bits()) / 4294967296.0) - 1);
  return sum;
}

// {"norm", "projection"} of one tensor. An error of relative size e changes the projection by about e * norm * 0.58.
inline void expect_summary(const Json& wanted, std::uint64_t seed, const std::string& name, const at::Tensor& ours,
                           double tolerance) {
  const double norm = wanted.at("norm").get<double>();
  EXPECT_GT(norm, 0) << name;
  EXPECT_NEAR(ours.to(at::kDouble).norm().item<double>(), norm, tolerance * norm) << name;
  EXPECT_NEAR(family_projection(seed, name, ours), wanted.at("projection").get<double>(), tolerance * norm) << name;
}

}  // namespace steerlm
