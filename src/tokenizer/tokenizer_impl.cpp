// The order of work on a text: added tokens, normalizer, added tokens again, pieces, merges.
#include "tokenizer/tokenizer_impl.h"

#include <deque>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

void refuse_other_versions(const io::Json& json) {
    const io::Json* version = json.find("version");
    if (version != nullptr && version->as_string() != "1.0") {
        fail(ErrorCode::Unsupported, "{} is \"{}\", expected \"1.0\"", version->place(),
             io::printable(version->as_string()));
    }
}

Vocabulary parse_vocabulary(const io::Json& model) {
    // Another kind of model has another kind of vocabulary, so its kind is the better message.
    Bpe::refuse_unsupported(model);
    Vocabulary vocabulary;
    const io::Json& vocab = model.at("vocab");
    for (const auto& [token, id] : vocab.as_object()) {
        vocabulary.add(token, parse_id(id), vocab.place());
    }
    return vocabulary;
}

// A name in tokenizer_config.json is a string or an object with the string as its content.
std::optional<int32_t> named_token(const io::Json* config, std::string_view key,
                                   const Vocabulary& vocabulary) {
    const io::Json* name = config == nullptr ? nullptr : config->find(key);
    if (name == nullptr) return std::nullopt;
    const io::Json& text = name->is_object() ? name->at("content") : *name;
    const std::optional<int32_t> id = vocabulary.find(text.as_string());
    if (!id) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", which tokenizer.json lacks", text.place(),
             io::printable(text.as_string()));
    }
    return id;
}

std::optional<int32_t> find_bos(const io::Json* config, const Vocabulary& vocabulary,
                                const PostProcessor& post_processor) {
    if (const auto named = named_token(config, "bos_token", vocabulary)) return named;
    if (post_processor.before().empty()) return std::nullopt;
    return post_processor.before().front();
}

}  // namespace

Tokenizer::Impl::Impl(const io::Json& json, const io::Json* config)
    : source((refuse_other_versions(json), json.place())),
      vocabulary(parse_vocabulary(json.at("model"))),
      normalizer(json.find("normalizer")),
      added(json.find("added_tokens"), normalizer, vocabulary),
      pretokenizer(json.find("pre_tokenizer")),
      bpe(json.at("model"), vocabulary, pretokenizer.byte_level()),
      post_processor(json.find("post_processor"), vocabulary),
      decoder(json.find("decoder"), source, vocabulary),
      bos(find_bos(config, vocabulary, post_processor)) {}

std::vector<int32_t> Tokenizer::Impl::encode_text(std::string_view text) const {
    std::deque<std::string> normalized;  // pieces point into these
    PieceEncoder encoder(bpe);
    for (const Segment& raw : added.in_raw_text().segments(text)) {
        if (raw.id) {
            encoder.add(*raw.id);
            continue;
        }
        std::string_view stretch = raw.text;
        if (!normalizer.changes_nothing()) {
            stretch = normalized.emplace_back(normalizer.apply(std::string(raw.text)));
        }
        for (const Segment& segment : added.in_normalized_text().segments(stretch)) {
            if (segment.id) {
                encoder.add(*segment.id);
                continue;
            }
            for (std::string_view piece : pretokenizer.split(segment.text)) encoder.add(piece);
        }
    }
    return encoder.take();
}

const std::string* Tokenizer::Impl::token_to_decode(int32_t id, bool skip_special) const {
    if (skip_special && added.is_special(id)) return nullptr;
    const std::string* form = added.form_to_decode(id);
    return form != nullptr ? form : vocabulary.token(id);
}

}  // namespace quarot::tokenizer
