#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/data_measure.h"
#include "steerlm/cli/choice.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/output.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/compressor.h"
#include "steerlm/data/place.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/eval/options.h"
#include "steerlm/recipe/load.h"
#include "steerlm/toy/toy_data.h"

namespace steerlm {
namespace {

struct DataArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  std::string input;
  std::string format = "auto";
  std::string output;
  std::string model, text_template;
  std::string method;  // "": not given
  std::vector<std::string> attributes;
  std::optional<std::int64_t> min, max;
  std::string edges, write_edges;
  bool json = false, overwrite = false, overwrite_labels = false;
  std::int64_t count = 20000;
  std::uint64_t seed = 1234;
};

SourceOptions source_of(const DataArguments& arguments) {
  return {.path = arguments.input, .format = parse_format(arguments.format)};
}

// `attributes` with the names and the range that are given.
AttributeOptions with_given(AttributeOptions attributes, const DataArguments& arguments) {
  attributes.defaults.clear();
  if (!arguments.attributes.empty()) attributes.names = arguments.attributes;
  attributes.min = arguments.min.value_or(attributes.min);
  attributes.max = arguments.max.value_or(attributes.max);
  return attributes;
}

Method method_of(const DataArguments& arguments) {
  return parse_choice<Method>(arguments.method.empty() ? "steerlm" : arguments.method, "method", "--method");
}

// What is given, the rest as in the method.
AttributeOptions attributes_of(const DataArguments& arguments) {
  return with_given(method_attributes(method_of(arguments)), arguments);
}

// Nobody says what the attributes are: HelpSteer's ratings have names and a range of their own.
std::optional<Attributes> helpsteer_attributes(const DataArguments& arguments) {
  if (!arguments.attributes.empty() || !arguments.method.empty()) return std::nullopt;
  return make_attributes(with_given(method_attributes(Method::helpsteer2), arguments));
}

// The record's JSON with every label as we write labels: in the order of the names.
Json with_canonical_labels(Record record) {
  Json& turns = record.json.at("conversations");
  for (size_t t = 0; t < turns.size(); ++t) {
    if (const auto& label = record.conversation.turns[t].label) turns[t]["label"] = label->text;
  }
  return std::move(record.json);
}

// The command line of the `data check` that reads the input as `data convert` does. `helpsteer`: its ratings have their
// own attributes, which neither command need be told.
std::string check_command(const DataArguments& arguments, bool helpsteer) {
  std::string command = "steerlm data check --input " + shell_word(arguments.input);
  const auto add = [&](const char* option, const std::string& value) { command += option + (" " + value); };
  if (arguments.format != "auto") add(" --format", arguments.format);
  if (!arguments.method.empty()) add(" --method", arguments.method);
  if (!arguments.attributes.empty()) add(" --attributes", join(arguments.attributes, ","));
  if (arguments.method.empty() && arguments.attributes.empty() && !helpsteer) add(" --method", "steerlm");
  if (arguments.min) add(" --min", std::to_string(*arguments.min));
  if (arguments.max) add(" --max", std::to_string(*arguments.max));
  return command;
}

// Calls write(lines) with the converted records, some MiB at once. Returns how many there were; throws data at the
// first bad one.
template <class Write>
std::int64_t convert_records(const DataArguments& arguments, Write write) {
  constexpr size_t buffered = 4 << 20;
  RecordReader reader({source_of(arguments)}, make_attributes(attributes_of(arguments)), "",
                      {.helpsteer_attributes = helpsteer_attributes(arguments)});
  std::int64_t records = 0;
  std::string lines;
  while (auto entry = reader.next()) {
    if (const auto* bad = std::get_if<BadRecord>(&*entry)) {
      fail(ExitCode::data,
           {.what = bad->reason,
            .where = place(bad->file, bad->line),
            .advice = "`" + check_command(arguments, reader.notes().helpsteer) + "` lists every bad record"});
    }
    lines += dump_json(with_canonical_labels(std::move(std::get<Record>(*entry)))) + "\n";
    ++records;
    if (lines.size() < buffered) continue;
    write(lines);
    lines.clear();
  }
  write(lines);
  if (reader.notes().helpsteer)
    std::cerr << arguments.input << ": " << helpsteer_note(*helpsteer_attributes(arguments));
  print_unobeyed(arguments.input, reader.notes());
  return records;
}

int convert(const DataArguments& arguments) {
  Output output(arguments.output, {.overwrite = arguments.overwrite, .inputs = {arguments.input}});
  Compressor packed(arguments.output, [&](std::string_view bytes) { output.write(bytes); });
  const std::int64_t records = convert_records(arguments, [&](const std::string& lines) { packed.write(lines); });
  packed.finish();
  output.finish();
  if (arguments.output != "-") std::cerr << arguments.output << ": " << records << " records\n";
  return 0;
}

DataInput data_input(const DataArguments& arguments) {
  DataInput input{.recipe = arguments.recipe, .overrides = arguments.overrides};
  const Attributes attributes = make_attributes(attributes_of(arguments));
  if (!arguments.input.empty()) input.source = source_of(arguments);
  if (arguments.attributes.empty() && arguments.method.empty()) {
    input.reading = {.rating_attributes = attributes, .helpsteer_attributes = helpsteer_attributes(arguments)};
  } else {
    input.attributes = attributes;
  }
  return input;
}

}  // namespace

