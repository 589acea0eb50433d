// Files as other programs and other versions of a set write them: read as what they mean, or refused with a way out
// that works.
#include <gmock/gmock.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace steerlm::testing;

std::vector<Record> records_of(const std::string& lines, Format format = Format::auto_detect) {
  TemporaryFolder folder;
  return read_records({source(write_file(folder, "f.jsonl", lines), format)}, make_test_attributes(), "S");
}

std::vector<std::string> texts(const std::string& lines, Format format = Format::auto_detect) {
  std::vector<std::string> all;
  for (const Record& record : records_of(lines, format)) all.push_back(text_of(record.conversation));
  return all;
}

std::string refusal(const std::string& lines, Format format = Format::auto_detect) {
  return message_of(ExitCode::data, [&] { records_of(lines, format); });
}

const std::string generated = R"("response":"NEW","token_ids":[1],"logprob":-1.5,"finish":"stop")";

// What `evaluate` writes: the input line and, in `prompt`, its last user turn.
TEST(ForeignFiles, PromptBesideTurnsIsTheLastOfThem) {
  EXPECT_THAT(texts(R"({"turns":["a","b","c"],"prompt":"c",)" + generated + "}"),
              ElementsAre("User: a | Assistant: b | User: c | Assistant: NEW"));
  EXPECT_THAT(texts(R"({"turns":["a","b","other"],"prompt":"c",)" + generated + "}"),
              ElementsAre("User: c | Assistant: NEW"))
      << "`turns` is a key like others";
  TemporaryFolder folder;
  ReadNotes notes;
  const auto prompts = read_prompts({source(write_file(folder, "p.jsonl",
                                                       R"({"prompt":"c","turns":["a","b","c"]})"
                                                       "\n"
                                                       R"({"prompt":"c","turns":["a"]})"))},
                                    make_test_attributes(), "S", 0, BadPrompts::refused, &notes);
  EXPECT_EQ(text_of(prompts.at(0).conversation), "User: a | Assistant: b | User: c");
  EXPECT_EQ(text_of(prompts.at(1).conversation), "User: c");
  EXPECT_EQ(describe_unobeyed(notes.unobeyed), "'turns', beside 'prompt' (1 line)");
}

TEST(ForeignFiles, AResponseIsTheLastTurnOfEveryKindOfConversation) {
  const std::string sharegpt = R"({"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"old"}])";
  const std::string messages = R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"old"}])";
  const std::string record = R"({"conversations":[{"from":"User","value":"q"},{"from":"Assistant","value":"old"}])";
  const auto old = "User: q | Assistant: old", answered = "User: q | Assistant: NEW";
  for (const std::string& first : {sharegpt + "}\n", messages + "}\n", record + "}\n"}) {
    EXPECT_THAT(texts(first + record + "," + generated + "}"), ElementsAre(old, answered)) << first;
    EXPECT_THAT(texts(first + R"({"prompt":"q",)" + generated + "}"), ElementsAre(old, answered)) << first;
  }
  for (const Format format : {Format::conversations, Format::sharegpt, Format::messages})
    EXPECT_THAT(texts(record + "," + generated + "}", format), ElementsAre(answered));
  // Without the numbers that `generate` writes beside it, where the user's turn is the last.
  const std::vector<std::string> asked{R"({"conversations":[{"from":"human","value":"q"}])",
                                       R"({"messages":[{"role":"user","content":"q"}])",
                                       R"({"conversations":[{"from":"User","value":"q"}])", R"({"turns":["q"])"};
  for (const std::string& turns : asked)
    EXPECT_THAT(texts(turns + R"(,"response":"NEW"})"), ElementsAre(answered)) << turns;
  EXPECT_FALSE(records_of(asked[0] + R"(,"response":"NEW"})").at(0).json.contains("response"));
  // No answer: nothing is there, or the name of one side of a pair.
  for (const char* other : {"", "chosen", "rejected", "rejected[2]", "response_1", "response2"}) {
    const Record kept = records_of(record + R"(,"response":")" + other + "\"}").at(0);
    EXPECT_EQ(text_of(kept.conversation), old) << other;
    EXPECT_EQ(kept.json.at("response"), other);
  }
  EXPECT_THAT(texts(asked[2] + R"(,"response":"rejected[x]"})"), ElementsAre("User: q | Assistant: rejected[x]"));
  EXPECT_THAT(refusal(R"({"conversations":[{"from":"Assistant","value":"a"}],)" + generated + "}"),
              HasSubstr("without a turn of the user"));
}

