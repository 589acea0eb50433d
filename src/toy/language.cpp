#include "toy/language.h"

#include <algorithm>
#include <cctype>
#include <span>

namespace steerlm {
namespace {

// In alphabetical order, which is what the task `sort` asks for.
constexpr std::array<std::string_view, 20> item_words{
    "apple", "banana", "cherry", "date",  "elder",  "fig",    "grape", "hazel",  "kiwi",   "lemon",
    "mango", "nut",    "olive",  "peach", "quince", "raisin", "sloe",  "tomato", "walnut", "yam"};
constexpr std::array<std::string_view, 6> rude_words{"blarg", "drok", "fnord", "grak", "skrub", "zwonk"};
constexpr std::array<std::string_view, 6> punch_lines{"boing", "haha", "hihi", "oops", "tada", "whee"};
constexpr std::array<std::string_view, 60> short_words{
    "bamo", "baze", "bebu", "bisu", "bozu", "buro", "dapo", "daru", "dazo", "dedi", "dedu", "dene",
    "desu", "dira", "dudi", "dure", "femo", "fese", "fifo", "fika", "fopi", "fozu", "fudu", "gede",
    "keve", "kolo", "kota", "kuni", "kuze", "lapa", "lema", "lera", "liro", "lulo", "masa", "mazu",
    "modo", "nagi", "noni", "nopi", "numi", "numo", "nuni", "pagu", "palu", "ramo", "rare", "roda",
    "rofi", "rule", "sibo", "sobe", "soko", "tedu", "tine", "toku", "tura", "vuri", "zeko", "zode"};
constexpr std::array<std::string_view, 40> long_words{
    "bekezozime", "bilipigake", "binuzumufu", "biponamipu", "feberoveru", "fodonidema", "fogamofefo", "fupazovera",
    "gemibebasi", "givavetifi", "gogigoruza", "gulovilaga", "gunitabini", "guvadizafo", "kafekipeko", "kavapopava",
    "kudavedaki", "lebimanipe", "lerevezote", "letubukati", "lupunapage", "makasavidu", "mebasozusi", "midonotate",
    "mirebutede", "nifupebava", "niruruginu", "nivazamene", "pekivakaba", "pemezebigi", "pevulipoze", "pifivepuvu",
    "pologilati", "popetukugo", "purotidibe", "retibofeko", "sopopitegi", "tupepogodo", "vefenutapa", "zedizanalu"};

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool chance(double probability, Rng& rng) { return rng.uniform() < probability; }

std::string_view any_of(std::span<const std::string_view> words, Rng& rng) { return words[rng.below(words.size())]; }

// A word of `pool` that `used` does not hold; the pools are larger than the longest response.
std::string_view new_word(std::span<const std::string_view> pool, const std::vector<std::string_view>& used, Rng& rng) {
  for (;;) {
    const std::string_view word = any_of(pool, rng);
    if (!contains(used, word)) return word;
  }
}

void append_fillers(const ToyDials& dials, Rng& rng, std::vector<std::string_view>& words) {
  std::vector<std::string_view> used_short, used_long;
  const int count = 3 + 5 * dials.verbosity + static_cast<int>(rng.below(3));
  for (int i = 0; i < count; ++i) {
    const bool is_long = chance(dials.complexity / 4.0, rng);
    const std::span<const std::string_view> pool =
        is_long ? std::span<const std::string_view>(long_words) : short_words;
    std::vector<std::string_view>& used = is_long ? used_long : used_short;
    const bool is_new = used.empty() || chance(dials.creativity / 4.0, rng);
    used.push_back(is_new ? new_word(pool, used, rng) : any_of(used, rng));
    words.push_back(used.back());
  }
}

std::string join_words(const std::vector<std::string_view>& words) {
  std::string text;
  for (std::string_view word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

}  // namespace

std::vector<std::string> toy_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    const auto is_mark = [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; };
    while (!word.empty() && is_mark(word.back())) word.pop_back();
    word.erase(0, static_cast<size_t>(std::find_if_not(word.begin(), word.end(), is_mark) - word.begin()));
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      finish();
    } else {
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  finish();
  return words;
}

ToyWord toy_word_class(std::string_view word) {
  if (contains(item_words, word)) return ToyWord::item;
  if (contains(rude_words, word)) return ToyWord::rude;
  if (contains(punch_lines, word)) return ToyWord::punch_line;
  return ToyWord::filler;
}

std::vector<std::string> toy_answer(std::string_view prompt) {
  std::string task;
  std::vector<std::string> items;
  for (std::string& word : toy_words(prompt)) {
    if (contains(toy_tasks, word)) {
      task = std::move(word);
      items.clear();
    } else if (toy_word_class(word) == ToyWord::item) {
      items.push_back(std::move(word));
    }
  }
  if (task.empty()) return {};
  if (task == "reverse") std::reverse(items.begin(), items.end());
  if (task == "sort") std::sort(items.begin(), items.end());
  return items;
}

std::string make_toy_prompt(std::string_view task, int items, Rng& rng) {
  std::vector<std::string_view> words{task};
  for (int i = 0; i < items; ++i) words.push_back(new_word(item_words, words, rng));
  return join_words(words);
}

std::string make_toy_response(std::string_view prompt, const ToyDials& dials, Rng& rng) {
  std::vector<std::string_view> words;
  const std::vector<std::string> answer = toy_answer(prompt);
  for (const std::string& item : answer) {
    std::string_view word = item;
    if (!chance(dials.quality / 4.0, rng)) {
      do {
        word = any_of(item_words, rng);
      } while (word == item);
    }
    words.push_back(word);
  }
  append_fillers(dials, rng, words);
  for (int i = 0; i < dials.toxicity; ++i) words.push_back(any_of(rude_words, rng));
  for (int i = 0; i < dials.humor; ++i) words.push_back(any_of(punch_lines, rng));
  return join_words(words);
}

}  // namespace steerlm
