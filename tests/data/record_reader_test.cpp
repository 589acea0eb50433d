#include "steerlm/data/record_reader.h"

#include <gmock/gmock.h>

#include "data/helpers.h"
#include "steerlm/data/line_reader.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace steerlm::testing;

std::string record_line(const std::string& value) {
  return R"({"conversations":[{"from":"User","value":")" + value + R"("},{"from":"Assistant","value":"ok"}]})" + "\n";
}

// A line a record or bad line: "3 User: …" or "3 bad: reason".
std::vector<std::string> read_all_of(const std::vector<SourceOptions>& sources) {
  RecordReader reader(sources, make_test_attributes(), "S");
  std::vector<std::string> entries;
  while (const auto entry = reader.next()) {
    if (const auto* bad = std::get_if<BadRecord>(&*entry)) {
      entries.push_back(std::to_string(bad->line) + " bad: " + bad->reason);
    } else {
      const Record& record = std::get<Record>(*entry);
      entries.push_back(std::to_string(record.line) + " " + record.conversation.turns[0].value);
    }
  }
  return entries;
}

TEST(RecordReaderTest, BadLinesAreReturnedAndReadingGoesOn) {
  TemporaryFolder folder;
  std::string deep;
  for (int i = 0; i < 70; ++i) deep += "[";
  const std::string path =
      write_file(folder, "f.jsonl",
                 "\xEF\xBB\xBF" + record_line("a") + "{\n" + record_line("b").substr(0, record_line("b").size() - 1) +
                     " {}\r\n\n" + R"({"conversations":[{"from":"User","value":"x","value":"y"}]})" + "\n" +
                     R"({"conversations":[{"from":"User","value":"\ud800"}]})" + "\n" +
                     R"({"x":NaN,"conversations":[]})" + "\n" + deep + "\n" + record_line(std::string("n\0l", 3)) +
                     record_line("\xC0\xAF") + std::string(max_line_bytes + 1, 'x') + "\n" +
                     R"({"conversations":[{"from":"User","value":"x","label":"what:1"}]})" + "\n" + record_line("c"));
  const std::vector<std::string> entries = read_all_of({source(path)});
  ASSERT_EQ(entries.size(), 12u);
  EXPECT_EQ(entries[0], "1 a");
  EXPECT_THAT(entries[1], StartsWith("2 bad: not valid JSON"));
  EXPECT_THAT(entries[2], StartsWith("3 bad: not valid JSON"));
  EXPECT_THAT(entries[3], StartsWith("5 bad: the key 'value' occurs twice"));
  EXPECT_THAT(entries[4], StartsWith("6 bad: not valid JSON"));
  EXPECT_THAT(entries[5], StartsWith("7 bad: not valid JSON"));
  EXPECT_THAT(entries[6], StartsWith("8 bad: nested deeper than 64"));
  EXPECT_THAT(entries[7], StartsWith("9 bad: a raw NUL byte"));
  EXPECT_THAT(entries[8], StartsWith("10 bad: not valid UTF-8"));
  EXPECT_EQ(entries[9], "11 bad: a line of more than 16 MiB");
  EXPECT_THAT(entries[10], StartsWith("12 bad: turn 1: the label has an unknown attribute"));
  EXPECT_EQ(entries[11], "13 c");
}

TEST(RecordReaderTest, BadRecordKeepsTheLine) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "f.jsonl", "{\"a\": [}\n");
  RecordReader reader({source(path)}, make_test_attributes(), "S");
  const auto entry = reader.next();
  ASSERT_TRUE(entry && std::holds_alternative<BadRecord>(*entry));
  EXPECT_EQ(std::get<BadRecord>(*entry).text, "{\"a\": [}");
  EXPECT_EQ(std::get<BadRecord>(*entry).file, path);
  EXPECT_FALSE(reader.next());
}

TEST(RecordReaderTest, BadTextCanBeWrittenDown) {
  TemporaryFolder folder;
  const std::string long_line = "{\xFF\"" + std::string((64 << 10) - 4, 'x') + "\xC3\xA9\"}";
  RecordReader reader({source(write_file(folder, "f.jsonl", long_line))}, make_test_attributes(), "S");
  const auto entry = reader.next();
  ASSERT_TRUE(entry && std::holds_alternative<BadRecord>(*entry));
  EXPECT_EQ(std::get<BadRecord>(*entry).text, "{\uFFFD\"" + std::string((64 << 10) - 4, 'x') + "\uFFFD");
}

