// A model in memory, ready to run.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quarot/chat.h"
#include "quarot/export.h"
#include "quarot/progress.h"
#include "quarot/tokenizer.h"

namespace quarot {

struct LoadOptions {
    std::string device = "auto";  // "auto", "cpu", or "reference": slow, defines each operation
    int threads = 0;              // 0: as many as there are physical cores
    // The longest sequence, in tokens; 0: what the model has, but at most 4096.
    int64_t context = 0;
    int64_t sequences = 8;  // that run at once, if their cache fits; others wait
    // Tokens of the cache, of all sequences; 0: full contexts of `sequences`, or as many as half of
    // the free memory holds.
    int64_t cache_tokens = 0;
    // Begin with room for the tokens that are there, not for all that may come: more run at once.
    // Where the cache is full, the last gives its room back and runs again later, to the same text
    // in recipes that quantize activations and cache.
    bool overcommit_cache = false;

    // Of the folder's recipe, for a rotated folder to run with others than it was made with.
    std::optional<int> activation_bits;
    std::optional<int> kv_bits;
    std::optional<float> activation_clip;
    std::optional<float> kv_clip;
};

struct SpecialIds {
    std::optional<int32_t> begin;  // of texts
    std::vector<int32_t> ends;     // of texts and answers: generate() ends before one of these
};

class Model;
struct GenerateOptions;
QUAROT_API GenerateOptions suggested_options(const Model& model);  // see session.h

// A handle: copies share one model, which never changes. Any number of threads may use it, each
// with a Session of its own.
class QUAROT_API Model {
  public:
    // folder: as it came from Hugging Face, or quantized.
    static Model load(const std::string& folder, const LoadOptions& options = {},
                      const ProgressCallback& on_progress = {});
    Model(const Model&);
    Model(Model&&) noexcept;
    Model& operator=(const Model&);
    Model& operator=(Model&&) noexcept;
    ~Model();

    std::string recipe() const;  // its name; "none" if the model is not quantized
    double bits_per_weight() const;
    int64_t parameter_count() const;
    int64_t vocabulary_size() const;
    int64_t context() const;  // tokens

    Tokenizer tokenizer() const;  // Error{NotFound} if the folder has none
    SpecialIds special_ids() const;

    // The conversation as the folder's chat template puts it, ready for the answer: a prompt for
    // generate() and submit(). Error{Unsupported} if the folder has no template, Error{Usage} if it
    // refuses the conversation or an option is no such JSON, Error{NotFound} without a tokenizer.
    std::vector<int32_t> chat_prompt(std::span<const ChatMessage> messages,
                                     const ChatOptions& options = {}) const;
    bool has_chat_template() const;

    struct Impl;

  private:
    explicit Model(std::shared_ptr<const Impl> impl);
    std::shared_ptr<const Impl> impl_;
    friend class Engine;
    friend class Session;
    friend GenerateOptions suggested_options(const Model& model);
};

}  // namespace quarot
