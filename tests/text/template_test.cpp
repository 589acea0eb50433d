// Segments, targets and special tokens: contracts.md section 7.
#include "steerlm/text/template.h"

#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

const Tokenizer& text_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(fixture("bpe.model"));
  return tokenizer;
}
const Tokenizer& added_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(fixture("markers.model"));
  return tokenizer;
}
ConversationTemplate text_template() { return {TemplateOptions{}, text_tokenizer()}; }
ConversationTemplate added_template() {
  return {TemplateOptions{.special_tokens = SpecialTokens::added}, added_tokenizer()};
}

std::optional<Label> label(const std::optional<std::string>& text) {
  return text ? std::optional<Label>({.text = *text, .values = {}}) : std::nullopt;
}
Turn user(const std::string& value, const std::optional<std::string>& text = std::nullopt) {
  return {"User", value, label(text)};
}
Turn assistant(const std::string& value, const std::optional<std::string>& text = std::nullopt) {
  return {"Assistant", value, label(text)};
}

Conversation chat(ConversationType type, std::vector<Turn> turns, std::vector<std::string> masked = {"User"}) {
  return {.system = "Be kind.", .masked_roles = std::move(masked), .type = type, .turns = std::move(turns)};
}

// The text of the trained tokens, and of all.
std::string trained_text(const Tokenizer& tokenizer, const EncodedConversation& encoded) {
  Ids ids;
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    if (encoded.target[i] != 0) ids.push_back(encoded.ids[i]);
  }
  return tokenizer.decode_continuation(ids);
}
std::string trained_text(const Conversation& conversation) {
  const std::string text = trained_text(text_tokenizer(), text_template().encode(conversation));
  EXPECT_EQ(trained_text(added_tokenizer(), added_template().encode(conversation)), text);
  return text;
}
std::string whole_text(const Conversation& conversation) {
  const std::string text = text_tokenizer().decode(text_template().encode(conversation).ids);
  EXPECT_EQ(added_tokenizer().decode(added_template().encode(conversation).ids), text);
  return text;
}

std::vector<Turn> five_turns() {
  return {user("u1"), assistant("a1", "quality:4"), user("u2\n"), assistant(" a2", "quality:0"), user("u3")};
}

TEST(Template, ValueToTextLayoutAndMask) {
  const Conversation conversation = chat(ConversationType::value_to_text, five_turns());
  EXPECT_EQ(whole_text(conversation),
            "<extra_id_0>System\nBe "
            "kind.\n<extra_id_1>User\nu1\n<extra_id_1>Assistant\n<extra_id_2>quality:4\na1\n<extra_id_1>User\nu2\n\n"
            "<extra_id_1>Assistant\n<extra_id_2>quality:0\n a2\n<extra_id_1>User\nu3\n");
  EXPECT_EQ(trained_text(conversation), "a1\n<extra_id_1> a2\n<extra_id_1>");
}

TEST(Template, LastTargetGetsAClosingMarker) {
  const Conversation conversation = chat(ConversationType::value_to_text, {user("u"), assistant("a", "quality:4")});
  EXPECT_EQ(whole_text(conversation),
            "<extra_id_0>System\nBe "
            "kind.\n<extra_id_1>User\nu\n<extra_id_1>Assistant\n<extra_id_2>quality:4\na\n<extra_id_1>");
  EXPECT_EQ(trained_text(conversation), "a\n<extra_id_1>");
}

TEST(Template, NoneHasNoLabelLines) {
  const Conversation conversation = chat(ConversationType::none, five_turns());
  EXPECT_THAT(whole_text(conversation), testing::Not(HasSubstr("quality")));
  EXPECT_EQ(trained_text(conversation), "a1\n<extra_id_1> a2\n<extra_id_1>");
}

TEST(Template, AssistantMaskedTrainsUsersButTheFirstTurn) {
  EXPECT_EQ(trained_text(chat(ConversationType::value_to_text, five_turns(), {"Assistant"})),
            "u2\n\n<extra_id_1>u3\n<extra_id_1>");
  EXPECT_EQ(trained_text(chat(ConversationType::none, five_turns(), {"Assistant"})),
            "u2\n\n<extra_id_1>u3\n<extra_id_1>");
}