TEST(RecordReaderTest, RepeatAndLimit) {
  TemporaryFolder folder;
  const std::string a = write_file(folder, "a.jsonl", record_line("1") + "\n" + record_line("3") + record_line("4"));
  const std::string b = write_file(folder, "b.jsonl", record_line("b"));
  EXPECT_THAT(read_all_of({{.path = a, .repeat = 2, .limit = 3}, {.path = b, .repeat = 2}}),
              ElementsAre("1 1", "3 3", "1 1", "3 3", "1 b", "1 b"));
  EXPECT_THAT(read_all_of({{.path = fixture("sharegpt.json"), .limit = 1}}), ElementsAre("1 Who are you?"));
}

TEST(RecordReaderTest, FileErrorsAreThrown) {
  TemporaryFolder folder;
  const std::string missing = (folder.path() / "none.jsonl").string();
  EXPECT_EQ(message_of(ExitCode::data, [&] { read_all_of({source(missing)}); }),
            missing + ": cannot read the data file: No such file or directory");
  EXPECT_THAT(message_of(ExitCode::recipe,
                         [&] {
                           read_all_of({source("-"), source("-")});
                         }),
              HasSubstr("standard input can be read only once"));
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { read_all_of({{.path = "-", .repeat = 2}}); }),
              HasSubstr("standard input can be read only once"));
}

TEST(RecordReaderTest, TrainingStopsAtTheFirstBadRecord) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "f.jsonl", record_line("a") + "{}\n{\n");
  EXPECT_THAT(message_of(ExitCode::data, [&] { read_records({source(path)}, make_test_attributes(), "S"); }),
              StartsWith(path + ":2: 'conversations' is missing"));
}

TEST(RecordReaderTest, BadFirstLineDoesNotHideTheFormat) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "f.jsonl", "{\n" + record_line("a"));
  const std::vector<std::string> entries = read_all_of({source(path)});
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1], "2 a");
}

// Whose `conversations` they are is said by the first turn whose role says it, of whatever record.
TEST(RecordReaderTest, BadConversationsDoNotSettleTheFormat) {
  TemporaryFolder folder;
  const std::string theirs = R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})";
  for (const char* bad :
       {R"({"conversations":[]})", R"({"conversations":3})", R"({"conversations":["q"]})",
        R"({"conversations":[{"value":"q"}]})", R"({"conversations":[{"from":"function_call","value":"f"}]})"}) {
    for (const std::string& good : {theirs, record_line("q")}) {
      for (const std::string& bytes : {std::string(bad) + "\n" + good, "[" + std::string(bad) + "," + good + "]"}) {
        const std::vector<std::string> entries = read_all_of({source(write_file(folder, "f.json", bytes))});
        ASSERT_EQ(entries.size(), 2u) << bytes;
        EXPECT_THAT(entries[0], StartsWith("1 bad: ")) << bytes;
        EXPECT_EQ(entries[1], "2 q") << bytes;
      }
    }
  }
  const std::string tools = R"({"conversations":[{"from":"tool","value":"t"},{"from":"human","value":"q"}]})";
  EXPECT_THAT(read_all_of({source(write_file(folder, "t.jsonl", tools + "\n" + theirs))}),
              ElementsAre(HasSubstr("conversations with tools cannot be trained on"), "2 q"));
  EXPECT_THAT(read_all_of({source(write_file(folder, "e.jsonl", R"({"conversations":[]})"))}),
              ElementsAre(HasSubstr("1 bad: an empty conversation")));
  const std::string system =
      R"({"conversations":[{"from":"System","value":"s"},{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})";
  EXPECT_THAT(read_all_of({source(write_file(folder, "s.jsonl", system))}), ElementsAre("1 q"));
  const std::string ours = R"({"conversations":[{"from":"System","value":"s"},{"from":"User","value":"q"}]})";
  EXPECT_THAT(read_all_of({source(write_file(folder, "o.jsonl", ours))}), ElementsAre("1 s"));
}

