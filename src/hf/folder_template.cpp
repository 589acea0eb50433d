#include "steerlm/hf/folder_template.h"

#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

std::string choices() { return join(enum_choices<TemplateName>(), ", "); }

// The words for a key of the template: as a recipe has it, or as an option.
std::string key(const TemplateRequest& request, const std::string& name) {
  if (request.recipe) return "template." + name;
  return name == "name" ? "--template" : "--" + name;
}

// A folder that was trained by this program has its template for good.
void refuse_contradiction(const ModelFolder& folder, const TemplateRequest& request) {
  const TemplateOptions &ours = request.options, &theirs = folder.text_template;
  const auto contradiction = [&](const std::string& name, const std::string& found, const std::string& expected) {
    fail(ExitCode::recipe,
         {.what = (request.recipe ? "the recipe contradicts the model folder "
                                  : "another template than that of the model folder ") +
                  folder.path.string(),
          .where = key(request, name),
          .found = found,
          .expected = expected + ", as its steerlm.json says",
          .advice = request.recipe ? "leave the key out, or start from another model"
                                   : "leave the option out: the model was trained with the folder's"});
  };
  const auto text = [](auto value) { return std::string(enum_name(value)); };
  if (request.given.name && ours.name != theirs.name) contradiction("name", text(ours.name), text(theirs.name));
  // A system prompt on the command line is one conversation's own.
  if (request.recipe && request.given.system && ours.system != theirs.system)
    contradiction("system", ours.system, theirs.system);
  if (request.given.special_tokens && theirs.name == TemplateName::steerlm &&
      ours.special_tokens != theirs.special_tokens)
    contradiction("special_tokens", text(ours.special_tokens), text(theirs.special_tokens));
}

[[noreturn]] void ask_for_template(const ModelFolder& folder, const TemplateRequest& request) {
  fail(ExitCode::recipe,
       {.what = "the model's chat template is none of this program's templates",
        .where = folder.chat_template->file,
        .found = folder.chat_template->kind,
        .expected = "ChatML, or Llama 3's",
        .advice = "choose with " + (request.recipe ? std::string("template.name: NAME") : "--template NAME") +
                  " one of " + choices() + "; a model that was not trained with it answers worse" +
                  (request.recipe ? "" : ", and `steerlm generate --raw` writes no template at all")});
}

// Where the system prompt comes from, in words.
std::string system_note(const ModelFolder& folder, const TemplateRequest& request, bool same_template) {
  const std::string& system = folder.text_template.system;
  const std::optional<std::string> own = same_template ? folder.chat_template->system : std::nullopt;
  const std::string shown = system.empty() ? "no system prompt" : "system prompt " + dump_json(system);
  if (own && *own == system) return shown + (system.empty() ? ", as it has none" : ", its own");
  const std::string whose = request.given.system           ? key(request, "system")
                            : folder.template_given.system ? "steerlm.json"
                                                           : "the default";
  return shown + " (" + whose + ")" +
         (own ? "; its own is " + (own->empty() ? std::string("none") : dump_json(*own)) : std::string());
}

// One line for standard error; "" where the folder is as this program writes it, or has no chat template.
std::string note_of(const ModelFolder& folder, const TemplateRequest& request) {
  if (!folder.chat_template) return "";
  const ChatTemplateReading& reading = *folder.chat_template;
  const std::string name(enum_name(folder.text_template.name));
  if (folder.template_from == TemplateFrom::open)
    return "no template is chosen: the chat template in " + reading.file + " writes " + reading.kind;
  const bool same = reading.name == folder.text_template.name;
  if (!same) {
    const std::string why = folder.template_from == TemplateFrom::request ? key(request, "name") : "steerlm.json";
    return "template " + name + " (" + why + "); the chat template in " + reading.file + " writes " +
           (reading.name ? std::string(enum_name(*reading.name)) : reading.kind);
  }
  std::string text = "template " + name +
                     (reading.unreadable.empty() ? ", which the chat template in " + reading.file + " writes; "
                                                 : ", whose markers the chat template in " + reading.file + " has; ") +
                     system_note(folder, request, same);
  for (size_t i = 0; i < reading.differences.size(); ++i)
    text += (i == 0 ? "; the chat template, and not this program, " : ", ") + reading.differences[i];
  return text;
}

