// For tests: a service of the tiny model, an exchange that keeps what it is given, and what such
// answers hold.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "io/json.h"
#include "kernels/backend.h"
#include "serve/service.h"
#include "support/model_weights.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/watched_backend.h"

namespace quarot::serve {

class KeptExchange : public Exchange {
  public:
    void respond(HttpResponse response) override { keep(std::move(response), "", true); }
    void begin_stream(HttpResponse head) override { keep(std::move(head), "", false); }
    void send(std::string bytes) override {
        keep({}, bytes, false);
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !holds_engine_; });
    }
    void end_stream() override { keep({}, "", true); }
    size_t backlog() const override { return backlog_of_tests; }
    void drop() override {
        is_dropped = true;
        keep({}, "", true);
    }
    void on_gone(std::function<void()> callback) override {
        const std::lock_guard lock(mutex_);
        gone_ = std::move(callback);
    }
    void account(int64_t /*prompt_tokens*/, int64_t /*new_tokens*/) override {}

    // Waits for the whole answer.
    HttpResponse wait() {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, std::chrono::seconds(60), [&] { return n_ends > 0; })) {
            ADD_FAILURE() << "no answer";
        }
        HttpResponse answer = head_;
        if (is_stream_) answer.body = sent_;
        return answer;
    }
    // Waits until so many bytes of a stream are there.
    void wait_for_bytes(size_t n) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(60), [&] { return sent_.size() >= n; });
    }
    void leave() {
        std::function<void()> callback;
        {
            const std::lock_guard lock(mutex_);
            callback = gone_;
        }
        if (callback) callback();
    }

    // Until it is let go the engine waits behind the next bytes that it sends here.
    void hold_engine(bool holds) {
        const std::lock_guard lock(mutex_);
        holds_engine_ = holds;
        changed_.notify_all();
    }

    std::atomic<size_t> backlog_of_tests = 0;
    std::atomic<bool> is_dropped = false;
    std::atomic<int> n_ends = 0;

  private:
    void keep(HttpResponse head, const std::string& bytes, bool ends) {
        const std::lock_guard lock(mutex_);
        if (!head.body.empty() || !head.headers.empty()) head_ = std::move(head);
        if (!bytes.empty()) is_stream_ = true;
        sent_ += bytes;
        n_ends += ends ? 1 : 0;
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    HttpResponse head_;
    std::string sent_;
    bool is_stream_ = false;
    bool holds_engine_ = false;
    std::function<void()> gone_;
};

// One token a byte, 4-bit activations and cache, a context of 160 tokens.
class TinyService {
  public:
    explicit TinyService(ServiceOptions options = {}, runtime::EngineLimits limits = {})
        : backend_(kernels::make_backend("cpu", {.n_threads = 2})) {
        test::write_tiny_model(dir_ / "tiny");
        std::ofstream(dir_ / "tiny/chat_template.jinja")
            << "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}"
               "{% if tools %}tools {{ tools | tojson }}\n{% endif %}"
               "{% if add_generation_prompt %}<s>assistant: {% endif %}";
        weights_ = test::load_model(dir_ / "tiny", kPositions, backend_);
        weights_.recipe.activations.bits = weights_.recipe.k.bits = weights_.recipe.v.bits = 4;
        ModelFacts facts = {.folder = dir_ / "tiny",
                            .name = "makers/tiny",
                            .recipe = io::Json::Object{},
                            .context = kPositions,
                            .vocabulary = weights_.config.vocab};
        model_ = std::make_unique<ServedModel>(std::move(facts));
        limits.context = kPositions;
        if (limits.sequences == 1) limits.sequences = 4;
        limits.admission = runtime::Admission::TokensSoFar;
        options.version = "0";
        service_ = std::make_unique<Service>(*model_, runtime::one_rank(weights_, backend_), limits,
                                             std::move(options));
    }
    static constexpr int64_t kPositions = 160;

    Service& service() { return *service_; }
    const ServedModel& model() const { return *model_; }
    // For another engine, while the service's runs nothing.
    const model::Weights& weights() const { return weights_; }
    test::WatchedBackend& backend() { return backend_; }

    std::shared_ptr<KeptExchange> ask(const std::string& method, const std::string& path,
                                      const std::string& body = "", const std::string& key = "",
                                      std::shared_ptr<KeptExchange> exchange = nullptr) {
        if (exchange == nullptr) exchange = std::make_shared<KeptExchange>();
        HttpRequest request = {.method = method, .path = path, .body = body};
        request.headers = {{"host", "localhost:8080"}};
        if (!key.empty()) request.headers.emplace_back("authorization", key);
        service_->handle(request, exchange);
        return exchange;
    }
    HttpResponse get(const std::string& path) { return ask("GET", path)->wait(); }
    HttpResponse post(const std::string& path, const std::string& body) {
        return ask("POST", path, body)->wait();
    }
    io::Json json(const std::string& path, const std::string& body) {
        const HttpResponse response = post(path, body);
        EXPECT_EQ(response.status, 200) << response.body;
        return io::Json::parse(response.body, "answer");
    }
    // All pages that no finished sequence left for others are free.
    void expect_nothing_runs() {
        const auto end = Clock::now() + std::chrono::seconds(30);
        const auto runs = [&] {
            return !service_->is_idle() ||
                   service_->load().n_running + service_->load().n_waiting > 0;
        };
        while (runs() && Clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        EXPECT_TRUE(service_->is_idle());
        EXPECT_EQ(service_->load().n_running, 0);
        EXPECT_EQ(service_->load().n_waiting, 0);
        EXPECT_EQ(service_->load().n_pages_used, 0);
    }

  private:
    test::TempDir dir_;
    test::WatchedBackend backend_;
    model::Weights weights_;
    std::unique_ptr<ServedModel> model_;
    std::unique_ptr<Service> service_;
};

inline const std::string kCompletions = "/v1/completions", kChat = "/v1/chat/completions";

inline const io::Json& first_choice(const io::Json& answer) {
    return answer.at("choices").as_array().at(0);
}

// The objects of a stream; it must end with [DONE] unless it ends with an error.
inline std::vector<io::Json> events_of(const std::string& body) {
    std::vector<io::Json> events;
    for (size_t at = 0; at < body.size();) {
        const size_t end = body.find("\n\n", at);
        EXPECT_NE(end, std::string::npos) << "an event is not complete";
        if (end == std::string::npos) break;
        const std::string event = body.substr(at, end - at);
        at = end + 2;
        if (event.starts_with(": ")) continue;
        EXPECT_TRUE(event.starts_with("data: ")) << event;
        if (event == "data: [DONE]") {
            EXPECT_EQ(at, body.size()) << "[DONE] is not last";
            return events;
        }
        events.push_back(io::Json::parse(event.substr(6), "event"));
    }
    EXPECT_TRUE(!events.empty() && events.back().contains("error")) << "no [DONE]";
    return events;
}

}  // namespace quarot::serve