TEST(RecordReaderTest, RatingsOfOtherAttributes) {
  RecordReader reader({source(fixture("helpsteer2.jsonl"))}, Attributes{}, "S",
                      {.rating_attributes = make_test_attributes()});
  const auto entry = reader.next();
  ASSERT_TRUE(entry && std::holds_alternative<Record>(*entry));
  EXPECT_THAT(text_of(std::get<Record>(*entry).conversation),
              HasSubstr("Assistant(helpfulness:3,coherence:4,verbosity:2): A pear."));
}

// Nobody says what the attributes are: HelpSteer's rows bring their own, other records keep theirs.
TEST(RecordReaderTest, HelpSteersOwnAttributes) {
  const Attributes own =
      make_attributes({.names = {"helpfulness", "correctness", "coherence", "complexity", "verbosity"},
                       .min = 0,
                       .max = 4,
                       .defaults = {}});
  for (const char* name : {"helpsteer2.jsonl", "oasst.jsonl"}) {
    RecordReader reader({source(fixture(name))}, make_test_attributes(0, 9), "S", {.helpsteer_attributes = own});
    const auto entry = reader.next();
    ASSERT_TRUE(entry && std::holds_alternative<Record>(*entry));
    const bool helpsteer = name[0] == 'h';
    EXPECT_THAT(text_of(std::get<Record>(*entry).conversation),
                HasSubstr(helpsteer ? "Assistant(helpfulness:3,correctness:4,coherence:4,complexity:1,verbosity:2)"
                                    : "Assistant(quality:7,toxicity:0,humor:4)"));
    EXPECT_EQ(reader.notes().helpsteer, helpsteer);
  }
}

TEST(RecordReaderTest, SourcesThatAreRatedAsHelpSteer) {
  TemporaryFolder folder;
  const SourceOptions helpsteer = source(fixture("helpsteer2.jsonl")), trees = source(fixture("oasst.jsonl"));
  const SourceOptions records = source(write_file(folder, "r.jsonl", record_line("a")));
  SourceOptions dropped = helpsteer;
  dropped.labels = SourceLabels::drop;
  EXPECT_TRUE(are_rated_as_helpsteer({helpsteer}));
  EXPECT_TRUE(are_rated_as_helpsteer({source(fixture("helpsteer.jsonl"), Format::helpsteer), records, source("-")}));
  EXPECT_FALSE(are_rated_as_helpsteer({helpsteer, trees}));
  EXPECT_FALSE(are_rated_as_helpsteer({records}));
  EXPECT_FALSE(are_rated_as_helpsteer({dropped}));
  EXPECT_FALSE(are_rated_as_helpsteer({source(fixture("preference.jsonl"))}));
  EXPECT_FALSE(are_rated_as_helpsteer({source(write_file(folder, "p.jsonl", R"({"prompt":"a","response":"b"})"))}));
  EXPECT_FALSE(are_rated_as_helpsteer({}));
  const std::string bad_start = write_file(folder, "b.jsonl", "{\n\n" + read_all(fixture("helpsteer.jsonl")));
  EXPECT_TRUE(are_rated_as_helpsteer({source(bad_start)}));
  const std::string unrated = R"({"prompt":"a","response":"b","helpfulness":null})"
                              "\n";
  EXPECT_FALSE(are_rated_as_helpsteer({source(write_file(folder, "n.jsonl", unrated))}))
      << "null is as good as missing";
  EXPECT_TRUE(are_rated_as_helpsteer(
      {source(write_file(folder, "later.jsonl", unrated + unrated + read_all(fixture("helpsteer.jsonl"))))}));
}

