// The flags of generate that shape the choice of the next token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/args.h"
#include "folder/generation_config.h"
#include "runtime/sampler.h"

namespace quarot::apps {

// What is sampled, and which of it the folder's generation_config.json said.
struct Sampling {
    runtime::SamplingOptions options;
    std::string from_folder;  // "temperature 0.8, top-p 0.95"; empty: nothing
};

struct SamplingFlags {
    uint64_t seed = 0;
    // args is asked for -v when the values are resolved.
    void declare(Args& args);
    // Every flag that is given, else what the folder proposes, else greedy with all steps off. With
    // -v tells what was not given; remarks on flags without effect.
    Sampling resolve(const folder::GenerationDefaults& folder) const;

  private:
    void tell(const runtime::SamplingOptions& options,
              const folder::GenerationDefaults& folder) const;
    void remark_on_greedy() const;

    const Args* args_ = nullptr;
    bool has_seed_ = false;
    folder::GenerationDefaults given_;
};

}  // namespace quarot::apps
