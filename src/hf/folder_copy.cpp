#include "steerlm/hf/folder_copy.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "hf/folder_json.h"
#include "hf/weight_files.h"
#include "steerlm/core/paths.h"
#include "steerlm/hf/config.h"
#include "steerlm/text/added_tokens.h"

namespace steerlm {
namespace {

using Edit = std::function<void(const Path& part)>;

bool travels(const Path& file) {
  const std::string name = file.filename().string();
  if (name.ends_with(".index.json")) return false;  // of the weights
  if (name.starts_with("LICENSE") || name.starts_with("NOTICE")) return true;
  constexpr std::array<std::string_view, 5> kinds{".json", ".model", ".jinja", ".md", ".txt"};
  return std::ranges::find(kinds, file.extension().string()) != kinds.end();
}

void copy_files(const Path& from, const Path& to) {
  if (!is_folder(from, ExitCode::model)) return;
  make_directory(to);
  for (const Path& file : files_of(from, ExitCode::model)) {
    if (travels(file))
      write_file_atomic(to / file.filename(), read_file(file, ExitCode::model, "file of the model folder"));
  }
}

// `edit` changes the files before the weights are written.
void copy_folder(const ModelFolder& folder, const Path& output, const TensorSource& tensors,
                 std::uint64_t max_shard_bytes, const Edit& edit) {
  if (folder.adapter) {
    fail(ExitCode::model, {.what = "the folder is an adapter, not a whole model",
                           .where = folder.path.string(),
                           .advice = "merge it first: steerlm model merge --model " + shell_word(folder.path.string()) +
                                     " --output DIR"});
  }
  const char* const named_templates = "additional_chat_templates";  // where Transformers 5 keeps all but the first
  write_directory_atomic(output, [&](const Path& part) {
    copy_files(folder.path, part);
    if (is_folder(folder.path / named_templates, ExitCode::model))
      copy_files(folder.path / named_templates, part / named_templates);
    edit(part);
    write_weight_files(part, tensors, max_shard_bytes);
  });
}

void edit_config(const Path& folder, const std::function<void(Json&)>& change) {
  const Path path = folder / "config.json";
  Json json = read_folder_json(path, "model config");
  json.erase("auto_map");
  change(json);
  write_file_atomic(path, json.dump(2) + "\n");
}

// (rows, d) with the rows `fresh` at the mean of the first `used` rows of `old`.
at::Tensor grow(const at::Tensor& old, std::int64_t used, const std::vector<std::int32_t>& fresh, std::int64_t rows) {
  constexpr std::int64_t piece = 1024;  // rows that are summed at once
  at::Tensor mean = at::zeros({old.size(1)}, at::kDouble);
  for (std::int64_t begin = 0; begin < used; begin += piece)
    mean += at::sum(old.narrow(0, begin, std::min(piece, used - begin)).to(at::kDouble), 0);
  mean /= static_cast<double>(used);
  at::Tensor grown = old;
  if (rows > old.size(0)) {
    grown = at::empty({rows, old.size(1)}, old.options());
    grown.narrow(0, 0, old.size(0)).copy_(old);
  }
  for (const std::int32_t id : fresh) grown.select(0, id).copy_(mean);
  return grown;
}

// The tensors of the grown vocabulary.
TensorSource grow_vocabulary(TensorSource tensors, std::int64_t used, const std::vector<std::int32_t>& fresh,
                             std::int64_t rows) {
  const auto has_vocabulary = [](const std::string& name) {
    return name == "model.embed_tokens.weight" || name == "lm_head.weight";
  };
  for (TensorSource::Entry& entry : tensors.entries) {
    if (has_vocabulary(entry.name)) entry.shape[0] = rows;
  }
  tensors.read = [=, read = tensors.read](const std::string& name) {
    return has_vocabulary(name) ? grow(read(name), used, fresh, rows) : read(name);
  };
  return tensors;
}

void check_added(const Path& folder, const std::vector<NewToken>& fresh) {
  const Tokenizer tokenizer = Tokenizer::load(folder);
  for (const NewToken& token : fresh) {
    if (tokenizer.piece_id(token.text) != token.id || tokenizer.encode_line(token.text) != std::vector{token.id})
      throw std::logic_error("add_tokens_to_folder: " + token.text + " is no piece of the new tokenizer");
  }
}

}  // namespace

void export_model_folder(const ModelFolder& folder, const Path& output, const std::string& dtype,
                         std::uint64_t max_shard_bytes) {
  TensorSource tensors = stream_weights(folder, own_weights(folder));
  tensors.set_floating_dtype(scalar_type(dtype));
  copy_folder(folder, output, tensors, max_shard_bytes,
              [&](const Path& part) { edit_config(part, [&](Json& config) { set_hf_dtype(config, dtype); }); });
}

GrownVocabulary add_tokens_to_folder(const ModelFolder& folder, const Tokenizer& tokenizer,
                                     const std::vector<std::string>& tokens, const Path& output,
                                     std::uint64_t max_shard_bytes) {
  const std::int64_t pieces = tokenizer.vocab_size();
  GrownVocabulary result{.rows_before = folder.config.vocab_size, .rows = std::max(folder.config.vocab_size, pieces)};
  std::vector<NewToken> fresh;
  std::vector<std::int32_t> fresh_ids;  // their rows are made: the new pieces', and those of pieces that had none
  for (std::int64_t id = result.rows_before; id < pieces; ++id) fresh_ids.push_back(static_cast<std::int32_t>(id));
  for (const std::string& text : tokens) {
    const auto known = tokenizer.piece_id(text);
    const std::int32_t id =
        known ? *known : static_cast<std::int32_t>(pieces + static_cast<std::int64_t>(fresh.size()));
    result.pieces.push_back({.text = text, .id = id, .fresh = !known});
    if (known) continue;
    fresh.push_back({.text = text, .id = id});
    fresh_ids.push_back(id);
    result.rows = std::max<std::int64_t>(result.rows, id + 1);
  }
  TensorSource tensors = stream_weights(folder, own_weights(folder));
  const std::int64_t used = std::min(pieces, result.rows_before);
  if (!fresh_ids.empty()) tensors = grow_vocabulary(std::move(tensors), used, fresh_ids, result.rows);
  copy_folder(folder, output, tensors, max_shard_bytes, [&](const Path& part) {
    edit_config(part, [&](Json& config) { config["vocab_size"] = result.rows; });
    if (fresh.empty()) return;
    tokenizer.copy_to(part);  // with a tokenizer_config.json where the folder had none
    enter_new_tokens(part, fresh);
    check_added(part, fresh);
  });
  return result;
}

}  // namespace steerlm
