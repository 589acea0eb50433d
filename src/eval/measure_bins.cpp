#include "steerlm/eval/measure_bins.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "steerlm/core/fs.h"
#include "steerlm/core/suggest.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

// What is wrong with the file, at the dotted path of a key.
[[noreturn]] void refuse_key(const std::string& file, const std::string& key, const std::string& what,
                             std::string found, std::string expected, std::string advice = "") {
  fail(ExitCode::data, {.what = "'" + key + "' " + what,
                        .where = file,
                        .found = std::move(found),
                        .expected = std::move(expected),
                        .advice = std::move(advice)});
}

const Json& member(const Json& object, const std::string& name, const std::string& path, const std::string& file) {
  const auto found = object.find(name);
  if (found == object.end()) {
    fail(ExitCode::data, {.what = "missing key '" + path + "'",
                          .where = file,
                          .advice = "'steerlm data measure --write-edges FILE' writes such a file"});
  }
  return *found;
}

void refuse_others(const Json& object, const std::vector<std::string>& known, const std::string& above,
                   const std::string& file) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) == known.end())
      refuse_key(file, above + key, "is an unknown key", "", "only " + join(known), suggest(key, known));
  }
}

void expect_object(const Json& value, const std::string& key, const std::string& file) {
  if (!value.is_object()) refuse_key(file, key, "is not an object", value.dump(), "a JSON object");
}

int read_bound(const Json& file_json, const std::string& key, const std::string& file) {
  const Json& value = member(file_json, key, key, file);
  constexpr int largest = 1'000'000;  // of an attribute
  if (!value.is_number_integer() || value < -largest || value > largest)
    refuse_key(file, key, "is no value of an attribute", value.dump(), "an integer");
  return value.get<int>();
}

std::vector<double> read_edges(const Json& json, size_t count, const std::string& key, const std::string& file) {
  const std::string expected = std::to_string(count) + " numbers, none smaller than the one before";
  if (!json.is_array()) refuse_key(file, key, "is not a list", json.dump(), expected);
  std::vector<double> edges;
  for (const Json& edge : json) {
    if (!edge.is_number()) refuse_key(file, key, "holds something that is not a number", edge.dump(), expected);
    edges.push_back(edge.get<double>());
  }
  if (edges.size() != count)
    refuse_key(file, key, "has another number of edges than max - min", std::to_string(edges.size()), expected);
  if (!std::ranges::is_sorted(edges)) refuse_key(file, key, "is not in order", json.dump(), expected);
  return edges;
}

}  // namespace

std::vector<double> quantile_edges(std::span<const float> values, int levels) {
  if (values.empty() || levels < 1) throw std::logic_error("quantiles of no value, or for no level");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;
  // The place k (n - 1) / levels in integers: one that is whole stands on its value, which a quotient of doubles
  // misses.
  const size_t last = sorted.size() - 1, parts = static_cast<size_t>(levels);
  for (size_t k = 1; k < parts; ++k) {
    const size_t below = k * last / parts, rest = k * last % parts;
    edges.push_back(std::lerp(sorted[below], sorted[std::min(below + 1, last)],
                              static_cast<double>(rest) / static_cast<double>(parts)));
  }
  return edges;
}

int level_of(double value, std::span<const double> edges, int min) {
  const auto below = [](double edge, float kept) { return static_cast<float>(edge) < kept; };
  const auto level = std::lower_bound(edges.begin(), edges.end(), static_cast<float>(value), below);
  return min + static_cast<int>(level - edges.begin());
}

Json to_json(const MeasureBins& bins) {
  Json attributes = Json::object();
  for (const MeasuredAttribute& attribute : bins.attributes)
    attributes[attribute.name] = {{"measure", enum_name(attribute.measure)}, {"edges", attribute.edges}};
  return {{"min", bins.min}, {"max", bins.max}, {"attributes", attributes}};
}

MeasureBins read_measure_bins(const std::string& path) {
  const Json json = parse_json(read_file(path, ExitCode::data, "edges"), path, ExitCode::data);
  if (!json.is_object()) {
    fail(ExitCode::data, {.what = "not a file of edges",
                          .where = path,
                          .expected = "a JSON object with min, max and attributes",
                          .advice = "'steerlm data measure --write-edges FILE' writes such a file"});
  }
  refuse_others(json, {"min", "max", "attributes"}, "", path);
  MeasureBins bins{.min = read_bound(json, "min", path), .max = read_bound(json, "max", path)};
  if (bins.min >= bins.max) refuse_key(path, "max", "is not above 'min'", std::to_string(bins.max), "more");
  const Json& attributes = member(json, "attributes", "attributes", path);
  expect_object(attributes, "attributes", path);
  AttributeOptions names{.min = bins.min, .max = bins.max};
  for (const auto& [name, entry] : attributes.items()) {
    const std::string key = "attributes." + name;
    expect_object(entry, key, path);
    refuse_others(entry, {"measure", "edges"}, key + ".", path);
    const Json& measure = member(entry, "measure", key + ".measure", path);
    const std::vector<std::string> choices = enum_choices<TextMeasure>();
    const auto known = enum_value<TextMeasure>(measure.is_string() ? measure.get<std::string>() : "");
    if (!known) {
      refuse_key(path, key + ".measure", "is no measure", measure.dump(), "one of " + join(choices),
                 measure.is_string() ? suggest(measure.get<std::string>(), choices) : "");
    }
    names.names.push_back(name);
    bins.attributes.push_back({name, *known,
                               read_edges(member(entry, "edges", key + ".edges", path),
                                          static_cast<size_t>(bins.max - bins.min), key + ".edges", path)});
  }
  if (bins.attributes.empty()) refuse_key(path, "attributes", "names no attribute", "", "one or more");
  try {
    make_attributes(names);
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) fault.where = path + ": " + fault.where;
    throw Error(ExitCode::data, std::move(faults));
  }
  return bins;
}

}  // namespace steerlm
