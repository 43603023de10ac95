// The public engine as a program outside sees it: the same texts alone and in company, streams,
// cancelling, errors, and many threads.
#include "quarot/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "quarot/quarot.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot {
namespace {

template <typename Call>
ErrorCode code_of_refusal(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::Internal;
}

class PublicEngine : public testing::Test {
  protected:
    PublicEngine() {
        set_log([](LogLevel, const std::string&) {});
        test::write_tiny_model(dir_ / "model");
        QuantizeOptions options;
        options.recipe = "quarot-rtn";
        options.threads = 2;
        quantize_folder(dir_ / "model", dir_ / "w4", options);
    }
    ~PublicEngine() override { set_log({}); }

    Model load(LoadOptions options = {}) const {
        options.threads = 2;
        return Model::load(dir_ / "w4", options);
    }
    static GenerateOptions sampled(uint64_t seed, int64_t max_tokens = 40) {
        return {.max_tokens = max_tokens,
                .temperature = seed % 2 == 0 ? 0.0f : 1.0f,
                .seed = seed,
                .ignore_end_tokens = true};
    }
    // Of different lengths; some begin alike, for more than a page of the cache.
    static std::string prompt(int i) {
        const std::string shared =
            i % 3 == 0 ? std::string(70, 'a') : std::string(static_cast<size_t>(i % 3), 'x');
        return shared + "prompt " + std::to_string(i);
    }
    static std::string read_all(Request& request) {
        std::string text;
        while (const auto piece = request.next()) {
            EXPECT_FALSE(piece->empty());
            text += *piece;
        }
        return text;
    }
    static void expect_pages_back(const Engine& engine) {
        const EngineLoad load = engine.load();
        EXPECT_EQ(load.running + load.waiting, 0);
        EXPECT_EQ(load.cache_tokens_used, 0) << "pages are lost";
    }

