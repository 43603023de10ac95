#include "eval/llama_base.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/setting.h"

namespace quarot::eval {

namespace {

// "_logits_", then as 32-bit numbers the tokens of a window, the vocabulary and the number of
// windows, then the tokens of all windows, then a row a scored position: step and least in F32, and
// codes of 16 bits, of an odd vocabulary one more.
constexpr std::string_view kMagic = "_logits_";
constexpr int64_t kHeaderBytes = 20;
constexpr int64_t kLeastSeqlen = 3;  // fewer have nothing that is scored
constexpr Setting kLlamaBase{"kl_base"};
constexpr Setting kProtocol{"protocol"};
constexpr Setting kWindows{"windows"};

// Log-probabilities of this and less are left out.
constexpr float kLeastLogP = -16.0f;
// What rounding may put above a probability of 1, nats.
constexpr double kMostLogP = 1e-3;

bool has_magic(const io::File& file) {
    std::array<char, kMagic.size()> begin{};
    if (file.size() < std::ssize(begin)) return false;
    file.read(0, std::as_writable_bytes(std::span(begin)));
    return std::string_view(begin.data(), begin.size()) == kMagic;
}

int64_t row_bytes(int64_t vocab) {
    return 8 + 4 * ceil_div(vocab, 2);
}

// Empty if it is more than 64 bits can say. All are at least 0.
std::optional<int64_t> file_bytes(int64_t seqlen, int64_t vocab, int64_t n_windows,
                                  int64_t scored) {
    const auto n_tokens = checked_mul(seqlen, n_windows);
    const auto n_rows = checked_mul(scored, n_windows);
    const auto tokens = n_tokens ? checked_mul(*n_tokens, 4) : std::nullopt;
    const auto rows = n_rows ? checked_mul(*n_rows, row_bytes(vocab)) : std::nullopt;
    const auto data = tokens && rows ? checked_add(*tokens, *rows) : std::nullopt;
    return data ? checked_add(*data, kHeaderBytes) : std::nullopt;
}

// Rounded twice, as that program does.
float log_probability(const LlamaBaseRow& row, size_t token) {
    const float above = row.step * static_cast<float>(row.codes[token]);
    return above + row.least;
}

}  // namespace

bool LlamaBaseFile::is_one(const std::string& path) {
    return has_magic(io::File(path));
}

LlamaBaseFile::LlamaBaseFile(const std::string& path) : file_(path) {
    if (!has_magic(file_) || file_.size() < kHeaderBytes) {
        fail(ErrorCode::Corrupt, "{} does not begin as a file of llama-perplexity does", path);
    }
    std::array<int32_t, 3> sizes{};
    file_.read(std::ssize(kMagic), std::as_writable_bytes(std::span(sizes)));
    seqlen_ = sizes[0];
    vocab_ = sizes[1];
    n_windows_ = sizes[2];
    if (seqlen_ < kLeastSeqlen || vocab_ < 1 || n_windows_ < 1) {
        fail(ErrorCode::Corrupt,
             "{} says that it has {} windows of {} tokens of a vocabulary of {}", path, n_windows_,
             seqlen_, vocab_);
    }
    scored_ = seqlen_ - 1 - seqlen_ / 2;
    const auto bytes = file_bytes(seqlen_, vocab_, n_windows_, scored_);
    if (!bytes || *bytes != file_.size()) {
        fail(ErrorCode::Corrupt,
             "{} has {} bytes, but {} windows of {} tokens of a vocabulary of {} have {}; was "
             "llama-perplexity interrupted?",
             path, file_.size(), n_windows_, seqlen_, vocab_, bytes.value_or(0));
    }
    tokens_.resize(static_cast<size_t>(n_windows_ * seqlen_));
    file_.read(kHeaderBytes, std::as_writable_bytes(std::span(tokens_)));
    rows_offset_ = kHeaderBytes + 4 * std::ssize(tokens_);
}

void LlamaBaseFile::require_made_for(const ScoredText& text, int64_t seqlen, int64_t vocab) const {
    if (text.protocol != Protocol::LlamaCpp) {
        fail(ErrorCode::Usage, "{} {} is of llama-perplexity, this run has {} {}; expected {}",
             kLlamaBase, path(), kProtocol, name_of(text.protocol), name_of(Protocol::LlamaCpp));
    }
    const auto require = [&](const char* what, int64_t found, int64_t expected) {
        if (found == expected) return;
        fail(ErrorCode::Usage, "{} {} was made with {} {}, this run has {}", kLlamaBase, path(),
             what, found, expected);
    };
    require("a vocabulary of", vocab_, vocab);
    require("windows of", seqlen_, seqlen);
    if (const int64_t n = std::ssize(text.windows); n != n_windows_) {
        fail(ErrorCode::Usage, "{} {} has {} windows, this run {}; {} says how many", kLlamaBase,
             path(), n_windows_, n, kWindows);
    }
    for (size_t i = 0; i < text.windows.size(); ++i) {
        require_tokens(text.windows[i], static_cast<int64_t>(i));
    }
}

// The first token of a window is not compared: either program may put another there.
void LlamaBaseFile::require_tokens(const Window& window, int64_t place) const {
    const auto theirs = std::span(tokens_).subspan(static_cast<size_t>(place * seqlen_),
                                                   static_cast<size_t>(seqlen_));
    for (size_t i = 1; i < theirs.size(); ++i) {
        const int32_t ours = window.inputs[i];
        if (theirs[i] == ours) continue;
        fail(ErrorCode::Usage,
             "{} {} has token {} at place {} of window {}, the text has {}; is it of another text "
             "or tokenizer?",
             kLlamaBase, path(), theirs[i], i, place, ours);
    }
}

void LlamaBaseFile::read(int64_t position, LlamaBaseRow& out) const {
    QUAROT_CHECK(position >= 0 && position < n_positions(), "{}", position);
    const auto refuse_unless = [&](bool holds, const char* what) {
        if (!holds) fail(ErrorCode::Corrupt, "{}: position {} has {}", path(), position, what);
    };
    const int64_t window = position / scored_, place = position % scored_;
    const int64_t token = window * seqlen_ + seqlen_ / 2 + 1 + place;
    out.target = tokens_[static_cast<size_t>(token)];
    refuse_unless(out.target >= 0 && out.target < vocab_, "a token outside the vocabulary");
    const int64_t offset = rows_offset_ + position * row_bytes(vocab_);
    std::array<float, 2> line{};
    file_.read(offset, std::as_writable_bytes(std::span(line)));
    out.step = line[0];
    out.least = line[1];
    out.codes.resize(static_cast<size_t>(vocab_));
    file_.read(offset + 8, std::as_writable_bytes(std::span(out.codes)));
    refuse_unless(std::isfinite(out.step) && out.step >= 0.0f && std::isfinite(out.least),
                  "log-probabilities that are not finite or fall");
    const auto likeliest = std::max_element(out.codes.begin(), out.codes.end());
    refuse_unless(
        log_probability(out, static_cast<size_t>(likeliest - out.codes.begin())) <= kMostLogP,
        "a probability above 1");
}

PositionPair compare(const LlamaBaseRow& base, std::span<const float> logits, double log_sum,
                     double nll) {
    const auto best = std::max_element(logits.begin(), logits.end());
    const float normalizer = *best + static_cast<float>(log_sum - static_cast<double>(*best));
    double sum = 0.0;
    for (size_t i = 0; i < logits.size(); ++i) {
        const float log_p = log_probability(base, i);
        if (log_p <= kLeastLogP) continue;
        sum += static_cast<double>(std::exp(log_p) * ((log_p - logits[i]) + normalizer));
    }
    const auto base_best =
        std::max_element(base.codes.begin(), base.codes.end()) - base.codes.begin();
    return {
        .nll = nll,
        .base_nll = -static_cast<double>(log_probability(base, static_cast<size_t>(base.target))),
        .kl = sum,
        .same_top1 = best - logits.begin() == base_best};
}

void LlamaBase::look(std::span<const float> logits, double log_sum, int32_t target, double nll) {
    file_.read(std::ssize(pairs_), row_);
    QUAROT_CHECK(row_.target == target, "{} {}", row_.target, target);
    pairs_.push_back(compare(row_, logits, log_sum, nll));
}

}  // namespace quarot::eval
