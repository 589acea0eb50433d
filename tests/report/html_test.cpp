// Text of models and data in a page: nothing of it is markup, and nothing rearranges what is around it.
#include "steerlm/report/html.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "steerlm/report/html_table.h"

namespace steerlm {
namespace {

std::string body_of(const std::string& page) {
  const std::string doctype = "<!DOCTYPE html>\n";
  EXPECT_TRUE(page.starts_with(doctype));
  EXPECT_TRUE(page.ends_with("\n"));
  return page.substr(doctype.size(), page.size() - doctype.size() - 1);
}

std::string escaped(const std::string& bytes) {
  HtmlWriter page;
  page.element("b", bytes);
  const std::string text = body_of(page.take());
  EXPECT_TRUE(text.starts_with("<b>") && text.ends_with("</b>")) << text;
  return text.substr(3, text.size() - 7);
}

TEST(Html, MarkupInATextIsText) {
  EXPECT_EQ(escaped("<script>alert('a & b')</script>"), "&lt;script&gt;alert(&#39;a &amp; b&#39;)&lt;/script&gt;");
  EXPECT_EQ(escaped("]]> --> &lt; \"x\""), "]]&gt; --&gt; &amp;lt; &quot;x&quot;");
  EXPECT_EQ(escaped("plain, tab\t, line\nend, é 日 😀"), "plain, tab\t, line\nend, é 日 😀");
}

TEST(Html, AttributesCannotBeLeft) {
  HtmlWriter page;
  page.empty("a", {{"title", "\" onclick='x' <b>&"}, {"class", ""}});
  EXPECT_EQ(body_of(page.take()), "<a title=\"&quot; onclick=&#39;x&#39; &lt;b&gt;&amp;\" class=\"\"/>");
}

TEST(Html, BytesThatAreNoTextAreMadeVisible) {
  EXPECT_EQ(visible_text("a\xFF"
                         "b\xC3"),
            "a\uFFFDb\uFFFD")
      << "no UTF-8";
  EXPECT_EQ(visible_text("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(visible_text(std::string("\0\x1B\r\x7F", 4)), "\u2400\u241B\u240D\u2421");
  EXPECT_EQ(visible_text("\xC2\x85"), "\uFFFD") << "U+0085, a control character";
  EXPECT_EQ(visible_text("\xEF\xBF\xBE\xEF\xBF\xBF"), "\uFFFD\uFFFD") << "U+FFFE, U+FFFF: XML allows neither";
  EXPECT_EQ(visible_text("\xF0\x9F\xBF\xBF"), "\uFFFD") << "U+1FFFF";
  EXPECT_EQ(visible_text("\uFDD0\uFDEF\uFDF0"), "\uFFFD\uFFFD\uFDF0") << "the noncharacters of the Arabic block";
}

TEST(Html, MarksOfDirectionCannotRearrangeThePage) {
  EXPECT_EQ(visible_text("a\u202Eb\u2066c\u2069"), "a[U+202E]b[U+2066]c[U+2069]");
  EXPECT_EQ(visible_text("\u202A\u202B\u202C\u202D\u2067\u2068"), "[U+202A][U+202B][U+202C][U+202D][U+2067][U+2068]");
  EXPECT_EQ(visible_text("\u200F\u05D0\u200E \u2065 \u2029"), "\u200F\u05D0\u200E \u2065 \u2029") << "these are text";
}

TEST(Html, CutsBetweenCodePoints) {
  EXPECT_EQ(first_code_points("aé日x", 3), "aé日");
  EXPECT_EQ(first_code_points("aé", 2), "aé");
  EXPECT_EQ(first_code_points("aé", 9), "aé");
  EXPECT_EQ(first_code_points("é", 0), "");
  EXPECT_EQ(count_code_points("aé日😀"), 4u);
}

TEST(Html, ElementsCloseInTheirOrder) {
  HtmlWriter page;
  page.open("p", {{"lang", "en"}});
  EXPECT_THROW(page.close("div"), std::logic_error);
  EXPECT_THROW(page.take(), std::logic_error) << "still open";
  page.close("p");
  EXPECT_THROW(page.close("p"), std::logic_error) << "nothing is open";
  EXPECT_EQ(body_of(page.take()), "<p lang=\"en\"></p>\n");
}

TEST(Html, TablesNameTheirRowsAndColumnsAndSetNumbersRight) {
  HtmlWriter page;
  write_table(page, "A & B", {{"name", "n", "what"}, {"x", "1,000", "t"}, {"y", "–", "2"}, {"z"}});
  EXPECT_EQ(body_of(page.take()),
            "<div class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\"A &amp; B\"><table class=\"\">"
            "<caption>A &amp; B</caption><thead><tr><th scope=\"col\" class=\"\">name</th>"
            "<th scope=\"col\" class=\"number\">n</th><th scope=\"col\" class=\"\">what</th></tr>\n</thead><tbody>"
            "<tr><th scope=\"row\" class=\"\">x</th><td class=\"number\">1,000</td><td class=\"\">t</td></tr>\n"
            "<tr><th scope=\"row\" class=\"\">y</th><td class=\"number\">–</td><td class=\"\">2</td></tr>\n"
            "<tr><th scope=\"row\" class=\"\">z</th><td class=\"number\"></td><td class=\"\"></td></tr>\n"
            "</tbody></table>\n</div>\n");
}

}  // namespace
}  // namespace steerlm
