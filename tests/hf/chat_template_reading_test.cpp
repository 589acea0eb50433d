// Chat templates against what Transformers renders with them (tools/make_chat_template_fixtures.py).
#include "steerlm/hf/chat_template_reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "hf/jinja.h"
#include "steerlm/core/json.h"
#include "steerlm/text/template.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ChatTemplateReader : public ::testing::Test {
 protected:
  static Path text_fixture(const std::string& name) {
    return Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "text" / name;
  }
  ChatTemplateReader() : plain_(Tokenizer::load(text_fixture("chat.model"))), with_bos_(load_with_bos()) {
    const Path path = text_fixture("chat_templates.json");
    fixture_ = parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
  }
  Tokenizer load_with_bos() const {
    std::filesystem::copy_file(text_fixture("chat.model"), folder_.path() / "tokenizer.model");
    std::ofstream(folder_.path() / "tokenizer_config.json") << R"({"add_bos_token": true})";
    return Tokenizer::load(folder_.path());
  }
  std::string source(const std::string& name) const { return fixture_.at("templates").at(name).at("template"); }
  ChatTemplateReading read(const std::string& name, bool bos = false) const {
    return read_chat_template(source(name), bos ? with_bos_ : plain_);
  }

  // What the program's own template writes of a conversation of the fixture, its markers spelt out.
  std::string ours(TemplateName name, const std::string& system, const Json& conversation, bool bos) const {
    const Tokenizer& tokenizer = bos ? with_bos_ : plain_;
    Conversation made{.system = system, .masked_roles = {"User"}, .type = ConversationType::none, .turns = {}};
    for (const Json& message : conversation.at("messages")) {
      if (message.at("role") == "system")
        made.system = message.at("content");
      else
        made.turns.push_back({message.at("role") == "user" ? "User" : "Assistant", message.at("content"), {}});
    }
    const ConversationTemplate text_template({.name = name}, tokenizer);
    const auto ids = conversation.at("add_generation_prompt") == true ? text_template.encode_prompt(made, {})
                                                                      : text_template.encode(made).ids;
    std::string text;
    std::vector<std::int32_t> run;
    const auto flush = [&] { text += tokenizer.decode_continuation(std::exchange(run, {})); };
    for (const std::int32_t id : ids) {
      const std::string piece = tokenizer.piece(id);
      if (!piece.starts_with("<|") && id != tokenizer.bos_id()) {
        run.push_back(id);
        continue;
      }
      flush();
      text += piece;
    }
    flush();
    // sentencepiece's dummy prefix, which stands before the first marker
    const size_t begin = text.starts_with("<s>") ? 3 : 0;
    if (text.substr(begin).starts_with(' ')) text.erase(begin, 1);
    return text;
  }
  std::string theirs(const std::string& name, size_t conversation) const {
    const Json& text = fixture_.at("templates").at(name).at("rendered").at(conversation);
    return text.is_null() ? "" : text.get<std::string>();
  }

  TemporaryFolder folder_;
  Tokenizer plain_, with_bos_;
  Json fixture_;
};

TEST_F(ChatTemplateReader, RendersWhatJinjaRenders) {
  for (const auto& [name, entry] : fixture_.at("templates").items()) {
    if (name == "macro" || name == "llama3.2") continue;  // a call that is not readable; the day's date
    const auto statements = jinja::parse(entry.at("template").get<std::string>());
    for (size_t i = 0; i < fixture_.at("conversations").size(); ++i) {
      Json variables = fixture_.at("conversations").at(i);
      variables.update({{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"tools", nullptr}, {"documents", nullptr}});
      if (entry.at("rendered").at(i).is_null()) {
        EXPECT_THROW(jinja::render(statements, variables), jinja::Refused) << name << " " << i;
      } else {
        EXPECT_EQ(jinja::render(statements, variables), theirs(name, i)) << name << " " << i;
      }
    }
  }
}

