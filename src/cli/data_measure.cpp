#include "cli/data_measure.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <optional>

#include "steerlm/cli/choice.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/json_fields.h"
#include "steerlm/core/output.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/compressor.h"
#include "steerlm/data/human_label.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/eval/measure_bins.h"
#include "steerlm/eval/text_measures.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

// "verbosity:characters"
MeasuredAttribute parse_measured(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) {
    fail(ExitCode::recipe, {.what = "an attribute without a measure",
                            .where = "--attributes",
                            .found = "'" + text + "'",
                            .expected = "NAME:MEASURE, the measure one of " + join(enum_choices<TextMeasure>())});
  }
  return {.name = text.substr(0, colon),
          .measure = parse_choice<TextMeasure>(text.substr(colon + 1), "measure", "--attributes")};
}

// The attributes and their range; with edges where a file gives them.
MeasureBins requested_bins(const MeasureInput& input) {
  if (!input.edges_path.empty()) {
    if (!input.attributes.empty() || input.min || input.max || !input.write_edges_path.empty()) {
      fail(ExitCode::recipe, {.what = "--edges says attributes, measures and range, and takes no --attributes, --min, "
                                      "--max and --write-edges beside it",
                              .advice = "leave them out, or leave --edges out"});
    }
    return read_measure_bins(input.edges_path);
  }
  if (input.attributes.empty()) {
    fail(ExitCode::recipe, {.what = "nothing says what is measured",
                            .expected = "--attributes NAME:MEASURE,… or --edges FILE",
                            .advice = "--attributes verbosity:characters,complexity:flesch_kincaid"});
  }
  const AttributeOptions of_method = method_attributes(input.method);
  AttributeOptions names{.min = input.min.value_or(of_method.min), .max = input.max.value_or(of_method.max)};
  std::vector<MeasuredAttribute> attributes;
  for (const std::string& text : input.attributes) {
    attributes.push_back(parse_measured(text));
    names.names.push_back(attributes.back().name);
  }
  const Attributes checked = make_attributes(names);
  return {.min = checked.min, .max = checked.max, .attributes = std::move(attributes)};
}

// Ratings of published sources become labels of the method's names, HelpSteer's of its own, in the measured range.
ReadOptions reading_of(const MeasureInput& input, const MeasureBins& bins) {
  const auto ratings = [&](Method method) {
    return Attributes{.names = method_attributes(method).names, .min = bins.min, .max = bins.max};
  };
  ReadOptions reading{.rating_attributes = ratings(input.method)};
  if (!input.method_given) reading.helpsteer_attributes = ratings(Method::helpsteer2);
  return reading;
}

bool is_measured(const Turn& turn) { return turn.from == "Assistant"; }

// `data check` without --method reads every rating that may become a label here.
[[noreturn]] void refuse_bad_record(const BadRecord& bad, const SourceOptions& source) {
  const std::string format =
      source.format == Format::auto_detect ? "" : " --format " + std::string(enum_name(source.format));
  fail(ExitCode::data,
       {.what = bad.reason,
        .where = place(bad.file, bad.line),
        .advice = "`steerlm data check --input " + shell_word(source.path) + format + "` lists every bad record"});
}

// Calls act(record) for each record of the input. Throws data at the first bad one, and where there is none.
template <class Act>
ReadNotes for_each_record(const MeasureInput& input, const MeasureBins& bins, Act act) {
  RecordReader reader({input.source}, {}, "", reading_of(input, bins));
  bool any = false;
  while (auto entry = reader.next()) {
    if (const auto* bad = std::get_if<BadRecord>(&*entry)) refuse_bad_record(*bad, input.source);
    act(std::get<Record>(*entry));
    any = true;
  }
  if (!any) refuse_empty_input("measure", {input.source});
  return reader.notes();
}

