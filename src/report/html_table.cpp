#include "steerlm/report/html_table.h"

#include <algorithm>

#include "steerlm/report/table.h"

namespace steerlm {
namespace {

std::string cell_at(const std::vector<std::string>& row, size_t column) {
  return column < row.size() ? row[column] : "";
}

}  // namespace

void open_table(HtmlWriter& page, const std::string& caption, const std::string& kind) {
  // The box can be reached and scrolled by keyboard.
  page.open("div", {{"class", "box"}, {"role", "region"}, {"tabindex", "0"}, {"aria-label", caption}});
  page.open("table", {{"class", kind}});
  page.element("caption", caption);
}

void close_table(HtmlWriter& page) {
  page.close("table");
  page.close("div");
}

void write_table(HtmlWriter& page, const std::string& caption, const std::vector<std::vector<std::string>>& rows) {
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  std::vector<const char*> kinds(columns, "number");
  for (size_t c = 0; c < columns; ++c) {
    for (size_t r = 1; r < rows.size(); ++r) {
      if (!is_numeric_cell(cell_at(rows[r], c))) kinds[c] = "";
    }
  }
  open_table(page, caption);
  page.open("thead");
  page.open("tr");
  for (size_t c = 0; c < columns; ++c)
    page.element("th", cell_at(rows.at(0), c), {{"scope", "col"}, {"class", kinds[c]}});
  page.close("tr");
  page.close("thead");
  page.open("tbody");
  for (size_t r = 1; r < rows.size(); ++r) {
    page.open("tr");
    page.element("th", cell_at(rows[r], 0), {{"scope", "row"}, {"class", kinds[0]}});
    for (size_t c = 1; c < columns; ++c) page.element("td", cell_at(rows[r], c), {{"class", kinds[c]}});
    page.close("tr");
  }
  page.close("tbody");
  close_table(page);
}

}  // namespace steerlm