// The template's name, its own system prompt, and of which conversations of the fixture the program's bytes are those
// of Transformers; what differs is named.
TEST_F(ChatTemplateReader, OursAreThePublishedBytesWhereNoDifferenceIsNamed) {
  struct Case {
    std::string name;
    TemplateName expected;
    bool bos;
    std::string system;
    std::string equal;  // of the conversations 0 to 6
    std::vector<std::string> differences;
  };
  const std::string date = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
  const std::string around = "puts " + dump_json(date + "…") + " around a system prompt that is given";
  const std::string spaces = "takes spaces off the ends of texts";
  const std::string last = "writes the last answer of a conversation in another way";
  for (const Case& c : std::vector<Case>{
           {"chatml", TemplateName::chatml, false, "", "0123456", {}},
           {"chatml with bos", TemplateName::chatml, true, "", "0123456", {}},
           {"chatml with bos",
            TemplateName::chatml,
            false,
            "",
            "",
            {"begins with BOS, which the tokenizer does not add"}},
           {"chatml", TemplateName::chatml, true, "", "", {"does not begin with BOS, which the tokenizer adds"}},
           {"smollm2",
            TemplateName::chatml,
            false,
            "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
            "0123456",
            {}},
           {"llama-factory", TemplateName::chatml, false, "You are a helpful assistant.", "0123456", {}},
           {"qwen2.5",
            TemplateName::chatml,
            false,
            "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
            "0123456",
            {}},
           {"qwen3",
            TemplateName::chatml,
            false,
            "",
            "01236",
            {last, "leaves <think>…</think> out of earlier answers"}},
           {"qwq",
            TemplateName::chatml,
            false,
            "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
            "4",
            {"begins an answer with \"<think>\\n\""}},
           {"no system", TemplateName::chatml, false, "", "0256", {"refuses a system prompt"}},
           {"llama3", TemplateName::llama3, true, "", "012345", {spaces}},
           {"llama3.1", TemplateName::llama3, true, date, "025", {around, spaces}},
           {"llama3.2",
            TemplateName::llama3,
            true,
            date,
            "",
            {"may name the day's date, in place of which the one that it falls back to is used", around, spaces}},
       }) {
    const ChatTemplateReading reading = read(c.name, c.bos);
    ASSERT_EQ(reading.name, c.expected) << c.name << ": " << reading.kind;
    EXPECT_EQ(reading.system, c.system) << c.name;
    EXPECT_EQ(reading.unreadable, "") << c.name;
    EXPECT_EQ(reading.differences, c.differences) << c.name;
    for (size_t i = 0; i < fixture_.at("conversations").size(); ++i) {
      const bool equal = c.equal.find(std::to_string(i)) != std::string::npos;
      EXPECT_EQ(ours(c.expected, c.system, fixture_.at("conversations").at(i), c.bos) == theirs(c.name, i), equal)
          << c.name << " " << i << "\n"
          << theirs(c.name, i);
    }
  }
}

