// tokenizer train.
#include <iostream>
#include <string>

#include "commands/commands.h"
#include "steerlm/core/output.h"
#include "steerlm/data/compressor.h"
#include "steerlm/stages/stages.h"

namespace steerlm {

int commands::train_tokenizer(const TokenizerTrainingArguments& arguments) {
  const std::string& output = arguments.options.output;
  refuse_packed_name(output, "--output");
  const OutputOptions options{.overwrite = arguments.overwrite, .inputs = arguments.options.input, .make_folder = true};
  check_output(output, options);
  const auto [bytes, pieces] = train_tokenizer_on_files(arguments.options, arguments.seed);
  Output file(output, options);
  file.write(bytes);
  file.finish();
  if (pieces < arguments.options.vocab_size) {
    std::cerr << "the text fills " << pieces << " of the " << arguments.options.vocab_size << " pieces asked for\n";
  }
  std::cerr << output << ": a tokenizer of " << pieces << " pieces\n";
  return 0;
}

}  // namespace steerlm