// Of a chat template that cannot be read: what is not known of it, and what to do.
std::string warning_of(const ModelFolder& folder, const TemplateRequest& request) {
  if (!folder.chat_template || folder.chat_template->name != folder.text_template.name ||
      folder.chat_template->unreadable.empty())
    return "";
  const std::string name(enum_name(folder.text_template.name));
  std::string unknown, advice;
  if (folder.template_from == TemplateFrom::chat_template) {
    unknown = "that it writes the turns of " + name + " is guessed from its markers, and its turns may differ";
    advice =
        "compare what `steerlm data show-mask` writes with tokenizer.apply_chat_template of Transformers; where "
        "they agree name the template with --template " +
        name + ", in a recipe with template.name: " + name;
  }
  if (!request.given.system && !folder.template_given.system) {
    unknown += unknown.empty() ? "" : "; ";
    unknown += "whether it has a system prompt of its own is not known, and none is written";
    advice += advice.empty() ? "" : "; ";
    advice += "give the system prompt with --system TEXT, in a recipe with template.system";
  }
  if (unknown.empty()) return "";
  return "the chat template in " + folder.chat_template->file + " cannot be read as a whole (" +
         folder.chat_template->unreadable + "): " + unknown + "; " + advice;
}

}  // namespace

void settle_template(ModelFolder& folder, const Tokenizer& tokenizer, const TemplateRequest& asked) {
  const TemplateOptions named = folder.text_template;  // what steerlm.json names, where template_given says so
  TemplateGiven own = folder.template_given;
  if (asked.trains && own.name && named.name == TemplateName::plain) own = {};
  const bool bound = named.name != TemplateName::plain && !folder.template_sha256.empty();
  TemplateRequest request = asked;
  if (!bound && !(own.name && own.system))
    folder.chat_template = read_folder_chat_template(folder.tokenizer_path, tokenizer);
  if (!bound && !folder.chat_template && folder.adapter && folder.tokenizer_path != folder.weights_path)
    folder.chat_template = read_folder_chat_template(folder.weights_path, tokenizer);
  const std::optional<ChatTemplateReading>& reading = folder.chat_template;
  if (request.yields && (own.name || (reading && reading->name))) request.given = {};
  folder.template_from = TemplateFrom::steerlm_json;
  if (bound) return refuse_contradiction(folder, request);

  TemplateOptions chosen;
  if (request.given.name) {
    chosen.name = request.options.name;
    folder.template_from = TemplateFrom::request;
  } else if (own.name) {
    chosen.name = named.name;
  } else if (reading && reading->name) {
    chosen.name = *reading->name;
    folder.template_from = TemplateFrom::chat_template;
  } else {
    folder.template_from = reading ? TemplateFrom::open : TemplateFrom::standard;
    if (reading && request.required) ask_for_template(folder, request);
  }
  if (request.given.system)
    chosen.system = request.options.system;
  else if (own.system)
    chosen.system = named.system;
  else if (reading && reading->name == chosen.name)
    chosen.system = reading->system.value_or("");
  if (request.given.special_tokens)
    chosen.special_tokens = request.options.special_tokens;
  else if (own.special_tokens)
    chosen.special_tokens = named.special_tokens;
  if (chosen.name != named.name) folder.template_sha256.clear();  // plain's
  folder.text_template = chosen;
  folder.template_note = note_of(folder, request);
  folder.template_warning = warning_of(folder, request);
}

OpenFolder open_folder(const Path& path, const TemplateRequest& request) {
  ModelFolder folder = open_model_folder(path);
  Tokenizer tokenizer = Tokenizer::load(folder.tokenizer_path);
  check_vocabulary(folder, tokenizer);
  settle_template(folder, tokenizer, request);
  return {std::move(folder), std::move(tokenizer)};
}

ConversationTemplate make_template(const ModelFolder& folder, const Tokenizer& tokenizer) {
  if (folder.template_from == TemplateFrom::open) ask_for_template(folder, {});
  ConversationTemplate result(folder.text_template, tokenizer);
  if (!folder.template_sha256.empty() && result.sha256() != folder.template_sha256) {
    fail(ExitCode::model,
         {.what = "the template's bytes are not those that the model was trained with",
          .where = (folder.path / "steerlm.json").string(),
          .found = "sha256 " + result.sha256(),
          .expected = folder.template_sha256,
          .advice = folder.head.kind == HeadKind::regression
                        ? "restore 'template' in steerlm.json: the head reads what this template writes"
                        : "restore 'template' in steerlm.json; without 'sha256' it is taken as it is"});
  }
  return result;
}

}  // namespace steerlm
