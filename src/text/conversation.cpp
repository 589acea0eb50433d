#include "steerlm/text/conversation.h"

#include <algorithm>

namespace steerlm {

bool is_target(const Conversation& conversation, size_t turn) {
  const Turn& at = conversation.turns[turn];
  if (at.context_only || std::ranges::find(conversation.masked_roles, at.from) != conversation.masked_roles.end())
    return false;
  if (conversation.type == ConversationType::text_to_value) return at.label && !at.label->text.empty();
  return turn > 0;
}

}  // namespace steerlm
