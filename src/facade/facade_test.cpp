// The installed library as a program outside sees it: the public headers and nothing else. The
// model folder is made by the test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <thread>

#include "quarot/quarot.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot {
namespace {

class Facade : public testing::Test {
  protected:
    Facade() {
        test::write_tiny_model(source_);
        set_log([](LogLevel, const std::string&) {});
    }
    ~Facade() override { set_log({}); }

    QuantizeOptions rtn() const {
        QuantizeOptions options;
        options.recipe = "quarot-rtn";
        options.threads = 2;
        return options;
    }

    test::TempDir dir_;
    std::string source_ = dir_.path() + "/model";
    std::string out_ = dir_.path() + "/out";
};

template <typename Call>
ErrorCode code_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        EXPECT_STRNE(error.what(), "");
        return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::Internal;
}

template <typename Call>
std::string message_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
}

TEST_F(Facade, QuantizesLoadsAndGenerates) {
    const QuantizeSummary summary = quantize_folder(source_, out_, rtn());
    EXPECT_EQ(summary.recipe, "quarot-rtn");
    EXPECT_GT(summary.bits_per_weight, 4.0);
    EXPECT_LT(summary.bits_per_weight, 8.0);

    const Model model = Model::load(out_, {.threads = 2});
    EXPECT_EQ(model.recipe(), "quarot-rtn");
    EXPECT_EQ(model.vocabulary_size(), 272);
    EXPECT_EQ(model.context(), 256);
    Session session(model);
    std::string pieces;
    const GenerateResult result =
        session.generate("abc", {.max_tokens = 8}, [&](std::string_view piece) {
            pieces += piece;
            return true;
        });
    EXPECT_EQ(result.text, pieces);
    EXPECT_LE(result.ids.size(), 8u);
    EXPECT_EQ(result.text, model.tokenizer().decode(result.ids));
}

TEST_F(Facade, CalibratesOnTheTextThatIsGiven) {
    QuantizeOptions options;
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);
    for (int i = 0; i < 200; ++i) options.calibration_text += "some words to look at. ";
    options.calibration_windows = 2;
    options.window_tokens = 32;
    EXPECT_EQ(quantize_folder(source_, out_, options).recipe, "quarot");
}

TEST_F(Facade, NamesChangedSettingsCustom) {
    QuantizeOptions options = rtn();
    options.weight_bits = 5;
    EXPECT_EQ(quantize_folder(source_, out_, options).recipe, "custom");
}

TEST_F(Facade, MessagesNameOptionsAndKeys) {
    QuantizeOptions options = rtn();
    options.weight_bits = 9;
    const auto says = [&](const std::string& words) {
        return message_of([&] { quantize_folder(source_, out_, options); }).find(words) !=
               std::string::npos;
    };
    EXPECT_TRUE(says("`weights.bits` is 9"));
    options = rtn();
    options.method = "gptq";
    EXPECT_TRUE(says("give one with `calibration_text`, or use `weights.method` rtn"));
}

