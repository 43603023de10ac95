// The order of work on a text: added tokens, normalizer, added tokens again, pieces, merges.
#include "tokenizer/tokenizer_impl.h"

#include <utility>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/plain_ranges.h"

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
    vocabulary.end_model();
    return vocabulary;
}

}  // namespace

std::optional<int32_t> Tokenizer::Impl::id_of_named(std::string_view name) const {
    const TokenizerConfig::NamedToken* token = config.named_token(name);
    if (token == nullptr) return std::nullopt;
    const std::optional<int32_t> id = vocabulary.find(token->text);
    if (!id) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", which has no id in any file", token->place,
             io::printable(token->text));
    }
    return id;
}

std::optional<int32_t> Tokenizer::Impl::find_bos() const {
    if (const auto named = id_of_named("bos_token")) return named;
    if (post_processor.before().empty()) return std::nullopt;
    return post_processor.before().front();
}

Tokenizer::Impl::Impl(const io::Json& json, const FilesBeside& beside)
    : source((refuse_other_versions(json), json.place())),
      vocabulary(parse_vocabulary(json.at("model"))),
      normalizer(json.find("normalizer")),
      added(declared_tokens(json, beside, vocabulary), normalizer, vocabulary),
      pretokenizer(json.find("pre_tokenizer")),
      bpe(json.at("model"), vocabulary, pretokenizer.byte_level()),
      post_processor(json.find("post_processor"), vocabulary),
      decoder(json.find("decoder"), vocabulary),
      config(beside),
      bos(find_bos()),
      eos(id_of_named("eos_token")) {}

// The two searches for added tokens hand each stretch between tokens to the step behind them as
// soon as they have it: nothing here grows with the text but the ids.
void Tokenizer::Impl::encode_text(std::string_view text, std::span<const TextRange> plain,
                                  std::vector<int32_t>& ids) const {
    PieceEncoder encoder(bpe, ids);
    const PutPiece put = [&](std::string_view piece) { encoder.add(piece); };
    Normalizer::Worker worker(normalizer);
    PreTokenizer::Cutter cutter(pretokenizer, put);
    PlainRanges ranges(plain);
    const bool special_later = added.in_normalized_text().has_special();
    added.in_raw_text().for_each_segment(text, plain, [&](const Segment& raw) {
        if (raw.id) {
            encoder.add(*raw.id);
            return;
        }
        const auto begin = static_cast<size_t>(raw.text.data() - text.data());
        Stretch stretch{.text = raw.text, .plain = {}, .changed = {}, .first = begin == 0};
        if (special_later) stretch.plain = ranges.within(begin, begin + raw.text.size());
        normalize(stretch, worker);
        added.in_normalized_text().for_each_segment(
            stretch.text, stretch.plain, [&](const Segment& segment) {
                if (segment.id) {
                    encoder.add(*segment.id);
                    return;
                }
                const bool first = stretch.first && segment.text.data() == stretch.text.data();
                cutter.cut(segment.text, first);
            });
    });
}

void Tokenizer::Impl::normalize(Stretch& stretch, Normalizer::Worker& worker) const {
    if (normalizer.changes_nothing()) return;
    auto changed = worker.normalize(std::string(stretch.text), std::move(stretch.plain));
    stretch.plain = std::move(changed.plain);
    stretch.changed = std::move(changed.text);
    stretch.text = stretch.changed;
    stretch.first = stretch.first && changed.keeps_start;
}

const std::string* Tokenizer::Impl::token_to_decode(int32_t id, bool skip_special) const {
    if (skip_special && added.left_out(id)) return nullptr;
    const std::string* form = added.form_to_decode(id);
    return form != nullptr ? form : vocabulary.token(id);
}

}  // namespace quarot::tokenizer
