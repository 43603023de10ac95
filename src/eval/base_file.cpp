#include "eval/base_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "io/hash.h"
#include "tensor/float_convert.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

constexpr const char* kVersionKey = "quarot_kl_base";
constexpr const char* kVersion = "1";
constexpr Setting kBase{"kl_base"};
constexpr Setting kSavedBase{"save_kl_base"};

int64_t n_compact(int64_t vocab) {
    return std::min(vocab, kCompactTokens);
}

std::vector<io::PlannedTensor> plan(BaseForm form, int64_t n, int64_t vocab) {
    std::vector<io::PlannedTensor> tensors = {{"targets", DType::I32, {n}}};
    if (form == BaseForm::Exact) {
        tensors.push_back({"logits", DType::F32, {n, vocab}});
        return tensors;
    }
    tensors.push_back({"ids", DType::I32, {n, n_compact(vocab)}});
    tensors.push_back({"logits", DType::F16, {n, n_compact(vocab)}});
    tensors.push_back({"rest", DType::F32, {n}});
    tensors.push_back({"nll", DType::F32, {n}});
    if (vocab > kCompactTokens) {
        tensors.push_back({"sampled_ids", DType::I32, {n, kSampledTokens}});
        tensors.push_back({"sampled_log_p", DType::F32, {n, kSampledTokens}});
    }
    return tensors;
}

std::map<std::string, std::string> metadata_of(BaseForm form, const BaseIdentity& identity) {
    return {{kVersionKey, kVersion},
            {"form", std::string(name_of(form))},
            {"model", identity.model},
            {"recipe", identity.recipe},
            {"protocol", identity.protocol},
            {"text_sha256", identity.text_sha256},
            {"tokens_xxh3", identity.tokens_xxh3},
            {"seqlen", fmt::format("{}", identity.seqlen)},
            {"windows", fmt::format("{}", identity.n_windows)},
            {"positions", fmt::format("{}", identity.n_positions)},
            {"vocabulary", fmt::format("{}", identity.vocab)}};
}

// What a base file says of itself.
class Metadata {
  public:
    explicit Metadata(const io::SafetensorsFile& file) : file_(file) {}

    const std::string& text(const std::string& key) const {
        const auto found = file_.metadata().find(key);
        if (found != file_.metadata().end()) return found->second;
        fail(ErrorCode::Corrupt, "{} has no {} in its metadata; was it written by {}?",
             file_.path(), key, kSavedBase);
    }
    int64_t number(const std::string& key) const {
        const std::string& word = text(key);
        int64_t value = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (error == std::errc() && end == word.data() + word.size() && value > 0) return value;
        fail(ErrorCode::Corrupt, "{}: {} in its metadata is '{}', expected a number above 0",
             file_.path(), key, word);
    }

  private:
    const io::SafetensorsFile& file_;
};

// "I32 [7, 256]"
std::string describe(DType dtype, const Shape& shape) {
    std::string sizes;
    for (const int64_t size : shape) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", size);
    return fmt::format("{} [{}]", name_of(dtype), sizes);
}

int32_t first_largest(std::span<const float> logits) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

std::string_view name_of(BaseForm form) {
    return form == BaseForm::Compact ? "compact" : "exact";
}

BaseIdentity identity_of(const ScoredText& text, const std::string& text_sha256, int64_t seqlen,
                         int64_t vocab) {
    BaseIdentity identity = {.model = {},
                             .recipe = {},
                             .protocol = std::string(name_of(text.protocol)),
                             .text_sha256 = text_sha256,
                             .tokens_xxh3 = {},
                             .seqlen = seqlen,
                             .n_windows = std::ssize(text.windows),
                             .n_positions = 0,
                             .vocab = vocab};
    io::Xxh3 hash;
    for (const Window& window : text.windows) {
        // Sizes, so that borders count.
        const std::array<int64_t, 3> sizes = {std::ssize(window.inputs), std::ssize(window.targets),
                                              window.first_scored};
        hash.add(std::as_bytes(std::span(sizes)));
        hash.add(std::as_bytes(std::span(window.inputs)));
        hash.add(std::as_bytes(std::span(window.targets)));
        identity.n_positions += std::ssize(window.targets);
    }
    identity.tokens_xxh3 = hash.hex();
    return identity;
}

