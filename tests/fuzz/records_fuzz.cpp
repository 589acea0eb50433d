// The first byte of an input says which format its records are said to have, the second who reads them and how.
#include <zlib.h>
#include <zstd.h>

#include "fuzz/fuzz.h"
#include "steerlm/data/preference.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/response_group.h"

namespace steerlm {
namespace {

const Path& record_file() {
  static const TemporaryFolder folder;
  static const Path path = folder.path() / "records";
  return path;
}

Attributes attributes() { return make_attributes({.names = {"quality", "humor", "helpfulness"}, .min = 0, .max = 4}); }

std::string packed_by_zlib(const std::string& text) {
  const gzFile file = ::gzopen(record_file().c_str(), "wb");
  require(::gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()), "gzwrite");
  require(::gzclose(file) == Z_OK, "gzclose");
  return read_file(record_file(), ExitCode::bug, "packed file");
}

std::string packed_by_zstd(const std::string& text) {
  std::string bytes(::ZSTD_compressBound(text.size()), '\0');
  bytes.resize(::ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), 3));
  return bytes;
}

void read_all(RecordReader reader) {
  while (const auto next = reader.next()) {
    if (const auto* record = std::get_if<Record>(&*next)) dump_json(record->json);
  }
  describe_unobeyed(reader.notes().unobeyed);
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const std::vector<std::pair<Format, std::string>> files{
      {Format::oasst, fixture_bytes("data/oasst.jsonl")},
      {Format::hh_rlhf, fixture_bytes("data/hh_rlhf.jsonl")},
      {Format::helpsteer, fixture_bytes("data/helpsteer.jsonl")},
      {Format::helpsteer2, fixture_bytes("data/helpsteer2.jsonl")},
      {Format::helpsteer2, fixture_bytes("data/preference.jsonl")},
      {Format::sharegpt, fixture_bytes("data/sharegpt.json")},
      {Format::messages, fixture_bytes("data/messages.jsonl")},
      {Format::text, fixture_bytes("data/lines.txt")},
      {Format::conversations,
       R"({"system":"S","mask":"User","type":"VALUE_TO_TEXT","id":1.50,"conversations":[{"from":"User","value":"Hi","label":null},)"
       R"({"from":"Assistant","value":"Yes","label":"quality:4,humor:0","scores":[3.5,0.1],"gt_label":"quality:3","weight":0}]})"
       "\n"},
      {Format::conversations, R"({"prompt":"Hi"})"
                              "\n"
                              R"({"turns":["a","b","c"]})"
                              "\n"},
      {Format::helpsteer3,
       R"({"domain":"general","language":"english","context":[{"role":"user","content":"A fruit."}],"response1":"A pear.",)"
       R"("response2":"A stone.","overall_preference":-3,"individual_preference":[]})"},
      {Format::reward_bench,
       R"({"id":7,"prompt":"A fruit.","chosen":"A pear.","chosen_model":"m","rejected":"A stone.","subset":"alpacaeval-easy"})"},
      {Format::reward_bench_2,
       R"({"id":"tied:3","prompt":"A fruit.","chosen":["A pear.","A fig."],"rejected":["A stone.","A car."],"num_correct":2,"subset":"Ties"})"},
      {Format::steerlm2,
       R"({"system":"S","prompt_turns":[{"from":"User","value":"hi"}],"label":"quality:4,humor:1","responses":[)"
       R"j({"from":"Assistant","value":"a","log(P(a|x,y))":-1.9,"log(P(y|x))":-6.2,"log(Q(y|a,x))":-5.8},)j"
       R"j({"from":"Assistant","value":"b","log(P(a|x,y))":-1,"log(P(y|x))":-6,"log(Q(y|a,x))":-5,"tokens":3}]})j"}};
  std::vector<std::string> seeds;
  for (const auto& [format, bytes] : files) {
    for (const char reader : {'\0', '\1', '\2', '\3', '\4', '\x18'}) {
      seeds.push_back(std::string{static_cast<char>(format), reader} + bytes);
      seeds.push_back(std::string{'\0', reader} + bytes);
    }
    seeds.push_back(std::string{'\0', '\0'} + packed_by_zlib(bytes));
    seeds.push_back(std::string{'\0', '\0'} + packed_by_zstd(bytes));
  }
  return seeds;
}

std::vector<std::string> fuzz_words() {
  return json_words({"\n",
                     "\r\n",
                     "quality:4",
                     ",humor:0",
                     R"("from":"User")",
                     R"("from":"Assistant")",
                     R"("label":"quality:4")",
                     R"("label":{"quality":4})",
                     R"("weight":0)",
                     R"("mask":"User")",
                     R"("type":"TEXT_TO_VALUE")",
                     R"("conversations":[])",
                     R"("messages":[])",
                     R"("tools":[])",
                     R"("role":"system")",
                     R"("role":"assistant")",
                     R"("content":[{"type":"text","text":"a"}])",
                     R"("replies":[])",
                     R"("labels":{"quality":{"value":0.5,"count":3}})",
                     "\\n\\nHuman: ",
                     "\\n\\nAssistant: ",
                     "<extra_id_1>User\\n",
                     "<extra_id_1>",
                     R"("helpfulness":3)",
                     R"("chosen":)",
                     R"("rejected":)",
                     R"("prompt":)",
                     R"("responses":[])",
                     R"j("log(P(y|x))":-1)j",
                     R"("tokens":3)",
                     R"("preference_strength":2)",
                     R"("response":"response_1")",
                     R"("response":"chosen")",
                     "\x1f\x8b",
                     "\x28\xb5\x2f\xfd",
                     "PAR1",
                     "\xff\xfe"});
}

}  // namespace steerlm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steerlm;
  if (size < 2) return 0;
  put_file(record_file(), text_of(data + 2, size - 2));
  constexpr auto formats = EnumNames<Format>::table;
  const std::vector<SourceOptions> sources{
      {.path = record_file().string(), .format = formats[data[0] % formats.size()].first}};
  const Labels labels = static_cast<Labels>((data[1] >> 3) % 4);
  read_or_refuse([&] {
    switch (data[1] % 5) {
      case 0:
        return read_all(RecordReader(sources, attributes(), "", {.labels = labels, .weights = data[1] < 128}));
      case 1:
        return read_all(RecordReader(sources, {}, "", {.labels = labels}));
      case 2: {
        PreferenceReader reader(sources, "");
        while (reader.next()) continue;
        return;
      }
      case 3: {
        ResponseGroupReader reader(sources, attributes(), "");
        while (reader.next()) continue;
        return;
      }
      default:
        are_rated_as_helpsteer(sources);
        read_prompts(sources, attributes(), "", 0);
    }
  });
  return 0;
}
