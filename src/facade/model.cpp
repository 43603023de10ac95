// Loading a folder, and what is known of a model once it is loaded.
#include "quarot/model.h"

#include <algorithm>
#include <utility>

#include "chat/chat_template.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "core/process.h"
#include "core/watch.h"
#include "facade/arguments.h"
#include "facade/model_impl.h"
#include "facade/tokenizer_impl.h"
#include "folder/load_weights.h"
#include "io/json.h"
#include "recipe/settings.h"

namespace quarot {

namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr int64_t kMostSequences = 512;  // each has a row of logits

std::optional<Tokenizer> tokenizer_if_any(const std::string& folder) {
    try {
        return Tokenizer::load(folder);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::NotFound) return std::nullopt;
        throw;
    }
}

SettingChanges changes_of(const LoadOptions& options) {
    SettingChanges changes;
    if (options.activation_bits) changes["activations.bits"] = int64_t{*options.activation_bits};
    if (options.activation_clip) changes["activations.clip"] = double{*options.activation_clip};
    for (const char* side : {"k", "v"}) {
        const std::string key = side;
        if (options.kv_bits) changes[key + ".bits"] = int64_t{*options.kv_bits};
        if (options.kv_clip) changes[key + ".clip"] = double{*options.kv_clip};
    }
    return changes;
}

// Full contexts for as many sequences as half of the free memory holds, for one at least: pages
// that are not used cost nothing.
int64_t pages_that_fit(const model::Weights& weights, const kernels::Backend& backend,
                       int64_t sequences) {
    const kernels::KvDescriptor descriptor = weights.kv_descriptor();
    const int64_t pages = ceil_div(weights.n_positions, descriptor.page_tokens);
    const int64_t bytes = backend.kv_bytes(descriptor, pages).value_or(0);
    const int64_t seats = backend.kv_bytes(weights.kv_descriptor(sequences), 0).value_or(0);
    const int64_t room = backend.available_bytes().value_or(0) / 2 - seats;
    const int64_t contexts = bytes == 0 ? 1 : std::clamp<int64_t>(room / bytes, 1, sequences);
    return contexts * pages;
}

runtime::EngineLimits engine_limits(const model::Weights& weights, const kernels::Backend& backend,
                                    const LoadOptions& options) {
    runtime::EngineLimits limits = {.context = weights.n_positions, .sequences = options.sequences};
    if (options.overcommit_cache) limits.admission = runtime::Admission::TokensSoFar;
    if (options.cache_tokens == 0) {
        limits.n_pages = pages_that_fit(weights, backend, options.sequences);
        return limits;
    }
    const int64_t most = weights.n_positions * options.sequences;
    if (options.cache_tokens < weights.n_positions || options.cache_tokens > most) {
        fail(ErrorCode::Usage,
             "cache_tokens is {}, expected {}, the context, to {}, that of all sequences",
             options.cache_tokens, weights.n_positions, most);
    }
    limits.n_pages = ceil_div(options.cache_tokens, weights.kv_descriptor().page_tokens);
    return limits;
}

io::Json json_or_null(const std::string& text, const char* option) {
    return text.empty() ? io::Json() : io::Json::parse(text, option);
}

chat::RenderOptions render_options(const ChatOptions& options) {
    chat::RenderOptions result;
    result.add_generation_prompt = options.begins_answer;
    try {
        result.tools = json_or_null(options.tools, "tools");
        result.extra = json_or_null(options.variables, "variables");
    } catch (const Error& error) {  // no file that is corrupt
        throw Error(ErrorCode::Usage, error.what());
    }
    if (!options.tools.empty() && !result.tools.is_array()) {
        fail(ErrorCode::Usage, "tools is no JSON array of function descriptions");
    }
    chat::check_extra(result.extra);
    result.now = local_time();
    result.clock_ms = thread_cpu_milliseconds;
    return result;
}

}  // namespace

Model Model::load(const std::string& folder, const LoadOptions& options,
                  const ProgressCallback& on_progress) {
    const Watch watch(on_progress);
    if (options.sequences < 1 || options.sequences > kMostSequences) {
        fail(ErrorCode::Usage, "sequences is {}, expected 1 to {}", options.sequences,
             kMostSequences);
    }
    const folder::SourceModel source = folder::SourceModel::open(folder);
    const int64_t context = options.context != 0
                                ? options.context
                                : std::min(source.config().max_positions, kDefaultContext);
    auto impl = std::make_shared<Impl>();
    impl->folder = folder;
    impl->tokenizer = tokenizer_if_any(folder);
    impl->parameter_count = source.parameter_count();
    impl->bits_per_weight = source.bits_per_weight();
    impl->n_threads = facade::threads_or_all(options.threads);
    impl->backend =
        kernels::make_backend(options.device, {.n_threads = impl->n_threads, .isa = ""});
    impl->weights = folder::load_weights(source, changes_of(options), context, *impl->backend);
    impl->engine = std::make_unique<runtime::Engine>(
        impl->weights, *impl->backend, engine_limits(impl->weights, *impl->backend, options));
    return Model(std::move(impl));
}

Model::Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Model::Model(const Model&) = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(const Model&) = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

std::string Model::recipe() const {
    return impl_->weights.recipe.name;
}

double Model::bits_per_weight() const {
    return impl_->bits_per_weight;
}

int64_t Model::parameter_count() const {
    return impl_->parameter_count;
}

int64_t Model::vocabulary_size() const {
    return impl_->weights.config.vocab;
}

int64_t Model::context() const {
    return impl_->weights.n_positions;
}

const Tokenizer& Model::Impl::required_tokenizer() const {
    if (tokenizer) return *tokenizer;
    fail(ErrorCode::NotFound, "{} has no tokenizer.json, so texts cannot be read or written",
         folder);
}

const tokenizer::Tokenizer& Model::Impl::internal_tokenizer() const {
    return required_tokenizer().impl_->tokenizer;
}

Tokenizer Model::tokenizer() const {
    return impl_->required_tokenizer();
}

SpecialIds Model::special_ids() const {
    SpecialIds ids;
    ids.ends = impl_->weights.config.eos;
    if (const auto& tokenizer = impl_->tokenizer) ids.begin = tokenizer->impl_->tokenizer.bos();
    return ids;
}

bool Model::has_chat_template() const {
    return chat::ChatTemplate::folder_has_template(impl_->folder);
}

std::vector<int32_t> Model::chat_prompt(std::span<const ChatMessage> messages,
                                        const ChatOptions& options) const {
    const tokenizer::Tokenizer& tokenizer = impl_->internal_tokenizer();
    std::vector<chat::Message> given;
    for (const ChatMessage& message : messages) given.push_back({message.role, message.content});
    const auto rendered =
        chat::ChatTemplate::load(impl_->folder).render(given, render_options(options));
    std::vector<int32_t> ids = chat::encode(tokenizer, rendered);
    if (!ids.empty()) return ids;
    fail(ErrorCode::Usage, "the chat template of {} gives an empty prompt", impl_->folder);
}

}  // namespace quarot
