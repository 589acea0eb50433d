// The commands that a line of `steerlm chat` may be, for its help and its help page.
#pragma once

#include <array>
#include <string>

namespace steerlm {

struct ChatLine {
  const char* name;
  const char* argument;  // "": it takes none
  const char* help;
};

inline constexpr std::array chat_lines{
    ChatLine{"/help", "", "list the commands"},
    ChatLine{"/set", "NAME=VALUE …", "set dials for the answers that follow"},
    ChatLine{"/dials", "", "print the dials: value, range, default"},
    ChatLine{"/system", "[TEXT]", "change the system prompt, \"\" for none, the turns stay; without a text print it"},
    ChatLine{"/retry", "", "answer the last question again"},
    ChatLine{"/undo", "", "take back the last question and answer"},
    ChatLine{"/clear", "", "begin a new conversation; dials and system prompt stay"},
    ChatLine{"/save", "[--overwrite] FILE", "write the conversation as one record, a JSON line"},
    ChatLine{"/quit", "", "leave; so does the end of input (Ctrl-D)"},
};

// All of them, a line each, and what else a line may be; no line end after the last.
std::string describe_chat_lines();

}  // namespace steerlm
