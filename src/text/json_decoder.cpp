#include "steerlm/core/utf8.h"
#include "text/byte_level.h"
#include "text/json_tokenizer.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

using Tokens = std::vector<std::string>;

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581

std::string join(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The byte of "<0x0A>", -1: another token.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

// A run of bytes that is no UTF-8 as a whole gives U+FFFD for each of them.
Tokens join_bytes(const Tokens& tokens) {
  Tokens result;
  std::string run;
  const auto end_run = [&] {
    if (run.empty()) return;
    if (!find_invalid_utf8(run)) {
      result.push_back(run);
    } else {
      for (size_t i = 0; i < run.size(); ++i) result.emplace_back(replacement_character);
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    const int byte = fallback_byte(token);
    if (byte >= 0) {
      run += static_cast<char>(byte);
      continue;
    }
    end_run();
    result.push_back(token);
  }
  end_run();
  return result;
}

// A token with a character that spells no byte stands for its own bytes.
std::string decode_byte_level(const Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += spelled_bytes(token).value_or(token);
  return replace_bad_parts(bytes);
}

}  // namespace

std::string decode_tokens(const std::vector<DecoderStep>& steps, Tokens tokens, bool at_start) {
  for (const DecoderStep& step : steps) {
    switch (step.kind) {
      case DecoderStep::Kind::byte_level:
        tokens = {decode_byte_level(tokens)};
        break;
      case DecoderStep::Kind::replace:
        for (std::string& token : tokens) token = replace_all(token, step.pattern, step.content);
        break;
      case DecoderStep::Kind::byte_fallback:
        tokens = join_bytes(tokens);
        break;
      case DecoderStep::Kind::fuse:
        tokens = {join(tokens)};
        break;
      case DecoderStep::Kind::strip:
        for (size_t i = 0; at_start && i < step.start && tokens[0].starts_with(step.pattern); ++i)
          tokens[0].erase(0, step.pattern.size());
        break;
      case DecoderStep::Kind::metaspace:
        for (size_t i = 0; i < tokens.size(); ++i) {
          tokens[i] = replace_all(tokens[i], space_symbol, i == 0 && at_start && step.prefix ? "" : " ");
        }
        break;
    }
  }
  return join(tokens);
}

}  // namespace steerlm
