// Opening a model folder and reading its weights.
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <memory>

#include "hf/folder_json.h"
#include "hf/folder_path.h"
#include "hf/steerlm_json.h"
#include "hf/weight_files.h"
#include "steerlm/core/error.h"
#include "steerlm/core/paths.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/model_folder.h"

namespace steerlm {
namespace {

// steerlm.json beside a config.json: what the two say of the head must agree.
void apply_steerlm_json(ModelFolder& folder, const SteerlmJson& own, const std::string& where) {
  folder.method = own.method;
  folder.attributes = own.attributes;
  folder.text_template = own.text_template;
  folder.template_given = own.template_given;
  folder.template_sha256 = own.template_sha256;
  const HeadKind kind = own.head_kind.value_or(folder.head.kind);
  if (kind != folder.head.kind) {
    fail(ExitCode::model, {.what = "the head is not the one of config.json's architecture",
                           .where = where,
                           .found = std::string(enum_name(kind)),
                           .expected = std::string(enum_name(folder.head.kind))});
  }
  if (kind == HeadKind::language_model && own.head_pooling != HeadPooling::last) {
    fail(ExitCode::model, {.what = "a language model has no head that reads a mean of hidden states",
                           .where = where + ", head",
                           .found = "pooling '" + std::string(enum_name(own.head_pooling)) + "'",
                           .advice = "take 'pooling' out"});
  }
  if (kind == HeadKind::regression && own.head_writes) {
    fail(ExitCode::model, {.what = "a regression head gives scores and writes nothing",
                           .where = where + ", head",
                           .found = "writes '" + std::string(enum_name(*own.head_writes)) + "'",
                           .advice = "take 'writes' out"});
  }
  folder.writes = own.head_writes;
  const auto names = static_cast<std::int64_t>(own.attributes.names.size());
  if (kind == HeadKind::regression && names > 0 && names != folder.num_labels) {
    fail(ExitCode::model, {.what = "as many attributes as config.json has labels are needed",
                           .where = where,
                           .found = std::to_string(names),
                           .expected = std::to_string(folder.num_labels)});
  }
}

// A head that was not asked for, and what old versions of Transformers saved beside the weights.
bool is_ignored(const std::string& name, Weights weights) {
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  return weights == Weights::trunk && (name == "lm_head.weight" || name == "score.weight" || name == "score.bias");
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void check_tensor(const WeightFiles& files, const std::string& name, const std::vector<std::int64_t>& shape,
                  std::vector<Fault>& faults) {
  const SafetensorsFile& file = files.holding(name);
  const TensorInfo& info = files.info(name);
  if (info.shape != shape) {
    faults.push_back({.what = "tensor '" + name + "' has not the shape that config.json gives it",
                      .where = file.path().string(),
                      .found = shape_text(info.shape),
                      .expected = shape_text(shape)});
  }
  if (info.dtype != "F32" && info.dtype != "BF16" && info.dtype != "F16" && info.dtype != "F64") {
    faults.push_back({.what = "tensor '" + name + "' has a dtype that is not supported",
                      .where = file.path().string(),
                      .found = info.dtype,
                      .expected = "F32, BF16 or F16"});
  }
}

// Faults of a kind, at most five of them told one by one.
void add_names(std::vector<Fault>& faults, const std::vector<std::string>& names, const std::string& kind,
               const std::string& where) {
  constexpr size_t most = 5;
  for (size_t i = 0; i < std::min(most, names.size()); ++i)
    faults.push_back({.what = kind + " tensor '" + names[i] + "'", .where = where});
  if (names.size() > most)
    faults.push_back({.what = std::to_string(names.size() - most) + " more " + kind + " tensors", .where = where});
}

void check_head(const ModelFolder& folder, Weights weights) {
  if (weights == Weights::trunk) return;
  const HeadKind wanted = weights == Weights::regression ? HeadKind::regression : HeadKind::language_model;
  if (folder.head.kind == wanted) return;
  fail(ExitCode::model,
       {.what = "the model folder is of another kind",
        .where = folder.path.string(),
        .found = folder.head.kind == HeadKind::regression ? "a regression predictor" : "a language model",
        .expected = wanted == HeadKind::regression ? "a regression predictor" : "a language model"});
}

WeightFiles open_checked(const ModelFolder& folder, Weights weights) {
  check_head(folder, weights);
  if (folder.adapter && weights == Weights::regression) weights = Weights::trunk;  // the score is the adapter's
  WeightFiles files = open_weight_files(folder.weights_path);
  std::vector<Fault> faults;
  std::vector<std::string> missing, extra;
  const auto expected = parameter_shapes(folder.config, head_shape(folder, weights));
  std::map<std::string, bool> known;
  for (const auto& [name, shape] : expected) {
    known[name] = true;
    if (!files.file_of.contains(name)) {
      missing.push_back(name);
    } else {
      check_tensor(files, name, shape, faults);
    }
  }
  for (const auto& [name, file] : files.file_of) {
    const bool tied_head =
        name == "lm_head.weight" && folder.config.tie_word_embeddings && weights == Weights::language_model;
    if (tied_head) check_tensor(files, name, {folder.config.vocab_size, folder.config.hidden_size}, faults);
    if (!tied_head && !known.contains(name) && !is_ignored(name, weights)) extra.push_back(name);
  }
  add_names(faults, missing, "missing", folder.weights_path.string());
  add_names(faults, extra, "extra", folder.weights_path.string());
  if (!faults.empty()) throw Error(ExitCode::model, faults);
  return files;
}

// A tied model may store its output layer as well, if that is the embedding.
void check_tied_head(const ModelFolder& folder, Weights weights, const WeightFiles& files) {
  const bool stored_head = weights == Weights::language_model && files.file_of.contains("lm_head.weight");
  if (!folder.config.tie_word_embeddings || !stored_head) return;
  const SafetensorsFile& file = files.holding("lm_head.weight");
  const at::Tensor head = files.read("lm_head.weight");
  const std::string name = "model.embed_tokens.weight";
  const at::Tensor embedding = files.read(name);
  if (head.scalar_type() == embedding.scalar_type() && at::equal(head, embedding)) return;
  fail(ExitCode::model, {.what = "'tie_word_embeddings' is true, but lm_head.weight differs from " + name,
                         .where = file.path().string()});
}

// generation_config.json and steerlm.json, each if it is there. Returns what the latter says of the head's bias.
std::optional<bool> read_own_files(ModelFolder& folder) {
  const Path generation_path = folder.path / "generation_config.json";
  if (is_there(generation_path, ExitCode::model)) {
    const auto ids = parse_eos_token_ids(read_folder_json(generation_path, "generation config"),
                                         folder.config.vocab_size, generation_path.string());
    if (!ids.empty()) folder.eos_token_ids = ids;
  }
  const Path own_path = folder.path / "steerlm.json";
  std::optional<bool> bias;
  if (is_there(own_path, ExitCode::model)) {
    const SteerlmJson own = parse_steerlm_json(read_folder_json(own_path, "steerlm.json"), own_path.string());
    apply_steerlm_json(folder, own, own_path.string());
    bias = own.head_bias;
    folder.head.loss = own.head_loss;
    folder.head.pooling = own.head_pooling;
  }
  return bias;
}

// An adapter has no config.json of its own: its base's, and the base's name with advice where it is not there.
Path find_base(const Path& path, const Adapter& adapter, const Path& given) {
  Path base = given.empty() ? Path(adapter.base) : given;
  if (is_folder(base, ExitCode::model)) return base;
  const std::string hub = hub_advice(base.string());
  fail(ExitCode::model, {.what = "the folder of the model that the adapter adapts is not there",
                         .where = (path / "adapter_config.json").string(),
                         .found = base.string(),
                         .expected = "a Hugging Face model folder",
                         .advice = (hub.empty() ? "run where this path leads to it" : hub) +
                                   ", or name its folder: steerlm model merge --model " + shell_word(path.string()) +
                                   " --base DIR --output MERGED"});
}

// from_pretrained of Transformers applies an adapter that lies among the files of a whole model. Here an adapter has a
// folder of its own.
void refuse_adapter_beside_model(const Path& path) {
  const auto holds = [&](const char* name) { return is_there(path / name, ExitCode::model); };
  if (!holds("adapter_config.json") || !holds("config.json") || !has_weight_files(path)) return;
  for (const std::string adapter : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (!holds(adapter.c_str())) continue;
    fail(ExitCode::model,
         {.what = "the folder holds a whole model and an adapter too, which Transformers would apply to it",
          .where = path.string(),
          .found = "config.json with its weights, and adapter_config.json with " + adapter,
          .expected = "one of the two",
          .advice = "move adapter_config.json and " + adapter +
                    " into a folder of their own: then this one is the model without the adapter, and the model with "
                    "it is written by `steerlm model merge --model THAT_FOLDER --base " +
                    shell_word(path.string()) + " --output DIR`"});
  }
}

// What the adapter changes of the folder that it adapts.
void apply_adapter(ModelFolder& folder, const Path& path, const Adapter& adapter) {
  folder.adapter = adapter;
  folder.path = path;
  if (is_there(path / "tokenizer.model", ExitCode::model) || is_there(path / "tokenizer.json", ExitCode::model))
    folder.tokenizer_path = path;
  folder.head = {.kind = adapter.head};  // not the base's, nor what that was trained to write
  folder.writes.reset();
  if (adapter.head != HeadKind::regression) return;
  // What the base's steerlm.json says of its own training is not said of this score.
  folder.method.clear();
  folder.attributes = {};
  folder.template_sha256.clear();
  const HeadShape head = adapter_head(path, adapter);
  folder.num_labels = head.attributes;
  folder.label_names = numbered_labels(head.attributes);
  folder.head.bias = head.bias;
  folder.config.tie_word_embeddings = false;  // a predictor has no output layer
}

// Base and adapter as one set of tensors: W + s B A in place of W, the score behind the trunk.
TensorSource merged(TensorSource base, const ModelFolder& folder, Weights weights) {
  const NamedTensors tensors = read_adapter_tensors(folder.path, *folder.adapter, folder.config);
  const std::map<std::string, at::Tensor> own(tensors.begin(), tensors.end());
  for (const auto& [name, tensor] : tensors) {
    if (!is_lora_matrix(name) && weights == Weights::regression)
      base.entries.push_back({name, tensor.sizes().vec(), tensor.scalar_type()});
  }
  base.read = [own, scale = folder.adapter->lora.scale(), read = base.read](const std::string& name) {
    if (const auto found = own.find(name); found != own.end()) return found->second;
    const std::string stem = name.substr(0, name.rfind('.'));
    const auto a = own.find(stem + ".lora_A.weight");
    if (!name.ends_with(".weight") || a == own.end()) return read(name);
    const at::Tensor update = at::mm(own.at(stem + ".lora_B.weight").to(at::kFloat), a->second.to(at::kFloat));
    return read(name).to(at::kFloat).add(update, scale);
  };
  return base;
}

}  // namespace

ModelFolder open_model_folder(const Path& path, const Path& base) {
  check_model_folder(path);
  refuse_adapter_beside_model(path);
  if (is_adapter_folder(path)) {
    const Adapter adapter = read_adapter_config(path);
    const Path base_path = find_base(path, adapter, base);
    if (is_adapter_folder(base_path)) {
      fail(ExitCode::model,
           {.what = "an adapter of an adapter",
            .where = (path / "adapter_config.json").string(),
            .found = base_path.string(),
            .advice = "merge that one first: steerlm model merge --model " + shell_word(base_path.string()) +
                      " --output DIR; then this one: steerlm model "
                      "merge --model " +
                      shell_word(path.string()) + " --base DIR --output MERGED"});
    }
    ModelFolder folder = open_model_folder(base_path);
    apply_adapter(folder, path, adapter);
    read_own_files(folder);
    return folder;
  }
  const Path config_path = path / "config.json";
  const HfConfig config = parse_hf_config(read_folder_json(config_path, "model config"), config_path.string());
  ModelFolder folder{.path = path, .config = config.model};
  folder.weights_path = folder.tokenizer_path = path;
  folder.head.kind = config.head;
  folder.num_labels = config.num_labels;
  folder.label_names = config.label_names;
  if (!config.dtype.empty())
    folder.dtype = config.dtype;
  else if (has_weight_files(path))
    folder.dtype = open_weight_files(path).first_dtype();
  folder.pad_token_id = config.pad_token_id;
  folder.eos_token_ids = config.eos_token_ids;
  folder.names_code = config.names_code;
  const std::optional<bool> bias = read_own_files(folder);
  if (folder.head.kind == HeadKind::regression) {
    folder.head.bias = bias ? *bias : open_weight_files(path).file_of.contains("score.bias");
  }
  return folder;
}

std::vector<std::string> folder_notes(const ModelFolder& folder, const Tokenizer& tokenizer) {
  std::vector<std::string> notes;
  if (folder.names_code) {
    notes.push_back((folder.weights_path / "config.json").string() +
                    ": 'auto_map' names Python code of the model's own, which is never run; the model is read as the "
                    "architecture that the config names");
  }
  for (const std::string& note : tokenizer.notes()) notes.push_back(note);
  return notes;
}

Weights own_weights(const ModelFolder& folder) {
  return folder.head.kind == HeadKind::regression ? Weights::regression : Weights::language_model;
}

HeadShape head_shape(const ModelFolder& folder, Weights weights) {
  switch (weights) {
    case Weights::language_model:
      return {.language_model = true};
    case Weights::trunk:
      return {};
    case Weights::regression:
      return {.attributes = folder.num_labels, .bias = folder.head.bias};
  }
  return {};
}

void check_weights(const ModelFolder& folder, Weights weights) {
  open_checked(folder, weights);
  if (folder.adapter) check_adapter_tensors(folder.path, *folder.adapter, folder.config);
}

TensorSource stream_weights(const ModelFolder& folder, Weights weights) {
  const auto files = std::make_shared<const WeightFiles>(open_checked(folder, weights));
  check_tied_head(folder, weights, *files);
  TensorSource source;
  for (auto& [name, shape] : parameter_shapes(folder.config, head_shape(folder, weights))) {
    if (folder.adapter && name.starts_with("score.")) continue;
    source.entries.push_back({name, shape, files->dtype(name)});
  }
  source.read = [files](const std::string& name) {
    at::Tensor tensor = files->read(name);
    require_finite(tensor, name, files->holding(name).path());
    return tensor;
  };
  return folder.adapter ? merged(std::move(source), folder, weights) : source;
}

NamedTensors read_weights(const ModelFolder& folder, Weights weights, std::optional<at::ScalarType> dtype) {
  const TensorSource source = stream_weights(folder, weights);
  NamedTensors tensors;
  for (const TensorSource::Entry& entry : source.entries) {
    at::Tensor tensor = source.read(entry.name);
    if (dtype && tensor.scalar_type() != *dtype) {
      tensor = tensor.to(*dtype);
      require_finite(tensor, entry.name, folder.path);  // a number beyond the range of bf16
    }
    tensors.emplace_back(entry.name, tensor);
  }
  return tensors;
}

bool has_bare_tensor_names(const ModelFolder& folder) { return open_weight_files(folder.weights_path).bare_names; }

std::vector<Path> weight_paths(const Path& folder) {
  std::vector<Path> paths;
  for (const SafetensorsFile& file : open_weight_files(folder).files) paths.push_back(file.path());
  return paths;
}

void check_vocabulary(const ModelFolder& folder, const Tokenizer& tokenizer) {
  constexpr std::int64_t most_missing_rows = 1024;  // with more it is another model's tokenizer
  if (folder.config.vocab_size >= tokenizer.vocab_size()) return;
  const std::string piece = tokenizer.piece(static_cast<std::int32_t>(folder.config.vocab_size));
  const std::string name = piece.empty() || piece.find(',') != std::string::npos ? "" : piece;
  std::string advice = "use the tokenizer that the model was trained with";
  if (!folder.adapter && tokenizer.vocab_size() - folder.config.vocab_size <= most_missing_rows) {
    advice += ", or make the embedding larger: steerlm model add-tokens --model " + shell_word(folder.path.string()) +
              " --output DIR" + (name.empty() ? "" : " --tokens " + shell_word(name));
  }
  fail(ExitCode::model, {.what = "the embedding has fewer rows than the tokenizer has pieces" +
                                 (piece.empty() ? "" : ": the first without a row is '" + piece + "'"),
                         .where = folder.path.string(),
                         .found = std::to_string(folder.config.vocab_size) + " rows",
                         .expected = "at least " + std::to_string(tokenizer.vocab_size()),
                         .advice = advice});
}

}  // namespace steerlm
