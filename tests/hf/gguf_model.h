// Imports of small GGUF files, and what they leave.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/hf/gguf_import.h"
#include "support/gguf_writer.h"
#include "support/message_of.h"
#include "support/small_gguf.h"
#include "support/temporary_folder.h"

namespace steerlm {

inline const Path gguf_fixtures = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "gguf";

class GgufModel : public ::testing::Test {
 protected:
  // The folder, made anew.
  GgufImport import(const GgufWriter& file, const std::string& dtype = "fp32") {
    std::filesystem::remove_all(output_);
    file.write(path_);
    return import_gguf(GgufFile::open(path_), output_, dtype, 5'000'000'000);
  }
  // The message of the refusal, which names the file and leaves nothing; "" where it is imported.
  std::string refusal(const GgufWriter& file, const std::string& dtype = "fp32") {
    std::string message = message_of(ExitCode::model, [&] { import(file, dtype); });
    if (message.empty()) return "";
    EXPECT_NE(message.find(folder_.path().string()), std::string::npos) << message;
    EXPECT_FALSE(std::filesystem::exists(output_));
    return message;
  }
  Json json(const char* name) const {
    return parse_json(read_file(output_ / name, ExitCode::model, name), name, ExitCode::model);
  }

  TemporaryFolder folder_;
  const Path path_ = folder_.path() / "small.gguf";
  const Path output_ = folder_.path() / "model";
};

}  // namespace steerlm