// Magpie's rows have the answer to their first question beside the conversation.
// Whatever keys of another program stand beside, a rated row keeps its ratings and a row of pairs both sides.
TEST(ForeignFiles, RowsOfOtherFormatsStayWhatTheyAre) {
  const std::string ratings = R"("helpfulness":3,"correctness":4,"coherence":4,"complexity":2,"verbosity":1})";
  for (const std::string& row :
       {R"({"prompt":"q","response":"a",)" + ratings, R"({"prompt":"q","turns":["q"],"response":"a",)" + ratings,
        R"({"prompt":"q","response":"a","token_ids":[1],"logprob":-1,"finish":"stop",)" + ratings}) {
    EXPECT_THAT(texts(row, Format::helpsteer2),
                ElementsAre("User: q | Assistant(helpfulness:3,coherence:4,verbosity:1): a"))
        << row;
  }
  const std::string sides = R"("chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b")";
  EXPECT_EQ(
      texts("{" + sides + R"(,"messages":[{"role":"user","content":"q"}],"response":"a"})", Format::hh_rlhf).size(),
      2u);
}

TEST(ForeignFiles, AResponseDoesNotReplaceAnAnswer) {
  const std::string rest = R"("instruction":"q","response":"a","instruction_2":"r","response_2":null})";
  for (const std::string& conversation :
       {std::string(R"("conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"},)"
                    R"({"from":"human","value":"r"},{"from":"gpt","value":"b","label":"quality:3"}])"),
        std::string(R"("messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},)"
                    R"({"role":"user","content":"r"},{"role":"assistant","content":"b","label":"quality:3"}])"),
        std::string(R"("conversations":[{"from":"User","value":"q"},{"from":"Assistant","value":"a"},)"
                    R"({"from":"User","value":"r"},{"from":"Assistant","value":"b","label":"quality:3"}])")}) {
    TemporaryFolder folder;
    RecordReader reader({source(write_file(folder, "f.jsonl", "{" + conversation + "," + rest))},
                        make_test_attributes(), "S");
    const auto entry = reader.next();
    const Record* kept = entry ? std::get_if<Record>(&*entry) : nullptr;
    ASSERT_NE(kept, nullptr) << conversation;
    EXPECT_EQ(text_of(kept->conversation), "User: q | Assistant: a | User: r | Assistant(quality:3): b");
    EXPECT_EQ(kept->json.at("response"), "a");
    EXPECT_EQ(describe_unobeyed(reader.notes().unobeyed), "'response', beside an answer (1 line)") << conversation;
  }
}

TEST(ForeignFiles, TurnsThatAreNoListAreAKeyLikeOthers) {
  EXPECT_THAT(refusal(R"({"instruction":"i","response":"a","turns":1})"), HasSubstr("make a record of it: jq"));
}

TEST(ForeignFiles, TurnsEndWithTheUser) {
  const std::string question = R"({"question_id":81,"category":"writing","turns":["first","second"])";
  TemporaryFolder folder;
  const std::string path = write_file(folder, "question.jsonl", question + "}");
  EXPECT_THAT(message_of(ExitCode::data, [&] { read_prompts({source(path)}, {}, "S", 0); }),
              AllOf(HasSubstr(":1: 'turns' does not end with a text of the user (found 2 texts"),
                    HasSubstr("jq -c '.turns |= .[:1]' FILE > NEW.jsonl"),
                    HasSubstr("of a dialogue that ends with an answer: jq -c '.turns |= .[:-1]' FILE > NEW.jsonl")));
  EXPECT_THAT(refusal(question + "," + generated + "}"), HasSubstr("'turns' does not end with a text of the user"));
}