// What other programs act on, counted by lines.
TEST(RecordReaderTest, KeysThatAreNotObeyed) {
  TemporaryFolder folder;
  const std::string path = write_file(
      folder, "f.jsonl",
      R"({"messages":[{"role":"user","content":"a","name":"Bo"},{"role":"assistant","content":"b","tool_calls":[{}],"weight":1}],"tools":[{}]})"
      "\n"
      R"({"messages":[{"role":"user","content":"a","name":"Bo"},{"role":"user","content":"b","name":"Bo"}],"tools":[],"images":null,"split":"train","type":"chat","mask":7,"quality":3})"
      "\n"
      R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"a","name":null}],"system":"T","split":"test","score":1,"loss_mask":[0,1]})"
      "\n");
  const auto notes = [&](const std::string& file, Attributes attributes) {
    RecordReader reader({source(file)}, std::move(attributes), "S");
    while (reader.next()) {
    }
    return reader.notes();
  };
  EXPECT_THAT(notes(path, make_test_attributes()).unobeyed,
              ElementsAre(std::pair{"'loss_mask'", 1}, std::pair{"'mask'", 1}, std::pair{"'name' of a turn", 2},
                          std::pair{"'quality'", 1}, std::pair{"'score'", 1}, std::pair{"'split'", 1},
                          std::pair{"'system', beside a system message", 1}, std::pair{"'tool_calls' of a turn", 1},
                          std::pair{"'tools'", 1}, std::pair{"'type'", 1}));
  EXPECT_THAT(notes(fixture("preference.jsonl"), {}).unobeyed, ElementsAre(std::pair{"'preference_strength'", 1}));
  const auto ratings = notes(fixture("helpsteer.jsonl"), make_test_attributes()).unobeyed;
  EXPECT_THAT(ratings, ElementsAre(std::pair{"the rating 'complexity', which is not among the attributes", 1},
                                   std::pair{"the rating 'correctness', which is not among the attributes", 1}));
  EXPECT_EQ(describe_unobeyed({{"'tools'", 2}, {"'type'", 1}}), "'tools' (2 lines), 'type' (1 line)");
  EXPECT_THAT(notes(write_file(folder, "b.jsonl", "\n" + record_line("a") + " \n\r\n"), {}).blank_lines, 3);
}

// What says that something is not to be trained, and is not obeyed where it stands, is named; its opposite is not.
TEST(RecordReaderTest, TrainingKeysThatAreNotObeyedAreNamed) {
  const auto unobeyed = [&](const std::string& of_record, const std::string& of_turn) {
    TemporaryFolder folder;
    RecordReader reader({source(write_file(folder, "f.jsonl",
                                           "{" + of_record + R"("messages":[{"role":"user","content":"a"},{)" +
                                               of_turn + R"("role":"assistant","content":"b"}]})"))},
                        make_test_attributes(), "S");
    EXPECT_TRUE(std::holds_alternative<Record>(*reader.next()));
    return describe_unobeyed(reader.notes().unobeyed);
  };
  for (const std::string key : {"train", "trainable", "training", "train_on_turn", "loss"}) {
    EXPECT_EQ(unobeyed("\"" + key + "\":false,", ""), "'" + key + "' (1 line)");
    EXPECT_EQ(unobeyed("\"" + key + "\":true,", ""), "");
    EXPECT_EQ(unobeyed("", "\"" + key + "\":false,"), "") << "it is obeyed";
  }
  for (const std::string key : {"deleted", "masked"}) {
    EXPECT_EQ(unobeyed("\"" + key + "\":true,", ""), "'" + key + "' (1 line)");
    EXPECT_EQ(unobeyed("\"" + key + "\":false,", ""), "");
  }
  for (const std::string key : {"calculate_loss", "learn"}) {
    EXPECT_EQ(unobeyed("", "\"" + key + "\":false,"), "'" + key + "' of a turn (1 line)");
    EXPECT_EQ(unobeyed("", "\"" + key + "\":true,"), "");
  }
  EXPECT_EQ(unobeyed("", R"("mask":true,)"), "'mask' of a turn (1 line)");
  EXPECT_EQ(unobeyed("", R"("loss":"false",)"), "'loss' of a turn (1 line)");
  EXPECT_EQ(unobeyed("", R"("reward":0.5,)"), "'reward' of a turn (1 line)");
}

TEST(RecordReaderTest, KeysOfASystemMessageAndOfPartsAreNamed) {
  TemporaryFolder folder;
  const auto unobeyed = [&](const std::string& line) {
    RecordReader reader({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "S");
    const Record record = std::get<Record>(*reader.next());
    RecordReader again({source(write_file(folder, "g.jsonl", dump_json(record.json)))}, make_test_attributes(), "S");
    again.next();
    EXPECT_EQ(again.notes().unobeyed, reader.notes().unobeyed) << "what was converted says the same";
    return describe_unobeyed(reader.notes().unobeyed);
  };
  const std::string user = R"({"role":"user","content":"a"})";
  EXPECT_EQ(unobeyed(R"({"messages":[{"role":"system","content":"S","name":"Bo","id":1},)" + user + "]}"),
            "'name' of the system message (1 line)");
  EXPECT_EQ(
      unobeyed(R"({"messages":[{"role":"system","content":[{"type":"text","text":"S","cache_control":{"a":1}}]},)" +
               user + "]}"),
      "'cache_control' of a part of the system message (1 line)");
  EXPECT_EQ(
      unobeyed(
          R"({"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"a":1},"x":1}]}]})"),
      "'cache_control' of a part of a turn (1 line)");
  EXPECT_EQ(unobeyed(R"({"system_message":"T","messages":[)" + user + "]}"), "");
}

