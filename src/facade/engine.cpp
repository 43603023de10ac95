// Engines are clients of their model's one engine, beside sessions, with a thread that steps.
#include "quarot/engine.h"

#include <utility>

#include "core/error.h"
#include "facade/arguments.h"
#include "facade/model_impl.h"
#include "facade/submission.h"
#include "generation/prompt.h"
#include "runtime/batch_engine.h"

namespace quarot {

struct Engine::Impl {
    explicit Impl(std::shared_ptr<const Model::Impl> of)
        : model(std::move(of)), batch(*model->engine) {}

    const std::shared_ptr<const Model::Impl> model;
    runtime::BatchEngine batch;
};

struct Request::Impl {
    std::shared_ptr<facade::Submission> submission;
    ~Impl() {
        if (submission != nullptr) submission->leave();
    }
};

Request::Request(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(Request&&) noexcept = default;
Request::~Request() = default;

std::optional<std::string> Request::next() {
    return impl_->submission->next();
}

GenerateResult Request::wait() {
    return impl_->submission->wait();
}

bool Request::has_ended() const {
    return impl_->submission->has_ended();
}

void Request::cancel() {
    impl_->submission->cancel();
}

Engine::Engine(const Model& model) : impl_(std::make_unique<Impl>(model.impl_)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Request Engine::submit(std::string_view prompt, RequestOptions options) {
    const std::vector<int32_t> ids = generation::encode_prompt(impl_->model->internal_tokenizer(),
                                                               prompt, tokenizer::AddBos::Auto);
    return submit(std::span<const int32_t>(ids), std::move(options));
}

Request Engine::submit(std::span<const int32_t> prompt, RequestOptions options) {
    const model::Weights& weights = impl_->model->weights;
    facade::require_tokens(prompt, weights.config.vocab);
    generation::positions_needed(std::ssize(prompt), std::nullopt, weights.n_positions, "");
    auto handle = std::make_unique<Request::Impl>();
    const auto submission = std::make_shared<facade::Submission>(
        impl_->model, std::vector<int32_t>(prompt.begin(), prompt.end()), std::move(options),
        impl_->batch.thread_id());
    const runtime::OrderId id = impl_->batch.submit(submission->order(), submission);
    submission->set_place(impl_->batch, id);
    handle->submission = submission;
    return Request(std::move(handle));
}

EngineLoad Engine::load() const {
    const runtime::EngineLoad load = impl_->batch.load();
    const int64_t page = impl_->model->weights.kv_descriptor().page_tokens;
    return {.running = load.n_running,
            .waiting = load.n_waiting,
            .cache_tokens = load.n_pages * page,
            .cache_tokens_used = load.n_pages_used * page,
            .cache_tokens_reusable = load.n_pages_cached * page,
            .put_back = load.n_put_back};
}

}  // namespace quarot