TEST_F(Facade, ProgressIsToldAndCanEndTheCall) {
    int64_t last = 0;
    quantize_folder(source_, out_, rtn(), [&](const ProgressEvent& event) {
        EXPECT_LE(event.done, event.total);
        last = std::max(last, event.done);
        return true;
    });
    EXPECT_GT(last, 1);
    const std::string other = dir_.path() + "/other";
    EXPECT_EQ(code_of([&] {
                  quantize_folder(source_, other, rtn(),
                                  [](const ProgressEvent& event) { return event.done < 2; });
              }),
              ErrorCode::Interrupted);
    EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_F(Facade, ACallbackEndsTheText) {
    Session session(Model::load(source_, {.threads = 1}));
    int n_pieces = 0;
    const GenerateResult result =
        session.generate("abc", {.temperature = 1.0f, .ignore_end_tokens = true},
                         [&](std::string_view) { return ++n_pieces < 3; });
    EXPECT_EQ(n_pieces, 3);
    EXPECT_EQ(result.finish_reason, FinishReason::Cancelled);
}

TEST_F(Facade, AStopStringEndsTheTextBeforeIt) {
    Session session(Model::load(source_, {.threads = 1}));
    GenerateOptions options = {.max_tokens = 40, .temperature = 1.0f, .ignore_end_tokens = true};
    const std::string whole = session.generate("abc", options).text;
    ASSERT_GT(whole.size(), 10u);
    const std::string stop = whole.substr(5, 4);
    options.stops = {stop};
    const GenerateResult result = session.generate("abc", options);
    EXPECT_EQ(result.text, whole.substr(0, whole.find(stop)));
    EXPECT_EQ(result.finish_reason, FinishReason::Stop);
}

TEST_F(Facade, AFullContextIsAReasonOfItsOwn) {
    Session session(Model::load(source_, {.threads = 1, .context = 20}));
    const std::vector<int32_t> prompt = {1, 2, 3};
    const auto reason = [&](int64_t max_tokens) {
        return session.generate(prompt, {.max_tokens = max_tokens, .ignore_end_tokens = true})
            .finish_reason;
    };
    EXPECT_EQ(reason(-1), FinishReason::Context);
    EXPECT_EQ(reason(18), FinishReason::Context);
    EXPECT_EQ(reason(17), FinishReason::Length);
    EXPECT_EQ(reason(0), FinishReason::Length);
}

TEST_F(Facade, SessionsOfOneModelOnManyThreadsGetTheBitsOfOneAlone) {
    const Model model = Model::load(source_, {.threads = 2});
    const GenerateOptions options = {
        .max_tokens = 30, .temperature = 1.0f, .seed = 5, .ignore_end_tokens = true};
    const std::vector<int32_t> expected = Session(model).generate("abc", options).ids;
    std::vector<std::vector<int32_t>> found(3);
    std::vector<std::thread> threads;
    for (auto& ids : found) {
        threads.emplace_back([&] { ids = Session(model).generate("abc", options).ids; });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& ids : found) EXPECT_EQ(ids, expected);
}

TEST_F(Facade, LogitsAndPerplexityAgree) {
    Session session(Model::load(source_, {.threads = 1}));
    const std::vector<int32_t> tokens = {5, 6, 7};
    double nll = 0.0;
    for (size_t n = 1; n < tokens.size(); ++n) {
        const auto logits = session.next_logits({tokens.data(), n});
        ASSERT_EQ(logits.size(), 272u);
        double sum = 0.0;
        for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
        nll += std::log(sum) - static_cast<double>(logits[static_cast<size_t>(tokens[n])]);
    }
    EXPECT_NEAR(session.perplexity(tokens, 3), std::exp(nll / 2), 1e-3);
}

TEST_F(Facade, LogitsOfAllPositionsEndWithTheNextOnes) {
    quantize_folder(source_, out_, rtn());
    test::write_tiny_model(dir_.path() + "/long", {.max_positions = 600});
    for (const std::string& folder : {out_, dir_.path() + "/long"}) {
        Session session(Model::load(folder, {.threads = 2}));
        std::vector<int32_t> tokens;  // more than one step, and more than are in memory at once
        for (int i = 0; i < (folder == out_ ? 200 : 600); ++i) tokens.push_back(i * 7 % 256);
        const std::vector<float> all = session.logits(tokens);
        ASSERT_EQ(all.size(), tokens.size() * 272);
        for (const size_t n : {size_t{1}, size_t{150}, tokens.size()}) {
            const std::vector<float> next = session.next_logits({tokens.data(), n});
            for (size_t i = 0; i < 272; ++i) {
                ASSERT_NEAR(all[(n - 1) * 272 + i], next[i], folder == out_ ? 0.0 : 1e-4) << n;
            }
        }
    }
}

TEST_F(Facade, LoglikelihoodsAreSumsOverTheLogitsOfTheContinuation) {
    Session session(Model::load(source_, {.threads = 1}));
    const std::vector<int32_t> context = {256, 7, 9}, tokens = {20, 21, 22};
    std::vector<int32_t> whole = context;
    whole.insert(whole.end(), tokens.begin(), tokens.end());
    const std::vector<float> logits = session.logits(whole);
    double sum = 0.0;
    for (size_t i = 0; i < tokens.size(); ++i) {
        const auto row = std::span(logits).subspan((context.size() + i - 1) * 272, 272);
        double normalizer = 0.0;
        for (const float logit : row) normalizer += std::exp(double{logit});
        sum += double{row[static_cast<size_t>(tokens[i])]} - std::log(normalizer);
    }
    const auto best = std::max_element(logits.begin() + 2 * 272, logits.begin() + 3 * 272);
    const auto likeliest = static_cast<int32_t>(best - (logits.begin() + 2 * 272));
    const std::vector<TokenContinuation> continuations = {{context, tokens},
                                                          {context, {likeliest}}};
    const std::vector<Likelihood> found = session.loglikelihood(continuations);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_NEAR(found[0].loglikelihood, sum, 1e-4);
    EXPECT_FALSE(found[0].is_greedy);
    EXPECT_TRUE(found[1].is_greedy);
    EXPECT_GT(found[1].loglikelihood, found[0].loglikelihood);
    EXPECT_FALSE(found[0].is_cut);
}

TEST_F(Facade, LoglikelihoodsOfTextsAreThoseOfTheirTokens) {
    const Model model = Model::load(source_, {.threads = 1, .context = 16});
    Session session(model);
    const auto encode = [&](std::string_view text) { return model.tokenizer().encode(text); };
    const std::vector<Continuation> texts = {{"a long context that is cut", " end"}, {"ab ", "cd"}};
    std::vector<int32_t> tail = encode("ab cd");
    tail.erase(tail.begin(), tail.begin() + std::ssize(encode("ab")));
    const std::vector<TokenContinuation> tokens = {
        {encode("a long context that is cut"), encode(" end")}, {encode("ab"), tail}};
    const auto found = session.loglikelihood(texts);
    const auto expected = session.loglikelihood(tokens);
    EXPECT_DOUBLE_EQ(found[0].loglikelihood, expected[0].loglikelihood);
    EXPECT_TRUE(found[0].is_cut);
    EXPECT_DOUBLE_EQ(found[1].loglikelihood, expected[1].loglikelihood) << "the space moved";
    EXPECT_FALSE(found[1].is_cut);
    const std::vector<Continuation> unheralded = {{"", "x"}};
    EXPECT_EQ(code_of([&] { session.loglikelihood(unheralded); }), ErrorCode::Unsupported)
        << "no token begins or ends texts";
    const std::vector<Continuation> nothing = {{"ab", ""}}, endless = {{"a", std::string(40, 'b')}};
    EXPECT_EQ(code_of([&] { session.loglikelihood(nothing); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { session.loglikelihood(endless); }), ErrorCode::Usage);
    const std::vector<TokenContinuation> outside = {{{1}, {272}}};
    EXPECT_EQ(code_of([&] { session.loglikelihood(outside); }), ErrorCode::Usage);
    EXPECT_TRUE(session.loglikelihood(std::span<const Continuation>()).empty());
}

TEST_F(Facade, AFolderRunsWithOtherActivationsAndCacheThanItWasMadeWith) {
    quantize_folder(source_, out_, rtn());
    const std::vector<int32_t> tokens = {5, 6, 7, 8};
    const auto logits = [&](const LoadOptions& options) {
        return Session(Model::load(out_, options)).next_logits(tokens);
    };
    const auto as_made = logits({.threads = 1});
    EXPECT_EQ(logits({.threads = 1, .sequences = 1}), as_made);
    EXPECT_EQ(logits({.threads = 1, .activation_bits = 4, .kv_bits = 4}), as_made);
    EXPECT_NE(logits({.threads = 1, .activation_bits = 16}), as_made);
    EXPECT_NE(logits({.threads = 1, .kv_bits = 16}), as_made);
    EXPECT_NE(logits({.threads = 1, .activation_clip = 0.5f}), as_made);
    EXPECT_NE(logits({.threads = 1, .kv_clip = 0.5f}), as_made);
    EXPECT_EQ(code_of([&] { logits({.kv_bits = 1}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { logits({.sequences = 0}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { logits({.sequences = 513}); }), ErrorCode::Usage);
}

TEST_F(Facade, StreamsWhatItDecodesAtOnce) {
    const Tokenizer tokenizer = Tokenizer::load(source_);
    const std::vector<int32_t> ids = tokenizer.encode("caf\xc3\xa9 \xe2\x82\xac");
    StreamDecoder decoder(tokenizer);
    std::string text;
    for (const int32_t id : ids) text += decoder.put(id);
    EXPECT_EQ(text + decoder.finish(), tokenizer.decode(ids));
}

// Windows go through the model in pieces of 512: the target of a piece's last row is in the next.
TEST_F(Facade, AnIdOutsideTheVocabularyIsRefusedBeforeAnythingRuns) {
    test::write_tiny_model(out_, {.max_positions = 600});
    Session session(Model::load(out_, {.threads = 1}));
    for (const size_t place : {size_t{0}, size_t{511}, size_t{512}, size_t{599}}) {
        for (const int32_t id : {-1, 272, 1000000000}) {
            SCOPED_TRACE(testing::Message() << "id " << id << " at " << place);
            std::vector<int32_t> tokens(600, 1);
            tokens[place] = id;
            EXPECT_EQ(code_of([&] { session.perplexity(tokens, 600); }), ErrorCode::Usage);
            EXPECT_EQ(code_of([&] { session.next_logits(tokens); }), ErrorCode::Usage);
            tokens.pop_back();
            tokens.back() = id;
            const auto never = [](std::string_view) -> bool {
                ADD_FAILURE() << "text came";
                return false;
            };
            EXPECT_EQ(code_of([&] { session.generate(tokens, {}, never); }), ErrorCode::Usage);
        }
    }
}

TEST_F(Facade, EveryCallOnASessionCanBeCancelled) {
    Session session(Model::load(source_, {.threads = 1}));
    const std::vector<int32_t> tokens(40, 1);
    const ProgressCallback no = [](const ProgressEvent&) { return false; };
    EXPECT_EQ(code_of([&] { session.next_logits(tokens, no); }), ErrorCode::Interrupted);
    EXPECT_EQ(code_of([&] { session.perplexity(tokens, 20, no); }), ErrorCode::Interrupted);
    EXPECT_EQ(code_of([&] { session.logits(tokens, no); }), ErrorCode::Interrupted);
    const std::vector<Continuation> texts = {{"a", "b"}};
    EXPECT_EQ(code_of([&] { session.loglikelihood(texts, SpecialTokens::Add, no); }),
              ErrorCode::Interrupted);
    const GenerateResult nothing = session.generate(tokens, {.max_tokens = 5}, {}, no);
    EXPECT_EQ(nothing.finish_reason, FinishReason::Cancelled) << "while the prompt is read";
    EXPECT_TRUE(nothing.ids.empty());
    int asked = 0;
    const GenerateResult some =
        session.generate(tokens, {.max_tokens = 50, .ignore_end_tokens = true}, {},
                         [&](const ProgressEvent&) { return ++asked < 10; });
    EXPECT_EQ(some.finish_reason, FinishReason::Cancelled);
    EXPECT_GT(some.ids.size(), 0u);
    EXPECT_LT(some.ids.size(), 10u);
    EXPECT_EQ(session.next_logits(tokens).size(), 272u) << "the session serves on";
}

TEST_F(Facade, ChatsAsTheProgramDoes) {
    const Model plain = Model::load(source_, {.threads = 1});
    const std::vector<ChatMessage> messages = {{"system", "Be brief."}, {"user", "a</s>b"}};
    EXPECT_FALSE(plain.has_chat_template());
    EXPECT_EQ(code_of([&] { plain.chat_prompt(messages); }), ErrorCode::Unsupported);

    test::TinyModel tiny = test::make_tiny_model({});
    tiny.config.set("eos_token_id", int64_t{257});
    tiny.text_files["chat_template.jinja"] =
        "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}{% endfor %}";
    tiny.text_files["generation_config.json"] = R"({"do_sample": true, "top_k": 7})";
    test::write_model(tiny, out_);
    const Model model = Model::load(out_, {.threads = 1});
    EXPECT_TRUE(model.has_chat_template());
    EXPECT_EQ(model.special_ids().ends, std::vector<int32_t>{257});
    const std::vector<int32_t> ids = model.chat_prompt(messages);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 256), 2) << "written by the template";
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 257), 0) << "what users type stays text";
    const GenerateOptions options = suggested_options(model);
    EXPECT_EQ(options.top_k, 7);
    EXPECT_EQ(options.temperature, 1.0f);
    EXPECT_EQ(suggested_options(plain).temperature, 0.0f);
    EXPECT_FALSE(Session(model).generate(ids, {.max_tokens = 3}).ids.empty());
}

TEST_F(Facade, AnErrorNamesTheSettingAtFault) {
    QuantizeOptions options = rtn();
    const auto setting_of_error = [&] {
        try {
            quantize_folder(source_, out_, options);
        } catch (const Error& error) {
            return error.setting();
        }
        return std::string("no error");
    };
    options.weight_bits = 9;
    EXPECT_EQ(setting_of_error(), "weights.bits");
    options.weight_bits = 4;
    options.group_size = 7;
    EXPECT_EQ(setting_of_error(), "weights.group_size") << "a problem of the job";
    options = rtn();
    EXPECT_EQ(setting_of_error(), "no error");
    EXPECT_EQ(setting_of_error(), "overwrite") << "the folder is there";
}

TEST_F(Facade, QuantizingTakesRotationDtypeAndClips) {
    test::write_tiny_model(dir_.path() + "/half", {.dtype = DType::BF16});
    QuantizeOptions options = rtn();
    options.rotation = "none";
    EXPECT_EQ(quantize_folder(source_, out_, options).recipe, "rtn") << "its settings";
    options = rtn();
    options.overwrite = true;
    options.dtype = "f16";
    EXPECT_EQ(quantize_folder(dir_.path() + "/half", out_, options).recipe, "quarot-rtn");
    options.activation_clip = 0.5f;
    EXPECT_EQ(quantize_folder(source_, out_, options).recipe, "custom");
    options.rotation = "sideways";
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);
    options = rtn();
    options.dtype = "f8";
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);
    options = rtn();
    options.kv_clip = 1.5f;
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);
}

