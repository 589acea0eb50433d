#pragma once

#include <zlib.h>

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/data/record_reader.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm::testing {

inline Attributes make_test_attributes(int min = 0, int max = 4) {
  return make_attributes(
      {.names = {"quality", "toxicity", "humor", "creativity", "helpfulness", "coherence", "verbosity"},
       .min = min,
       .max = max,
       .defaults = {}});
}

inline std::string fixture(const std::string& name) { return STEERLM_SOURCE_DIR "/tests/fixtures/data/" + name; }

inline std::string write_file(const TemporaryFolder& folder, const std::string& name, const std::string& bytes) {
  std::string path = (folder.path() / name).string();
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

inline std::string read_all(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

inline SourceOptions source(const std::string& path, Format format = Format::auto_detect) {
  return {.path = path, .format = format};
}

using steerlm::message_of;

// "User: Hi | Assistant(quality:3): Hello"
inline std::string text_of(const Conversation& conversation) {
  std::string text;
  for (const Turn& turn : conversation.turns) {
    if (!text.empty()) text += " | ";
    text += turn.from + (turn.label ? "(" + turn.label->text + ")" : "") + ": " + turn.value;
  }
  return text;
}

inline std::vector<std::string> texts_of(const std::vector<SourceOptions>& sources, const Attributes& attributes) {
  std::vector<std::string> texts;
  for (const Record& record : read_records(sources, attributes, "S")) texts.push_back(text_of(record.conversation));
  return texts;
}

inline std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(bytes.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace steerlm::testing
