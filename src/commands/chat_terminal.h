// Lines from standard input beside Ctrl-C.
#pragma once

#include <string>

namespace steerlm {

// SIGINT sets a flag and wakes a ChatTerminal that waits; SIGPIPE is ignored: a closed pipe is a failed write with a
// message. SIGTERM keeps its default.
void catch_interrupts();
bool interrupted();
void clear_interrupt();

class ChatTerminal {
 public:
  enum class Input { line, end, interrupt };

  ChatTerminal();
  bool interactive() const { return interactive_; }

  // The next line, without its end (\n or \r\n); the last one may lack it. interrupt: SIGINT came while it waited.
  // Throws resources where standard input cannot be read.
  Input next_line(std::string& line);

 private:
  bool interactive_;
  bool ended_ = false;
  std::string read_;  // behind the last line
};

}  // namespace steerlm
