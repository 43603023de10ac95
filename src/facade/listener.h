// What sessions and engines share: options of a generation, and its text as tokens come.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "facade/model_impl.h"
#include "generation/text_stream.h"
#include "quarot/session.h"
#include "runtime/generate.h"
#include "tokenizer/tokenizer.h"

namespace quarot::facade {

// Error{Usage} for options that cannot be.
runtime::GenerateOptions runtime_options(const GenerateOptions& options, const Model::Impl& model);

// Gathers the text and passes it on. tokenizer and on_text must outlive it.
class Listener {
  public:
    Listener(const tokenizer::Tokenizer& tokenizer, std::span<const int32_t> prompt,
             const GenerateOptions& options, const TextCallback& on_text)
        : stream_(tokenizer, prompt, options.stops), on_text_(on_text) {}

    // False: no more is wanted.
    bool take(int32_t id) {
        add(stream_.put(id));
        return !stream_.stopped() && !is_cancelled_;
    }
    void finish() { add(stream_.finish()); }

    FinishReason reason(runtime::FinishReason reason) const;
    std::string take_text() { return std::move(text_); }

  private:
    void add(const std::string& piece);

    generation::TextStream stream_;
    const TextCallback& on_text_;
    std::string text_;
    bool is_cancelled_ = false;
};

}  // namespace quarot::facade