// The first of two passes: of all measured numbers, kept as floats, the quantiles.
void find_edges(const MeasureInput& input, MeasureBins& bins) {
  std::error_code error;
  const bool reads_once = input.source.path == "-" || std::filesystem::is_fifo(input.source.path, error) ||
                          std::filesystem::is_character_file(input.source.path, error);
  if (reads_once) {
    fail(ExitCode::recipe, {.what = "quantiles need the input twice, and this one can be read only once",
                            .where = "--input",
                            .found = input.source.path,
                            .advice = "write it to a file first, or give the edges with --edges"});
  }
  std::vector<std::vector<float>> values(bins.attributes.size());
  for_each_record(input, bins, [&](const Record& record) {
    for (const Turn& turn : record.conversation.turns) {
      for (size_t a = 0; is_measured(turn) && a < bins.attributes.size(); ++a) {
        if (const auto value = measure_text(bins.attributes[a].measure, turn.value))
          values[a].push_back(static_cast<float>(*value));
      }
    }
  });
  for (size_t a = 0; a < bins.attributes.size(); ++a) {
    MeasuredAttribute& attribute = bins.attributes[a];
    if (values[a].empty()) {
      fail(ExitCode::data, {.what = "no assistant turn says anything of '" + attribute.name + "'",
                            .where = input.source.path,
                            .found = "no value of " + std::string(enum_name(attribute.measure)),
                            .advice = "leave the attribute out, or give its edges with --edges"});
    }
    attribute.edges = quantile_edges(values[a], bins.max - bins.min + 1);
  }
}

// What a label names, each once and in the range of the measured attributes; what is not is a fault of the record.
Label parse_present_label(const std::string& text, const MeasureBins& bins, const std::string& where,
                          Attributes& attributes) {
  attributes = {.min = bins.min, .max = bins.max};
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, std::min(text.find(':', begin), end) - begin);
    if (!attributes.index(name)) attributes.names.push_back(name);
    begin = end + 1;
  }
  try {
    return parse_label(attributes, text, where);
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults)
      fault.advice =
          "all labels of a file have one range, which --min and --max set; jq -c 'del(.. | .label?)' takes "
          "labels out";
    throw Error(error.code(), std::move(faults));
  }
}

// How many turns have each level of each attribute.
struct LevelCounts {
  explicit LevelCounts(const MeasureBins& bins)
      : turns(bins.attributes.size(), std::vector<std::int64_t>(static_cast<size_t>(bins.max - bins.min) + 1)),
        unknown(bins.attributes.size()) {}
  std::vector<std::vector<std::int64_t>> turns;
  std::vector<std::int64_t> unknown;
};

// Writes the measured values into the turn's JSON: `measures`, the numbers themselves, and into `label` their levels,
// behind what is there.
void measure_turn(const Turn& turn, const std::string& where, const MeasureBins& bins, bool overwrite_labels,
                  Json& json, LevelCounts& counts) {
  Attributes attributes;
  const std::string before = turn.label ? turn.label->text : "";
  std::vector<float> values = parse_present_label(before, bins, where, attributes).values;
  Json measures = json.contains("measures") && !json["measures"].is_null() ? json["measures"] : Json::object();
  if (!measures.is_object()) {
    fail(ExitCode::data, {.what = "the turn has a key 'measures' of another meaning",
                          .where = where,
                          .found = shortened_json(measures),
                          .expected = "an object, as data measure writes it",
                          .advice = "rename the key"});
  }
  bool replaces_label = false;
  for (size_t a = 0; a < bins.attributes.size(); ++a) {
    const auto& [name, measure, edges] = bins.attributes[a];
    std::optional<size_t> at = attributes.index(name);
    if (at && !overwrite_labels) {
      fail(ExitCode::data, {.what = "the label has '" + name + "' already",
                            .where = where,
                            .found = "'" + before + "'",
                            .advice = "--overwrite-labels measures it anew, and keeps what people said in gt_label"});
    }
    // What was measured before is nobody's word.
    replaces_label |= at && !measures.contains(name);
    if (!at) {
      at = attributes.names.size();
      attributes.names.push_back(name);
      values.push_back(0);
    }
    const std::optional<double> value = measure_text(measure, turn.value);
    measures.erase(name);
    if (value) {
      const int level = level_of(*value, edges, bins.min);
      values[*at] = static_cast<float>(level);
      measures[name] = *value;
      ++counts.turns[a][static_cast<size_t>(level - bins.min)];
    } else {
      values[*at] = std::numeric_limits<float>::quiet_NaN();
      ++counts.unknown[a];
    }
  }
  if (replaces_label) {
    if (Json human = human_label(json, attributes); !human.is_null()) json["gt_label"] = std::move(human);
  }
  json["measures"] = std::move(measures);
  // A turn of which nothing is known keeps what it has: an empty label is not the same as none.
  const Label label = make_label(attributes, values);
  if (turn.label || !label.text.empty()) json["label"] = label.text;
}

