#include "serve/job.h"

#include <ctime>
#include <random>
#include <utility>

#include "core/error.h"
#include "io/utf8.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

double seconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

int64_t n_characters(std::string_view text) {
    int64_t n = 0;
    for (const char byte : text) n += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
    return n;
}

uint64_t random_seed() {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
}

// In OpenAI's words, which clients compare; the command line's own documents tell more ends apart
// (apps/generate.cpp).
const char* name_of(runtime::FinishReason reason) {
    switch (reason) {
        case runtime::FinishReason::Length:
        case runtime::FinishReason::Context:
            return "length";
        case runtime::FinishReason::Eos:
        case runtime::FinishReason::Stop:
            return "stop";
        case runtime::FinishReason::Interrupted:
            return "error";
    }
    return "error";
}

}  // namespace

// A choice is told tokens by the engine, under its job's mutex.
class Job::Choice : public runtime::OrderClient {
  public:
    Choice(std::shared_ptr<Job> job, int64_t of_index, const Prompt& prompt)
        : index(of_index),
          job_(std::move(job)),
          prompt_(prompt),
          stream_(tokenizer(), prompt.ids, job_->request_.stops) {
        if (job_->request_.echo) text = prompt.text;
        if (!job_->request_.n_top) return;
        n_shown_ = job_->request_.echo ? n_characters(prompt.text) : 0;
        places_.emplace(tokenizer(), prompt.ids);
        if (job_->request_.echo) place_prompt();
    }

    void begun() override {
        const std::lock_guard lock(job_->mutex_);
        job_->place_.metrics.observe_queue(seconds_between(job_->since_, Clock::now()));
        job_->has_begun_ = true;
    }

    void prompt_scored(runtime::TokenScore&& score) override {
        const std::lock_guard lock(job_->mutex_);
        tokens.at(n_scored_++).score = std::move(score);
    }

    bool token(int32_t id, const std::optional<runtime::TokenScore>& score) override {
        const std::lock_guard lock(job_->mutex_);
        tell_time();
        ++job_->n_new_;
        ++n_made;
        job_->place_.metrics.count_tokens(0, 1);
        note(id, score);
        text += stream_.put(id);
        if (!stream_.stopped()) send_piece(nullptr);
        return !stream_.stopped();
    }

    void end_token(int32_t id, const std::optional<runtime::TokenScore>& score) override {
        const std::lock_guard lock(job_->mutex_);
        note(id, score);
    }

    void ended(const runtime::Ending& ending) override {
        const std::lock_guard lock(job_->mutex_);
        runtime::Ending last = ending;
        const bool is_over =
            ending.failure == nullptr && ending.reason != runtime::FinishReason::Interrupted;
        try {
            if (is_over) say_last(ending.reason);
        } catch (...) {
            last.failure = std::current_exception();
        }
        job_->end_choice(*this, last);
    }

    Piece piece(const char* reason) const {
        return {.index = index,
                .text = text,
                .finish_reason = reason,
                .tokens = job_->request_.n_top ? &tokens : nullptr};
    }

    const int64_t index;
    std::string text;  // that was not sent
    std::vector<SpokenToken> tokens;
    const char* finish_reason = "error";
    int64_t n_made = 0;

  private:
    const tokenizer::Tokenizer& tokenizer() const { return job_->place_.model.tokenizer(); }

    // The prompt's tokens and where their texts begin; scores follow, but for the first.
    void place_prompt() {
        tokenizer::StreamDecoder decoder(tokenizer());
        int64_t offset = 0;
        for (const int32_t id : prompt_.ids) {
            tokens.push_back({.id = id, .score = std::nullopt, .offset = offset});
            offset += n_characters(decoder.put(id));
        }
    }
    void note(int32_t id, const std::optional<runtime::TokenScore>& score) {
        if (!places_) return;  // nobody wants scores
        tokens.push_back({.id = id, .score = score, .offset = n_shown_});
        n_shown_ += n_characters(places_->put(id));
    }
    void say_last(runtime::FinishReason reason) {
        text += stream_.finish();
        finish_reason = name_of(reason);
        send_piece(finish_reason);
    }
    void tell_time() {
        const Clock::time_point now = Clock::now();
        if (last_token_) {
            job_->place_.metrics.observe_next_token(seconds_between(*last_token_, now));
        } else {
            job_->place_.metrics.observe_first_token(seconds_between(job_->since_, now));
        }
        last_token_ = now;
    }
    void send_piece(const char* reason) {
        if (!job_->request_.stream) return;
        const bool has_news = !text.empty() || (job_->request_.n_top && !tokens.empty());
        if (!has_news && reason == nullptr) return;
        job_->send(piece_event(job_->frame_, piece(reason), job_->place_.model.token_texts()));
        text.clear();
        tokens.clear();
    }

    const std::shared_ptr<Job> job_;
    const Prompt& prompt_;  // of the job's request
    generation::TextStream stream_;
    std::optional<tokenizer::StreamDecoder> places_;
    size_t n_scored_ = 1;
    int64_t n_shown_ = 0;  // characters, of all tokens so far
    std::optional<Clock::time_point> last_token_;
};

