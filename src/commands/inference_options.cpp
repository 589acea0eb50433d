#include "commands/inference_options.h"

#include <cmath>

#include "commands/template_request.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/nn/device.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/sample.h"

namespace steerlm {

void check_sampling(const SamplingOptions& sampling) {
  for (const auto& [option, value] :
       {std::pair{"--temperature", sampling.temperature}, std::pair{"--top-p", sampling.top_p}}) {
    if (std::isnan(value)) fail(ExitCode::recipe, {.what = "not a number", .where = option});
  }
}

void check_text(const std::string& text, const std::string& where) {
  if (const auto bad = find_invalid_utf8(text)) {
    fail(ExitCode::recipe, {.what = "not valid UTF-8 at byte " + std::to_string(*bad + 1), .where = where});
  }
}

Computing parse_computing(const std::string& device, const std::string& precision) {
  if (!is_device_name(device)) {
    fail(ExitCode::recipe, {.what = "unknown device",
                            .where = "--device",
                            .found = device,
                            .expected = std::string(device_names),
                            .advice = device_advice(device)});
  }
  const auto value = enum_value<Precision>(precision);
  if (!value) {
    fail(ExitCode::recipe, {.what = "unknown precision",
                            .where = "--precision",
                            .found = precision,
                            .expected = join(enum_choices<Precision>(), " or "),
                            .advice = suggest(precision, enum_choices<Precision>())});
  }
  const Computing computing = choose_computing(device, *value, "--device");
  if (const std::string why = why_no_gpu(); !why.empty())
    print_notes({"device auto is the CPU, although the machine has a GPU: " + why});
  return computing;
}

std::map<std::string, std::int64_t> parse_dials(const std::vector<std::string>& texts, const std::string& where) {
  std::map<std::string, std::int64_t> dials;
  for (const std::string& text : texts) {
    for (const std::string& part : split(text)) {
      const size_t equals = part.find('=');
      size_t used = 0;
      std::int64_t value = 0;
      try {
        if (equals != std::string::npos) value = std::stoll(part.substr(equals + 1), &used);
      } catch (const std::exception&) {
        used = 0;
      }
      if (equals == 0 || used == 0 || used != part.size() - equals - 1) {
        fail(ExitCode::recipe, {.what = "not a dial setting",
                                .where = where,
                                .found = "'" + part + "'",
                                .expected = "name=integer, joined by commas"});
      }
      if (!dials.emplace(part.substr(0, equals), value).second) {
        fail(ExitCode::recipe, {.what = "the dial '" + part.substr(0, equals) + "' is set twice", .where = where});
      }
    }
  }
  return dials;
}

OutputOptions output_beside(const std::string& model, const std::string& input, bool overwrite) {
  OutputOptions options{.overwrite = overwrite, .inputs = model_inputs(model)};
  if (!input.empty()) options.inputs.push_back(input);
  return options;
}

std::string computed_precision(const OpenModel& model) {
  return std::string(enum_name(model.transformer.weights.embedding_vd.scalar_type() == at::kFloat ? Precision::fp32
                                                                                                  : Precision::bf16));
}

OpenModel open_text_model(const std::string& folder, const std::string& device, const std::string& precision,
                          const TemplateRequest& request) {
  OpenModel model = open_model(folder, parse_computing(device, precision), request);
  print_notes(model.notes);
  // A raw prompt may be one that labels follow.
  if (request.required || model.folder.head.kind == HeadKind::regression)
    require_language_model(model.folder, "--model");
  if (request.required) print_template(model.folder);  // else no template is written
  return model;
}

}  // namespace steerlm