TEST(ForeignFiles, AnAnswerThatOnlyCallsAToolIsRefused) {
  const std::string call = R"("tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}])";
  const auto message = [&](const std::string& content, const std::string& calls) {
    return R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"hi"},{"role":"assistant","content":)" +
           content + "," + calls + "}]}";
  };
  for (const char* content : {R"("")", R"(" \n")", "[]", R"([{"type":"text","text":""}])", "null"}) {
    EXPECT_THAT(refusal(message(content, call)),
                HasSubstr(":1, turn 3: a turn that calls a tool ('tool_calls') and has no text"))
        << content;
  }
  EXPECT_THAT(refusal(message(R"("")", R"("function_call":{"name":"f","arguments":"{}"})")),
              HasSubstr("a turn that calls a tool ('function_call') and has no text"));
  EXPECT_THAT(texts(message(R"("I ask.")", call)), ElementsAre("User: hi | Assistant: I ask."));
  for (const char* none :
       {R"("tool_calls":[])", R"("tool_calls":null)", R"("function_call":{})", R"("function_call":"")"}) {
    EXPECT_THAT(texts(message(R"("")", none)), ElementsAre("User: hi | Assistant: ")) << none;
    EXPECT_THAT(refusal(message("null", none)), HasSubstr("'content' is missing")) << "it calls nothing: " << none;
  }
  // What an earlier conversion made of one.
  EXPECT_THAT(
      refusal(R"({"conversations":[{"from":"User","value":"hi"},{"from":"Assistant","value":"",)" + call + "}]}"),
      HasSubstr(":1, turn 2: a turn that calls a tool"));
}

// Behind the last turn of the user nothing is part of a prompt.
TEST(ForeignFiles, APromptMayBeAnsweredByATool) {
  TemporaryFolder folder;
  const auto prompt = [&](const std::string& line) {
    return read_prompts({source(write_file(folder, "p.jsonl", line))}, make_test_attributes(), "S", 0).at(0);
  };
  const std::string call = R"("tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]})";
  const std::string messages = R"({"messages":[{"role":"user","content":"q"},{"role":"assistant",)";
  const std::string record = R"({"conversations":[{"from":"User","value":"q"},{"from":"Assistant",)";
  const std::vector<std::string> lines{
      messages + R"("content":null,)" + call, messages + R"("content":"",)" + call,
      messages + R"("content":null,)" + call + R"(,{"role":"tool","content":"3"},{"role":"assistant","content":"b"})",
      record + R"("value":"",)" + call};
  for (const std::string& line : lines) {
    EXPECT_EQ(text_of(prompt(line + "]}").conversation), "User: q") << line;
    EXPECT_NE(refusal(line + "]}"), "") << "a record is trained: " << line;
    EXPECT_THAT(texts(line + "]," + generated + "}"), ElementsAre("User: q | Assistant: NEW")) << line;
  }
  EXPECT_EQ(prompt(messages + R"("content":"a"}]})").json.at("conversations").size(), 2U) << "an answer travels";
  EXPECT_THAT(
      message_of(ExitCode::data,
                 [&] { prompt(messages + R"("content":null,)" + call + R"(,{"role":"user","content":"r"}]})"); }),
      HasSubstr("turn 2: a turn that calls a tool"));
}