TEST_F(ChatTemplateReader, OtherKindsAreNamed) {
  for (const auto& [name, kind] : std::vector<std::pair<std::string, std::string>>{
           {"mistral", "[INST], as Mistral's and Llama 2's"},
           {"gemma", "<start_of_turn>, as Gemma's"},
           {"zephyr", "<|user|>, as Zephyr's"},
           {"phi3", "<|end|>, as Phi-3's"},
           {"phi4", "<|im_sep|>, as Phi-4's"},
           {"deepseek", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>, as DeepSeek's"},
           {"alpaca", "### Instruction, as Alpaca's"},
           {"vicuna", "USER:, as Vicuna's"},
           {"plain", "turns without a marker that is known"},
           {"other roles", "the markers of chatml in turns of another form"},
       }) {
    const ChatTemplateReading reading = read(name);
    EXPECT_EQ(reading.name, std::nullopt) << name;
    EXPECT_EQ(reading.kind, kind) << name;
  }
}

TEST_F(ChatTemplateReader, WithoutThePiecesItIsAnotherKind) {
  const Tokenizer without = Tokenizer::load(text_fixture("bpe.model"));
  for (const std::string name : {"smollm2", "llama3"}) {
    const ChatTemplateReading reading = read_chat_template(source(name), without);
    EXPECT_EQ(reading.name, std::nullopt);
    EXPECT_THAT(reading.kind, HasSubstr("but the tokenizer has no piece <|")) << name;
  }
}

TEST_F(ChatTemplateReader, WhatCannotBeReadIsSaid) {
  for (const auto& [code, reason] : std::vector<std::pair<std::string, std::string>>{
           {source("macro"), "a call of 'turn'"},
           {source("chatml") + "{% include 'x' %}", "the tag 'include'"},
           {source("chatml") + "{{ messages.__class__.__mro__ }}", "a part of something that is not defined"},
           {source("chatml") + "{{ messages }}", "a list or an object that is written out"},
           {source("chatml") + "{{ strftime_now('%d') }}", "a call of 'strftime_now'"},
           {source("chatml") + "{{ 'x'", "a block without an end"},
           {source("chatml") + "{% if true %}", "no 'endif'"},
           {source("chatml") + "{% endfor %}", "'endfor' without its beginning"},
           {source("chatml") + "{{ 1 / 0 }}", "a division by zero"},
           {source("chatml") + "{{ 'a' | sort }}", "the filter 'sort'"},
           {source("chatml") + "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
            "it takes too many steps"},
           {source("chatml") +
                "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(30) %}{% set ns.x = ns.x + ns.x %}"
                "{% endfor %}",
            "it writes too much"},
           {source("chatml") + "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
                               "{% endfor %}",
            "it makes too large a list"},
           {source("chatml") + "{{ " + std::string(150, '-') + "1 }}", "it is nested too deeply"},
       }) {
    const ChatTemplateReading reading = read_chat_template(code, plain_);
    EXPECT_EQ(reading.name, TemplateName::chatml) << reading.kind;
    EXPECT_EQ(reading.system, std::nullopt) << reason;
    EXPECT_EQ(reading.unreadable, reason);
  }
}

// A template of ChatML's with the change that the case names, and all that is said of it.
TEST_F(ChatTemplateReader, OneDifferenceIsNotTakenForAnother) {
  const auto chatml = [](const std::string& before, const std::string& content, const std::string& behind,
                         const std::string& begin = "") {
    return before + "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{{ " + content +
           " }}{{ '<|im_end|>' }}" + behind +
           "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n" + begin +
           "' }}{% endif %}";
  };
  const auto unless_given = [](const std::string& system) {
    return "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n" + system +
           "<|im_end|>\\n' }}{% endif %}";
  };
  const std::string whole = "m['content']", block = "writes an empty system block where no system prompt is given",
                    begins = "begins an answer with \"<think>\\n\"", earlier = "writes earlier answers in another way",
                    last = "writes the last answer of a conversation in another way",
                    spaces = "takes spaces off the ends of texts",
                    line_ends = "takes line ends off the ends of answers",
                    think = "leaves <think>…</think> out of earlier answers";
  const std::string
      of_answers = "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}",
      without = "m['content'].split('</think>')[-1].lstrip('\\n') if m['role'] == 'assistant' else m['content']";
  struct Case {
    std::string source, system;
    std::vector<std::string> differences;
  };
  for (const Case& c : std::vector<Case>{
           {chatml("", whole, ""), "", {}},
           {chatml(unless_given(""), whole, ""), "", {block}},
           {chatml(unless_given(""), "m['content'] | trim", ""), "", {block, spaces}},
           {chatml(unless_given(""), whole, of_answers), "", {block, earlier, last}},
           {chatml("", whole, of_answers), "", {earlier, last}},
           {chatml("", "m['content'] | trim", of_answers), "", {earlier, last, spaces}},
           {chatml("", without, of_answers), "", {earlier, last, line_ends, think}},
           {chatml("", without, "", "<think>\\n"), "", {begins, line_ends, think}},
           {chatml(unless_given("Say why. Why?"), whole, ""), "Say why. Why?", {}},
           {chatml(unless_given("Say why. Why?"), without, ""), "Say why. Why?", {line_ends, think}},
           {chatml("", "m['content'].replace('<think>', '(').replace('</think>', ')')", ""),
            "",
            {"writes <think>…</think> of earlier answers in another way"}},
           {chatml("", "m['content'] if m['role'] != 'system' else ''", ""),
            "",
            {"leaves out a system prompt that is given"}},
           {chatml("{% if messages | length > 2 %}{{ raise_exception('long') }}{% endif %}", whole, ""),
            "",
            {"refuses a conversation with an earlier answer"}},
           {chatml("{% if messages[0]['role'] == 'system' %}{{ turn() }}{% endif %}", whole, ""),
            "",
            {"cannot be read as a whole (a call of 'turn')"}},
       }) {
    const ChatTemplateReading reading = read_chat_template(c.source, plain_);
    ASSERT_EQ(reading.name, TemplateName::chatml) << c.source << "\n" << reading.kind;
    EXPECT_EQ(reading.unreadable, "") << c.source;
    EXPECT_EQ(reading.system, c.system) << c.source;
    EXPECT_EQ(reading.differences, c.differences) << c.source;
  }
}

// Each changes the bytes of some conversation, as Transformers 5.24 renders it, and of no simpler one.
TEST_F(ChatTemplateReader, ChangesOfSomeConversationsAreNoticed) {
  const auto chatml = [](const std::string& content, const std::string& before = "") {
    return before + "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + " + content +
           " + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  };
  const auto of = [](const std::string& role, const std::string& change) {
    return "(m['content']" + change + " if m['role'] == '" + role + "' else m['content'])";
  };
  const std::string whole = "m['content']", spaces = "takes spaces off the ends of ",
                    line_ends = "takes line ends off the ends of ";
  for (const auto& [source, difference] : std::vector<std::pair<std::string, std::string>>{
           {chatml(of("assistant", " | trim")), spaces + "answers"},
           {chatml(of("system", " | trim")), spaces + "system prompts"},
           {chatml(of("user", " | trim")), spaces + "user turns"},
           {chatml("(m['content'] if m['role'] == 'user' else m['content'] | trim)"),
            spaces + "answers and system prompts"},
           {chatml("m['content'].strip('\\n')"), line_ends + "texts"},
           {chatml(of("assistant", ".strip('\\n')")), line_ends + "answers"},
           {chatml(of("system", ".rstrip('\\n')")), line_ends + "system prompts"},
           {chatml("(m['content'] | trim if loop.last and m['role'] == 'assistant' else m['content'])"),
            spaces + "answers"},
           {chatml("m['content'].replace('\\n ', '\\n  ')"), "writes texts with spaces at their ends in another way"},
           {chatml(whole, "{% set messages = messages[-3:] %}"), "leaves out turns of a long conversation"},
           {chatml(whole, "{% set messages = messages[-5:] %}"), "leaves out turns of a long conversation"},
           {chatml("m['content'] + ('!' if loop.index0 == 4 else '')"), "writes long conversations in another way"},
           {chatml("m['content'] + (' [sys]' if messages | length > 3 and m['role'] == 'system' else '')"),
            "writes a system prompt before an earlier answer in another way"},
           {chatml("(m['content'] if m['content'] else ' ')"), "writes empty texts in another way"},
           {chatml("(m['content'] if m['content'] or m['role'] == 'user' else ' ')"),
            "writes empty texts in another way"},
           {chatml(whole, "{% if not messages[0]['content'] %}{{ raise_exception('empty') }}{% endif %}"),
            "refuses an empty text"},
       }) {
    const ChatTemplateReading reading = read_chat_template(source, plain_);
    ASSERT_EQ(reading.name, TemplateName::chatml) << source << "\n" << reading.kind;
    EXPECT_EQ(reading.unreadable, "") << source;
    EXPECT_THAT(reading.differences, ElementsAre(difference)) << source;
  }
}

// Where AutoTokenizer of Transformers 5 looks, and in which order.
TEST_F(ChatTemplateReader, IsFoundInEverySpelling) {
  const Path path = folder_.path();
  const auto write = [&](const std::string& name, const std::string& text) { std::ofstream(path / name) << text; };
  const auto found = [&] { return read_folder_chat_template(path, plain_); };
  const Json chatml = source("chatml"), mistral = source("mistral");
  EXPECT_EQ(found(), std::nullopt);
  write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(found(), std::nullopt);
  write("chat_template.json", dump_json({{"chat_template", mistral}}));
  EXPECT_EQ(found(), std::nullopt) << "only a processor reads that file";
  write("tokenizer_config.json", dump_json({{"chat_template", chatml}}));
  EXPECT_EQ(found()->name, TemplateName::chatml);
  EXPECT_EQ(found()->file, (path / "tokenizer_config.json").string());
  write("tokenizer_config.json",
        dump_json({{"chat_template",
                    {{{"name", "tool_use"}, {"template", mistral}}, {{"name", "default"}, {"template", chatml}}}}}));
  EXPECT_EQ(found()->name, TemplateName::chatml);
  write("tokenizer_config.json", dump_json({{"chat_template", {{{"name", "rag"}, {"template", chatml}}}}}));
  EXPECT_EQ(found()->name, std::nullopt);
  EXPECT_THAT(found()->kind, HasSubstr("none of them named default"));
  write("chat_template.jinja", source("smollm2"));
  EXPECT_EQ(found()->file, (path / "chat_template.jinja").string());
  EXPECT_THAT(found()->system.value_or(""), HasSubstr("SmolLM"));
  std::filesystem::create_directory(path / "additional_chat_templates");
  write("additional_chat_templates/rag.jinja", source("mistral"));
  EXPECT_EQ(found()->file, (path / "chat_template.jinja").string());
  write("additional_chat_templates/default.jinja", source("qwen2.5"));
  EXPECT_EQ(found()->file, (path / "additional_chat_templates/default.jinja").string());
  std::filesystem::remove(path / "additional_chat_templates/default.jinja");
  std::filesystem::remove(path / "chat_template.jinja");
  EXPECT_EQ(found()->name, std::nullopt);
  EXPECT_EQ(found()->file, (path / "additional_chat_templates").string());
  EXPECT_THAT(found()->kind, HasSubstr("none of them named default"));
  std::filesystem::remove_all(path / "additional_chat_templates");
  for (const char* damaged : {R"({"chat_template": 3})", R"({"chat_template": [1]})", R"({"chat_template": [{}]})"}) {
    write("tokenizer_config.json", damaged);
    EXPECT_THROW(found(), Error) << damaged;
  }
}

}  // namespace
}  // namespace steerlm