Job::Job(const JobPlace& place, GenerationRequest request, std::string id,
         std::shared_ptr<Exchange> exchange)
    : place_(place),
      request_(std::move(request)),
      frame_({.is_chat = request_.is_chat,
              .id = std::move(id),
              .model = place.model.facts().name,
              .created = static_cast<int64_t>(std::time(nullptr))}),
      exchange_(std::move(exchange)),
      n_sequences_(std::ssize(request_.prompts) * request_.n),
      usage_of_prompts_(request_.n_prompt_tokens()) {}

Job::~Job() = default;

void Job::start(runtime::BatchEngine& engine) {
    const std::lock_guard lock(mutex_);  // no choice is told anything before all are in
    if (is_closed_) return end();        // aborted
    engine_ = &engine;
    try {
        submit_all();
        n_open_ = orders_.size();
        if (request_.stream) begin_stream();
        exchange_->on_gone([weak = weak_from_this()] {
            if (const auto job = weak.lock()) job->gone();
        });
    } catch (...) {
        // Those that are in end by themselves.
        n_open_ = orders_.size();
        if (n_open_ == 0) end();
        cancel_all();
        close(as_api_error(std::current_exception()));
    }
}

void Job::submit_all() {
    place_.metrics.count_tokens(usage_of_prompts_, 0);
    const uint64_t seed = request_.seed.value_or(random_seed());
    orders_.reserve(static_cast<size_t>(n_sequences_));
    for (int64_t index = 0; index < n_sequences_; ++index) {
        const Prompt& prompt = request_.prompts[static_cast<size_t>(index / request_.n)];
        runtime::Order order = request_.order;
        order.prompt = prompt.ids;
        order.options.seed = seed + static_cast<uint64_t>(index % request_.n);
        choices_.push_back(std::make_shared<Choice>(shared_from_this(), index, prompt));
        orders_.push_back(engine_->submit(std::move(order), choices_.back()));
    }
}

void Job::begin_stream() {
    HttpResponse head = {.content_type = "text/event-stream"};
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    if (!request_.ignored.empty()) {
        head.headers.emplace_back("X-Quarot-Ignored", request_.ignored);
    }
    exchange_->begin_stream(std::move(head));
    is_streaming_ = true;
    if (!request_.is_chat) return;
    for (int64_t index = 0; index < n_sequences_; ++index) {
        send(piece_event(frame_, {.index = index, .text = {}, .begins = true},
                         place_.model.token_texts()));
    }
}

void Job::abort(const ApiError& error) {
    const std::lock_guard lock(mutex_);
    cancel_all();
    close(error);
}

void Job::gone() {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    place_.metrics.count_cancelled();
    cancel_all();
}

void Job::cancel_all() {
    for (const runtime::OrderId id : orders_) engine_->cancel(id);
}

// The events are whole, so that a slow client's stream is cut between two of them.
void Job::send(std::string events) {
    if (is_closed_) return;
    last_sent_ = Clock::now();
    exchange_->send(std::move(events));
    if (exchange_->backlog() <= limits::kBacklogBytes) return;
    is_closed_ = true;
    place_.metrics.count_rejected("slow_reader");
    cancel_all();
    exchange_->drop();
}

void Job::tick(Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (is_streaming_ && !is_closed_ && now - last_sent_ > limits::kPingTime) send(kPingEvent);
}

void Job::end_choice(Choice& choice, const runtime::Ending& ending) {
    --n_open_;
    if (ending.failure != nullptr) {
        cancel_all();
        close(as_api_error(ending.failure));
    } else if (ending.reason != runtime::FinishReason::Interrupted) {
        place_.metrics.count_success(choice.finish_reason);
    } else if (!is_closed_) {
        // Nobody but a server that ends cancels a job whose client is there.
        close(ApiError(503, "the server is going down"));
    }
    if (n_open_ > 0) return;
    place_.metrics.observe_request(seconds_between(since_, Clock::now()), usage_of_prompts_,
                                   n_new_);
    try {
        finish();
    } catch (...) {  // the answer is too large for the memory
        close(as_api_error(std::current_exception()));
    }
    end();
}

void Job::end() {
    choices_.clear();  // which hold this job
    is_done_ = true;
}

void Job::finish() {
    if (is_closed_) return;
    const Usage usage = {.prompt_tokens = usage_of_prompts_, .new_tokens = n_new_};
    if (request_.stream) {
        if (request_.include_usage) exchange_->send(usage_event(frame_, usage));
        is_closed_ = true;
        exchange_->account(usage.prompt_tokens, usage.new_tokens);
        exchange_->send(kDoneEvent);
        exchange_->end_stream();
        return;
    }
    std::vector<Piece> pieces;
    pieces.reserve(choices_.size());
    for (const auto& choice : choices_) pieces.push_back(choice->piece(choice->finish_reason));
    HttpResponse response =
        json_response(whole_answer(frame_, pieces, usage, place_.model.token_texts()));
    if (!request_.ignored.empty()) {
        response.headers.emplace_back("X-Quarot-Ignored", request_.ignored);
    }
    is_closed_ = true;
    exchange_->account(usage.prompt_tokens, usage.new_tokens);
    exchange_->respond(std::move(response));
}

void Job::close(const ApiError& error) {
    if (is_closed_) return;
    is_closed_ = true;
    exchange_->account(usage_of_prompts_, n_new_);
    if (!is_streaming_) return exchange_->respond(error.response());
    exchange_->send(error_event(error.body()));
    exchange_->end_stream();
}

}  // namespace quarot::serve