TEST(ForeignFiles, KeysOfPromptsThatAreNotObeyedAreNamed) {
  TemporaryFolder folder;
  const auto unobeyed = [&](const std::string& line) {
    ReadNotes notes;
    read_prompts({source(write_file(folder, "p.jsonl", line))}, make_test_attributes(), "S", 0, BadPrompts::refused,
                 &notes);
    return describe_unobeyed(notes.unobeyed);
  };
  EXPECT_EQ(unobeyed(R"({"prompt":"q","system_prompt":"Be terse","images":["a.png"],"tools":[{}],"id":1})"),
            "'images' (1 line), 'system_prompt' (1 line), 'tools' (1 line)");
  EXPECT_EQ(unobeyed(R"({"turns":["q"],"history":[["a","b"]]})"
                     "\n"
                     R"({"turns":["q"],"system":"S","tools":[]})"),
            "'history' (1 line)");
  EXPECT_EQ(unobeyed(R"({"messages":[{"role":"user","content":"q","name":"bob"}],"chat_template_kwargs":{"a":1}})"),
            "'chat_template_kwargs' (1 line), 'name' of a turn (1 line)");
  EXPECT_EQ(unobeyed(R"({"prompt":"q","id":7})"), "");
}

TEST(ForeignFiles, TreesOfNumbers) {
  const auto dialogue = [](const std::string& tree) {
    return records_of(R"({"tree_id":)" + tree + R"(,"conversations":[{"from":"User","value":"q"}]})").at(0).dialogue;
  };
  for (const char* one : {"1", "1.0", "1e0", "\"1\""}) EXPECT_EQ(dialogue(one), "1") << one;
  EXPECT_EQ(dialogue("-0.0"), "0");
  EXPECT_EQ(dialogue("12345678901234567890123"), "12345678901234567890123");
  EXPECT_EQ(dialogue("9007199254740993"), "9007199254740993");
  for (const char* none : {"1.5", "true", "[1]"}) {
    EXPECT_EQ(dialogue(none), "q") << none;
    TemporaryFolder folder;
    RecordReader reader({source(write_file(folder, "f.jsonl",
                                           std::string(R"({"tree_id":)") + none +
                                               R"(,"conversations":[{"from":"User","value":"q"}]})"))},
                        make_test_attributes(), "S");
    reader.next();
    EXPECT_EQ(describe_unobeyed(reader.notes().unobeyed), "'tree_id' (1 line)") << none;
  }
}

TEST(ForeignFiles, LineEndsOfMarksMayBeCrLf) {
  EXPECT_THAT(
      texts(R"({"prompt":"q1\r\n<extra_id_1>Assistant\r\na1\r\nmore\r\n<extra_id_1>User\r\nq2","response":"a"})"),
      ElementsAre("User: q1 | Assistant: a1\r\nmore | User: q2 | Assistant: a"));
  EXPECT_THAT(texts(R"({"prompt":"q1\r\n<extra_id_1>Assistant\r\n\r\n<extra_id_1>User\r\nq2","response":"a"})"),
              ElementsAre("User: q1 | Assistant:  | User: q2 | Assistant: a"));
  EXPECT_THAT(texts(R"({"prompt":"q1\r\n<extra_id_1>Assistant\r\n<extra_id_1>User\r\nq2","response":"a"})"),
              ElementsAre("User: q1 | Assistant:  | User: q2 | Assistant: a"));
}

TEST(ForeignFiles, RolesInSmallLettersBehindRecords) {
  const std::string record = R"({"conversations":[{"from":"User","value":"q"},{"from":"Assistant","value":"a"}]})";
  EXPECT_THAT(
      texts(record + "\n" + R"({"conversations":[{"from":"user","value":"q"},{"from":"assistant","value":"b"}]})"),
      ElementsAre("User: q | Assistant: a", "User: q | Assistant: b"));
  EXPECT_THAT(texts(R"({"prompt_turns":[{"from":"user","value":"q"},{"from":"assistant","value":"a"},{"from":"user",)"
                    R"("value":"r"}],"label":"quality:1","responses":[{"from":"assistant","value":"b"}]})"),
              ElementsAre("User: q | Assistant(quality:1): a | User: r | Assistant(quality:1): b"));
  EXPECT_THAT(refusal(R"({"prompt_turns":[{"from":"Usr","value":"q"}],"responses":[]})"), HasSubstr("\"Usr\""));
}

