// quarot generate --chat: the template's prompt, and the sampling that the model's maker proposes.
#include <gtest/gtest.h>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kTemplate =
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}";

class Chat : public testing::Test {
  protected:
    void SetUp() override {
        TinyModel model = make_tiny_model({});
        model.text_files["chat_template.jinja"] = kTemplate;
        const io::Json config = io::Json::Object{{"bos_token", "<s>"}, {"eos_token", "</s>"}};
        model.text_files["tokenizer_config.json"] = config.dump();
        write_model(model, model_);
    }

    void set_generation_config(const std::string& text) const {
        write_bytes(model_ + "/generation_config.json", text);
    }
    Outcome run(const Words& flags) const {
        Words arguments = {"generate", model_, "-n", "3", "--ignore-eos", "--json"};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        return run_program(arguments);
    }
    io::Json json(const Words& flags) const {
        const Outcome outcome = run(flags);
        expect_success(outcome);
        return outcome.json();
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
};

// The ids of text in which each byte is a token, and "\x01" stands for </s>.
std::string ids_of(const std::string& text) {
    io::Json::Array ids;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        ids.emplace_back(byte == 1 ? 257 : static_cast<int>(byte));
    }
    return io::Json(ids).dump(-1);
}

TEST_F(Chat, EndsAtTheTokenThatTheTokenizersConfigNames) {
    write_bytes(model_ + "/chat_template.jinja", "{{ messages[0].content }}");
    const int64_t first = json({"--chat", "-p", "hi"}).at("ids").as_array().front().as_int();
    const io::Json tokenizer = io::Json::parse_file(model_ + "/tokenizer.json");
    std::string name;
    for (const auto& [token, id] : tokenizer.at("model").at("vocab").as_object()) {
        if (id.as_int() == first) name = token;
    }
    ASSERT_NE(name, "") << first;
    edit_json(model_ + "/tokenizer_config.json",
              [&](io::Json& config) { config.set("eos_token", name); });

    const auto reason_of = [&](const Words& flags) {
        Words words = {"generate", model_, "-n", "3", "-p", "hi", "--json"};
        words.insert(words.end(), flags.begin(), flags.end());
        const Outcome outcome = run_program(words);
        expect_success(outcome);
        return outcome.json().at("finish_reason").as_string();
    };
    EXPECT_EQ(reason_of({"--chat"}), "eos");
    EXPECT_EQ(reason_of({"--chat", "--ignore-eos"}), "length");
    EXPECT_EQ(reason_of({}), "length") << "a plain text is no turn";
}

TEST_F(Chat, TellsWhichValuesComeFromTheFolder) {
    set_generation_config(R"({"temperature": 0.6, "top_k": 20})");
    const Outcome outcome = run({"--chat", "-p", "hi", "-v", "--top-k", "7"});
    expect_success(outcome);
    for (const char* line :
         {"--temp is 0.6, from generation_config.json", "--top-k is 7, from the command line",
          "--top-p is 1, the default", "--repetition-penalty is 1, the default"}) {
        EXPECT_NE(outcome.err.find(line), std::string::npos) << line << "\n" << outcome.err;
    }
    EXPECT_EQ(outcome.err.find("--temp is 0,"), std::string::npos) << outcome.err;
}

TEST_F(Chat, PutsTheUsersMessageIntoTheTemplate) {
    EXPECT_EQ(json({"--chat", "-p", "hi"}).at("prompt_ids").dump(-1), ids_of("[user]hi\1>"));
    EXPECT_EQ(json({"-p", "hi"}).at("prompt_ids").dump(-1), ids_of("hi"));
}

TEST_F(Chat, PutsTheSystemMessageBeforeIt) {
    EXPECT_EQ(json({"--chat", "--system", "be", "-p", "hi"}).at("prompt_ids").dump(-1),
              ids_of("[system]be\1[user]hi\1>"));
    EXPECT_EQ(json({"--chat", "--system", "", "-p", ""}).at("prompt_ids").dump(-1),
              ids_of("[system]\1[user]\1>"));
}

TEST_F(Chat, TakesTheMessageFromAFileAsWell) {
    write_bytes(dir_ / "message", "hi");
    EXPECT_EQ(json({"--chat", "-f", dir_ / "message"}).at("prompt_ids").dump(-1),
              ids_of("[user]hi\1>"));
}

TEST_F(Chat, SpecialTokensInMessagesStayText) {
    EXPECT_EQ(json({"--chat", "--system", "<s>", "-p", "a</s>b"}).at("prompt_ids").dump(-1),
              ids_of("[system]<s>\1[user]a</s>b\1>"));
}

