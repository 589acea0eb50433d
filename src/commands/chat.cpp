// chat: a conversation in the terminal, or from a script on standard input.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <optional>

#include "commands/chat_terminal.h"
#include "commands/commands.h"
#include "commands/inference_options.h"
#include "commands/template_request.h"
#include "steerlm/cli/chat_lines.h"
#include "steerlm/core/output.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/data/compressor.h"
#include "steerlm/data/record.h"
#include "steerlm/infer/chat_session.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/sample.h"

namespace steerlm {
namespace {

struct Chat {
  const OpenModel& model;
  const SamplingOptions& sampling;
  ChatSession session;
  Conversation conversation;                // whole turns: each question has its answer
  std::map<std::string, std::int64_t> set;  // dials that are not at their defaults
  std::uint64_t sample = 0;                 // key of the next answer's random numbers
  bool done = false;
};

void note(const std::string& text) { std::fprintf(stderr, "note: %s\n", text.c_str()); }

void print_faults(const Error& error) {
  for (const Fault& fault : error.faults()) std::fprintf(stderr, "error: %s\n", format_fault(fault).c_str());
}

std::optional<Label> label_of(const Chat& chat, const std::map<std::string, std::int64_t>& set) {
  return dial_label(chat.model.attributes, set, chat.model.folder.path.string());
}

void write_answer(std::string_view piece) {
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
}

// Standard output that cannot be written to ends the program.
bool output_failed() { return std::ferror(stdout) != 0; }

// Answers `asked`, which ends in a question, and makes it the conversation.
void answer(Chat& chat, Conversation asked) {
  const std::optional<Label> label = label_of(chat, chat.set);
  ChatAnswer answer;
  try {
    answer =
        chat.session.answer(asked, label, chat.sample, write_answer, [] { return interrupted() || output_failed(); });
  } catch (const Error& error) {
    if (error.code() == ExitCode::model) throw;  // no other question would help
    print_faults(error);
    note(asked.turns.size() == 1 ? "ask something shorter, or make the system prompt shorter: /system TEXT"
                                 : "the question is taken back; /undo takes back the last question and answer too, "
                                   "/clear begins a new conversation");
    return;
  }
  clear_interrupt();
  ++chat.sample;
  if (answer.end == AnswerEnd::interrupted && answer.result.response.empty()) {
    return note("stopped before the answer began; the conversation is as it was");
  }
  write_answer("\n");
  if (output_failed()) return;
  if (answer.result.response.empty()) note("the answer is empty");
  if (answer.end == AnswerEnd::interrupted) note("stopped; what is written stays as the answer");
  if (answer.end == AnswerEnd::length)
    note(fmt::format("the answer ends at --max-new-tokens {}", chat.sampling.max_new_tokens));
  if (answer.end == AnswerEnd::context) {
    note(
        fmt::format("the answer ends here: the model's context of {} tokens is full; /undo takes back the last "
                    "question and answer, "
                    "/clear begins a new conversation",
                    chat.model.folder.config.context_length()));
  }
  asked.turns.push_back({"Assistant", answer.result.response, label});
  chat.conversation = std::move(asked);
}

void ask(Chat& chat, const std::string& text) {
  Conversation asked = chat.conversation;
  asked.turns.push_back({"User", text, std::nullopt});
  answer(chat, std::move(asked));
}

void require_turns(const Chat& chat, const std::string& command) {
  if (chat.conversation.turns.empty()) fail(ExitCode::recipe, {.what = "nothing has been asked yet", .where = command});
}

void help(Chat& chat, const std::string&);

void set_dials(Chat& chat, const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; (begin = text.find_first_not_of(", ", begin)) != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(", ", begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  if (parts.empty())
    fail(ExitCode::recipe, {.what = "a dial is missing", .where = "/set", .expected = "/set NAME=VALUE …"});
  std::map<std::string, std::int64_t> set = parse_dials(parts, "/set");
  set.insert(chat.set.begin(), chat.set.end());  // those that are not named stay
  label_of(chat, set);
  chat.set = std::move(set);
}

void print_dials(Chat& chat, const std::string&) {
  const Attributes& attributes = chat.model.attributes;
  if (!attributes.declared()) return note("the model has no dials: its steerlm.json declares no attributes");
  for (size_t i = 0; i < attributes.names.size(); ++i) {
    const auto set = chat.set.find(attributes.names[i]);
    const std::int64_t value = set == chat.set.end() ? attributes.defaults[i] : set->second;
    std::fprintf(stderr, "%s\n",
                 fmt::format("{}={}  ({} to {}, default {})", attributes.names[i], value, attributes.min,
                             attributes.max, attributes.defaults[i])
                     .c_str());
  }
}

void set_system(Chat& chat, const std::string& text) {
  if (!text.empty())
    chat.conversation.system = text == "\"\"" || text == "''" ? "" : text;
  else if (chat.conversation.system.empty())
    note("there is no system prompt");
  else
    std::fprintf(stderr, "%s\n", chat.conversation.system.c_str());
}

void retry(Chat& chat, const std::string&) {
  require_turns(chat, "/retry");
  Conversation asked = chat.conversation;
  asked.turns.pop_back();
  answer(chat, std::move(asked));
}

void undo(Chat& chat, const std::string&) {
  require_turns(chat, "/undo");
  chat.conversation.turns.resize(chat.conversation.turns.size() - 2);
}

void clear(Chat& chat, const std::string&) { chat.conversation.turns.clear(); }

void save(Chat& chat, const std::string& argument) {
  constexpr std::string_view flag = "--overwrite";
  const bool overwrite = argument == flag || argument.starts_with(std::string(flag) + " ");
  std::string file = argument;
  if (overwrite) file.erase(0, std::min(file.find_first_not_of(' ', flag.size()), file.size()));
  if (file.empty())
    fail(ExitCode::recipe,
         {.what = "a file is missing", .where = "/save", .expected = "/save FILE, or /save --overwrite FILE"});
  if (std::optional<Fault> fault = unexpanded(file)) {
    fault->where = "/save";
    fail(ExitCode::recipe, *fault);
  }
  require_turns(chat, "/save");
  std::vector<std::string> inputs = model_inputs(chat.model.folder.path.string());
  inputs.push_back("-");  // a script on standard input is still being read
  Output output(file, {.overwrite = overwrite, .inputs = std::move(inputs)});
  Compressor packed(file, [&](std::string_view bytes) { output.write(bytes); });
  packed.write(dump_json(to_json(chat.conversation)) + "\n");
  packed.finish();
  output.finish();
  note("saved as one record in " + file);
}

void quit(Chat& chat, const std::string&) { chat.done = true; }

void help(Chat&, const std::string&) { std::fprintf(stderr, "%s\n", describe_chat_lines().c_str()); }

// Those of chat_lines, in their order.
constexpr std::array<void (*)(Chat&, const std::string& argument), chat_lines.size()> actions{
    help, set_dials, print_dials, set_system, retry, undo, clear, save, quit};
static_assert(actions.back() != nullptr);

void run_chat_command(Chat& chat, const std::string& line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string name = line.substr(0, space);
  std::string argument = line.substr(std::min(line.find_first_not_of(' ', space), line.size()));
  argument.erase(argument.find_last_not_of(" \t") + 1);
  std::vector<std::string> names;
  for (size_t i = 0; i < chat_lines.size(); ++i) {
    names.push_back(chat_lines[i].name);
    if (name != chat_lines[i].name) continue;
    if (*chat_lines[i].argument == '\0' && !argument.empty()) {
      fail(ExitCode::recipe, {.what = "takes nothing behind it", .where = name, .found = "'" + argument + "'"});
    }
    return actions[i](chat, argument);
  }
  const std::string nearest = suggest(name, names);
  fail(ExitCode::recipe, {.what = "unknown command '" + name + "'",
                          .advice = (nearest.empty() ? "/help lists the commands" : nearest) +
                                    "; begin the line with // to send it to the model"});
}

// What is wrong in a line is said, and the conversation goes on.
void take_line(Chat& chat, const std::string& line) {
  try {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    check_text(line, "input");
    if (line.starts_with("//"))
      ask(chat, line.substr(1));
    else if (line.starts_with('/'))
      run_chat_command(chat, line);
    else
      ask(chat, line);
  } catch (const Error& error) {
    if (error.code() == ExitCode::model) throw;
    print_faults(error);
  }
}

int run_lines(Chat& chat) {
  catch_interrupts();
  ChatTerminal terminal;
  if (terminal.interactive()) std::fputs("Ask something; /help lists the commands.\n", stderr);
  bool interrupted_before = false;
  while (!chat.done && !output_failed()) {
    if (terminal.interactive()) std::fputs("> ", stderr);
    std::string line;
    const ChatTerminal::Input input = terminal.next_line(line);
    if (input == ChatTerminal::Input::line) take_line(chat, line);
    if (input == ChatTerminal::Input::end) {
      if (terminal.interactive()) std::fputs("\n", stderr);
      break;
    }
    if (input == ChatTerminal::Input::interrupt) {
      if (interrupted_before || !terminal.interactive()) return 130;
      std::fputs("\n", stderr);
      note("/quit, Ctrl-D or another Ctrl-C leaves");
    }
    interrupted_before = input == ChatTerminal::Input::interrupt;
  }
  return 0;
}

}  // namespace

int commands::chat(const ChatArguments& arguments) {
  check_text(arguments.system.value_or(""), "--system");
  check_sampling(arguments.sampling);
  const std::map<std::string, std::int64_t> set = parse_dials(arguments.set, "--set");
  const OpenModel model = open_text_model(arguments.model, arguments.device, arguments.precision,
                                          parse_template(arguments.text_template, arguments.system));
  const std::optional<Label> label = dial_label(model.attributes, set, arguments.model);
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  const GenerationSettings settings =
      generation_settings(model, conversation_template, arguments.sampling, static_cast<std::uint64_t>(arguments.seed));
  Chat chat{.model = model,
            .sampling = arguments.sampling,
            .session = ChatSession(model.transformer, model.tokenizer, conversation_template, settings),
            .conversation = {.system = arguments.system.value_or(model.folder.text_template.system),
                             .masked_roles = {"User"},
                             .type = label ? ConversationType::value_to_text : ConversationType::none,
                             .turns = {}},
            .set = set};
  return run_lines(chat);
}

}  // namespace steerlm
