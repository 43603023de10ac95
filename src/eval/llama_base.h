// A base model's predictions as llama.cpp's program llama-perplexity stores them
// (--kl-divergence-base), and a model's divergence from them as that program computes it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/divergence.h"
#include "eval/scored_text.h"
#include "eval/stored_base.h"
#include "io/file.h"

namespace quarot::eval {

// A base's prediction at one position: the log-probability of token i is least + step * codes[i].
// Code 0 stands for all that is less as well, down from 16 nats below the likeliest token.
struct LlamaBaseRow {
    int32_t target = 0;
    float step = 0.0f, least = 0.0f;
    std::vector<uint16_t> codes;  // [vocab]
};

class LlamaBaseFile {
  public:
    // Whether a file begins as these do. Error{NotFound} as io::File.
    static bool is_one(const std::string& path);
    // Error{Corrupt} for a file that is none of these or not whole, with what is wrong.
    explicit LlamaBaseFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    int64_t vocab() const { return vocab_; }
    int64_t n_positions() const { return n_windows_ * scored_; }
    // Error{Usage} that says what differs if it was made with other windows, tokens or vocabulary.
    void require_made_for(const ScoredText& text, int64_t seqlen, int64_t vocab) const;
    // Error{Corrupt} naming the position for numbers that no model gives.
    void read(int64_t position, LlamaBaseRow& out) const;

  private:
    void require_tokens(const Window& window, int64_t place) const;

    io::File file_;
    int64_t seqlen_ = 0, vocab_ = 0, n_windows_ = 0;
    int64_t scored_ = 0;           // positions of a window
    std::vector<int32_t> tokens_;  // [n_windows, seqlen]
    int64_t rows_offset_ = 0;
};

// With p the stored probabilities, of which those of e^-16 and less are left out, and q the
// model's: sum p ln(p / q), which is no divergence of distributions and may be below 0. Terms are
// F32, as that program has them: the least divergences of a text are a few of their roundings.
// log_sum and nll are the model's.
PositionPair compare(const LlamaBaseRow& base, std::span<const float> logits, double log_sum,
                     double nll);

class LlamaBase : public LogitScorer {
  public:
    // The file was made for what runs, and must outlive it.
    explicit LlamaBase(const LlamaBaseFile& file) : LogitScorer(file.vocab()), file_(file) {}

    std::span<const PositionPair> pairs() const { return pairs_; }  // of all rows scored

  private:
    // Error{Corrupt} as LlamaBaseFile's.
    void look(std::span<const float> logits, double log_sum, int32_t target, double nll) override;

    const LlamaBaseFile& file_;
    LlamaBaseRow row_;
    std::vector<PositionPair> pairs_;
};

}  // namespace quarot::eval
