// generate and score.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/core/fields.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// Throws recipe where shards are named without --merge.
void refuse_shards(const JobArguments& arguments) {
  if (arguments.shards.empty()) return;
  fail(ExitCode::recipe, {.what = "an argument too many",
                          .found = "'" + arguments.shards.front() + "'",
                          .expected = "options alone, or with --merge the outputs of shards"});
}

}  // namespace

void add_inference_commands(CLI::App& app, Invocation& invocation) {
  const auto generate = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand("generate", "Answer prompts, with the attributes of the answers set by dials");
  command->footer(
      "One JSON object a line: the input line plus response, token_ids, logprob and finish (stop, length).\n"
      "Dials that are not set take the model folder's defaults; `steerlm model info` prints them.");
  CLI::Option* model = command->add_option("--model", generate->model, "model folder");
  CLI::Option* prompt = command->add_option("--prompt", generate->prompt, "the user's text");
  CLI::Option* input =
      command->add_option("--input", generate->input, "records, each up to its last user turn, or lines with prompt");
  prompt->excludes(input);
  command->add_option("--set", generate->set, "dials, such as quality=9,humor=0");
  command->add_option_function<std::string>(
      "--system", [generate](const std::string& text) { generate->system = text; }, "system prompt; \"\" for none");
  add_template_option(*command, generate->text_template);
  command->add_flag("--raw", generate->raw, "the prompt's bytes as they are, no template; only EOS stops");
  add_sampling_options(*command, generate->sampling, generate->seed);
  command->add_option("--samples", generate->samples, "responses a prompt")
      ->check(CLI::Range(std::int64_t{1}, static_cast<std::int64_t>(largest_count::samples)))
      ->capture_default_str();
  command->add_option("--output", generate->job.output, "file; '-' for standard output")->capture_default_str();
  add_job_options(*command, generate->job);
  add_device_options(*command, generate->device, generate->precision);
  command->callback([&invocation, generate, model, prompt, input] {
    if (!generate->job.merge.empty()) {
      generate->job.command = "generate";
      invocation.action = [&invocation, generate] { return invocation.compute().merge(generate->job); };
      return;
    }
    if (model->count() == 0) throw CLI::RequiredError("--model");
    refuse_shards(generate->job);
    if (prompt->count() + input->count() == 0) throw CLI::RequiredError("--prompt or --input");
    invocation.action = [&invocation, generate] { return invocation.compute().generate(*generate); };
  });

  const auto score = std::make_shared<ScoreArguments>();
  command = app.add_subcommand("score", "Score the assistant turns of records");
  command->footer(
      "A line an assistant turn: record (line of the input, from 0), turn, and with a predictor `scores` (raw), with a "
      "language\n"
      "model `logprob` (natural log, summed over the turn's target tokens) and `tokens`.\n"
      "With --responses the output is the input, records of SteerLM 2.0, with one number more in each response: of a\n"
      "predictor log(P(a|x,y)), of a language model log(Q(y|a,x)), with --no-labels log(P(y|x)).\n"
      "A predictor that is a language model is asked for log(P(a|x,y)) with --label-logprob.");
  model = command->add_option("--model", score->model, "model folder");
  input = command->add_option("--input", score->input, "records; '-' for standard input");
  add_template_option(*command, score->text_template);
  CLI::Option* output = command->add_option("--output", score->job.output, "file; '-' for standard output");
  add_job_options(*command, score->job);
  command->add_flag("--no-labels", score->no_labels, "of a language model: log P(y|x), labels are left out unread");
  command->add_flag("--label-logprob", score->label_logprob,
                    "take the model as a predictor: log P(a|x,y) of a turn's own label by the Beta law");
  command->add_flag("--responses", score->responses, "records of SteerLM 2.0 in and out");
  command->add_option("--beta-concentration", score->concentration, "alpha + beta of the Beta law")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--beta-edges", score->edges, "bins of the values: " + join(enum_choices<BetaEdges>()))
      ->capture_default_str();
  command
      ->add_option("--beta-combination", score->combination,
                   "of several attributes: " + join(enum_choices<BetaCombination>()))
      ->capture_default_str();
  add_device_options(*command, score->device, score->precision);
  command->callback([&invocation, score, model, input, output] {
    if (!score->job.merge.empty()) {
      score->job.command = "score";
      invocation.action = [&invocation, score] { return invocation.compute().merge(score->job); };
      return;
    }
    for (const CLI::Option* each : {model, input, output}) {
      if (each->count() == 0) throw CLI::RequiredError(each->get_name());
    }
    refuse_shards(score->job);
    invocation.action = [&invocation, score] { return invocation.compute().score(*score); };
  });
}

}  // namespace steerlm
