// One request on its way through the engine: its choices gathered, or sent as they come.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "generation/text_stream.h"
#include "runtime/batch_engine.h"
#include "serve/answer.h"
#include "serve/api_error.h"
#include "serve/generation_request.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace quarot::serve {

using Clock = std::chrono::steady_clock;

// What a job needs of its server; all must outlive it.
struct JobPlace {
    const ServedModel& model;
    Metrics& metrics;
};

class Job : public std::enable_shared_from_this<Job> {
  public:
    Job(const JobPlace& place, GenerationRequest request, std::string id,
        std::shared_ptr<Exchange> exchange);
    ~Job();

    // Hands all choices to the engine; an answer follows in any case, at the latest when they have
    // ended, and then is_done(). Nothing is handed over after abort(). Called once.
    void start(runtime::BatchEngine& engine);
    // Cancels what runs and answers with the error: as the whole answer, or as the last event.
    void abort(const ApiError& error);
    // Sends a ping where a stream has been silent.
    void tick(Clock::time_point now);

    Clock::time_point since() const { return since_; }
    bool has_begun() const { return has_begun_; }  // some of it has run
    bool is_done() const { return is_done_; }      // and calls nobody any more
    int64_t n_sequences() const { return n_sequences_; }
    int64_t n_prompt_tokens() const { return usage_of_prompts_; }

  private:
    class Choice;

    void submit_all();
    void gone();
    void cancel_all();
    void send(std::string events);
    void begin_stream();
    void end_choice(Choice& choice, const runtime::Ending& ending);
    void finish();
    void end();
    void close(const ApiError& error);

    const JobPlace place_;
    const GenerationRequest request_;
    const AnswerFrame frame_;
    const std::shared_ptr<Exchange> exchange_;
    const Clock::time_point since_ = Clock::now();
    const int64_t n_sequences_;
    const int64_t usage_of_prompts_;

    std::atomic<bool> has_begun_ = false;
    std::atomic<bool> is_done_ = false;

    std::mutex mutex_;  // guards what follows, and the choices
    runtime::BatchEngine* engine_ = nullptr;
    std::vector<std::shared_ptr<Choice>> choices_;
    std::vector<runtime::OrderId> orders_;
    size_t n_open_ = 0;  // choices that have not ended
    bool is_streaming_ = false;
    bool is_closed_ = false;  // nothing more is sent
    int64_t n_new_ = 0;
    Clock::time_point last_sent_ = since_;
};

}  // namespace quarot::serve
