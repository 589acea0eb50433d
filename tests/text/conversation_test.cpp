#include "steerlm/text/conversation.h"

#include <gtest/gtest.h>

namespace steerlm {
namespace {

std::string targets(const Conversation& conversation) {
  std::string text;
  for (size_t t = 0; t < conversation.turns.size(); ++t) text += is_target(conversation, t) ? '1' : '0';
  return text;
}

TEST(ConversationTargets, RolesFirstTurnLabelsAndWeight) {
  const Label label{"quality:1", {1}};
  Conversation conversation{"S",
                            {"User"},
                            ConversationType::value_to_text,
                            {{"Assistant", "a", label},
                             {"User", "b", label},
                             {"Assistant", "c", std::nullopt},
                             {"Assistant", "d", Label{}},
                             {"Assistant", "e", label}}};
  EXPECT_EQ(targets(conversation), "00111");
  conversation.type = ConversationType::none;
  EXPECT_EQ(targets(conversation), "00111");
  conversation.type = ConversationType::text_to_value;
  EXPECT_EQ(targets(conversation), "10001");
  conversation.turns[4].context_only = true;
  EXPECT_EQ(targets(conversation), "10000");
  conversation.type = ConversationType::value_to_text;
  EXPECT_EQ(targets(conversation), "00110");
  conversation.masked_roles.clear();
  EXPECT_EQ(targets(conversation), "01110");
}

}  // namespace
}  // namespace steerlm
