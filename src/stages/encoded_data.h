// Training data is encoded once and kept (data/dataset_file): in run_dir/data, or in the folder that data.cache_dir
// names, where it is found again by a hash of what it is made of. Runs with equal hashes share it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "steerlm/data/dataset.h"
#include "steerlm/data/dataset_file.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {

// What decides on the examples, beside the records.
struct Encoding {
  std::string objective;  // names the function that encodes, and its Objective
  const DataOptions& data;
  const Attributes& attributes;
  const ConversationTemplate& conversation_template;
  const Tokenizer& tokenizer;
};

class EncodedData {
 public:
  Dataset dataset;

  // After RunDirectory::start(): what is new gets its name in the cache, in a run directory with an entry in its
  // manifest. Until then the cache is as it was. What was put aside is written to run_dir/quarantine.jsonl and said.
  void keep(const Recipe& recipe, RunDirectory& run, const Context& context);

 private:
  friend std::optional<EncodedData> open_data(const Recipe&, const Encoding&, RunDirectory*,
                                              const std::function<bool(DatasetBuilder&)>&, const Context&);
  std::optional<TemporaryFile> new_file_;  // whole, without its name; none: the cache had it, or it is not to be kept
  std::string stream_sha256_;              // of the encoded data where standard input is among its sources
  Path name_;                              // the name
};

// The data of the cache, else what `encode` makes. A dry run, whose `run` is none, writes nothing: what is not in the
// cache is encoded without keeping its tokens. Standard input is encoded each time: of a run that goes on it must give
// what it gave before. Nothing: stopped on request.
// Bad records are put aside where the recipe says so.
// Which they are is kept with the examples and is no part of the key: of data without bad ones on_bad_record changes
// nothing, and other data is refused where the recipe stops, encoded or not.
// Throws data for a file that was changed while it was read, and as check_bad_records, recipe for another standard
// input, resources for a file in the way that is none of ours, and as `encode`.
std::optional<EncodedData> open_data(const Recipe& recipe, const Encoding& encoding, RunDirectory* run,
                                     const std::function<bool(DatasetBuilder&)>& encode, const Context& context);

// What is known when settle_recipe finds no label, so that it need not look again: none where the sources are not
// known.
std::optional<std::string> fact_of_no_labels(const Recipe& recipe, const KnownFiles& known);

}  // namespace steerlm