TEST_F(Chat, SamplesAsTheModelsMakerSays) {
    set_generation_config(
        R"({"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.01,
            "repetition_penalty": 1.1})");
    const Outcome outcome = run({"--chat", "-p", "hi"});
    expect_success(outcome);
    const io::Json sampling = outcome.json().at("sampling");
    EXPECT_EQ(sampling.at("temperature").as_double(), 0.6);
    EXPECT_EQ(sampling.at("top_p").as_double(), 0.95);
    EXPECT_EQ(sampling.at("top_k").as_int(), 20);
    EXPECT_EQ(sampling.at("min_p").as_double(), 0.01);
    EXPECT_EQ(sampling.at("repetition_penalty").as_double(), 1.1);
    EXPECT_NE(outcome.err.find("temperature 0.6, top-k 20, top-p 0.95, min-p 0.01, repetition "
                               "penalty 1.1 from generation_config.json\n"),
              std::string::npos)
        << outcome.err;
}

TEST_F(Chat, FlagsBeatTheFile) {
    set_generation_config(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.95})");
    const Outcome outcome = run({"--chat", "-p", "hi", "--temp", "0"});
    expect_success(outcome);
    EXPECT_EQ(outcome.json().at("sampling").at("temperature").as_double(), 0.0);
    EXPECT_NE(outcome.err.find(", top-p 0.95 from generation_config.json"), std::string::npos);
}

TEST_F(Chat, IsGreedyWhereTheFileSaysSoOrNothing) {
    const auto temperature = [&] {
        return json({"--chat", "-p", "hi"}).at("sampling").at("temperature").as_double();
    };
    EXPECT_EQ(temperature(), 0.0);
    set_generation_config(R"({"do_sample": false, "temperature": 0.6})");
    EXPECT_EQ(temperature(), 0.0);
}

TEST_F(Chat, TheFilesSamplingCountsInAChatAlone) {
    set_generation_config(R"({"do_sample": true, "temperature": 0.6})");
    const Outcome outcome = run({"-p", "hi"});
    expect_success(outcome);
    EXPECT_EQ(outcome.json().at("sampling").at("temperature").as_double(), 0.0);
    EXPECT_EQ(outcome.err.find("generation_config"), std::string::npos);
}

TEST_F(Chat, EndTokensOfBothFilesCountInAChatAndWithout) {
    for (const Words& flags : {Words{"--chat", "-p", "hi"}, {"-p", "hi"}}) {
        set_generation_config("{}");
        const int64_t first = json(flags).at("ids").as_array().at(0).as_int();
        const io::Json ends = io::Json::Object{{"eos_token_id", io::Json::Array{2, first}}};
        set_generation_config(ends.dump());
        Words arguments = {"generate", model_, "-n", "3", "--json"};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        const io::Json json = run_program(arguments).json();
        EXPECT_EQ(json.at("finish_reason").as_string(), "eos");
        EXPECT_TRUE(json.at("ids").as_array().empty());
    }
}

TEST_F(Chat, RefusesAProposalOutOfRange) {
    set_generation_config(R"({"temperature": 1e9})");
    expect_failure(run({"--chat", "-p", "hi"}), 5, {"generation_config.json: temperature"});
    expect_success(run({"-p", "hi"}));
}

TEST_F(Chat, EndsATemplateThatLoopsForEverInOneSentence) {
    // Whichever of its limits it comes to first: its bytes, the clock or the count of steps.
    write_bytes(model_ + "/chat_template.jinja",
                "{% macro again(n) %}{% for i in range(n) %}{% for j in range(n) %}"
                "{% if 'a' * 100 == 'b' %}{% endif %}{% endfor %}{% endfor %}{% endmacro %}"
                "{{ again(100000) }}");
    expect_failure(run({"--chat", "-p", "hi"}), 5, {"chat_template.jinja", "loop for ever?"});
}

TEST_F(Chat, RefusesWhatCannotBeAChat) {
    expect_failure(run({"--system", "be", "-p", "hi"}), 2, {"--system", "--chat"});
    write_bytes(model_ + "/chat_template.jinja",
                "{% for i in range(100000) %}"
                "{% for j in range(100000) %}{% endfor %}"
                "{% endfor %}");
    expect_failure(run({"--chat", "-p", "hi"}), 5, {"chat_template.jinja"});
    write_bytes(model_ + "/chat_template.jinja", "{{ raise_exception('only in verse') }}");
    expect_failure(run({"--chat", "-p", "hi"}), 2, {"only in verse"});
    remove_file(model_ + "/chat_template.jinja");
    expect_failure(run({"--chat", "-p", "hi"}), 4, {"chat template"});
}

}  // namespace
}  // namespace quarot::test
