// Loading the files of a model folder, and the beginning of a text: who adds bos, and when.
#include "tokenizer/tokenizer.h"

#include <filesystem>
#include <utility>

#include "core/error.h"
#include "io/file_listing.h"
#include "io/gguf_metadata.h"
#include "io/model_folder.h"
#include "io/utf8.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/limits.h"
#include "tokenizer/missing_file.h"
#include "tokenizer/plain_ranges.h"
#include "tokenizer/tokenizer_impl.h"

namespace quarot::tokenizer {
namespace {

constexpr io::JsonLimits kLimits{.max_bytes = limits::kTokenizerBytes};

constexpr size_t kBytesPerId = 4;  // usual ones; others cost a longer list

std::vector<int32_t> prefix_for(const Tokenizer::Impl& impl, AddBos bos) {
    std::vector<int32_t> prefix = impl.post_processor.before();
    const bool has_bos = impl.bos && !prefix.empty() && prefix.front() == *impl.bos;
    if (bos == AddBos::Auto && impl.config.adds_bos()) {
        bos = *impl.config.adds_bos() ? AddBos::On : AddBos::Off;
    }
    if (bos == AddBos::Off && has_bos) prefix.erase(prefix.begin());
    if (bos == AddBos::On && !has_bos) {
        if (!impl.bos) {
            fail(ErrorCode::Usage, "{}: a bos token is wanted, but the model names none",
                 impl.source);
        }
        prefix.insert(prefix.begin(), *impl.bos);
    }
    return prefix;
}

std::vector<int32_t> suffix_for(const Tokenizer::Impl& impl) {
    std::vector<int32_t> suffix = impl.post_processor.after();
    const bool has_eos = impl.eos && !suffix.empty() && suffix.back() == *impl.eos;
    const bool wants_eos = impl.config.adds_eos().value_or(has_eos);
    if (has_eos && !wants_eos) suffix.pop_back();
    if (wants_eos && !has_eos && impl.eos) suffix.push_back(*impl.eos);
    return suffix;
}

std::optional<io::Json> read_if_listed(const std::string& path) {
    if (!io::is_listed(path)) return std::nullopt;
    return io::Json::parse_file(path);
}

// The texts alone outlive the metadata, which takes as much memory again.
Tokenizer load_gguf(const std::string& path) {
    const auto [tokenizer_text, config_text] = [&] {
        const io::GgufMetadata metadata = io::read_gguf_metadata(path);
        std::string tokenizer = gguf_tokenizer_json(metadata);
        return std::pair(std::move(tokenizer), gguf_tokenizer_config(metadata));
    }();
    const io::Json json = io::Json::parse(tokenizer_text, path + " as tokenizer.json", kLimits);
    const io::Json config = io::Json::parse(config_text, path + " as tokenizer_config.json");
    return Tokenizer::from_json(json, {.config = &config});
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::load(const std::string& model) {
    if (io::is_gguf_file(model)) return load_gguf(model);
    const std::filesystem::path path(model);
    io::expect_folder(model);
    refuse_other_tokenizer_files(model);
    const io::Json json = io::Json::parse_file((path / "tokenizer.json").string(), kLimits);
    const auto config = read_if_listed((path / "tokenizer_config.json").string());
    const auto added = read_if_listed((path / "added_tokens.json").string());
    const auto special_map = read_if_listed((path / "special_tokens_map.json").string());
    const auto pointer = [](const std::optional<io::Json>& file) {
        return file ? &*file : nullptr;
    };
    return from_json(json, {.config = pointer(config),
                            .added_tokens = pointer(added),
                            .special_map = pointer(special_map)});
}

bool Tokenizer::is_there(const std::string& model) {
    if (io::is_gguf_file(model)) return has_vocabulary(io::read_gguf_metadata(model));
    return io::is_listed((std::filesystem::path(model) / "tokenizer.json").string());
}

Tokenizer Tokenizer::from_json(const io::Json& tokenizer, const FilesBeside& beside) {
    return Tokenizer(std::make_unique<Impl>(tokenizer, beside));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, AddBos bos,
                                       std::span<const TextRange> plain) const {
    check_ranges(plain, text.size());
    std::vector<int32_t> ids;
    if (bos != AddBos::None) ids = prefix_for(*impl_, bos);
    ids.reserve(ids.size() + text.size() / kBytesPerId);
    if (io::first_non_utf8(text) == text.size()) {
        impl_->encode_text(text, plain, ids);
    } else {
        const RangedText valid = replace_invalid(text, plain);
        impl_->encode_text(valid.text, valid.ranges, ids);
    }
    if (bos != AddBos::None) {
        const std::vector<int32_t> suffix = suffix_for(*impl_);
        ids.insert(ids.end(), suffix.begin(), suffix.end());
    }
    return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
    StreamDecoder decoder(*this, skip_special);
    std::string text;
    for (int32_t id : ids) text += decoder.put(id);
    return text + decoder.finish();
}

int64_t Tokenizer::vocabulary_size() const {
    return impl_->vocabulary.size();
}

int64_t Tokenizer::model_vocabulary_size() const {
    return impl_->vocabulary.model_size();
}

const std::string& Tokenizer::source() const {
    return impl_->source;
}

const std::string& Tokenizer::token(int32_t id) const {
    const std::string* token = impl_->vocabulary.token(id);
    if (token == nullptr) {
        fail(ErrorCode::Usage, "{}: there is no token with id {}, expected one below {}",
             impl_->source, id, vocabulary_size());
    }
    return *token;
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
    return impl_->vocabulary.find(token);
}

bool Tokenizer::is_special(int32_t id) const {
    return impl_->added.is_special(id);
}

std::optional<int32_t> Tokenizer::bos() const {
    return impl_->bos;
}

std::optional<int32_t> Tokenizer::eos() const {
    return impl_->eos;
}

}  // namespace quarot::tokenizer