    test::TempDir dir_;
};

TEST_F(PublicEngine, TextsAreThoseOfGenerateAloneAndInCompanyOnACacheThatIsTooSmall) {
    constexpr int kRequests = 12;
    std::vector<GenerateResult> expected;
    {
        Session session(load());
        for (int i = 0; i < kRequests; ++i) {
            expected.push_back(session.generate(prompt(i), sampled(static_cast<uint64_t>(i), 100)));
        }
    }
    const Model model = load({.sequences = 6, .cache_tokens = 256, .overcommit_cache = true});
    Engine engine(model);
    std::vector<Request> requests;
    for (int i = 0; i < kRequests; ++i) {
        requests.push_back(
            engine.submit(prompt(i), {.generate = sampled(static_cast<uint64_t>(i), 100),
                                      .priority = i % 3,
                                      .shares_prefix = i % 4 != 1}));
    }
    for (int i = 0; i < kRequests; ++i) {
        const auto at = static_cast<size_t>(i);
        EXPECT_EQ(read_all(requests[at]), expected[at].text) << i;
        const GenerateResult result = requests[at].wait();
        EXPECT_EQ(result.text, expected[at].text) << i;
        EXPECT_EQ(result.ids, expected[at].ids) << i;
        EXPECT_EQ(result.finish_reason, FinishReason::Length);
        EXPECT_EQ(result.prompt_tokens, expected[at].prompt_tokens);
        EXPECT_TRUE(requests[at].has_ended());
    }
    EXPECT_GT(engine.load().put_back, 0) << "the cache was never full";
    expect_pages_back(engine);
}

TEST_F(PublicEngine, ABeginningThatIsKnownIsNotComputedAgain) {
    const Model model = load({.context = 256});
    Engine engine(model);
    const std::string system(100, 's');
    engine.submit(system + "one", {.generate = sampled(1, 4)}).wait();
    EXPECT_GE(engine.load().cache_tokens_reusable, 64);
    const int64_t kept = engine.load().cache_tokens_reusable;
    // The second one's own pages alone are new, and those of who shares nothing are none.
    engine.submit(system + "two", {.generate = sampled(1, 4), .shares_prefix = false}).wait();
    EXPECT_EQ(engine.load().cache_tokens_reusable, kept);
    const std::string shared =
        engine.submit(system + "two", {.generate = sampled(1, 4)}).wait().text;
    Session session(load());
    EXPECT_EQ(shared, session.generate(system + "two", sampled(1, 4)).text);
}

TEST_F(PublicEngine, PiecesComeToACallbackOrWhenTheyAreAskedFor) {
    Engine engine(load());
    std::string pieces;
    std::atomic<int> n_ends = 0;
    Request told = engine.submit("abc", {.generate = sampled(1),
                                         .on_text =
                                             [&](std::string_view piece) {
                                                 pieces += piece;
                                                 return true;
                                             },
                                         .on_end = [&] { ++n_ends; }});
    EXPECT_EQ(told.next(), std::nullopt) << "the callback takes them";
    Request asked = engine.submit("abc", {.generate = sampled(1)});
    EXPECT_EQ(read_all(asked), told.wait().text);
    EXPECT_EQ(pieces, told.wait().text);
    EXPECT_EQ(n_ends, 1);
    EXPECT_EQ(asked.next(), std::nullopt);
}

TEST_F(PublicEngine, ACallbackEndsItsRequest) {
    Engine engine(load());
    int n_pieces = 0;
    const GenerateResult result =
        engine
            .submit("abc", {.generate = sampled(1, 100),
                            .on_text = [&](std::string_view) { return ++n_pieces < 3; }})
            .wait();
    EXPECT_EQ(n_pieces, 3);
    EXPECT_EQ(result.finish_reason, FinishReason::Cancelled);
    expect_pages_back(engine);
}

TEST_F(PublicEngine, AStopStringEndsTheTextBeforeIt) {
    Engine engine(load());
    GenerateOptions options = sampled(1, 60);
    const std::string whole = engine.submit("abc", {.generate = options}).wait().text;
    ASSERT_GT(whole.size(), 10u);
    options.stops = {whole.substr(5, 4)};
    Request request = engine.submit("abc", {.generate = options});
    EXPECT_EQ(read_all(request), whole.substr(0, whole.find(options.stops[0])));
    EXPECT_EQ(request.wait().finish_reason, FinishReason::Stop);
}

TEST_F(PublicEngine, CancellingGivesThePagesBackAndTheOthersGoOn) {
    const GenerateOptions other = sampled(3);
    const std::string expected = Session(load()).generate("other", other).text;
    Engine engine(load({.sequences = 2}));
    Request running = engine.submit("one", {.generate = sampled(1, -1)});
    Request kept = engine.submit("other", {.generate = other});
    Request waiting = engine.submit("two", {.generate = sampled(2, -1)});
    ASSERT_TRUE(running.next());
    running.cancel();
    waiting.cancel();
    waiting.cancel();
    EXPECT_EQ(waiting.wait().finish_reason, FinishReason::Cancelled);
    const GenerateResult cut = running.wait();
    EXPECT_EQ(cut.finish_reason, FinishReason::Cancelled);
    EXPECT_FALSE(cut.ids.empty());
    EXPECT_EQ(kept.wait().text, expected);
    expect_pages_back(engine);
    running.cancel();  // has ended
    EXPECT_EQ(engine.submit("other", {.generate = other}).wait().text, expected);
}

TEST_F(PublicEngine, AHandleThatGoesCancelsAndSilencesItsRequest) {
    Engine engine(load());
    std::atomic<int> n_calls = 0;
    {
        std::promise<void> first;
        Request request =
            engine.submit("abc", {.generate = sampled(1, -1), .on_text = [&](std::string_view) {
                                      if (++n_calls == 1) first.set_value();
                                      return true;
                                  }});
        first.get_future().wait();
    }
    const int n_then = n_calls;
    expect_pages_back(engine);
    engine.submit("abc", {.generate = sampled(1)}).wait();
    EXPECT_EQ(n_calls, n_then);
    // Another one takes its place, too.
    Request request = engine.submit("abc", {.generate = sampled(1, -1)});
    request = engine.submit("b", {.generate = sampled(1, 5)});
    EXPECT_EQ(request.wait().ids.size(), 5u);
    expect_pages_back(engine);
}

TEST_F(PublicEngine, AnEngineThatGoesEndsWhatRuns) {
    std::optional<Request> request;
    {
        Engine engine(load());
        request = engine.submit("abc", {.generate = sampled(1, -1)});
        ASSERT_TRUE(request->next());
    }
    EXPECT_TRUE(request->has_ended());
    EXPECT_EQ(request->wait().finish_reason, FinishReason::Cancelled);
    request->cancel();
}

TEST_F(PublicEngine, WhatACallbackThrowsEndsItsRequestAlone) {
    Engine engine(load());
    const std::string expected = engine.submit("other", {.generate = sampled(2)}).wait().text;
    int n_ends = 0;
    Request thrower = engine.submit("abc", {.generate = sampled(1),
                                            .on_text = [](std::string_view) -> bool {
                                                throw std::out_of_range("no more paper");
                                            },
                                            .on_end =
                                                [&] {
                                                    ++n_ends;
                                                    throw std::runtime_error("nor ink");
                                                }});
    Request other = engine.submit("other", {.generate = sampled(2)});
    EXPECT_THROW(thrower.wait(), std::out_of_range);
    EXPECT_THROW(thrower.next(), std::out_of_range);
    EXPECT_EQ(other.wait().text, expected);
    EXPECT_EQ(n_ends, 1);
    expect_pages_back(engine);
}

TEST_F(PublicEngine, AnOverflowIsTheRequestsErrorAndTheEngineServesOn) {
    test::TinyModel tiny = test::make_tiny_model({});
    test::StoredTensor& head = tiny.tensors.at("lm_head.weight");
    const std::vector<float> huge(test::values_of(head).size(), 3e38f);
    head = test::make_stored_tensor(head.dtype, head.shape, huge);
    test::write_model(tiny, dir_ / "huge");
    Engine engine(Model::load(dir_ / "huge", {.threads = 1}));
    for (int i = 0; i < 2; ++i) {
        Request request = engine.submit("abc", {.generate = sampled(1)});
        EXPECT_EQ(code_of_refusal([&] { request.wait(); }), ErrorCode::Numeric);
        EXPECT_EQ(code_of_refusal([&] { request.next(); }), ErrorCode::Numeric);
    }
    expect_pages_back(engine);
}

TEST_F(PublicEngine, CallbacksSubmitAndCancelButDoNotWait) {
    Engine engine(load());
    std::optional<Request> inner;
    std::promise<void> has_inner;
    std::optional<ErrorCode> refusal;
    Request outer =
        engine.submit("abc", {.generate = sampled(1, 20), .on_text = [&](std::string_view) {
                                  if (inner) return true;
                                  inner = engine.submit("def", {.generate = sampled(2, 5)});
                                  refusal = code_of_refusal([&] { inner->wait(); });
                                  EXPECT_GT(engine.load().running + engine.load().waiting, 0);
                                  has_inner.set_value();
                                  return true;
                              }});
    has_inner.get_future().wait();
    EXPECT_EQ(refusal, ErrorCode::Usage);
    EXPECT_EQ(outer.wait().ids.size(), 20u);
    EXPECT_EQ(inner->wait().ids.size(), 5u);
}

TEST_F(PublicEngine, ManyThreadsSubmitBesideSessionsAndEachGetsItsOwnText) {
    constexpr int kTexts = 6, kThreads = 6, kEach = 8;
    std::vector<std::string> expected;
    for (int i = 0; i < kTexts; ++i) {
        expected.push_back(
            Session(load()).generate(prompt(i), sampled(static_cast<uint64_t>(i), 70)).text);
    }
    const Model model = load({.sequences = 4, .cache_tokens = 320, .overcommit_cache = true});
    Engine first(model), second(model);
    std::atomic<int> n_right = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            Session session(model);
            for (int k = 0; k < kEach; ++k) {
                const int i = (t + k) % kTexts;
                const GenerateOptions options = sampled(static_cast<uint64_t>(i), 70);
                std::string text;
                if (t % 3 == 0) {
                    text = session.generate(prompt(i), options).text;
                } else {
                    Request request =
                        (t % 3 == 1 ? first : second).submit(prompt(i), {.generate = options});
                    text = k % 2 == 0 ? read_all(request) : request.wait().text;
                }
                n_right += text == expected[static_cast<size_t>(i)] ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_right, kThreads * kEach);
    expect_pages_back(first);
}

TEST_F(PublicEngine, ARequestWaitsForASessionsPagesAndASessionForARequests) {
    const Model model = load({.context = 128, .sequences = 2, .cache_tokens = 128});
    Engine engine(model);
    Session session(model);
    const std::string expected = session.generate("abc", sampled(1, 100)).text;
    Request request = engine.submit("abc", {.generate = sampled(1, 100)});
    EXPECT_EQ(session.generate("abc", sampled(1, 100)).text, expected);
    EXPECT_EQ(request.wait().text, expected);
    std::optional<Request> late;
    const GenerateResult result = session.generate("abc", sampled(1, 100), [&](std::string_view) {
        if (!late) late = engine.submit("abc", {.generate = sampled(1, 100)});
        return true;
    });
    EXPECT_EQ(result.text, expected);
    EXPECT_EQ(late->wait().text, expected);
}

TEST_F(PublicEngine, RefusesWhatCannotBeAndServesOn) {
    Engine engine(load({.context = 128}));
    const auto refused = [&](const std::string& prompt, const RequestOptions& options) {
        return code_of_refusal([&] { engine.submit(prompt, options); });
    };
    EXPECT_EQ(refused("abc", {.generate = {.max_tokens = -2}}), ErrorCode::Usage);
    EXPECT_EQ(refused("abc", {.generate = {.temperature = -1.0f}}), ErrorCode::Usage);
    EXPECT_EQ(refused("abc", {.priority = 9}), ErrorCode::Usage);
    EXPECT_EQ(refused("abc", {.priority = -1}), ErrorCode::Usage);
    EXPECT_EQ(refused(std::string(200, 'a'), {}), ErrorCode::Usage);
    EXPECT_EQ(code_of_refusal([&] { engine.submit(std::vector<int32_t>{}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of_refusal([&] { engine.submit(std::vector<int32_t>{272}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of_refusal([&] { load({.context = 128, .cache_tokens = 127}); }),
              ErrorCode::Usage);
    EXPECT_EQ(code_of_refusal([&] { load({.sequences = 2, .cache_tokens = 513}); }),
              ErrorCode::Usage);
    EXPECT_EQ(engine.submit("abc", {.generate = sampled(1, 3)}).wait().ids.size(), 3u);
    expect_pages_back(engine);
}

TEST_F(PublicEngine, ChatsByTheFoldersTemplate) {
    test::TinyModel tiny = test::make_tiny_model({});
    tiny.text_files["chat_template.jinja"] =
        "{{ mood }}{% if tools %}{{ tools[0].name }}{% endif %}{% for m in messages %}{{ m.role }}:"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}";
    test::write_model(tiny, dir_ / "chat");
    const Model model = Model::load(dir_ / "chat", {.threads = 1});
    const std::vector<ChatMessage> messages = {{"user", "hi"}};
    const auto text = [&](const ChatOptions& options) {
        return model.tokenizer().decode(model.chat_prompt(messages, options));
    };
    EXPECT_EQ(text({}), "user:hi>");
    EXPECT_EQ(text({.begins_answer = false}), "user:hi");
    EXPECT_EQ(text({.tools = R"([{"name": "clock"}])", .variables = R"({"mood": "calm"})"}),
              "calmclockuser:hi>");
    for (const char* tools : {"{}", "[", "1"}) {
        EXPECT_EQ(code_of_refusal([&] { text({.tools = tools}); }), ErrorCode::Usage) << tools;
    }
    for (const char* variables : {"[]", "{", R"({"messages": 1})", R"({"a": [1]})"}) {
        EXPECT_EQ(code_of_refusal([&] { text({.variables = variables}); }), ErrorCode::Usage)
            << variables;
    }
    Engine engine(model);
    EXPECT_EQ(engine.submit(model.chat_prompt(messages), {.generate = {.max_tokens = 3}})
                  .wait()
                  .prompt_tokens,
              std::ssize(model.chat_prompt(messages)));
}

}  // namespace
}  // namespace quarot
