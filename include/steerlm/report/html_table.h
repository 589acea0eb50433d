#pragma once

#include <string>
#include <vector>

#include "steerlm/report/html.h"

namespace steerlm {

// A table in a box that scrolls by itself: the first row is the header, the first cell of each other row names the row.
// A column whose cells below the header are all numbers or empty is set right. Short rows are filled up.
void write_table(HtmlWriter& page, const std::string& caption, const std::vector<std::vector<std::string>>& rows);

// The box alone, for a table that is written cell by cell; `caption` is its first element.
void open_table(HtmlWriter& page, const std::string& caption, const std::string& kind = "");
void close_table(HtmlWriter& page);

}  // namespace steerlm