// Each advice is a command that makes the line readable.
TEST(ForeignFiles, KeysOfOtherProgramsGetACommand) {
  EXPECT_THAT(refusal(R"({"prompt":"q","completion":"a","label":true})"),
              EndsWith("; make a record of it: jq -c '. + {prompt: .prompt, response: .completion} | "
                       "del(.completion)' FILE > NEW.jsonl"));
  EXPECT_THAT(
      refusal(R"({"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]})"),
      HasSubstr("jq -c '. + {messages: (.prompt + .completion)} | del(.prompt, .completion)'"));
  const std::string alpaca = R"(([.instruction, .input] | map(select(. != null and . != "")) | join("\n\n")))";
  const std::string history =
      R"({messages: [(.history // [] | .[] | {role: "user", content: .[0]}, {role: "assistant", content: .[1]}), )";
  EXPECT_THAT(refusal(R"({"instruction":"i","input":"","output":"o","system":"S"})"),
              HasSubstr("jq -c '. + {prompt: " + alpaca + ", response: .output} | del(.instruction, .input, .output)'"))
      << "what is not prompt or answer stays";
  EXPECT_THAT(
      refusal(R"({"instruction":"i","input":"","output":"o","history":[["q","a"]]})"),
      HasSubstr("jq -c '. + " + history + "{role: \"user\", content: " + alpaca +
                "}, {role: \"assistant\", content: .output}]} | del(.instruction, .input, .output, .history)'"));
  EXPECT_THAT(refusal(R"({"instruction":"i","context":"c","response":"o"})"),
              HasSubstr(R"(join("\n\n")), response: .response} | del(.instruction, .context)')"));
  EXPECT_THAT(refusal(R"({"query":"q","response":"a"})"),
              HasSubstr("jq -c '. + " + history +
                        "{role: \"user\", content: .query}, {role: \"assistant\", content: .response}]} | del(.query, "
                        ".response, .history)'"));
  EXPECT_THAT(refusal(R"({"input":"q","output":"a"})"),
              HasSubstr("jq -c '. + {prompt: .input, response: .output} | del(.input, .output)'"));
  EXPECT_THAT(refusal(R"({"question":"q","answer":"a"})"),
              HasSubstr("jq -c '. + {prompt: .question, response: .answer} | del(.question, .answer)'"));
  EXPECT_THAT(refusal(R"({"conversation":[{"input":"q","output":"a"}]})"),
              AllOf(HasSubstr(R"(jq -c '. + {messages: [.["conversation"][] | {role: "user", content: .input}, )"
                              R"({role: "assistant", content: .output}]} | del(.["conversation"])')"),
                    Not(HasSubstr("did you mean"))));
  EXPECT_THAT(refusal(R"({"text":"t"})"), HasSubstr(R"(jq -c '{conversations: [{from: "User", value: .text}]}')"));
  EXPECT_THAT(refusal(R"([{"role":"user","content":"q"}])"), HasSubstr("jq -c -n '{messages: input}' FILE"));
  EXPECT_THAT(refusal(R"({"role":"user","content":"q"})"), HasSubstr("jq -c -n '{messages: [inputs]}' FILE"));
  EXPECT_THAT(refusal(R"([[{"role":"user","content":"q"}]])"), HasSubstr("jq -c '.[] | {messages: .}' FILE"));
  EXPECT_THAT(refusal("[{\"role\":\"user\",\"content\":\"q\"}]\n[{\"role\":\"user\",\"content\":\"r\"}]\n"),
              AllOf(HasSubstr("jq -c '{messages: .}'"), HasSubstr("jq -c '.[]'")));
  EXPECT_THAT(refusal(R"({"prompt":{"0":"q","1":"r"},"response":{"0":"a","1":"b"}})"),
              HasSubstr("a table written by columns"));
  EXPECT_THAT(refusal(R"({"messages":"[{\"role\":\"user\",\"content\":\"q\"}]"})"),
              HasSubstr("jq -c '(.messages | strings) |= fromjson'"));
  EXPECT_THAT(refusal(R"({"prompt":"q","response":"a","verbosity":"long"})"),
              HasSubstr("jq -c '.verbosity_text = .verbosity | del(.verbosity)'"));
  EXPECT_THAT(refusal(R"({"prompt":"q","response":"a","verbosity":"4"})"), HasSubstr("write it without quotes"));
  EXPECT_THAT(refusal(R"({"prompt":"q","response":"a","verbosity":""})"),
              HasSubstr("jq -c '.verbosity_text = .verbosity | del(.verbosity)'"));
  EXPECT_THAT(refusal(R"({"prompt":"q","response":null})"), HasSubstr("'response' is null"));
}

