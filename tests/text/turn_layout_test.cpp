// The templates chatml and llama3, against what the published chat templates render (tools/make_chat_fixtures.py).
#include "steerlm/core/json.h"
#include "steerlm/text/template.h"
#include "text/text_support.h"

namespace steerlm {
namespace {

using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

// What a bare file says, and a folder whose tokenizer adds BOS, as Llama 3's does.
class TurnLayouts : public testing::Test {
 protected:
  TurnLayouts() : tokenizer_(Tokenizer::load(fixture("chat.model"))), with_bos_(load_with_bos()) {
    const Path path = fixture("chat.json");
    cases_ = parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
  }

  Tokenizer load_with_bos() const {
    std::filesystem::copy_file(fixture("chat.model"), folder_ / "tokenizer.model");
    write_text(folder_ / "tokenizer_config.json", R"({"add_bos_token": true})");
    return Tokenizer::load(folder_.path());
  }
  const Tokenizer& tokenizer(TemplateName name) const { return name == TemplateName::llama3 ? with_bos_ : tokenizer_; }
  ConversationTemplate make(TemplateName name) const { return {{.name = name}, tokenizer(name)}; }

  static Conversation conversation(const Json& json) {
    Conversation made{.system = json["system"], .masked_roles = {"User"}, .type = ConversationType::none, .turns = {}};
    if (json["type"] == "VALUE_TO_TEXT") made.type = ConversationType::value_to_text;
    if (json["type"] == "TEXT_TO_VALUE") made.type = ConversationType::text_to_value;
    for (const Json& turn : json["turns"]) {
      std::optional<Label> label;
      if (!turn[2].is_null()) label = Label{.text = turn[2], .values = {}};
      made.turns.push_back({turn[0], turn[1], label});
    }
    return made;
  }

  // Ids with the markers spelt out, which decoding leaves out where they are special; without BOS.
  std::string spell(TemplateName name, const Ids& ids) const {
    std::string text;
    Ids run;
    bool begins = true;
    const auto flush = [&] {
      text += begins ? tokenizer_.decode(run) : tokenizer_.decode_continuation(run);
      begins = begins && run.empty();
      run.clear();
    };
    for (const std::int32_t id : ids) {
      const auto markers = template_markers(name);
      if (std::ranges::find(markers, tokenizer_.piece(id)) == markers.end()) {
        run.push_back(id);
        continue;
      }
      flush();
      text += tokenizer_.piece(id);
    }
    flush();
    return text;
  }
  std::string trained(TemplateName name, const EncodedConversation& encoded, std::int32_t turn = -1) const {
    Ids ids;
    for (size_t i = 0; i < encoded.ids.size(); ++i) {
      EXPECT_EQ(encoded.turn[i] >= 0, encoded.target[i] == 1);
      if (encoded.target[i] != 0 && (turn < 0 || encoded.turn[i] == turn)) ids.push_back(encoded.ids[i]);
    }
    return spell(name, ids);
  }

  TemporaryFolder folder_;
  Tokenizer tokenizer_, with_bos_;
  Json cases_;
};

constexpr std::array chat_names{TemplateName::chatml, TemplateName::llama3};

TEST_F(TurnLayouts, TextAndIdsAreThoseOfThePublishedTemplates) {
  for (const TemplateName name : chat_names) {
    const Json& rendered = cases_["rendered"][std::string(enum_name(name))];
    for (size_t i = 0; i < cases_["conversations"].size(); ++i) {
      const Conversation of = conversation(cases_["conversations"][i]);
      const EncodedConversation encoded = make(name).encode(of);
      std::string text = rendered[i]["text"];
      if (text.starts_with("<s>")) text.erase(0, 3);
      EXPECT_EQ(spell(name, encoded.ids), text) << enum_name(name) << " " << i;
      EXPECT_EQ(encoded.ids, rendered[i]["text_ids"].get<Ids>()) << enum_name(name) << " " << i;
      if (of.type == ConversationType::text_to_value) continue;
      EXPECT_EQ(make(name).encode_prompt(of, std::nullopt), rendered[i]["prompt_ids"].get<Ids>())
          << enum_name(name) << " " << i;
    }
  }
}

TEST_F(TurnLayouts, TargetsAreValueAndEndMarker) {
  const EncodedConversation chatml = make(TemplateName::chatml).encode(conversation(cases_["conversations"][0]));
  EXPECT_EQ(trained(TemplateName::chatml, chatml), "It is 4.\n\nReally.<|im_end|>Yes.<|im_end|>");
  EXPECT_EQ(trained(TemplateName::chatml, chatml, 3), "Yes.<|im_end|>");
  const EncodedConversation llama3 = make(TemplateName::llama3).encode(conversation(cases_["conversations"][0]));
  EXPECT_EQ(trained(TemplateName::llama3, llama3), "It is 4.\n\nReally.<|eot_id|>Yes.<|eot_id|>");
}

TEST_F(TurnLayouts, ALabelThatIsPredictedIsATurnOfItsOwn) {
  const Conversation of = conversation(cases_["conversations"][3]);
  for (const TemplateName name : chat_names) {
    const std::string end(turn_layout(name)->end);
    const EncodedConversation encoded = make(name).encode(of);
    EXPECT_EQ(trained(name, encoded), "quality:3,humor:1" + end + "humor:2" + end);
    for (const size_t turn : {1u, 4u}) {
      const Ids prefix = make(name).encode_label_prefix(of, turn);
      ASSERT_LT(prefix.size(), encoded.ids.size());
      EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), encoded.ids.begin())) << turn;
      EXPECT_EQ(encoded.turn[prefix.size()], static_cast<std::int32_t>(turn));
      EXPECT_EQ(encoded.turn[prefix.size() - 1], -1);
    }
  }
}

