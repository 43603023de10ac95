// quarot chat: turns, what is typed between them, and a signal that ends an answer alone.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class ConversationTest : public testing::Test {
  protected:
    void SetUp() override {
        TinyModelOptions options;
        options.max_positions = 4096;
        TinyModel model = make_tiny_model(options);
        model.text_files["chat_template.jinja"] =
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}>";
        write_model(model, model_);
    }
    Outcome chat(const std::string& typed, const std::vector<std::string>& more = {},
                 RunOptions options = {}) const {
        write_bytes(dir_ / "typed", typed);
        options.stdin_path = dir_ / "typed";
        std::vector<std::string> arguments = {"chat", model_};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_program(arguments, options);
    }
    // Of this conversation as JSON, which `quarot generate` knows nothing of.
    std::string answer_to(const std::string& messages) const {
        write_bytes(dir_ / "messages.json", messages);
        const Outcome outcome = run_program(
            {"chat", model_, "--messages", dir_ / "messages.json", "-n", "6", "--json"});
        expect_success(outcome);
        return outcome.json().at("text").as_string();
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
};

TEST_F(ConversationTest, RanksGiveTheSameAnswer) {
    const std::string quantized = dir_ / "quantized";
    expect_success(
        run_program({"quantize", model_, quantized, "--recipe", "quarot-rtn", "--tp-max", "2"}));
    write_bytes(dir_ / "messages.json", R"([{"role":"user","content":"one"}])");
    const auto talk = [&](const std::string& ranks) {
        return run_program({"chat", quantized, "--messages", dir_ / "messages.json", "-n", "20",
                            "--seed", "3", "--temp", "1", "--tp", ranks});
    };
    const Outcome one = talk("1"), two = talk("2");
    expect_success(one);
    expect_success(two);
    EXPECT_EQ(two.out, one.out);
    EXPECT_NE(two.err.find("2 ranks"), std::string::npos) << two.err;
}

TEST_F(ConversationTest, StretchedPositionsReachFurther) {
    EXPECT_EQ(chat("one\n", {"-n", "2", "--ctx", "8192"}).exit_code, 2);
    expect_success(chat("one\n", {"-n", "2", "--ctx", "8192", "--rope-scaling",
                                  R"({"type": "yarn", "factor": 4.0})"}));
}

TEST_F(ConversationTest, EachTurnIsAnsweredWithAllBeforeIt) {
    const std::string first = answer_to(R"([{"role":"user","content":"one"}])");
    const Outcome generated =
        run_program({"generate", model_, "--chat", "-p", "one", "-n", "6", "--json"});
    EXPECT_EQ(generated.json().at("text").as_string(), first);
    const io::Json two =
        io::Json::Array{io::Json::Object{{"role", "user"}, {"content", "one"}},
                        io::Json::Object{{"role", "assistant"}, {"content", first}},
                        io::Json::Object{{"role", "user"}, {"content", "two"}}};
    const std::string second = answer_to(two.dump());
    const Outcome talk = chat("one\n\ntwo\n/reset\none", {"-n", "6"});
    expect_success(talk);
    EXPECT_EQ(talk.out, first + "\n" + second + "\n" + first + "\n");
}

TEST_F(ConversationTest, TheSystemMessageMayChangeBetweenTurns) {
    const std::string expected =
        answer_to(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"one"}])");
    EXPECT_EQ(chat("one\n", {"-n", "6", "--system", "Be brief."}).out, expected + "\n");
    EXPECT_EQ(chat("/system Be brief.\none\n", {"-n", "6"}).out, expected + "\n");
    EXPECT_EQ(chat("/reset\none\n", {"-n", "6", "--system", "Be brief."}).out, expected + "\n");
}

TEST_F(ConversationTest, WhatIsNotKnownOrTooLongKeepsTheConversation) {
    const std::string expected = answer_to(R"([{"role":"user","content":"one"}])");
    const Outcome talk = chat("/what\n" + std::string(5000, 'a') + "\none\n", {"-n", "6"});
    expect_success(talk);
    EXPECT_EQ(talk.out, expected + "\n");
    EXPECT_NE(talk.err.find("/what is not known here"), std::string::npos) << talk.err;
    EXPECT_NE(talk.err.find("leaves no room"), std::string::npos) << talk.err;
}

TEST_F(ConversationTest, CtrlCEndsAnAnswerAndTheNextTurnIsAnswered) {
    const std::string out = dir_ / "out";
    write_bytes(out, "");
    RunOptions options;
    options.stdout_path = out;
    options.stop =
        Stop{.signal = SIGINT, .is_due = [&] { return std::filesystem::file_size(out) > 100; }};
    write_bytes(model_ + "/generation_config.json", R"({"temperature": 1.0})");
    const Outcome talk = chat("one\n/reset\ntwo\n", {"-n", "3500"}, options);
    expect_success(talk);
}

TEST_F(ConversationTest, SaysWhatIsMissing) {
    EXPECT_EQ(chat("one\n", {"--json"}).exit_code, 2);
    EXPECT_EQ(chat("one\n", {"--messages", dir_ / "none"}).exit_code, 3);
    write_bytes(dir_ / "bad.json", R"([{"role":"user"}])");
    EXPECT_EQ(chat("one\n", {"--messages", dir_ / "bad.json"}).exit_code, 5);
    write_bytes(dir_ / "empty.json", "[]");
    EXPECT_EQ(chat("one\n", {"--messages", dir_ / "empty.json"}).exit_code, 2);
    std::filesystem::remove(model_ + "/chat_template.jinja");
    EXPECT_EQ(chat("one\n").exit_code, 4);
}

}  // namespace
}  // namespace quarot::test