void add_data_commands(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<DataArguments>();
  CLI::App* group = app.add_subcommand("data", "Convert, check and show data; make toy data");
  group->require_subcommand(1);
  const auto set_action = [&invocation, arguments](CLI::App* command, auto action) {
    command->callback(
        [&invocation, arguments, action] { invocation.action = [arguments, action] { return action(*arguments); }; });
  };
  const auto takes_input = [arguments](CLI::App* command) {
    CLI::Option* input =
        command->add_option("--input", arguments->input, "data file, also .gz and .zst; '-' for standard input");
    command->add_option("--format", arguments->format, join(enum_choices<Format>()) + " (default: auto)");
    return input;
  };
  const auto takes_attributes = [arguments](CLI::App* command, const std::string& names) {
    command->add_option("--method", arguments->method,
                        "attributes and range of " + join(enum_choices<Method>()) +
                            " (default: steerlm; for HelpSteer and HelpSteer2 their own five ratings, 0 to 4)");
    command->add_option("--attributes", arguments->attributes, names)->delimiter(',');
    command->add_option("--min", arguments->min, "smallest value of an attribute (default: the method's)");
    command->add_option("--max", arguments->max, "largest value of an attribute (default: the method's)");
  };

  CLI::App* convert_command =
      group->add_subcommand("convert", "Convert a data file of any known format to conversation records");
  takes_input(convert_command)->required();
  convert_command->add_option("--output", arguments->output, "JSON lines; '-' for standard output")->required();
  add_overwrite(*convert_command, arguments->overwrite);
  takes_attributes(convert_command, "attribute names, joined by commas (default: those of the method)");
  set_action(convert_command, convert);

  CLI::App* measure_command = group->add_subcommand(
      "measure", "Label every assistant turn with what is measured of its text, in levels of the attributes");
  takes_input(measure_command)->required();
  measure_command->add_option("--output", arguments->output, "JSON lines; '-' for standard output")->required();
  add_overwrite(*measure_command, arguments->overwrite);
  takes_attributes(measure_command,
                   "NAME:MEASURE, joined by commas; measures are " + join(enum_choices<TextMeasure>()));
  measure_command->add_option("--edges", arguments->edges,
                              "JSON file of attributes, measures and edges; else edges are the quantiles of the input");
  measure_command->add_option("--write-edges", arguments->write_edges, "write such a file");
  measure_command->add_flag("--overwrite-labels", arguments->overwrite_labels,
                            "replace values that a label has of a measured attribute already");
  set_action(measure_command, [](const DataArguments& given) {
    return measure_data({.source = source_of(given),
                         .method = method_of(given),
                         .method_given = !given.method.empty(),
                         .min = given.min,
                         .max = given.max,
                         .attributes = given.attributes,
                         .edges_path = given.edges,
                         .output = given.output,
                         .write_edges_path = given.write_edges,
                         .overwrite = given.overwrite,
                         .overwrite_labels = given.overwrite_labels});
  });

  CLI::App* check_command =
      group->add_subcommand("check", "Go through all data; list every bad record, counts, lengths and labels");
  CLI::App* stats_command =
      group->add_subcommand("stats", "Print counts of records and turns, and mean and spread of the labels");
  for (CLI::App* command : {check_command, stats_command}) {
    command->add_option("RECIPE", arguments->recipe, "recipe whose data is read");
    command->add_option("OVERRIDES", arguments->overrides, "key=value; key=null unsets a key");
    takes_input(command);
    takes_attributes(command,
                     "attribute names, joined by commas (default: any name; ratings become labels of the method)");
  }
  set_action(check_command,
             [&invocation](const DataArguments& given) { return invocation.compute().check_data(data_input(given)); });
  set_action(stats_command, [&invocation](const DataArguments& given) {
    return invocation.compute().data_statistics(data_input(given));
  });

  CLI::App* mask_command = group->add_subcommand("show-mask", "Show which tokens of each record are trained");
  mask_command->add_option("--model", arguments->model, "model folder")->required();
  add_template_option(*mask_command, arguments->text_template);
  takes_input(mask_command)->required();
  mask_command->add_flag("--json", arguments->json, "an object a record: token_ids, pieces, mask, trained_text");
  set_action(mask_command, [&invocation](const DataArguments& given) {
    return invocation.compute().show_mask(
        {.model = given.model, .text_template = given.text_template, .source = source_of(given), .json = given.json});
  });

  CLI::App* toy_command = group->add_subcommand("make-toy", "Write data files of a synthetic toy language");
  toy_command->add_option("--output", arguments->output, "folder")->required();
  add_overwrite(*toy_command, arguments->overwrite);
  toy_command->add_option("--count", arguments->count, "records in train.jsonl (default: 20000)");
  toy_command->add_option("--seed", arguments->seed, "seed of the random draws (default: 1234)");
  set_action(toy_command, [](const DataArguments& given) {
    make_toy_data(given.output, given.count, given.seed, given.overwrite);
    std::cerr << given.output << ": the toy language's files, " << given.count << " records in train.jsonl\n";
    return 0;
  });
}

}  // namespace steerlm