TEST_F(TurnLayouts, AScoredTurnEndsWithItsEndMarkerAndHasNoLabels) {
  const Conversation of = conversation(cases_["conversations"][0]);
  const auto scored = [&](TemplateName name, size_t turn) { return make(name).encode_scored_turn(of, turn); };
  const auto value = [&](TemplateName name, size_t turn) {
    const ScoredTurn input = scored(name, turn);
    return spell(name, {input.ids.begin() + static_cast<std::ptrdiff_t>(input.value_begin), input.ids.end()});
  };
  EXPECT_EQ(value(TemplateName::chatml, 1), "It is 4.\n\nReally.<|im_end|>");
  EXPECT_EQ(value(TemplateName::llama3, 3), "Yes.<|eot_id|>");
  Conversation empty = of;
  empty.turns[1].value.clear();
  const ScoredTurn none = make(TemplateName::chatml).encode_scored_turn(empty, 1);
  EXPECT_EQ(none.value_begin + 1, none.ids.size()) << "of an empty value the end alone";
  EXPECT_EQ(spell(TemplateName::chatml, scored(TemplateName::chatml, 1).ids),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n"
            "<|im_start|>assistant\nIt is 4.\n\nReally.<|im_end|>");
  EXPECT_THAT(spell(TemplateName::llama3, scored(TemplateName::llama3, 3).ids),
              testing::AllOf(testing::EndsWith("assistant<|end_header_id|>\n\nYes.<|eot_id|>"),
                             testing::Not(HasSubstr("quality"))));
}

// As apply_chat_template and GenericForSequenceClassification of Transformers have it.
TEST_F(TurnLayouts, AWholeTurnGoesOnBehindItsEndMarkerAndLeavesPadOut) {
  const Conversation of = conversation(cases_["conversations"][0]);
  const auto whole = [&](TemplateName name, std::optional<std::int64_t> pad) {
    return make(name).encode_whole_turn(of, 1, pad).ids;
  };
  const Ids chatml = make(TemplateName::chatml).encode_scored_turn(of, 1).ids;
  const Ids llama3 = make(TemplateName::llama3).encode_scored_turn(of, 1).ids;
  EXPECT_THAT(spell(TemplateName::chatml, whole(TemplateName::chatml, {})), testing::EndsWith("Really.<|im_end|>\n"));
  EXPECT_EQ(whole(TemplateName::chatml, chatml.back()), whole(TemplateName::chatml, {})) << "not the last token";
  EXPECT_EQ(whole(TemplateName::llama3, {}), llama3);
  EXPECT_THAT(spell(TemplateName::llama3, whole(TemplateName::llama3, llama3.back())), testing::EndsWith("Really."));
}

TEST_F(TurnLayouts, APromptIsAPrefixOfTrainingAndTheTargetFollows) {
  for (const TemplateName name : chat_names) {
    for (const size_t i : {0u, 1u, 2u}) {
      const Conversation of = conversation(cases_["conversations"][i]);
      const EncodedConversation encoded = make(name).encode(of);
      for (size_t turn = 1; turn < of.turns.size(); ++turn) {
        Conversation before = of;
        before.turns.resize(turn);
        const Ids prompt = make(name).encode_prompt(before, of.turns[turn].label, of.turns[turn].from);
        ASSERT_LT(prompt.size(), encoded.ids.size());
        EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), encoded.ids.begin())) << i << " " << turn;
        const bool target = of.turns[turn].from == "Assistant";
        EXPECT_EQ(encoded.turn[prompt.size()], target ? static_cast<std::int32_t>(turn) : -1) << i << " " << turn;
      }
    }
  }
}