TEST_F(Facade, QuantizingTakesAnR1FromAFile) {
    const int hidden = static_cast<int>(test::TinyModelOptions{}.hidden);
    std::vector<float> identity(static_cast<size_t>(hidden) * hidden);
    for (int i = 0; i < hidden; ++i) identity[static_cast<size_t>(i) * (hidden + 1)] = 1.0f;
    const auto bytes = std::as_bytes(std::span(identity));
    const std::string order = std::to_string(hidden);
    std::string header = R"({"R1":{"dtype":"F32","shape":[)" + order + "," + order +
                         R"(],"data_offsets":[0,)" + std::to_string(bytes.size()) + "]}}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    QuantizeOptions options = rtn();
    options.r1_file = dir_.path() + "/r1.safetensors";
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::NotFound);
    std::ofstream(options.r1_file, std::ios::binary)
        .write(reinterpret_cast<const char*>(&length), sizeof length)
        .write(header.data(), static_cast<std::streamsize>(header.size()))
        .write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
    EXPECT_EQ(quantize_folder(source_, out_, options).recipe, "custom");
    options.overwrite = true;
    options.rotation = "r2";
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage)
        << "no R1 is left";
}

TEST_F(Facade, TheHeadersVersionIsTheLibrarys) {
    EXPECT_EQ(version(), std::to_string(QUAROT_VERSION_MAJOR) + "." +
                             std::to_string(QUAROT_VERSION_MINOR) + "." +
                             std::to_string(QUAROT_VERSION_PATCH));
}

