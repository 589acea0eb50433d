#include "fuzz/tokenizer.h"

namespace steerlm {
std::vector<std::string> fuzz_seeds() {
  return {fixture_bytes("text/unigram.model"), fixture_bytes("text/bpe.model"), fixture_bytes("text/markers.model"),
          fixture_bytes("models/untied/tokenizer.model")};
}

// Pieces are fields of a message: tag, length, text; tag, four bytes of a float; tag, type.
std::vector<std::string> fuzz_words() {
  using std::string_literals::operator""s;
  return {
      "\x0a\x01"
      "a",
      "\x0a\x00"s,
      "\x0a\x03\xE2\x96\x81",
      "\x0a\x06<0x41>",
      "\x15\x00\x00\x80\xbf"s,
      "\x15\x00\x00\xc0\x7f"s,
      "\x15\x00\x00\x80\x7f"s,
      "\x18\x01",
      "\x18\x02",
      "\x18\x03",
      "\x18\x04",
      "\x18\x05",
      "\x18\x06",
      "\x12",
      "\x1a",
      "\xff\xff\xff\xff\x0f",
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
      "\xc2\x02",
      "\xca\x02",
      "\x0a\x0e\x0a\x05",
      "nmt_nfkc",
      "identity"};
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  put_file(tokenizer_place("tokenizer.model"), text_of(data, size));
  read_or_refuse([] { use_tokenizer(tokenizer_place("tokenizer.model")); });
  return 0;
}