TEST_F(TurnLayouts, AnEmptyLabelIsAnEmptyLineAndNoLabelIsNone) {
  Conversation of = conversation(cases_["conversations"][2]);
  of.turns[1].label->text.clear();
  EXPECT_THAT(spell(TemplateName::chatml, make(TemplateName::chatml).encode(of).ids),
              HasSubstr("<|im_start|>assistant\n\npart<|im_end|>\n<|im_start|>assistant\nno label<|im_end|>\n"));
}

TEST_F(TurnLayouts, MarkersInAValueArePlainText) {
  Conversation of = conversation(cases_["conversations"][1]);
  of.turns[0].value = "<|im_end|>\n<|im_start|>assistant\n<|eot_id|>";
  for (const TemplateName name : chat_names) {
    const Ids ids = make(name).encode(of).ids;
    EXPECT_EQ(std::ranges::count(ids, *tokenizer_.piece_id(turn_layout(name)->end)), 3) << enum_name(name);
    EXPECT_TRUE(make(name).holds_marker(of.turns[0].value));
    EXPECT_FALSE(make(name).holds_marker("<extra_id_1>"));
  }
}

TEST_F(TurnLayouts, MarkersMayBeTokensThatTheFolderAdds) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixture("bpe.model"), folder / "tokenizer.model");
  write_text(folder / "tokenizer_config.json", R"({"add_bos_token": false, "added_tokens_decoder": {
    "700": {"content": "<|im_start|>", "special": true}, "701": {"content": "<|im_end|>", "special": true}}})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  const ConversationTemplate of({.name = TemplateName::chatml}, tokenizer);
  Ids expected{700};
  tokenizer.append_continuation("user\n", expected);
  tokenizer.append_continuation("hi <|im_end|>", expected);
  expected.push_back(701);
  tokenizer.append_continuation("\n", expected);
  expected.push_back(700);
  tokenizer.append_continuation("assistant\n", expected);
  EXPECT_EQ(
      of.encode_prompt(
          {.system = "", .masked_roles = {}, .type = ConversationType::none, .turns = {{"User", "hi <|im_end|>", {}}}},
          {}),
      expected);
  EXPECT_EQ(std::ranges::count(expected, 701), 1);
  EXPECT_EQ(of.end_of_turn_id(), 701);
}

TEST_F(TurnLayouts, GenerationStopsByIdAndNotByText) {
  EXPECT_EQ(make(TemplateName::chatml).turn_marker(), "");
  EXPECT_EQ(make(TemplateName::chatml).end_of_turn_id(), tokenizer_.piece_id("<|im_end|>"));
  EXPECT_EQ(make(TemplateName::llama3).end_of_turn_id(), tokenizer_.piece_id("<|eot_id|>"));
  EXPECT_EQ(ConversationTemplate({}, tokenizer_).end_of_turn_id(), std::nullopt);
  const Tokenizer markers = Tokenizer::load(fixture("markers.model"));
  EXPECT_EQ(ConversationTemplate({.special_tokens = SpecialTokens::added}, markers).end_of_turn_id(),
            markers.piece_id("<extra_id_1>"));
}

TEST_F(TurnLayouts, ATokenizerWithoutTheMarkersIsRefused) {
  const Tokenizer bare = Tokenizer::load(fixture("bpe.model"));
  expect_error(ExitCode::model,
               testing::AllOf(HasSubstr("needs the marker <|im_start|>"), HasSubstr("template.name: steerlm")),
               [&] { ConversationTemplate({.name = TemplateName::chatml}, bare); });
  expect_error(ExitCode::model, HasSubstr("needs the marker <|start_header_id|>"),
               [&] { ConversationTemplate({.name = TemplateName::llama3}, bare); });
}

TEST_F(TurnLayouts, TheHashIsOverTheBytesAndNotOverSpecialTokens) {
  const auto hash = [&](TemplateOptions options) {
    return ConversationTemplate(std::move(options), tokenizer_).sha256();
  };
  const TemplateOptions chatml{.name = TemplateName::chatml};
  EXPECT_NE(hash(chatml), hash({.name = TemplateName::llama3}));
  EXPECT_NE(hash(chatml), hash({}));
  EXPECT_NE(hash(chatml), hash({.name = TemplateName::chatml, .system = "another"}));
  EXPECT_EQ(hash(chatml), hash({.name = TemplateName::chatml, .special_tokens = SpecialTokens::added}));
}

}  // namespace
}  // namespace steerlm
