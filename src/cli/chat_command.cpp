// chat: a conversation in the terminal, or from a script on standard input.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/cli/chat_lines.h"

namespace steerlm {

std::string describe_chat_lines() {
  std::string text;
  for (const ChatLine& line : chat_lines) {
    const std::string call = std::string(line.name) + (*line.argument ? " " : "") + line.argument;
    text += fmt::format("{:<26} {}\n", call, line.help);
  }
  return text +
         "//TEXT                     ask something that begins with /\n"
         "Ctrl-C stops an answer, and at the prompt discards the line; twice at the prompt leaves.";
}

void add_chat_command(CLI::App& app, Invocation& invocation) {
  const auto chat = std::make_shared<ChatArguments>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model; its dials can be changed on the way");
  command->footer(
      "A line is a question. Answers go to standard output, all else to standard error. Lines that begin with / are "
      "commands:\n" +
      describe_chat_lines());
  command->add_option("--model", chat->model, "model folder")->required();
  command->add_option("--set", chat->set, "dials, such as quality=9,humor=0");
  command->add_option_function<std::string>(
      "--system", [chat](const std::string& text) { chat->system = text; }, "system prompt; \"\" for none");
  add_template_option(*command, chat->text_template);
  add_sampling_options(*command, chat->sampling, chat->seed);
  add_device_options(*command, chat->device, chat->precision);
  command->callback(
      [&invocation, chat] { invocation.action = [&invocation, chat] { return invocation.compute().chat(*chat); }; });
}

}  // namespace steerlm
