#include "bench/engine_workload.h"

#include <algorithm>
#include <utility>

namespace quarot::bench {

runtime::EngineLimits limits_of(const SpeedTest& test) {
    return {.context = test.positions(), .sequences = test.batch};
}

EngineWorkload::EngineWorkload(const SpeedTest& test, runtime::Engine& engine)
    : test_(test), engine_(engine) {
    for (int64_t i = 0; i < test.batch && test.depth > 0; ++i) {
        beginnings_.push_back(random_ids(test.depth));
    }
}

void EngineWorkload::prepare() {
    sequences_.clear();
    for (const std::vector<int32_t>& beginning : beginnings_) add_sequence(beginning);
    wait();
}

void EngineWorkload::warm_up() {
    feed(test_.phase == Phase::Prompt ? test_.n_tokens : 1);
}

void EngineWorkload::run() {
    if (test_.phase == Phase::Prompt) return feed(test_.n_tokens);
    for (int64_t i = 0; i < test_.n_tokens; ++i) feed(1);
}

void EngineWorkload::feed(int64_t n_tokens) {
    if (sequences_.empty()) {
        for (int64_t i = 0; i < test_.batch; ++i) add_sequence(random_ids(n_tokens));
    } else {
        for (const auto& sequence : sequences_) sequence->give(random_ids(n_tokens));
    }
    wait();
}

void EngineWorkload::wait() {
    for (const auto& sequence : sequences_) sequence->wait();
}

void EngineWorkload::add_sequence(std::vector<int32_t> tokens) {
    runtime::Request request = {.tokens = std::move(tokens),
                                .max_tokens = test_.positions(),
                                .shares_prefix = test_.depth > 0};
    sequences_.push_back(std::make_unique<runtime::ScopedRequest>(
        engine_, std::move(request),
        [this](const runtime::StepRows& rows) { next_ = rows.best(0); }));
}

std::vector<int32_t> EngineWorkload::random_ids(int64_t n) {
    const auto vocab = static_cast<uint32_t>(engine_.weights().config.vocab);
    std::vector<int32_t> ids(static_cast<size_t>(n));
    for (int32_t& id : ids) id = static_cast<int32_t>(random_() % vocab);
    return ids;
}

}  // namespace quarot::bench
