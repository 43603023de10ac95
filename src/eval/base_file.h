// A base model's predictions in a file, so that many models can be compared with it without running
// it again. A safetensors file; docs/file_format.md has its layout.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/compact_row.h"
#include "eval/scored_text.h"
#include "io/safetensors.h"

namespace quarot::eval {

// Compact: a CompactRow a position, 1.8 KB. Exact: all logits in F32.
enum class BaseForm { Compact, Exact };
inline constexpr BaseForm kBaseForms[] = {BaseForm::Compact, BaseForm::Exact};
std::string_view name_of(BaseForm form);  // "compact", "exact"

// What was predicted, and by whom.
struct BaseIdentity {
    std::string model, recipe;  // for people
    std::string protocol;
    std::string text_sha256;  // of the bytes that were read
    std::string tokens_xxh3;  // of all windows
    int64_t seqlen = 0, n_windows = 0;
    int64_t n_positions = 0;  // scored
    int64_t vocab = 0;
};
BaseIdentity identity_of(const ScoredText& text, const std::string& text_sha256, int64_t seqlen,
                         int64_t vocab);

// Position after position, in the order of windows.
class BaseWriter {
  public:
    // Creates the file, which must not exist. Error{Io}, here and below.
    BaseWriter(const std::string& path, BaseForm form, const BaseIdentity& identity);
    // log_sum: of the logits; target: the token that follows; nll: of it.
    void add(std::span<const float> logits, double log_sum, int32_t target, double nll);
    // All positions were added.
    void finish() { file_.finish(); }

  private:
    BaseForm form_;
    io::SafetensorsWriter file_;
    int64_t n_ = 0;
};

// A base's prediction at one position.
struct BaseRow {
    int32_t target = 0;
    double nll = 0.0;           // of the target
    CompactRow compact;         // of form Compact
    std::vector<float> logits;  // of form Exact: [vocab]
    double log_sum = 0.0;       // of the logits
};

class BaseFile {
  public:
    // Error{Corrupt} for a file that is none of these or not whole, with what is wrong.
    explicit BaseFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    BaseForm form() const { return form_; }
    const BaseIdentity& identity() const { return identity_; }
    // Error{Usage} that says what differs if it was made for another text, other windows, tokens
    // or vocabulary.
    void require_made_for(const BaseIdentity& run) const;
    // Error{Corrupt} naming the position for numbers that no model gives.
    void read(int64_t position, BaseRow& out) const;

  private:
    void check_tensor(const std::string& name, DType dtype, const Shape& shape) const;
    template <typename T>
    void read_numbers(const std::string& name, int64_t position, std::span<T> out) const;
    void read_compact(int64_t position, CompactRow& out) const;
    void check(int64_t position, const CompactRow& row) const;

    io::SafetensorsFile file_;
    BaseForm form_ = BaseForm::Compact;
    BaseIdentity identity_;
};

// KL(base || model) of one position, nats, and whether both have the same likeliest token.
struct RowDivergence {
    double kl = 0.0;
    bool same_top1 = false;
};
RowDivergence divergence_of(const BaseRow& base, BaseForm form, std::span<const float> logits,
                            double log_sum);

}  // namespace quarot::eval