TEST(Template, FirstTurnIsNeverATargetBeforeALabel) {
  const std::vector<Turn> turns{assistant("a1", "quality:1"), assistant("a2", "quality:2")};
  EXPECT_EQ(trained_text(chat(ConversationType::value_to_text, turns)), "a2\n<extra_id_1>");
  EXPECT_EQ(trained_text(chat(ConversationType::none, turns)), "a2\n<extra_id_1>");
  EXPECT_EQ(trained_text(chat(ConversationType::text_to_value, turns)),
            "quality:1\n<extra_id_1>quality:2\n<extra_id_1>");
}

TEST(Template, TextToValueLayoutAndMask) {
  const Conversation conversation =
      chat(ConversationType::text_to_value, {user("u"), assistant("a", "quality:4,humor:0"), user("v")});
  EXPECT_EQ(
      whole_text(conversation),
      "<extra_id_0>System\nBe "
      "kind.\n<extra_id_1>User\nu\n<extra_id_1>Assistant\na\n<extra_id_2>quality:4,humor:0\n<extra_id_1>User\nv\n");
  EXPECT_EQ(trained_text(conversation), "quality:4,humor:0\n<extra_id_1>");
}

TEST(Template, TextToValueWithoutALabelIsNoTarget) {
  const Conversation conversation =
      chat(ConversationType::text_to_value,
           {user("u"), assistant("null"), assistant("empty", ""), assistant("c", "quality:1")});
  EXPECT_EQ(trained_text(conversation), "quality:1\n<extra_id_1>");
  EXPECT_THAT(whole_text(conversation),
              HasSubstr("null\n<extra_id_1>Assistant\nempty\n<extra_id_2>\n<extra_id_1>Assistant\nc\n"));
  EXPECT_EQ(trained_text(chat(ConversationType::text_to_value, {user("u"), assistant("a")})), "");
}

TEST(Template, NullAndEmptyLabelsDiffer) {
  EXPECT_THAT(whole_text(chat(ConversationType::value_to_text, {user("u"), assistant("a", "")})),
              HasSubstr("Assistant\n<extra_id_2>\na\n"));
  EXPECT_THAT(whole_text(chat(ConversationType::value_to_text, {user("u"), assistant("a")})),
              HasSubstr("Assistant\na\n"));
  EXPECT_EQ(trained_text(chat(ConversationType::value_to_text, {user("u"), assistant("a")})), "a\n<extra_id_1>");
}

TEST(Template, TwoTargetsInARow) {
  EXPECT_EQ(trained_text(chat(ConversationType::value_to_text, {user("u"), assistant("a"), assistant(""), user("v")})),
            "a\n<extra_id_1>\n<extra_id_1>");
}

TEST(Template, RolesThatContainEachOtherDoNotClash) {
  const Conversation conversation =
      chat(ConversationType::none, {user("u"), {"SuperUser", "s", {}}, {"System", "sys", {}}}, {"User"});
  EXPECT_EQ(trained_text(conversation), "s\n<extra_id_1>sys\n<extra_id_1>");
  EXPECT_EQ(trained_text(chat(ConversationType::none, {user("u"), user("v")}, {})), "v\n<extra_id_1>");
}

TEST(Template, TargetsKnowTheirTurn) {
  const EncodedConversation encoded = text_template().encode(chat(ConversationType::value_to_text, five_turns()));
  ASSERT_EQ(encoded.turn.size(), encoded.ids.size());
  std::vector<Ids> ids(5);
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    EXPECT_EQ(encoded.turn[i] >= 0, encoded.target[i] == 1);
    if (encoded.turn[i] >= 0) ids[static_cast<size_t>(encoded.turn[i])].push_back(encoded.ids[i]);
  }
  EXPECT_EQ(text_tokenizer().decode_continuation(ids[1]), "a1\n<extra_id_1>");
  EXPECT_EQ(text_tokenizer().decode_continuation(ids[3]), " a2\n<extra_id_1>");
  EXPECT_TRUE(ids[0].empty() && ids[2].empty() && ids[4].empty());
}

