// tokenizer.model made of pieces: read back by our own reader and by sentencepiece.
#include "steerlm/text/spm_pieces.h"

#include <gmock/gmock.h>

#include "steerlm/text/tokenizer.h"
#include "support/temporary_folder.h"
#include "text/spm_model.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;

const std::vector<SpmPiece> pieces{{"<u>", PieceType::unknown, 0},  {"[b]", PieceType::control, 0},
                                   {"[e]", PieceType::control, 0},  {"▁", PieceType::normal, -1},
                                   {"x", PieceType::normal, -2.5F}, {"▁x", PieceType::normal, -0.5F}};

TEST(SpmPieces, ReadBack) {
  for (const bool yes : {false, true}) {
    const SpmModel model = read_spm_model(
        format_spm_model(
            pieces,
            {.add_dummy_prefix = yes, .remove_extra_whitespaces = !yes, .unk = "<u>", .bos = "[b]", .eos = "[e]"}),
        "model");
    ASSERT_EQ(model.pieces.size(), pieces.size());
    for (size_t i = 0; i < pieces.size(); ++i) {
      EXPECT_EQ(model.pieces[i].text, pieces[i].text);
      EXPECT_EQ(model.pieces[i].type, pieces[i].type);
      EXPECT_EQ(model.pieces[i].score, pieces[i].score);
    }
    EXPECT_EQ(model.kind, SpmKind::bpe);
    EXPECT_EQ(model.charsmap, "");
    EXPECT_EQ(model.add_dummy_prefix, yes);
    EXPECT_EQ(model.remove_extra_whitespaces, !yes);
  }
}

TEST(SpmPieces, SentencepieceEncodesWithIt) {
  TemporaryFolder folder;
  const Path file = folder.path() / "tokenizer.model";
  write_file_atomic(file, format_spm_model(pieces, {.unk = "<u>", .bos = "[b]", .eos = "[e]"}));
  const Tokenizer tokenizer = Tokenizer::load(file);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_THAT(tokenizer.encode_line("x  xx"), ElementsAre(5, 3, 5, 4)) << "the best score is joined first";
  write_file_atomic(file,
                    format_spm_model(pieces, {.add_dummy_prefix = false, .unk = "<u>", .bos = "[b]", .eos = "[e]"}));
  EXPECT_THAT(Tokenizer::load(file).encode_line("x  xx"), ElementsAre(4, 3, 5, 4));
}

}  // namespace
}  // namespace steerlm
