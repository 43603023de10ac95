// The answer of one request, gathered for its connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "serve/http.h"

namespace quarot::serve {

// What is known of an answer so far.
struct AnswerState {
    int status = 0;            // 0: nothing was handed over yet
    bool is_complete = false;  // nothing will be
    int64_t prompt_tokens = -1, new_tokens = -1;
};

// Its fields are used by the server's thread; what others hand over waits under a mutex.
class SocketExchange : public Exchange, public std::enable_shared_from_this<SocketExchange> {
  public:
    struct Options {
        std::function<void(std::function<void()>)> post;  // runs it on the server's thread
        std::function<void()> wake;  // on that thread: there is output, or the end
        bool keep_alive = true;
        bool head_only = false;
        std::string id;  // of the request
    };
    explicit SocketExchange(Options options) : options_(std::move(options)) {}

    void respond(HttpResponse response) override;
    void begin_stream(HttpResponse head) override;
    void send(std::string bytes) override;
    void end_stream() override;
    size_t backlog() const override { return backlog_; }
    void drop() override;
    void on_gone(std::function<void()> callback) override;
    void account(int64_t n_prompt, int64_t n_new) override;

    // For the connection, on the server's thread.
    struct Output {
        std::string bytes;
        bool is_last = false;
    };
    // All that was handed over since the last call. The connection is woken by the end of the
    // answer and, once it was given nothing here, by the next bytes: who takes tokens more slowly
    // than they come costs no wake-ups.
    Output take_output();
    AnswerState state() const;
    void written(size_t n);  // bytes of what was taken
    void leave();            // nobody reads the answer any more
    void end();              // all of it was written
    const std::string& id() const { return options_.id; }

    bool is_cut = false;  // the connection must end
    int64_t n_bytes = 0;

  private:
    void hand_over(const std::string& bytes, int of_status, bool completes);
    bool has_left() const;
    void end_of_reading();
    void call_wake();

    Options options_;
    std::atomic<size_t> backlog_ = 0;
    std::function<void()> gone_;

    mutable std::mutex mutex_;  // guards what follows
    std::string output_;
    AnswerState state_;
    bool is_awaited_ = false;
    bool has_left_ = false;
};

}  // namespace quarot::serve