TEST(Template, IdsAndMaskOfTheReference) {
  const Path path = fixture("conversations.json");
  const Json cases = parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
  const Tokenizer unigram = Tokenizer::load(fixture("unigram.model"));
  const std::vector<std::pair<std::string, ConversationTemplate>> templates{
      {"bpe.model", text_template()},
      {"unigram.model", {TemplateOptions{}, unigram}},
      {"markers.model", added_template()}};
  for (const auto& [model, of] : templates) {
    for (size_t i = 0; i < cases["conversations"].size(); ++i) {
      const Json& json = cases["conversations"][i];
      Conversation conversation{
          .system = json["system"], .masked_roles = json["mask"], .type = ConversationType::none, .turns = {}};
      if (json["type"] == "VALUE_TO_TEXT") conversation.type = ConversationType::value_to_text;
      if (json["type"] == "TEXT_TO_VALUE") conversation.type = ConversationType::text_to_value;
      for (const Json& turn : json["turns"]) {
        conversation.turns.push_back(
            {turn[0], turn[1], turn[2].is_null() ? std::nullopt : label(turn[2].get<std::string>())});
      }
      const EncodedConversation encoded = of.encode(conversation);
      EXPECT_EQ(encoded.ids, cases["encoded"][model][i]["ids"].get<Ids>()) << model << " " << i;
      EXPECT_EQ(encoded.target, cases["encoded"][model][i]["mask"].get<std::vector<std::uint8_t>>())
          << model << " " << i;
    }
  }
}

// --- properties over random conversations ---

Conversation random_conversation(std::uint64_t n, ConversationType type) {
  const std::vector<std::string> parts{"word", " ",  "\n", "\n\n", "<extra_id_1>", "</s>", "😀", "quality:4", "  ",
                                       "é",    "\t", "A",  "."};
  Rng rng(11, "conversation", n);
  const auto random_text = [&] {
    std::string text;
    for (auto i = rng.below(6); i > 0; --i) text += parts[rng.below(parts.size())];
    return text;
  };
  Conversation conversation =
      chat(type, {}, rng.below(3) == 0 ? std::vector<std::string>{"Assistant"} : std::vector<std::string>{"User"});
  conversation.system = random_text();
  for (auto count = rng.below(7); count > 0; --count) {
    const std::vector<std::optional<std::string>> labels{std::nullopt, "", "quality:4", "quality:0,humor:3"};
    conversation.turns.push_back(
        {rng.below(2) == 0 ? "User" : "Assistant", random_text(), label(labels[rng.below(4)])});
  }
  return conversation;
}

constexpr std::array all_types{ConversationType::none, ConversationType::value_to_text,
                               ConversationType::text_to_value};

TEST(Template, PropertyUnmaskedTextIsTheTargets) {
  for (std::uint64_t n = 0; n < 300; ++n) {
    const Conversation conversation = random_conversation(n, all_types[n % 3]);
    std::string expected;
    for (size_t i = 0; i < conversation.turns.size(); ++i) {
      const Turn& turn = conversation.turns[i];
      if (turn.from == conversation.masked_roles[0]) continue;
      const bool judged = conversation.type == ConversationType::text_to_value;
      if (judged ? !turn.label || turn.label->text.empty() : i == 0) continue;
      expected += (judged ? turn.label->text : turn.value) + "\n<extra_id_1>";
    }
    EXPECT_EQ(trained_text(conversation), expected) << n;
  }
}

void expect_prefix(const Ids& prefix, const Ids& whole, std::uint64_t n) {
  ASSERT_LE(prefix.size(), whole.size()) << n;
  EXPECT_EQ(prefix, Ids(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(prefix.size()))) << n;
}

