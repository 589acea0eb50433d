// Files that hold no records are named by their content, whatever they are called.
#include "data/file_kind.h"

#include <gmock/gmock.h>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;
using namespace steerlm::testing;

std::string refusal(const std::string& name, const std::string& bytes, Format format = Format::auto_detect) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, name, bytes);
  const std::string message =
      message_of(ExitCode::data, [&] { read_records({source(path, format)}, make_test_attributes(), "S"); });
  return message.starts_with(path) ? message.substr(path.size()) : message;
}

std::string wide(const std::string& text, size_t before, size_t after) {
  std::string bytes;
  for (const char c : text) bytes += std::string(before, '\0') + c + std::string(after, '\0');
  return bytes;
}

std::string tar() {
  std::string bytes = "records.jsonl" + std::string(600, '\0');
  return bytes.replace(257, 5, "ustar");
}

// The head of a zip archive whose first member has this name.
std::string zip(const std::string& member, const std::string& content = "") {
  std::string bytes = "PK\3\4" + std::string(26, '\0') + member + content;
  bytes[26] = static_cast<char>(member.size());
  return bytes;
}

struct Kind {
  const char* name;
  std::string bytes;
  const char* message;
};

const std::string record = R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";

const std::vector<Kind> binary_kinds{
    {"parquet", "PAR1\x15\x04\0\0\0\0PAR1"s, "a Parquet file"},
    {"arrow", "ARROW1\0\0\xff\xff\xff\xff"s, "an Arrow (Feather) file"},
    {"arrow_stream", "\xff\xff\xff\xff\x10\0\0\0"s, "an Arrow stream"},
    {"zip", "PK\3\4\x14\0\0\0"s, "a zip archive"},
    {"zip_of_records", zip("data/train.jsonl"), "a zip archive"},
    {"xlsx", zip("[Content_Types].xml"), "an Office document"},
    {"xlsx_of_openpyxl", zip("docProps/app.xml"), "an Office document"},
    {"ods", zip("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), "an Office document"},
    {"epub", zip("mimetype", "application/epub+zip"), "a zip archive"},
    {"npz", zip("arr_0.npy"), "a NumPy archive"},
    {"pt", zip("archive/data.pkl"), "a PyTorch file"},
    {"xz",
     "\xfd"
     "7zXZ\0\0\4"s,
     "a file packed with xz"},
    {"bzip2", "BZh91AY&SY\x12\x34"s, "a file packed with bzip2"},
    {"seven_zip", "7z\xbc\xaf\x27\x1c\0\4"s, "a 7z archive"},
    {"lz4", "\x04\x22\x4d\x18\x64\x40"s, "a file packed with lz4"},
    {"tar", tar(), "a tar archive"},
    {"sqlite", "SQLite format 3\0\x10\0"s, "an SQLite database"},
    {"pickle", "\x80\x04\x95\x10\0\0\0\0\0\0\0]"s, "a Python pickle"},
    {"old_pickle", "\x80\x02]q\0."s, "a Python pickle"},
    {"pickle_of_a_text", "\x80\x03X\5\0\0\0hello"s, "a Python pickle"},
    {"older_pickle", "]q\0(}q\1X"s, "a Python pickle"},
    {"oldest_pickle", "(lp0\n(dp1\nVprompt\n"s, "a Python pickle"},
    {"pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"},
    {"utf16", "\xff\xfe" + wide(record, 0, 1), "a file in UTF-16"},
    {"utf16_big", "\xfe\xff" + wide(record, 1, 0), "a file in UTF-16"},
    {"utf16_without_mark", wide(record, 0, 1), "a file in UTF-16"},
    {"utf16_big_without_mark", wide(record, 1, 0), "a file in UTF-16"},
    {"utf16_of_few_latin_letters", wide("{\"", 0, 1) + "\x36\x04\x38\x04" + wide("\": 1}", 0, 1), "a file in UTF-16"},
    {"utf16_big_of_few_latin_letters", wide("{\"", 1, 0) + "\x04\x36\x04\x38" + wide("\": 1}", 1, 0),
     "a file in UTF-16"},
    {"utf32", "\xff\xfe\0\0"s + wide(record, 0, 3), "a file in UTF-32"},
    {"utf32_without_mark", wide(record, 3, 0), "a file in UTF-32"},
    {"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea\nsize 12345\n", "a Git LFS pointer"},
};

const std::vector<Kind> text_kinds{
    {"csv", "prompt,response\nHi,Hello\n", "a CSV table"},
    {"csv_quoted", "id,text,label\r\n1,\"Hello, you\",4\r\n2,\"Bye\",3\r\n", "a CSV table"},
    {"csv_header_alone", "prompt,response", "a CSV table"},
    {"tsv", "prompt\tresponse\nHi\tHello\n", "a TSV table"},
    {"semicolons", "prompt;response\nHi;Hello\n", "a table"},
    {"csv_of_one_answer_over_lines", "prompt,response\n\"What is X?\",\"X is Y [1].\n[1] Smith 2020\"\nb,c\n",
     "a CSV table"},
    {"csv_of_code_over_lines", "prompt,response\nb,\"Like this:\n{\n  x\n}\"\n", "a CSV table"},
    {"csv_of_json_answers", "prompt,response\nb,\"\n{\"\"a\"\": 1}\n\"\n", "a CSV table"},
    {"csv_of_long_names",
     "Timestamp,How helpful was the answer of the assistant to you?,Which part. If any.\n1,2,\"a, b\"\n3,4,c\n",
     "a CSV table"},
    {"csv_of_long_names_in_quotes", "a,\"How helpful was the answer, all in all, of the assistant?\"\n1,\"2\n",
     "a CSV table"},
    {"tsv_of_python_lists", "messages\tid\n[{'role': 'user', 'content': 'a'}]\t1\n", "a TSV table"},
    {"tsv_of_json_lists", "messages\tid\n[{\"role\": \"user\", \"content\": \"a\"}]\t1\n", "a TSV table"},
    {"rfc7464", "\x1e{\"prompt\": \"a\", \"response\": \"b\"}\n", "a JSON text sequence (RFC 7464)"},
    {"html", "\n <!DOCTYPE html>\n<html><body>404</body></html>\n", "an HTML page"},
    {"html_tag", "<HTML><head></head></HTML>", "an HTML page"},
    {"xml", "<?xml version=\"1.0\"?>\n<rows><row/></rows>", "an XML file"},
    {"yaml", "---\n- prompt: a\n  response: b\n", "a YAML file"},
    {"recipe", "stage: sft\nrun_dir: runs/sft\nmodel: {path: base}\n", "a YAML file"},
    {"pretty_object", "{\n  \"messages\": [\n    {\"role\": \"user\"}\n  ]\n}\n", "a JSON object over several lines"},
    {"pretty_objects", "{\"messages\": [\n {\"role\": \"user\"}]}\n{\"messages\": [\n {\"role\": \"user\"}]}\n",
     "a JSON object over several lines"},
    {"object_behind_its_key", "{\"messages\":\n[{\"role\": \"user\"}]}\n", "a JSON object over several lines"},
    {"comma_in_front", "{\"prompt\": \"a, {b\"\n,\"response\": \"b\"}\n", "a JSON object over several lines"},
};

TEST(FileKind, BinaryFilesAreNamedWhateverTheyAreCalled) {
  for (const Kind& kind : binary_kinds) {
    for (const char* name : {"a.jsonl", "a.data", "a.txt", "a.gz", "a.zst"}) {
      EXPECT_THAT(refusal(name, kind.bytes), StartsWith(": this is "s + kind.message)) << kind.name << " " << name;
    }
    EXPECT_THAT(refusal("a.data", kind.bytes, Format::text), StartsWith(": this is "s + kind.message)) << kind.name;
    EXPECT_THAT(refusal("a.data", kind.bytes, Format::helpsteer), StartsWith(": this is "s + kind.message))
        << kind.name;
  }
}

TEST(FileKind, TextThatIsNoJsonIsNamedUnlessTextIsAskedFor) {
  for (const Kind& kind : text_kinds) {
    for (const char* name : {"a.jsonl", "a.json", "a.csv", "a", "a.gz"}) {
      EXPECT_THAT(refusal(name, kind.bytes), StartsWith(": this is "s + kind.message)) << kind.name << " " << name;
    }
    EXPECT_THAT(refusal("a", kind.bytes, Format::messages), StartsWith(": this is "s + kind.message)) << kind.name;
    EXPECT_EQ(refusal("a.csv", kind.bytes, Format::text), "") << kind.name;
    EXPECT_EQ(refusal("a.txt", kind.bytes), "") << kind.name;
  }
}

TEST(FileKind, ATableOfOneColumnSaysItByItsName) {
  EXPECT_THAT(refusal("a.csv", "prompt\nHi\n"), StartsWith(": this is a CSV table"));
  EXPECT_THAT(refusal("a.tsv", "messages\n[{'role': 'user'}]\n"), StartsWith(": this is a TSV table"));
  EXPECT_THAT(refusal("a", "prompt\nHi\n"), StartsWith(": neither JSON lines nor a JSON array"));
  EXPECT_EQ(refusal("a.csv", record + "\n"), "") << "the content decides";
  EXPECT_EQ(refusal("a.csv", "\n"), "");
}

// Two texts of unequal numbers of commas are no rows of a table.
TEST(FileKind, LongTextsAreNoTable) {
  EXPECT_THAT(refusal("a",
                      "When the king arrived at the castle that evening, he saw the light in the tower.\n"
                      "It was late, he thought, and nobody had told him of a guest in the tower.\n"),
              StartsWith(": neither JSON lines nor a JSON array"));
}

TEST(FileKind, SeparatorsOfJsonAreTakenOut) {
  EXPECT_THAT(refusal("a.jsonl", "\x1e{}\n"), HasSubstr("; take its separators out: tr -d '\\036' < "));
}

TEST(FileKind, BlanksBeforeJsonMakeNoTable) {
  for (const std::string start : {" ", "\t", "\n ", "\xef\xbb\xbf "})
    EXPECT_EQ(refusal("a.json", start + "[" + record + "," + record + "]"), "") << start;
}

TEST(FileKind, TheWayOutHasThePathInIt) {
  TemporaryFolder folder;
  const std::string path = write_file(folder, "a.jsonl.xz",
                                      "\xfd"
                                      "7zXZ\0\0\4"s);
  EXPECT_THAT(message_of(ExitCode::data, [&] { read_records({source(path)}, make_test_attributes(), "S"); }),
              HasSubstr("unpack it: xz -dc " + path + " > NEW.jsonl"));
}

TEST(FileKind, TheWayOutOfAPackedFileUnpacksItFirst) {
  TemporaryFolder folder;
  const auto advice = [&](const std::string& bytes) {
    const std::string path = write_file(folder, "a.jsonl.gz", gzip(bytes));
    std::string message =
        message_of(ExitCode::data, [&] { read_records({source(path)}, make_test_attributes(), "S"); });
    message.erase(0, message.find("unpack it"));
    for (size_t at = message.find(path); at != std::string::npos; at = message.find(path))
      message.replace(at, path.size(), "PATH");
    return message;
  };
  EXPECT_EQ(advice("{\n  \"messages\": [\n"),
            "unpack it (gzip -dc PATH > UNPACKED), then write it on one line: jq -c . UNPACKED > NEW.jsonl");
  EXPECT_EQ(advice(gzip(record)),
            "unpack it (gzip -dc PATH > UNPACKED), then unpack it: gzip -dc UNPACKED > NEW.jsonl");
}

TEST(FileKind, TextIsNeverGuessed) {
  EXPECT_THAT(refusal("corpus", "One text.\nAnother text.\n"),
              HasSubstr(": neither JSON lines nor a JSON array (found \"One text.\" …); if each line is a text, give "
                        "the file a name that ends in .txt, or say format: text in a recipe, --format text to `steerlm "
                        "data`"));
  EXPECT_THAT(refusal("corpus.text", "One text.\n"), HasSubstr("neither JSON lines nor a JSON array"));
  EXPECT_THAT(refusal("noise.bin", "\x01\x02\x03\xff\xfe\0"s), HasSubstr("neither JSON lines nor a JSON array"));
  EXPECT_EQ(refusal("corpus", "One text.\nAnother text.\n", Format::text), "");
  EXPECT_EQ(refusal("corpus.txt", "One text.\nAnother text.\n"), "");
}

// What looks a little like something else.
TEST(FileKind, DataIsNotTakenForAnythingElse) {
  EXPECT_EQ(refusal("a", record + "\n"), "");
  EXPECT_EQ(refusal("a.jsonl", "\xEF\xBB\xBF" + record), "");
  EXPECT_EQ(refusal("a.jsonl", ""), "");
  EXPECT_EQ(refusal("a", "\n  \n"), "");
  EXPECT_EQ(refusal("a.json", "[\n  " + record + ",\n  " + record + "\n]\n"), "");
  for (const char* text : {"PAR1 is a station.", "ORCs are tall, elves are taller.", "GGUF", "BZh9 is no word",
                           "LZIP: a note", "a,b\n1,2\n", "<html>", "--- \n", "Obj"}) {
    EXPECT_EQ(refusal("a.txt", text), "") << text;
    EXPECT_EQ(refusal("a", text, Format::text), "") << text;
  }
  // A damaged first line does not hide the records behind it.
  EXPECT_THAT(refusal("a.jsonl", "prompt,response\n" + record + "\n"), StartsWith(":1: not valid JSON"));
  EXPECT_THAT(refusal("a.jsonl", "there\", \"b\": \"c, d\"}\n" + record + "\n"), StartsWith(":1: not valid JSON"));
  EXPECT_THAT(refusal("a.json", "# a, b\n{\n  \"a\": 1\n}\n"), StartsWith(":1: not valid JSON"));
  for (const char* damaged : {"{\n", "{\"a\":\n", "{\"a\": [1,\nnope\n", "{\"a\": \"x,\n\"y\"}\n"})
    EXPECT_THAT(refusal("a.jsonl", damaged + record + "\n"), StartsWith(":1: not valid JSON")) << damaged;
}

}  // namespace
}  // namespace steerlm