TEST(RecordReaderTest, LabelsOfResponsesThatAreNotTheGroupsAreNamed) {
  TemporaryFolder folder;
  const auto unobeyed = [&](const std::string& label) {
    RecordReader reader(
        {source(write_file(
            folder, "f.jsonl",
            R"({"prompt_turns":[{"from":"User","value":"a"}],"label":"quality:4","responses":[{"from":"Assistant","value":"b","label":)" +
                label + "}]}"))},
        make_test_attributes(), "S");
    EXPECT_TRUE(std::holds_alternative<Record>(*reader.next()));
    return describe_unobeyed(reader.notes().unobeyed);
  };
  EXPECT_EQ(unobeyed(R"("quality:1")"), "'label' of a response (1 line)");
  EXPECT_EQ(unobeyed(R"("quality:4")"), "");
  EXPECT_EQ(unobeyed("null"), "");
}

// A key that is called as one of ours is lost in conversion, so it is named.
TEST(RecordReaderTest, KeysInThePlaceOfOursAreNamed) {
  const auto unobeyed = [&](const std::string& line) {
    TemporaryFolder folder;
    RecordReader reader({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "S");
    while (reader.next()) {
    }
    return describe_unobeyed(reader.notes().unobeyed);
  };
  EXPECT_EQ(unobeyed(R"({"prompt":"a","response":"b","type":"x","mask":"User"})"), "'type' (1 line)");
  EXPECT_EQ(unobeyed(R"({"prompt":"a","response_1":"b","response_2":"c","response":"d"})"), "'response' (1 line)");
  EXPECT_EQ(unobeyed(R"({"messages":[{"role":"user","content":"a","from":"Bo","value":null}]})"),
            "'from' of a turn (1 line)");
}

// What annotation reads: human labels are left alone, but ratings that are to be kept have to be ratings.
TEST(RecordReaderTest, ForAnnotation) {
  TemporaryFolder folder;
  const auto read = [&](const std::string& line, SourceLabels of_source, Labels labels) {
    SourceOptions options = source(write_file(folder, "f.jsonl", line));
    options.labels = of_source;
    RecordReader reader({options}, make_attributes({.names = {"helpfulness"}}), "S",
                        {.labels = labels, .weights = false});
    const auto record = reader.next();
    const BadRecord* bad = std::get_if<BadRecord>(&*record);
    return bad != nullptr ? bad->reason : "";
  };
  const std::string weights =
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0.5}]})";
  EXPECT_EQ(read(weights, SourceLabels::keep, Labels::ignored), "");
  EXPECT_EQ(read(weights, SourceLabels::drop, Labels::ignored), "");
  EXPECT_EQ(read(weights, SourceLabels::keep, Labels::kept), "");
  const std::string text = R"({"prompt":"a","response":"b","helpfulness":"4"})";
  EXPECT_EQ(read(text, SourceLabels::keep, Labels::ignored), "");
  EXPECT_THAT(read(text, SourceLabels::keep, Labels::kept),
              HasSubstr("the rating of 'helpfulness' cannot be used (found the text \"4\""));
}

TEST(RecordReaderTest, LabelsThatAreDroppedAreNotRead) {
  TemporaryFolder folder;
  SourceOptions options = source(write_file(folder, "f.jsonl",
                                            R"({"conversations":[{"from":"User","value":"x","label":"what:1"}]})"
                                            "\n"
                                            R"({"conversations":[{"from":"User","value":"y","label":3}]})"));
  options.labels = SourceLabels::drop;
  EXPECT_EQ(read_all_of({options}).at(1), "2 y");
  options.path = write_file(folder, "h.jsonl", R"({"prompt":"x","response":"y","helpfulness":"4","correctness":9})");
  EXPECT_EQ(read_all_of({options}).at(0), "1 x");
}