// A prompt has the same ids in training and in generation, and what follows it is the target.
TEST(Template, PropertyPromptIsAPrefixOfTraining) {
  for (const bool added : {false, true}) {
    const ConversationTemplate of = added ? added_template() : text_template();
    const Tokenizer& tokenizer = added ? added_tokenizer() : text_tokenizer();
    for (std::uint64_t n = 0; n < 300; ++n) {
      const Conversation conversation =
          random_conversation(n, n % 2 == 0 ? ConversationType::value_to_text : ConversationType::none);
      const EncodedConversation encoded = of.encode(conversation);
      for (size_t i = 1; i < conversation.turns.size(); ++i) {
        const Turn& turn = conversation.turns[i];
        Conversation before = conversation;
        before.turns.resize(i);
        const Ids prompt = of.encode_prompt(
            before, conversation.type == ConversationType::none ? std::nullopt : turn.label, turn.from);
        expect_prefix(prompt, encoded.ids, n);
        if (turn.from == conversation.masked_roles[0]) continue;
        const Ids rest(encoded.ids.begin() + static_cast<std::ptrdiff_t>(prompt.size()), encoded.ids.end());
        EXPECT_EQ(encoded.turn[prompt.size()], static_cast<std::int32_t>(i));
        EXPECT_THAT(tokenizer.decode_continuation(rest), testing::StartsWith(turn.value + "\n<extra_id_1>"));
      }
    }
  }
}

TEST(Template, PropertyLabelPrefixIsAPrefixOfTraining) {
  for (const ConversationTemplate& of : {text_template(), added_template()}) {
    for (std::uint64_t n = 0; n < 300; ++n) {
      const Conversation conversation = random_conversation(n, ConversationType::text_to_value);
      const EncodedConversation encoded = of.encode(conversation);
      for (size_t i = 0; i < conversation.turns.size(); ++i) {
        const Ids prefix = of.encode_label_prefix(conversation, i);
        if (!conversation.turns[i].label) continue;
        expect_prefix(prefix, encoded.ids, n);
        const bool target = encoded.turn[prefix.size()] == static_cast<std::int32_t>(i);
        EXPECT_EQ(target, conversation.turns[i].from != conversation.masked_roles[0] &&
                              !conversation.turns[i].label->text.empty());
      }
    }
  }
}

TEST(Template, ScoredTurnLeavesLabelsOutAndEndsBare) {
  const Conversation conversation = chat(ConversationType::value_to_text, five_turns());
  for (const auto& [of, tokenizer] :
       {std::pair{text_template(), &text_tokenizer()}, std::pair{added_template(), &added_tokenizer()}}) {
    const ScoredTurn scored = of.encode_scored_turn(conversation, 3);
    const auto value = scored.ids.begin() + static_cast<std::ptrdiff_t>(scored.value_begin);
    EXPECT_THAT(tokenizer->decode({scored.ids.begin(), value}), testing::EndsWith("u2\n\n<extra_id_1>Assistant\n"));
    EXPECT_THAT(tokenizer->decode({value, scored.ids.end()}), testing::EndsWith("a2\n<extra_id_2>"));
    EXPECT_EQ(
        tokenizer->decode(scored.ids),
        "<extra_id_0>System\nBe "
        "kind.\n<extra_id_1>User\nu1\n<extra_id_1>Assistant\na1\n<extra_id_1>User\nu2\n\n<extra_id_1>Assistant\n a2\n"
        "<extra_id_2>");
  }
}

TEST(Template, PromptWithARequestedLabelKeepsEarlierOnes) {
  Conversation conversation = chat(ConversationType::none, {user("u1"), assistant("a1", "quality:1"), user("u2")});
  EXPECT_EQ(text_tokenizer().decode(text_template().encode_prompt(conversation, label("quality:9"))),
            "<extra_id_0>System\nBe "
            "kind.\n<extra_id_1>User\nu1\n<extra_id_1>Assistant\n<extra_id_2>quality:1\na1\n<extra_id_1>User\nu2\n"
            "<extra_id_1>Assistant\n<extra_id_2>quality:9\n");
  EXPECT_EQ(text_tokenizer().decode(text_template().encode_prompt(conversation, std::nullopt, "Bot")),
            "<extra_id_0>System\nBe "
            "kind.\n<extra_id_1>User\nu1\n<extra_id_1>Assistant\na1\n<extra_id_1>User\nu2\n<extra_id_1>Bot\n");
}