TEST_F(Facade, ACallWithinACallIsRefusedAndTheOuterOneGoesOn) {
    Session session(Model::load(source_, {.threads = 1}));
    const GenerateOptions options = {.max_tokens = 20, .temperature = 1.0f, .seed = 3};
    const GenerateResult alone = session.generate("abc", options);
    const std::vector<int32_t> tokens = {1, 2};
    int n_refused = 0;
    const GenerateResult result = session.generate("abc", options, [&](std::string_view) {
        EXPECT_EQ(code_of([&] { session.generate("abc"); }), ErrorCode::Usage);
        EXPECT_EQ(code_of([&] { session.next_logits(tokens); }), ErrorCode::Usage);
        EXPECT_EQ(code_of([&] { session.perplexity(tokens, 2); }), ErrorCode::Usage);
        ++n_refused;
        return true;
    });
    EXPECT_GT(n_refused, 0);
    EXPECT_EQ(result.ids, alone.ids);
    EXPECT_NO_THROW(session.next_logits(tokens));
}

TEST_F(Facade, WrongArgumentsAreErrorsNotCrashes) {
    EXPECT_EQ(code_of([&] { Model::load(dir_.path() + "/absent"); }), ErrorCode::NotFound);
    EXPECT_EQ(code_of([&] { Model::load(source_, {.threads = -1}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { Model::load(source_, {.context = 257}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { Model::load(source_, {.context = -3}); }), ErrorCode::Usage);
    QuantizeOptions options = rtn();
    options.weight_bits = 77;
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);
    options = rtn();
    options.recipe = "nothing-like-it";
    EXPECT_EQ(code_of([&] { quantize_folder(source_, out_, options); }), ErrorCode::Usage);

    Session session(Model::load(source_, {.threads = 1}));
    EXPECT_EQ(code_of([&] { session.next_logits({}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { session.perplexity({}, 1); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { session.generate("abc", {.max_tokens = -2}); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { session.generate("abc", {.temperature = -1.0f}); }), ErrorCode::Usage);
    const std::vector<int32_t> outside = {272};
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(code_of([&] { session.next_logits(outside); }), ErrorCode::Usage);
    }
    EXPECT_EQ(session.next_logits(std::vector<int32_t>{1}).size(), 272u);
    const std::vector<int32_t> too_long(257, 1);
    EXPECT_EQ(code_of([&] { session.generate(too_long); }), ErrorCode::Usage);
}

}  // namespace
}  // namespace quarot