TEST(RecordReaderTest, WithoutLabels) {
  SourceOptions options = source(fixture("helpsteer2.jsonl"));
  options.labels = SourceLabels::drop;
  const std::vector<Record> records = read_records({options}, make_test_attributes(), "S");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(text_of(records[1].conversation), "User: Hello | Assistant: Hi");
  EXPECT_EQ(records[1].conversation.type, ConversationType::none);
}

std::vector<std::string> prompts_of(const std::string& path, std::int64_t max = 0) {
  std::vector<std::string> prompts;
  for (const Prompt& prompt : read_prompts({source(path)}, make_test_attributes(), "S", max)) {
    prompts.push_back(prompt.conversation.system + "> " + text_of(prompt.conversation));
  }
  return prompts;
}

TEST(RecordReaderTest, PromptsOfPromptLines) {
  TemporaryFolder folder;
  const std::string path = write_file(
      folder, "p.jsonl",
      "{\"prompt\":\"Hi\",\"id\":1}\n{\"system\":\"T\",\"turns\":[\"a\",\"b\",\"c\"]}\n{\"turns\":[\"a\"]}\n" +
          record_line("r"));
  EXPECT_THAT(prompts_of(path),
              ElementsAre("S> User: Hi", "T> User: a | Assistant: b | User: c", "S> User: a", "S> User: r"));
  EXPECT_THAT(prompts_of(path, 2), ElementsAre("S> User: Hi", "T> User: a | Assistant: b | User: c"));
  const std::vector<Prompt> prompts = read_prompts({source(path)}, make_test_attributes(), "S", 1);
  EXPECT_EQ(dump_json(prompts[0].json), R"({"prompt":"Hi","id":1})");
  const std::string null = write_file(
      folder, "n.jsonl",
      "{\"prompt\":\"Hi\",\"turns\":null,\"response\":null,\"system\":null}\n{\"prompt\":null,\"turns\":[\"a\"]}\n");
  EXPECT_THAT(prompts_of(null), ElementsAre("S> User: Hi", "S> User: a"));
  const std::string exact = write_file(folder, "e.jsonl", R"({"prompt":"Hi","id":1.50,"x":1e400})");
  EXPECT_EQ(dump_json(read_prompts({source(exact)}, {}, "S", 1)[0].json), R"({"prompt":"Hi","id":1.50,"x":1e400})");
}

TEST(RecordReaderTest, PromptsOfRecords) {
  EXPECT_THAT(
      prompts_of(fixture("oasst.jsonl")),
      ElementsAre(
          "S> User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Another one?",
          "S> User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Another one?",
          "S> User: Name a red fruit. | Assistant(quality:3,toxicity:0,humor:2): A cherry. | User: Thanks.",
          "S> User: Name a red fruit.", "S> User: Hi"));
  EXPECT_THAT(prompts_of(fixture("lines.txt"))[0], "S> User: first text");
}

TEST(RecordReaderTest, PromptRefusals) {
  TemporaryFolder folder;
  const auto refusal = [&](const std::string& line) {
    const std::string path = write_file(folder, "p.jsonl", line);
    return message_of(ExitCode::data, [&] { prompts_of(path); });
  };
  EXPECT_THAT(refusal(R"({"prompt":3})"), HasSubstr(":1: 'prompt' has the wrong type"));
  EXPECT_THAT(refusal(R"({"turns":"x"})"), HasSubstr(":1: 'turns' has the wrong type"));
  EXPECT_THAT(refusal(R"({"turns":[]})"), HasSubstr(":1: an empty conversation"));
  EXPECT_THAT(refusal(R"({"turns":[3]})"), HasSubstr(":1: an entry of 'turns' has the wrong type"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"Assistant","value":"x"}]})"),
              HasSubstr(":1: a conversation without a user turn gives no prompt"));
  EXPECT_THAT(refusal(R"({"promt":"x"})"), HasSubstr("did you mean 'prompt'?"));
  EXPECT_THAT(refusal(R"({"prompt":null})"), HasSubstr("no known kind of record"));
}

}  // namespace
}  // namespace steerlm