BaseWriter::BaseWriter(const std::string& path, BaseForm form, const BaseIdentity& identity)
    : form_(form),
      file_(path, plan(form, identity.n_positions, identity.vocab), metadata_of(form, identity)) {}

void BaseWriter::add(std::span<const float> logits, double log_sum, int32_t target, double nll) {
    const int64_t position = n_++;
    const auto write = [&](const char* name, const auto& values) {
        const auto bytes = std::as_bytes(std::span(values));
        file_.write(name, position * std::ssize(bytes), bytes);
    };
    write("targets", std::array{target});
    if (form_ == BaseForm::Exact) return write("logits", logits);
    const CompactRow row = compacted(logits, log_sum, static_cast<uint32_t>(position));
    std::vector<uint16_t> halves(row.logits.size());
    std::transform(row.logits.begin(), row.logits.end(), halves.begin(), f32_to_f16);
    write("ids", row.ids);
    write("logits", halves);
    write("rest", std::array{row.rest});
    write("nll", std::array{static_cast<float>(nll)});
    if (row.sampled_ids.empty()) return;
    write("sampled_ids", row.sampled_ids);
    write("sampled_log_p", row.sampled_log_p);
}

BaseFile::BaseFile(const std::string& path) : file_(path) {
    const Metadata metadata(file_);
    if (const std::string& version = metadata.text(kVersionKey); version != kVersion) {
        fail(ErrorCode::Unsupported,
             "{} has version {} of a stored base, expected {}; make it anew with {}", path, version,
             kVersion, kSavedBase);
    }
    const std::string& form = metadata.text("form");
    const auto known = std::find_if(std::begin(kBaseForms), std::end(kBaseForms),
                                    [&](BaseForm f) { return name_of(f) == form; });
    if (known == std::end(kBaseForms)) {
        fail(ErrorCode::Corrupt, "{}: form is '{}', expected compact or exact", path, form);
    }
    form_ = *known;
    identity_ = {.model = metadata.text("model"),
                 .recipe = metadata.text("recipe"),
                 .protocol = metadata.text("protocol"),
                 .text_sha256 = metadata.text("text_sha256"),
                 .tokens_xxh3 = metadata.text("tokens_xxh3"),
                 .seqlen = metadata.number("seqlen"),
                 .n_windows = metadata.number("windows"),
                 .n_positions = metadata.number("positions"),
                 .vocab = metadata.number("vocabulary")};
    for (const io::PlannedTensor& tensor : plan(form_, identity_.n_positions, identity_.vocab)) {
        check_tensor(tensor.name, tensor.dtype, tensor.shape);
    }
}

void BaseFile::check_tensor(const std::string& name, DType dtype, const Shape& shape) const {
    const auto found = file_.tensors().find(name);
    if (found == file_.tensors().end()) {
        fail(ErrorCode::Corrupt, "{} has no tensor {}", file_.path(), name);
    }
    if (found->second.dtype == dtype && found->second.shape == shape) return;
    fail(ErrorCode::Corrupt, "{}: tensor {} is {}, expected {}", file_.path(), name,
         describe(found->second.dtype, found->second.shape), describe(dtype, shape));
}

void BaseFile::require_made_for(const BaseIdentity& run) const {
    const auto require = [&](const char* what, const auto& found, const auto& expected) {
        if (found == expected) return;
        fail(ErrorCode::Usage, "{} {} was made with {} {}, this run has {}; make it anew with {}",
             kBase, file_.path(), what, found, expected, kSavedBase);
    };
    require("a vocabulary of", identity_.vocab, run.vocab);
    require("a text of SHA-256", identity_.text_sha256, run.text_sha256);
    require("protocol", identity_.protocol, run.protocol);
    require("windows of", identity_.seqlen, run.seqlen);
    require("a number of windows of", identity_.n_windows, run.n_windows);
    require("tokens of digest", identity_.tokens_xxh3, run.tokens_xxh3);
    require("a number of positions of", identity_.n_positions, run.n_positions);
}

template <typename T>
void BaseFile::read_numbers(const std::string& name, int64_t position, std::span<T> out) const {
    const auto bytes = std::as_writable_bytes(out);
    file_.read(file_.tensors().at(name), position * std::ssize(bytes), bytes);
}