TEST(Template, AddedMarkersAreSinglePiecesAndOnlyTheTemplates) {
  const EncodedConversation encoded = added_template().encode(chat(
      ConversationType::value_to_text, {user("<extra_id_1> <extra_id_0>"), assistant("<extra_id_2>", "quality:4")}));
  const auto count = [&](std::string_view marker) {
    return std::ranges::count(encoded.ids, *added_tokenizer().piece_id(marker));
  };
  EXPECT_EQ(count("<extra_id_0>"), 1);
  EXPECT_EQ(count("<extra_id_1>"), 3);
  EXPECT_EQ(count("<extra_id_2>"), 1);
}

TEST(Template, BosComesOnceAtTheStart) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixture("bpe.model"), folder / "tokenizer.model");
  write_text(folder / "tokenizer_config.json", R"({"add_bos_token": true})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  const ConversationTemplate of({}, tokenizer);
  const Conversation conversation = chat(ConversationType::none, five_turns());
  const EncodedConversation encoded = of.encode(conversation);
  const EncodedConversation without = text_template().encode(conversation);
  EXPECT_EQ(encoded.ids[0], 1);
  EXPECT_EQ(encoded.target[0], 0);
  EXPECT_EQ(Ids(encoded.ids.begin() + 1, encoded.ids.end()), without.ids);
}

TEST(Template, PlainIsTextAndEos) {
  const ConversationTemplate of({.name = TemplateName::plain}, text_tokenizer());
  Ids expected = text_tokenizer().encode_line("the house");
  expected.push_back(2);
  const EncodedConversation encoded = of.encode(chat(ConversationType::none, {{"Text", "the house", {}}}));
  EXPECT_EQ(encoded.ids, expected);
  EXPECT_THAT(encoded.target, testing::Each(1));
  EXPECT_EQ(encoded.target.size(), expected.size());
  EXPECT_THAT(encoded.turn, testing::Each(0));
  const Conversation two = chat(ConversationType::value_to_text, {user("u <extra_id_1>"), assistant("a", "quality:1")});
  EXPECT_EQ(text_tokenizer().decode(of.encode(two).ids), "u <extra_id_1>\na");
  EXPECT_THAT(of.encode(two).turn, testing::Each(-1));
  EXPECT_EQ(text_tokenizer().decode(of.encode_prompt(two, label("quality:1"))), "u <extra_id_1>\na");
  EXPECT_EQ(text_tokenizer().decode(of.encode_scored_turn(two, 0).ids), "u <extra_id_1>");
  EXPECT_EQ(of.encode_scored_turn(two, 1).value_begin, 0u) << "values are one text";
  EXPECT_EQ(of.turn_marker(), "");
  EXPECT_FALSE(of.holds_marker("<extra_id_1>"));
  expect_error(ExitCode::recipe, HasSubstr("plain has no labels"), [&] { of.encode_label_prefix(two, 1); });
}

TEST(Template, WhatCannotBeUsedIsRefused) {
  expect_error(ExitCode::model,
               testing::AllOf(HasSubstr("the tokenizer has no piece <extra_id_0>"), HasSubstr("model add-tokens")),
               [] { ConversationTemplate({.special_tokens = SpecialTokens::added}, text_tokenizer()); });
}

TEST(Template, MarkersInValuesAreSeen) {
  for (const char* value : {"<extra_id_0>", "a<extra_id_1>", "<extra_id_2>b"})
    EXPECT_TRUE(text_template().holds_marker(value));
  for (const char* value : {"", "<extra_id_3>", "extra_id_1", "<extra_id_1"})
    EXPECT_FALSE(text_template().holds_marker(value));
  EXPECT_EQ(text_template().turn_marker(), "<extra_id_1>");
}

TEST(Template, HashIsOverTheTemplatesBytes) {
  const auto hash = [](TemplateOptions options) {
    return ConversationTemplate(std::move(options), added_tokenizer()).sha256();
  };
  EXPECT_EQ(hash({}), hash({}));
  EXPECT_EQ(hash({}).size(), 64u);
  EXPECT_NE(hash({}), hash({.system = "another"}));
  EXPECT_NE(hash({}), hash({.special_tokens = SpecialTokens::added}));
  EXPECT_NE(hash({}), hash({.name = TemplateName::plain}));
}

}  // namespace
}  // namespace steerlm
