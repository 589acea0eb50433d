// Answers with a cache that stays against answers without one, and what is streamed of them.
#include "steerlm/infer/chat_session.h"

#include <gtest/gtest.h>

#include "infer/response.h"
#include "infer/small_model.h"
#include "steerlm/core/utf8.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

const auto never = [] { return false; };
const auto nowhere = [](std::string_view) {};

Label dials(float quality, float humor) {
  const Attributes attributes = make_attributes({.names = {"quality", "humor"}, .min = 0, .max = 4, .defaults = {}});
  return make_label(attributes, std::vector<float>{quality, humor});
}

GenerationSettings greedy(std::int64_t max_new_tokens) {
  GenerationSettings settings;
  settings.sampling = {.top_k = 0, .temperature = 0, .top_p = 1, .max_new_tokens = max_new_tokens};
  settings.stop_text = "<extra_id_1>";
  return settings;
}

class ChatSessionOf : public testing::Test {
 protected:
  ChatSessionOf() : tokenizer_(Tokenizer::load(tokenizer_file)), template_({.system = "Be good."}, tokenizer_) {}

  Transformer model(void (*edit)(ModelConfig&)) const { return small_model(tokenizer_.vocab_size(), edit); }
  Conversation question(const std::string& text) const {
    return {"Be good.", {"User"}, ConversationType::value_to_text, {{"User", text, std::nullopt}}};
  }

  Tokenizer tokenizer_;
  ConversationTemplate template_;
};

// Both ways to an answer, of which the first keeps its cache.
struct Pair {
  const Transformer& model;
  const Tokenizer& tokenizer;
  const ConversationTemplate& conversation_template;
  ChatSession kept{model, tokenizer, conversation_template, greedy(12)};

  ChatAnswer expect_equal(const Conversation& conversation, const Label& label) {
    const ChatAnswer answer = kept.answer(conversation, label, 0, nowhere, never);
    ChatSession fresh(model, tokenizer, conversation_template, greedy(12));
    const ChatAnswer expected = fresh.answer(conversation, label, 0, nowhere, never);
    EXPECT_EQ(answer.result.ids, expected.result.ids);
    EXPECT_EQ(answer.result.response, expected.result.response);
    EXPECT_NEAR(answer.result.logprob, expected.result.logprob, 1e-3);
    EXPECT_EQ(expected.prefilled_tokens, expected.prompt_tokens);
    EXPECT_EQ(answer.prompt_tokens, expected.prompt_tokens);
    const std::vector<GenerationRequest> requests{{conversation_template.encode_prompt(conversation, label), 0}};
    EXPECT_EQ(generate(model, tokenizer, requests, greedy(12), {})[0].ids, expected.result.ids);
    return answer;
  }
};

struct Architecture {
  const char* name;
  void (*edit)(ModelConfig&);
};

class KeptCache : public ChatSessionOf, public testing::WithParamInterface<Architecture> {};

TEST_P(KeptCache, AnswersEqualThoseOfAnEmptyOne) {
  const Transformer transformer = model(GetParam().edit);
  const bool dynamic = transformer.config.rope_scaling.kind == RopeKind::dynamic;
  Pair pair{transformer, tokenizer_, template_};
  const Label high = dials(4, 0), low = dials(0, 3);
  Conversation talk = question("how are you");
  ChatAnswer answer = pair.expect_equal(talk, high);
  EXPECT_EQ(answer.prefilled_tokens, answer.prompt_tokens);

  const auto next_turn = [&](const Label& label_before, const std::string& text) {
    talk.turns.push_back({"Assistant", answer.result.response, label_before});
    talk.turns.push_back({"User", text, std::nullopt});
  };
  next_turn(high, "and now?");
  std::int64_t before = answer.prompt_tokens;
  answer = pair.expect_equal(talk, low);  // another dial: the answer before keeps the label that it was given with
  EXPECT_EQ(answer.prefilled_tokens <= answer.prompt_tokens - before, !dynamic);

  answer = pair.expect_equal(talk, low);  // retry: all of the prompt is there, and its last token is read again
  EXPECT_EQ(answer.prefilled_tokens == 1, !dynamic);
  answer = pair.expect_equal(talk, high);  // retry with another dial: the label line is read again
  EXPECT_EQ(answer.prefilled_tokens < 20, !dynamic);

  next_turn(high, "é€ 😀");
  answer = pair.expect_equal(talk, high);
  talk.turns.resize(talk.turns.size() - 2);  // undo
  talk.turns.back().value = "something else";
  answer = pair.expect_equal(talk, low);
  EXPECT_EQ(answer.prefilled_tokens < answer.prompt_tokens - before, !dynamic);

  talk.system = "Be bad.";
  answer = pair.expect_equal(talk, low);
  EXPECT_GT(answer.prefilled_tokens, answer.prompt_tokens - 40) << "what follows the system prompt is read again";
}

