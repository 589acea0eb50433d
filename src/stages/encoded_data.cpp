#include "stages/encoded_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "stages/bad_records.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/version.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/report/progress.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/recipe_files.h"

namespace steerlm {
namespace {

constexpr const char* file_in_run = "examples.bin";
// The hash of the encoded data that is not kept.
constexpr const char* stream_file_in_run = "data/standard-input.sha256";

bool is_standard_input(const SourceOptions& source) { return source.path == "-"; }

// The name counts as far as formats are told by it.
Json source_key(const SourceOptions& source, const std::string& sha256) {
  const std::string name = Path(source.path).filename().string();
  Json key = {{"sha256", sha256},
              {"ending", name.substr(std::min(name.find('.'), name.size()))},
              {"format", enum_name(source.format)},
              {"repeat", source.repeat},
              {"limit", source.limit},
              {"labels", enum_name(source.labels)},
              {"without", source.without}};
  if (source.labels == SourceLabels::shuffle) key["seed"] = source.seed;
  return key;
}

Json cache_key(const Encoding& encoding, KnownFiles& known) {
  const auto sources = [&](const std::vector<SourceOptions>& list) {
    Json keys = Json::array();
    for (const SourceOptions& source : list) {
      LineReader opened(source.path);  // says best what is no data file
      keys.push_back(source_key(source, known.sha256(source.path, ExitCode::data)));
    }
    return keys;
  };
  const TemplateOptions& text_template = encoding.conversation_template.options();
  const DataOptions& data = encoding.data;
  return {{"steerlm", program_version()},
          {"objective", encoding.objective},
          {"tokenizer", encoding.tokenizer.encoding_sha256()},
          {"template",
           {{"name", enum_name(text_template.name)},
            {"system", text_template.system},
            {"special_tokens", enum_name(text_template.special_tokens)}}},
          {"attributes",
           {{"names", encoding.attributes.names}, {"min", encoding.attributes.min}, {"max", encoding.attributes.max}}},
          {"max_tokens", data.max_tokens},
          {"over_length", enum_name(data.over_length)},
          {"validation_fraction", data.validation_fraction},
          {"fold", data.fold},
          {"train", sources(data.train)},
          {"validation", sources(data.validation)}};
}

void refuse_changed_sources(const DataOptions& data, const KnownFiles& known) {
  for (const std::vector<SourceOptions>* sources : {&data.train, &data.validation}) {
    for (const SourceOptions& source : *sources) {
      if (is_standard_input(source) || known.is_unchanged(source.path)) continue;
      fail(ExitCode::data, {.what = "the file was changed while it was read",
                            .where = source.path,
                            .advice = "give the same command again when nothing writes to it any more"});
    }
  }
}

void refuse_other_stream(RunDirectory& run, const std::string& sha256) {
  if (!run.files().owns(stream_file_in_run)) return;
  if (read_file(run.path() / stream_file_in_run, ExitCode::resources, "hash") == sha256 + "\n") return;
  fail(ExitCode::recipe, {.what = "standard input gives other training data than the run has begun with",
                          .where = run.path().string(),
                          .advice = "give the input as it was, or start over with --fresh"});
}

// A folder that many runs share: what lies in it under the name of a cache and is none is somebody else's.
void refuse_in_the_way(const Path& path) {
  fail(ExitCode::resources, {.what = "a file is where the encoded training data is to be kept",
                             .where = path.string(),
                             .advice = "move it elsewhere, or choose another data.cache_dir"});
}

bool is_in_run(const Recipe& recipe) { return recipe.data.cache_dir.empty(); }

// Gives a whole file its name. A cache that a crash of the machine tears is noticed and made again: nothing waits for
// the disk.
void publish_in_cache(TemporaryFile& part, const Path& name, const Recipe& recipe, RunDirectory& run) {
  if (is_in_run(recipe)) {
    run.files().make_folder("data");
    run.files().take_in(part.path(), "data/" + name.filename().string());
  } else {
    std::error_code error;
    const auto status = std::filesystem::symlink_status(name, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) refuse_in_the_way(name);
    publish(part.path(), name);
  }
  part.keep();
}

// Where a file is written that gets its name in the cache later. In a run directory a file that a kill leaves there is
// removed by the next process.
TemporaryFile begin_file(const Path& name, bool in_run, const RunDirectory& run) {
  if (in_run) return TemporaryFile(run.path() / run_mark_folder / name.filename());
  make_directory(name.parent_path());
  return TemporaryFile(name);
}

}  // namespace

std::optional<EncodedData> open_data(const Recipe& recipe, const Encoding& encoding, RunDirectory* run,
                                     const std::function<bool(DatasetBuilder&)>& encode, const Context& context) {
  const auto encode_visibly = [&](DatasetBuilder& builder) {
    const double begin = monotonic_seconds();
    std::int64_t records = 0;
    bool whole = false;
    builder.puts_aside = recipe.bad_records.on_bad_record == OnBadRecord::quarantine;
    {
      Progress progress("encoding", "conversations", 0, standard_error_progress(context.quiet));
      builder.on_record = [&](std::int64_t count) {
        if ((records = count) % 256 == 0) progress.update(count);
        return !stop_requested();
      };
      whole = encode(builder);
    }
    const double seconds = monotonic_seconds() - begin;
    if (!whole)
      context.log->info("stopped on request while the training data was encoded; nothing is kept of it");
    else if (seconds >= 1)
      context.log->info(fmt::format("encoded {} conversations in {:.1f} s, {:.0f} a second", format_count(records),
                                    seconds, static_cast<double>(records) / seconds));
    return whole;
  };

  const DataOptions& data = encoding.data;
  const bool streams =
      std::ranges::any_of(data.train, is_standard_input) || std::ranges::any_of(data.validation, is_standard_input);
  KnownFiles looked_at = run != nullptr ? KnownFiles() : known_inputs(recipe);
  KnownFiles& known = run != nullptr ? run->known_files() : looked_at;
  const Json key = streams ? Json() : cache_key(encoding, known);
  EncodedData result;
  const Path folder = data_cache_folder(recipe);
  if (!folder.empty()) {
    result.name_ =
        folder / (is_in_run(recipe) ? std::string(file_in_run)
                                    : fmt::format("examples-{}.bin", sha256_hex(dump_json(key)).substr(0, 16)));
  }
  if (!streams && !folder.empty()) {
    OpenedDataset opened = open_dataset_file(result.name_, key, encoding.tokenizer.vocab_size(), result.name_);
    if (opened.dataset) {
      context.log->info("the training data is encoded already, in " + result.name_.string());
      result.dataset = std::move(*opened.dataset);
      check_bad_records(result.dataset, recipe);
      return result;
    }
    if (opened.foreign && !is_in_run(recipe)) refuse_in_the_way(result.name_);
    if (!opened.fault.empty())
      context.log->warn(result.name_.string() + ": " + opened.fault + ": the training data is encoded again");
  }
  if (run == nullptr) {
    DatasetBuilder builder(DatasetBuilder::Bytes::dropped);
    if (!encode_visibly(builder)) return std::nullopt;
    result.dataset = builder.finish();
    check_bad_records(result.dataset, recipe);
    return result;
  }
  TemporaryFile part = begin_file(result.name_, is_in_run(recipe) || streams, *run);
  if (!write_dataset_file(part.file(), key, encode_visibly)) return std::nullopt;
  refuse_changed_sources(data, known);
  OpenedDataset written = open_dataset_file(part.path(), key, encoding.tokenizer.vocab_size(), result.name_);
  if (!written.dataset) {
    fail(ExitCode::resources, {.what = "the encoded training data cannot be read back: " + written.fault,
                               .where = part.path().string(),
                               .advice = "choose another data.cache_dir"});
  }
  result.dataset = std::move(*written.dataset);
  check_bad_records(result.dataset, recipe);
  if (streams) {
    result.stream_sha256_ = sha256_file(part.path(), ExitCode::resources);
    if (!context.fresh) refuse_other_stream(*run, result.stream_sha256_);
  } else {
    result.new_file_.emplace(std::move(part));
  }
  return result;
}

void EncodedData::keep(const Recipe& recipe, RunDirectory& run, const Context& context) {
  if (new_file_) publish_in_cache(*new_file_, name_, recipe, run);
  new_file_.reset();
  if (!stream_sha256_.empty() && !run.files().owns(stream_file_in_run)) {
    run.files().make_folder("data");
    run.files().write(stream_file_in_run, stream_sha256_ + "\n");
  }
  write_quarantine(run, dataset, recipe.data, context);
  KnownFiles& known = run.known_files();
  if (recipe.without_labels) {
    if (const auto fact = fact_of_no_labels(recipe, known)) known.learn(*fact);
  }
  if (!known.has_news()) return;
  const Path name = name_.parent_path() / known_files_name;
  if (!is_in_run(recipe) && is_there(name, ExitCode::resources) && !KnownFiles::is_record(name)) {
    context.log->warn(name.string() +
                      " is a file of somebody else, or damaged, and stays: the next start reads its "
                      "inputs again to know them");
    return;
  }
  try {
    TemporaryFile part = begin_file(name, is_in_run(recipe), run);
    part.file().write(known.text());
    publish_in_cache(part, name, recipe, run);
  } catch (const Error& error) {  // others' folder, perhaps: the run needs none of it
    context.log->warn("the next start reads its inputs again to know them: " + format_fault(error.faults().front()));
  }
}

std::optional<std::string> fact_of_no_labels(const Recipe& recipe, const KnownFiles& known) {
  Json sources = Json::array();
  for (const SourceOptions& source : recipe.data.train) {
    const auto sha256 = known.known_sha256(source.path);
    if (!sha256) return std::nullopt;
    sources.push_back(source_key(source, *sha256));
  }
  return "no labels: " + sha256_hex(dump_json({{"steerlm", program_version()},
                                               {"reading", dataset_file_format},
                                               {"method", enum_name(recipe.method)},
                                               {"train", std::move(sources)}}));
}

}  // namespace steerlm