void print_levels(const MeasureBins& bins, const LevelCounts& counts) {
  std::vector<std::vector<std::string>> rows{{"attribute", "measure", "level", "above", "to", "turns"}};
  for (size_t a = 0; a < bins.attributes.size(); ++a) {
    const auto& [name, measure, edges] = bins.attributes[a];
    const std::vector<std::int64_t>& turns = counts.turns[a];
    for (size_t l = 0; l < turns.size(); ++l) {
      rows.push_back({l == 0 ? name : "", l == 0 ? std::string(enum_name(measure)) : "",
                      std::to_string(bins.min + static_cast<int>(l)), l == 0 ? "" : format_number(edges[l - 1], 4),
                      l == edges.size() ? "" : format_number(edges[l], 4), format_count(turns[l])});
    }
    if (counts.unknown[a] > 0) rows.push_back({"", "", "unknown", "", "", format_count(counts.unknown[a])});
  }
  std::cerr << format_table(rows);
  for (size_t a = 0; a < bins.attributes.size(); ++a) {
    std::vector<std::string> empty;
    for (size_t l = 0; l < counts.turns[a].size(); ++l) {
      if (counts.turns[a][l] == 0) empty.push_back(std::to_string(bins.min + static_cast<int>(l)));
    }
    if (empty.empty()) continue;
    std::cerr
        << "warning: " << bins.attributes[a].name << ": no turn has the level " << join(empty, ", ")
        << ", so that this file teaches nothing of it; where many texts measure the same, edges coincide: --edges "
           "takes edges of your own\n";
  }
}

void refuse_one_output_twice(const MeasureInput& input, const OutputOptions& options) {
  const OutputPlace records = find_output(input.output, options), edges = find_output(input.write_edges_path, options);
  const bool one_stream = input.output == "-" && input.write_edges_path == "-";
  if (!one_stream && (records.through || edges.through || records.file != edges.file)) return;
  fail(ExitCode::recipe, {.what = "two outputs that are one file",
                          .where = "--write-edges",
                          .found = input.write_edges_path,
                          .expected = "another file than --output"});
}

}  // namespace

int measure_data(const MeasureInput& input) {
  MeasureBins bins = requested_bins(input);
  refuse_packed_name(input.write_edges_path, "--write-edges");
  OutputOptions options{.overwrite = input.overwrite, .inputs = {input.source.path}};
  if (!input.edges_path.empty()) options.inputs.push_back(input.edges_path);
  if (!input.write_edges_path.empty()) refuse_one_output_twice(input, options);
  Output output(input.output, options);
  std::optional<Output> edges_output;
  if (!input.write_edges_path.empty()) edges_output.emplace(input.write_edges_path, options);
  if (input.edges_path.empty()) find_edges(input, bins);

  constexpr size_t buffered = 4 << 20;
  LevelCounts counts(bins);
  std::string lines;
  std::int64_t records = 0;
  Compressor packed(input.output, [&](std::string_view bytes) { output.write(bytes); });
  const ReadNotes notes = for_each_record(input, bins, [&](Record& record) {
    Json& turns = record.json.at("conversations");
    for (size_t t = 0; t < turns.size(); ++t) {
      const Turn& turn = record.conversation.turns[t];
      if (is_measured(turn)) {
        measure_turn(turn, where(record) + ", turn " + std::to_string(t + 1), bins, input.overwrite_labels, turns[t],
                     counts);
      }
    }
    lines += dump_json(record.json) + "\n";
    ++records;
    if (lines.size() < buffered) return;
    packed.write(lines);
    lines.clear();
  });
  packed.write(lines);
  packed.finish();
  if (edges_output) {
    edges_output->write(to_json(bins).dump(2) + "\n");
    edges_output->finish();
  }
  output.finish();
  print_unobeyed(input.source.path, notes);
  print_levels(bins, counts);
  if (input.output != "-") std::cerr << input.output << ": " << format_count(records) << " records\n";
  return 0;
}

}  // namespace steerlm