INSTANTIATE_TEST_SUITE_P(Architectures, KeptCache,
                         testing::Values(Architecture{"plain", [](ModelConfig& c) { c.max_position_embeddings = 512; }},
                                         Architecture{"windows",
                                                      [](ModelConfig& c) {
                                                        c.max_position_embeddings = 512;
                                                        c.windows = {6, 0};
                                                      }},
                                         Architecture{"dynamic",
                                                      [](ModelConfig& c) {
                                                        c.max_position_embeddings = 64;
                                                        c.rope_scaling = {.kind = RopeKind::dynamic, .factor = 8};
                                                      }}),
                         [](const auto& tested) { return tested.param.name; });

TEST_F(ChatSessionOf, ALongPromptIsReadInPartsAndCanBeStoppedBetweenThem) {
  const Transformer transformer = model([](ModelConfig& c) { c.max_position_embeddings = 2048; });
  std::string text;
  for (int i = 0; i < 200; ++i) text += "question " + std::to_string(i) + " ";
  Pair pair{transformer, tokenizer_, template_};
  int asked = 0;
  const ChatAnswer stopped = pair.kept.answer(question(text), dials(4, 0), 0, nowhere, [&] { return ++asked > 1; });
  EXPECT_EQ(stopped.end, AnswerEnd::interrupted);
  EXPECT_EQ(stopped.prefilled_tokens, 512);
  EXPECT_TRUE(stopped.result.ids.empty());
  const ChatAnswer answer = pair.expect_equal(question(text), dials(4, 0));
  EXPECT_GT(answer.prompt_tokens, 1024);
  EXPECT_EQ(answer.prefilled_tokens, answer.prompt_tokens - 512);
}