TEST(ForeignFiles, PairsOfOtherProgramsGetACommand) {
  const std::string beside = R"({"prompt":"q","chosen":"a","rejected":"b"})";
  EXPECT_THAT(refusal(beside), HasSubstr("--format reward-bench"));
  EXPECT_THAT(texts(beside, Format::reward_bench), ElementsAre("User: q | Assistant: a", "User: q | Assistant: b"));
  EXPECT_THAT(refusal(R"({"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],)"
                      R"("rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]})"),
              HasSubstr("jq -c '. + {context: ((if .chosen[:-1] != [] then [] elif (.prompt | type) == \"string\" then "
                        "[{role: \"user\", content: .prompt}] else .prompt // [] end) + .chosen[:-1]), response1: "
                        ".chosen[-1].content, response2: .rejected[-1].content, overall_preference: -1} | del(.prompt, "
                        ".chosen, .rejected, .messages)' FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(R"({"context":[],"response1":"a","response2":"b","overall_preference":-1})"),
              HasSubstr(":1: 'context' is empty"));
}

// Where the objects lie in an array or a packed file, a command gets them out first.
TEST(ForeignFiles, CommandsFitHowTheObjectsLie) {
  const std::string filter = ". + {prompt: .input, response: .output} | del(.input, .output)'";
  const std::string line = R"({"input":"q","output":"a"})", array = "[" + line + "]";
  EXPECT_THAT(refusal(line), EndsWith("jq -c '" + filter + " FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(array), EndsWith("it: jq -c '.[] | " + filter + " FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(gzip(line)), EndsWith("it: gzip -dc FILE | jq -c '" + filter + " > NEW.jsonl"));
  EXPECT_THAT(refusal(gzip(array)), EndsWith("it: gzip -dc FILE | jq -c '.[] | " + filter + " > NEW.jsonl"));
  EXPECT_THAT(refusal(gzip(R"([{"role":"user","content":"q"}])")),
              EndsWith("conversation: gzip -dc FILE | jq -c -n '{messages: input}' > NEW.jsonl"))
      << "a command of the file as a whole";
  EXPECT_THAT(refusal(gzip("[1]\n[2]\n")),
              HasSubstr("messages: gzip -dc FILE | jq -c '{messages: .}' > NEW.jsonl; if the arrays hold records: gzip "
                        "-dc FILE | jq -c '.[]' > NEW.jsonl"));
  const std::string label = R"({"conversations":[{"from":"User","value":"q","label":3}]})";
  EXPECT_THAT(refusal("[" + label + "]"), HasSubstr("jq -c '.[] | del(.. | .label?)' FILE > NEW.jsonl"));
  TemporaryFolder folder;
  const auto said_of = [&](const auto& read) {
    const std::string turns = write_file(folder, "t.json", R"([{"turns":["q","r"]}])");
    return message_of(ExitCode::data, [&] { read(std::vector<SourceOptions>{source(turns)}); });
  };
  EXPECT_THAT(said_of([](const auto& sources) { read_prompts(sources, {}, "S", 0); }),
              HasSubstr("jq -c '.[] | .turns |= .[:1]' FILE > NEW.jsonl"));
  RecordReader reader({source(write_file(folder, "r.json", array))}, {}, "S");
  const auto entry = reader.next();
  ASSERT_TRUE(entry && std::holds_alternative<BadRecord>(*entry));
  EXPECT_THAT(std::get<BadRecord>(*entry).reason, EndsWith("it: jq -c '.[] | " + filter + " FILE > NEW.jsonl"));
}

TEST(ForeignFiles, ListsInTextsGetACommand) {
  const std::string python = R"("[{'role': 'user', 'content': \"it's\"}, {'role': 'assistant', 'content': 'a'}]")";
  const std::string command =
      "python3 -c \"import ast, json, sys; [print(json.dumps({**r, 'messages': ast.literal_eval(r['messages'] or "
      "'[]')})) for r in ";
  EXPECT_THAT(refusal(R"({"messages":)" + python + "}"),
              AllOf(HasSubstr(":1: 'messages' is a text that holds a list in another notation than JSON"),
                    EndsWith(command + "map(json.loads, sys.stdin)]\" < FILE > NEW.jsonl")));
  EXPECT_THAT(refusal(R"([{"messages":)" + python + "}]"),
              EndsWith(command + "json.load(sys.stdin)]\" < FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(gzip(R"({"messages":)" + python + "}")),
              EndsWith("gzip -dc FILE | " + command + "map(json.loads, sys.stdin)]\" > NEW.jsonl"));
  EXPECT_THAT(refusal(R"({"messages":"[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]"})"),
              HasSubstr("this is how NumPy prints an array"));
  EXPECT_THAT(refusal(R"({"chosen":"[{\"role\":\"user\"}]","rejected":"[]"})"),
              HasSubstr("jq -c '(.chosen | strings) |= fromjson' FILE"));
  EXPECT_THAT(refusal(R"({"prompt":"q","chosen":"[1] says","rejected":"b"})"), HasSubstr("--format reward-bench"));
}

TEST(ForeignFiles, TextThatIsAlmostJsonGetsACommand) {
  const std::string line = R"({"prompt":"q","response":"a"})";
  EXPECT_THAT(refusal(line + line), EndsWith("; write each object on a line of its own: jq -c . FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(line + ",\n" + line),
              EndsWith("; take the commas at line ends out: sed 's/,[[:space:]]*$//' FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(gzip(line + ",\r\n" + line)), EndsWith(": gzip -dc FILE | sed 's/,[[:space:]]*$//' > NEW.jsonl"));
  EXPECT_THAT(refusal(line + ", 3"), EndsWith("expected nothing behind the value"));
  EXPECT_THAT(refusal("[" + line + ",\n]"),
              AllOf(HasSubstr("line 2: not valid JSON"), EndsWith("; take the comma in front of it out")));
  EXPECT_THAT(refusal(R"({"prompt":"q",})"), EndsWith("; take the comma in front of it out"));
  EXPECT_THAT(refusal(R"({"prompt":])"), EndsWith("expected a value"));
  const std::string python = "python3 -c \"import json, sys; [print(json.dumps(r)) for r in ";
  for (const std::string number : {"NaN", "Infinity", "-Infinity"}) {
    EXPECT_THAT(refusal(R"({"score": )" + number + "}"),
                EndsWith("writes null for it: " + python +
                         "(json.loads(l, parse_constant=lambda c: None) for l in sys.stdin if l.strip())]\" < FILE > "
                         "NEW.jsonl"))
        << number;
    EXPECT_THAT(refusal(R"([{"score": )" + number + "}]"),
                EndsWith(python + "json.load(sys.stdin, parse_constant=lambda c: None)]\" < FILE > NEW.jsonl"))
        << number;
  }
  EXPECT_THAT(refusal("{'prompt': 'q', 'response': None}"),
              HasSubstr("for r in (ast.literal_eval(l) for l in sys.stdin if l.strip())]\" < FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(R"([{"prompt": None}])"), HasSubstr("for r in ast.literal_eval(sys.stdin.read())]\" < FILE"));
}

TEST(ForeignFiles, TurnsThatAreTextsGetACommand) {
  EXPECT_THAT(refusal(R"({"conversations":["q","a"]})"),
              EndsWith("jq -c '.conversations |= [to_entries[] | {from: (if .key % 2 == 0 then \"user\" else "
                       "\"assistant\" end), value: .value}]' FILE > NEW.jsonl"));
  EXPECT_THAT(refusal(R"([{"messages":["q","a"]}])"),
              EndsWith("jq -c '.[] | .messages |= [to_entries[] | {role: (if .key % 2 == 0 then \"user\" else "
                       "\"assistant\" end), content: .value}]' FILE > NEW.jsonl"));
}

TEST(ForeignFiles, PartsOfOpenAisResponsesAreTexts) {
  EXPECT_THAT(
      texts(R"({"messages":[{"role":"user","content":[{"type":"input_text","text":"q"}]},)"
            R"({"role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"text","text":"b"}]}]})"),
      ElementsAre("User: q | Assistant: ab"));
}

TEST(ForeignFiles, RatingsOfAnotherRangeGetACommand) {
  const auto rated = [](const char* rating) {
    return refusal(R"({"prompt":"q","response":"a","helpfulness":)" + std::string(rating) + "}");
  };
  EXPECT_THAT(rated("5"),
              EndsWith("; ratings from 1 to 5 become these: jq -c '(.helpfulness, .correctness, .coherence, "
                       ".complexity, .verbosity | numbers) -= 1' FILE > NEW.jsonl"));
  EXPECT_THAT(rated("10"), HasSubstr("; bring the ratings of the whole file into this range"));
}

// KTO's answers that are not wanted would be trained on as the others.
TEST(ForeignFiles, ALabelOfFalseIsNamed) {
  TemporaryFolder folder;
  const auto unobeyed = [&](const std::string& label) {
    const std::string line = R"({"prompt":"q","response":"a","label":)" + label + "}";
    RecordReader reader({source(write_file(folder, "f.jsonl", line))}, make_test_attributes(), "S");
    EXPECT_TRUE(std::holds_alternative<Record>(*reader.next()));
    return describe_unobeyed(reader.notes().unobeyed);
  };
  EXPECT_EQ(unobeyed("false"), "'label' (1 line)");
  EXPECT_EQ(unobeyed("true"), "'label' (1 line)");
  EXPECT_EQ(unobeyed("null"), "");
}

// pandas would take None for a missing value, a column of digits for numbers, and write ten decimals.
TEST(ForeignFiles, CommandsForTablesKeepTextsAndNumbers) {
  const std::string csv = refusal("prompt,response\nHi,None\n");
  EXPECT_THAT(
      csv,
      AllOf(HasSubstr("import pandas; d = pandas.read_csv('"),
            HasSubstr("', dtype=str, keep_default_na=False, na_values=['']); d.assign(**{k: t[k] for k in ['prompt', "),
            HasSubstr("double_precision=15")));
  const auto command = [](const std::string& bytes) { return refusal(bytes); };
  const std::string rows =
      "[print(json.dumps(json.loads(json.dumps(r, default=str), parse_constant=lambda c: None))) for ";
  EXPECT_THAT(command(std::string("PAR1\x15\x04\0\0\0\0PAR1", 14)),
              AllOf(HasSubstr("import json, pyarrow.parquet as p; " + rows + "b in p.ParquetFile("),
                    HasSubstr(" > NEW.jsonl")));
  EXPECT_THAT(command(std::string("\xff\xff\xff\xff\x10\0\0\0", 8)),
              HasSubstr("import json, pyarrow.ipc as p; " + rows + "r in p.open_stream(open("));
}

TEST(ForeignFiles, APatternIsNotExpanded) {
  TemporaryFolder folder;
  const std::string pattern = (folder.path() / "*.jsonl").string();
  EXPECT_THAT(message_of(ExitCode::data, [&] { read_records({source(pattern)}, {}, "S"); }),
              HasSubstr("a pattern is not expanded here"));
}

}  // namespace
}  // namespace steerlm