void BaseFile::read(int64_t position, BaseRow& out) const {
    QUAROT_CHECK(position >= 0 && position < identity_.n_positions, "{}", position);
    read_numbers("targets", position, std::span(&out.target, 1));
    if (out.target < 0 || out.target >= identity_.vocab) {
        fail(ErrorCode::Corrupt, "{}: position {} has token {}, expected 0 to {}", file_.path(),
             position, out.target, identity_.vocab - 1);
    }
    if (form_ == BaseForm::Compact) {
        read_compact(position, out.compact);
        float nll = 0.0f;
        read_numbers("nll", position, std::span(&nll, 1));
        if (!(nll >= 0.0f && std::isfinite(nll))) {
            fail(ErrorCode::Corrupt, "{}: position {} has a log-likelihood of {}", file_.path(),
                 position, -nll);
        }
        out.nll = nll;
        return;
    }
    out.logits.resize(static_cast<size_t>(identity_.vocab));
    read_numbers("logits", position, std::span(out.logits));
    if (!std::ranges::all_of(out.logits, [](float logit) { return std::isfinite(logit); })) {
        fail(ErrorCode::Corrupt, "{}: position {} has NaN or Inf among its logits", file_.path(),
             position);
    }
    out.log_sum = log_sum_exp(out.logits);
    out.nll = out.log_sum - static_cast<double>(out.logits[static_cast<size_t>(out.target)]);
}

void BaseFile::read_compact(int64_t position, CompactRow& out) const {
    const auto k = static_cast<size_t>(n_compact(identity_.vocab));
    out.ids.resize(k);
    out.logits.resize(k);
    std::vector<uint16_t> halves(k);
    read_numbers("ids", position, std::span(out.ids));
    read_numbers("logits", position, std::span(halves));
    read_numbers("rest", position, std::span(&out.rest, 1));
    std::transform(halves.begin(), halves.end(), out.logits.begin(), f16_to_f32);
    if (identity_.vocab > kCompactTokens) {
        out.sampled_ids.resize(kSampledTokens);
        out.sampled_log_p.resize(kSampledTokens);
        read_numbers("sampled_ids", position, std::span(out.sampled_ids));
        read_numbers("sampled_log_p", position, std::span(out.sampled_log_p));
    }
    check(position, out);
}

void BaseFile::check(int64_t position, const CompactRow& row) const {
    const auto require = [&](bool holds, const char* what) {
        if (!holds)
            fail(ErrorCode::Corrupt, "{}: position {} has {}", file_.path(), position, what);
    };
    std::vector<int32_t> ids = row.ids;
    std::sort(ids.begin(), ids.end());
    require(ids.front() >= 0 && ids.back() < identity_.vocab, "a token outside the vocabulary");
    require(std::adjacent_find(ids.begin(), ids.end()) == ids.end(), "a token twice");
    const bool are_finite =
        std::ranges::all_of(row.logits, [](float logit) { return std::isfinite(logit); });
    require(are_finite && row.logits.front() == 0.0f &&
                std::is_sorted(row.logits.rbegin(), row.logits.rend()),
            "logits that do not fall from 0");
    const bool has_all = std::ssize(row.ids) == identity_.vocab;
    require(row.rest >= 0.0f && row.rest < 1.0f && (!has_all || row.rest == 0.0f),
            "a probability of the rest that cannot be");
    require(std::ranges::all_of(row.sampled_ids,
                                [&](int32_t id) {
                                    return id >= 0 && id < identity_.vocab &&
                                           !std::binary_search(ids.begin(), ids.end(), id);
                                }),
            "a sampled token that is not of the rest");
    require(std::ranges::all_of(
                row.sampled_log_p,
                [](float log_p) { return log_p >= kLeastSampledLogP && log_p <= 0.0f; }),
            "a sampled token with a probability that cannot be");
}

RowDivergence divergence_of(const BaseRow& base, BaseForm form, std::span<const float> logits,
                            double log_sum) {
    const int32_t best = first_largest(logits);
    if (form == BaseForm::Compact) {
        return {.kl = compact_divergence(base.compact, logits, log_sum),
                .same_top1 = base.compact.ids.front() == best};
    }
    return {.kl = kl_divergence(base.logits, base.log_sum, logits, log_sum),
            .same_top1 = first_largest(base.logits) == best};
}

}  // namespace quarot::eval