TEST_F(ChatSessionOf, AnAnswerStopsAtTheEndOfTheContextAndALongerConversationIsRefused) {
  const Transformer transformer = model([](ModelConfig& c) { c.max_position_embeddings = 128; });
  ChatSession session(transformer, tokenizer_, template_, greedy(1000));
  Conversation talk = question("how are you");
  const ChatAnswer answer = session.answer(talk, dials(4, 0), 0, nowhere, never);
  EXPECT_EQ(answer.end, AnswerEnd::context);
  EXPECT_EQ(answer.prompt_tokens + static_cast<std::int64_t>(answer.result.ids.size()), 128);
  talk.turns.push_back({"Assistant", answer.result.response, dials(4, 0)});
  talk.turns.push_back({"User", "and now?", std::nullopt});
  try {
    session.answer(talk, dials(4, 0), 1, nowhere, never);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(std::string(error.what()).find("no longer fits the model's context"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("fewer than 128"), std::string::npos) << error.what();
  }
  talk.turns.resize(1);
  EXPECT_EQ(session.answer(talk, dials(4, 0), 0, nowhere, never).result.ids, answer.result.ids)
      << "the session goes on";
}

TEST_F(ChatSessionOf, AnInterruptedAnswerIsWhatWasStreamedAndTheNextIsWhole) {
  const Transformer transformer = model([](ModelConfig& c) { c.max_position_embeddings = 512; });
  Pair pair{transformer, tokenizer_, template_};
  std::string streamed;
  int asked = 0;
  const ChatAnswer answer = pair.kept.answer(
      question("hi"), dials(4, 0), 0, [&](std::string_view piece) { streamed += piece; }, [&] { return ++asked > 6; });
  EXPECT_EQ(answer.end, AnswerEnd::interrupted);
  EXPECT_EQ(answer.result.ids.size(), 5u);
  EXPECT_EQ(answer.result.response, streamed);
  pair.expect_equal(question("hi"), dials(4, 0));
}

TEST_F(ChatSessionOf, TheSampleAndTheSeedAreThoseOfGenerate) {
  const Transformer transformer = model([](ModelConfig& c) { c.max_position_embeddings = 512; });
  GenerationSettings settings = greedy(40);
  settings.sampling.temperature = 1.2;
  settings.seed = 7;
  ChatSession session(transformer, tokenizer_, template_, settings);
  std::vector<std::string> responses;
  for (std::uint64_t sample = 0; sample < 20; ++sample) {
    std::vector<std::string> pieces;
    // A fresh slot, so that the rounding is generate()'s too.
    ChatSession fresh(transformer, tokenizer_, template_, settings);
    const ChatAnswer answer = fresh.answer(
        question("hi"), dials(4, 0), sample, [&](std::string_view piece) { pieces.emplace_back(piece); }, never);
    const std::vector<GenerationRequest> requests{{template_.encode_prompt(question("hi"), dials(4, 0)), sample}};
    const GenerationResult expected = generate(transformer, tokenizer_, requests, settings, {})[0];
    EXPECT_EQ(answer.result.ids, expected.ids);
    EXPECT_EQ(answer.result.response, expected.response);
    std::string streamed;
    for (const std::string& piece : pieces) {
      EXPECT_FALSE(find_invalid_utf8(piece)) << "a piece is whole UTF-8";
      streamed += piece;
    }
    EXPECT_EQ(streamed, expected.response);
    responses.push_back(streamed);
  }
  EXPECT_NE(responses[0], responses[1]) << "another sample is another answer";
}

// A model that continues "a" with one text, token by token: the block adds nothing, and each token's embedding is where
// the output layer has the token that follows.
class ScriptedChat : public testing::Test {
 protected:
  ScriptedChat() : tokenizer_(Tokenizer::load(tokenizer_file)), template_({.name = TemplateName::plain}, tokenizer_) {}

  ChatAnswer answer(const std::string& script, std::int64_t max_new_tokens = 0, int asked_limit = 1000) {
    const Conversation conversation{"", {}, ConversationType::none, {{"User", "a", std::nullopt}}};
    std::vector<std::int32_t> chain{template_.encode_prompt(conversation, std::nullopt).back()};
    tokenizer_.append_continuation(script, chain);
    Transformer model = small_model(
        tokenizer_.vocab_size(), [](ModelConfig& c) { c.hidden_size = 64, c.num_hidden_layers = 1, c.head_dim = 16; });
    model.weights.blocks[0].o.weight_oi.zero_();
    model.weights.blocks[0].down.weight_oi.zero_();
    model.weights.embedding_vd.zero_();
    model.weights.lm_head_vd.zero_();
    for (size_t i = 0; i + 1 < chain.size(); ++i) {
      model.weights.embedding_vd[chain[i]][static_cast<std::int64_t>(i)] = 1;
      model.weights.lm_head_vd[chain[i + 1]][static_cast<std::int64_t>(i)] = 1;
    }
    GenerationSettings settings =
        greedy(max_new_tokens > 0 ? max_new_tokens : static_cast<std::int64_t>(chain.size()) - 1);
    settings.stop_text = "<stop>";
    ChatSession session(model, tokenizer_, template_, settings);
    pieces_.clear();
    int asked = 0;
    const ChatAnswer answer = session.answer(
        conversation, std::nullopt, 0, [&](std::string_view piece) { pieces_.emplace_back(piece); },
        [&] { return ++asked > asked_limit; });
    chain.erase(chain.begin());
    chain.resize(answer.result.ids.size());
    EXPECT_EQ(answer.result.ids, chain) << "the model is scripted";
    std::string streamed;
    for (const std::string& piece : pieces_) streamed += piece;
    EXPECT_EQ(streamed, answer.result.response);
    return answer;
  }

  Tokenizer tokenizer_;
  ConversationTemplate template_;
  std::vector<std::string> pieces_;
};

TEST_F(ScriptedChat, ACharacterOfSeveralTokensIsStreamedWhole) {
  const ChatAnswer whole = answer("é€");
  EXPECT_EQ(whole.result.ids.size(), 5u) << "bytes";
  EXPECT_EQ(pieces_, (std::vector<std::string>{"é", "€"}));
  EXPECT_EQ(answer("é€", 4).result.response, "é\uFFFD\uFFFD") << "an answer that ends in the middle of a character";
  EXPECT_EQ(answer("é€", 0, 5).result.response, "é") << "and one that is interrupted there";
}

TEST_F(ScriptedChat, TheStopTextAndTheLineEndBeforeItAreNotStreamed) {
  const ChatAnswer stopped = answer("qu\n<stop>wxy");
  EXPECT_EQ(stopped.end, AnswerEnd::stopped);
  EXPECT_EQ(stopped.result.response, "qu");
  EXPECT_EQ(answer("qu<stop>").result.response, "qu") << "no line end before it";
  EXPECT_EQ(answer("qu\n<stoq").result.response, "qu\n<stoq") << "not the stop text after all";
  const ChatAnswer cut = answer("qu\n<sto");
  EXPECT_EQ(cut.end, AnswerEnd::length);
  EXPECT_EQ(cut.result.response, "qu\n<sto");
  const int before_the_end = static_cast<int>(cut.result.ids.size());
  EXPECT_EQ(answer("qu\n<sto", 0, before_the_end).result.response, "qu")
      << "interrupted: what was held back is not part of it";
}

TEST(Response, SettledIsWhatNoTokenCanChange) {
  EXPECT_EQ(settled_length("abc", "<stop>"), 3u);
  EXPECT_EQ(settled_length("abc\n", "<stop>"), 3u);
  EXPECT_EQ(settled_length("abc\n\n", "<stop>"), 4u);
  EXPECT_EQ(settled_length("abc\n<st", "<stop>"), 3u);
  EXPECT_EQ(settled_length("abc <<", "<stop>"), 5u);
  EXPECT_EQ(settled_length("abc<sto\uFFFD", "<stop>"), 3u);
  EXPECT_EQ(settled_length("abc\n", ""), 4u) << "only ids stop";
  EXPECT_EQ(settled_length("\uFFFDa\uFFFD\uFFFD", ""), 4u);
  EXPECT_EQ(settled_length("", "<stop>"), 0u);
}

}  // namespace
}  // namespace steerlm
