// The answer of one request, gathered for its connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "serve/http.h"

namespace quarot::serve {

// Its own fields are used by the server's thread; others hand over what they have.
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
    void written(size_t n);  // bytes of what was taken
    void leave();            // nobody reads the answer any more
    void end();              // all of it was written
    std::string take_output();
    const std::string& id() const { return options_.id; }

    bool is_complete = false;  // nothing follows what was taken
    bool is_cut = false;       // the connection must end
    int status = 0;
    int64_t n_bytes = 0, prompt_tokens = -1, new_tokens = -1;

  private:
    void hand_over(std::string bytes, int of_status, bool completes);
    void call_wake();

    Options options_;
    std::atomic<size_t> backlog_ = 0;
    std::string output_;
    std::function<void()> gone_;
    bool has_left_ = false;
};

}  // namespace quarot::serve
