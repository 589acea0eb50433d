#include "steerlm/eval/readability.h"

#include <gtest/gtest.h>

#include <cmath>

namespace steerlm {
namespace {

TEST(Readability, CountsASentenceByHand) {
  // the(1) cat(1) sat(1) on(1) a(1) table(2): 6 words, 7 syllables, 1 sentence.
  const Readability found = readability("The cat sat on a table.");
  EXPECT_EQ(found.characters, 23);
  EXPECT_EQ(found.words, 6);
  EXPECT_EQ(found.sentences, 1);
  EXPECT_EQ(found.syllables, 7);
  EXPECT_NEAR(found.grade, 0.39 * 6 + 11.8 * 7 / 6 - 15.59, 1e-12);
}

TEST(Readability, LongerWordsAndSentencesRaiseTheGrade) {
  const double simple = readability("I see a dog. It is big.").grade;
  EXPECT_LT(simple, readability("I see a dog and it is big").grade);
  EXPECT_LT(simple, readability("I contemplate a labrador. It is enormous.").grade);
}

TEST(Readability, ATextWithoutWordsHasNoGrade) {
  for (const char* text : {"", " \n", "...!?", "-- '"}) {
    EXPECT_TRUE(std::isnan(readability(text).grade)) << text;
    EXPECT_EQ(readability(text).words, 0) << text;
    EXPECT_EQ(readability(text).sentences, 0) << text;
  }
}

TEST(Readability, SentencesEndAtMarksAndAtTheEnd) {
  EXPECT_EQ(readability("What?! No... Yes").sentences, 3);
  EXPECT_EQ(readability("no end").sentences, 1);
  EXPECT_EQ(readability("It is 3.14 here. Done.").sentences, 2) << "the dot of a number ends nothing";
}

TEST(Readability, SyllablesAreVowelGroupsLessASilentE) {
  const auto syllables = [](const char* word) { return readability(word).syllables; };
  EXPECT_EQ(syllables("make"), 1);
  EXPECT_EQ(syllables("table"), 2);
  EXPECT_EQ(syllables("tree"), 1);
  EXPECT_EQ(syllables("the"), 1);
  EXPECT_EQ(syllables("beautiful"), 3);
  EXPECT_EQ(syllables("RHYTHM"), 1);
  EXPECT_EQ(syllables("42"), 1);
  EXPECT_EQ(syllables("gemibebasi"), 5);
}

TEST(Readability, CharactersAreCodePointsAndHyphensJoin) {
  EXPECT_EQ(readability("naïve – été").characters, 11);
  EXPECT_EQ(readability("naïve – été").words, 2) << "the dash is no letter";
  EXPECT_EQ(readability("well-known don't 'quoted'").words, 3);
  EXPECT_EQ(readability("don’t – “quoted”").words, 2) << "the apostrophe of typeset text joins";
}

}  // namespace
}  // namespace steerlm
