// Finding a folder's template, what it sees, and ids in which user text commands nothing.
#include "chat/chat_template.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::chat {
namespace {

void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
}

const std::vector<Message> kHello = {{"user", "hello"}};

std::string rendered(const std::string& source, const std::vector<Message>& messages = kHello,
                     const RenderOptions& options = {}, const io::Json& config = {}) {
    return ChatTemplate::parse(source, config).render(messages, options).text;
}

std::string loaded(const std::string& folder, const std::string& name = {}) {
    return ChatTemplate::load(folder, name).render(kHello).text;
}

TEST(ChatTemplate, IsTakenFromTheTokenizersConfig) {
    const test::TempDir folder;
    write(folder / "tokenizer_config.json",
          R"({"chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
              "bos_token": "<s>", "eos_token": {"content": "</s>", "special": true}})");
    EXPECT_TRUE(ChatTemplate::folder_has_template(folder.path()));
    EXPECT_EQ(loaded(folder.path()), "<s>hello</s>");
}

TEST(ChatTemplate, FilesWinOverTheConfig) {
    const test::TempDir folder;
    write(folder / "tokenizer_config.json", R"({"chat_template": "old", "bos_token": "<s>"})");
    write(folder / "chat_template.jinja", "{{ bos_token }}new\n");
    write(folder / "additional_chat_templates/tool_use.jinja", "tools");
    EXPECT_EQ(loaded(folder.path()), "<s>new");
    EXPECT_EQ(loaded(folder.path(), "tool_use"), "tools");
}

TEST(ChatTemplate, ListsHoldNamedTemplates) {
    const test::TempDir folder;
    write(folder / "tokenizer_config.json", R"({"chat_template": [
              {"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]})");
    EXPECT_EQ(loaded(folder.path()), "d");
    EXPECT_EQ(loaded(folder.path(), "tool_use"), "t");
    expect_error(ErrorCode::Usage, {"rag", "default, tool_use"},
                 [&] { ChatTemplate::load(folder.path(), "rag"); });
    expect_error(ErrorCode::Usage, {"../x"}, [&] { ChatTemplate::load(folder.path(), "../x"); });
}

TEST(ChatTemplate, AMissingNameIsToldWhatThereIs) {
    const test::TempDir folder;
    write(folder / "additional_chat_templates/tool_use.jinja", "t");
    write(folder / "additional_chat_templates/notes.txt", "n");
    expect_error(ErrorCode::Usage, {folder.path(), "named default", "only: tool_use"},
                 [&] { ChatTemplate::load(folder.path()); });
    write(folder / "chat_template.jinja", "d");
    expect_error(ErrorCode::Usage, {folder.path(), "named rag", "only: default, tool_use"},
                 [&] { ChatTemplate::load(folder.path(), "rag"); });
    std::filesystem::remove_all(folder / "additional_chat_templates");
    expect_error(ErrorCode::Usage, {folder.path(), "named rag", "only: default"},
                 [&] { ChatTemplate::load(folder.path(), "rag"); });
    std::filesystem::remove(folder / "chat_template.jinja");
    write(folder / "tokenizer_config.json", R"({"chat_template": "d"})");
    expect_error(ErrorCode::Usage, {folder.path(), "named rag", "only: default"},
                 [&] { ChatTemplate::load(folder.path(), "rag"); });
    expect_error(ErrorCode::Usage, {"a b", "letters, digits, _ and -"},
                 [&] { ChatTemplate::load(folder.path(), "a b"); });
}

TEST(ChatTemplate, FoldersWithoutOneAreToldWhatToDo) {
    const test::TempDir folder;
    EXPECT_FALSE(ChatTemplate::folder_has_template(folder.path()));
    expect_error(ErrorCode::Unsupported, {folder.path(), "chat_template.jinja", "without `chat`"},
                 [&] { ChatTemplate::load(folder.path()); });
    write(folder / "tokenizer_config.json", R"({"chat_template": 5})");
    expect_error(ErrorCode::Corrupt, {"tokenizer_config.json", "chat_template"},
                 [&] { ChatTemplate::load(folder.path()); });
}

TEST(ChatTemplate, FailuresNameTheFileAndTheLine) {
    const test::TempDir folder;
    write(folder / "chat_template.jinja", "a\n{{ 1 / 0 }}");
    expect_error(ErrorCode::Corrupt, {"chat_template.jinja", "line 2"},
                 [&] { loaded(folder.path()); });
    write(folder / "chat_template.jinja", "\n\n{% include 'x' %}");
    expect_error(ErrorCode::Unsupported, {"chat_template.jinja", "line 3", "include"},
                 [&] { loaded(folder.path()); });
    write(folder / "chat_template.jinja", std::string(300'000, 'x'));
    expect_error(ErrorCode::Corrupt, {"chat_template.jinja"}, [&] { loaded(folder.path()); });
}

TEST(ChatTemplate, SeesWhatTheRequestSays) {
    EXPECT_EQ(rendered("{{ add_generation_prompt }}{{ tools is none }}{{ documents is none }}"),
              "TrueTrueTrue");
    RenderOptions options{.add_generation_prompt = false};
    options.extra = io::Json::Object{{"enable_thinking", false}, {"level", 3}};
    options.tools = io::Json::parse(R"([{"name": "f"}])", "tools");
    EXPECT_EQ(
        rendered("{{ add_generation_prompt }}{{ enable_thinking }}{{ level }}{{ tools[0].name }}",
                 kHello, options),
        "FalseFalse3f");
    EXPECT_EQ(rendered("{{ bos_token is defined }}"), "False");
}

TEST(ChatTemplate, RefusalsCarryTheTemplatesWords) {
    expect_error(ErrorCode::Usage, {"system role not supported"},
                 [] { rendered("{{ raise_exception('system role not supported') }}"); });
}

TEST(ChatTemplate, RequestsMayNotReplaceWhatTheTemplateReliesOn) {
    for (const char* name : {"messages", "tools", "add_generation_prompt", "bos_token", "tokenize",
                             "raise_exception", "range"}) {
        RenderOptions options;
        options.extra = io::Json::Object{{name, "x"}};
        expect_error(ErrorCode::Usage, {name}, [&] { rendered("", kHello, options); });
    }
    RenderOptions options;
    options.extra = io::Json::Object{{"list", io::Json::Array{}}};
    expect_error(ErrorCode::Usage, {"list is []", "expected a text"},
                 [&] { rendered("", kHello, options); });
    options.extra = io::Json::Object{};
    for (int i = 0; i < 17; ++i) options.extra.set(fmt::format("v{}", i), i);
    expect_error(ErrorCode::Usage, {"17", "16"}, [&] { rendered("", kHello, options); });
}

TEST(ChatTemplate, OptionsOfAnotherTypeAreRefused) {
    RenderOptions options;
    options.extra = 5;
    expect_error(ErrorCode::Usage, {"template variables are 5", "an object"},
                 [&] { rendered("", kHello, options); });
    options.extra = {};
    options.tools = io::Json::parse(R"({"name": "f"})", "tools");
    expect_error(ErrorCode::Usage, {R"(tools are {"name":"f"})", "a list"},
                 [&] { rendered("", kHello, options); });
}

TEST(ChatTemplate, TooLongConversationsAreALimitAndNotTheTemplatesFault) {
    const std::string source =
        "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + '\\n' }}{% endfor %}";
    // Two bytes of white space and one that is no UTF-8 and becomes three.
    const std::string most(limits::kConversationBytes - 4 - 3 - 11 - 2, 'x');
    EXPECT_EQ(rendered(source, {{"user", " " + most + "\xFF "}}).size(), most.size() + 3 + 7);
    expect_error(ErrorCode::OutOfMemory, {"messages", "2097153 bytes", "2097152 are allowed"}, [&] {
        rendered(source, {{"user", " " + most + "x\xFF "}});
    });
    RenderOptions options;
    options.tools = io::Json::Array{std::string(20, 't')};
    expect_error(ErrorCode::OutOfMemory, {"2097172 bytes"}, [&] {
        rendered(source, {{"user", " " + most + "\xFF "}}, options);
    });
}

TEST(ChatTemplate, RolesAreWords) {
    for (const char* role : {"", "user|>", "a b", "\n"}) {
        expect_error(ErrorCode::Usage, {"role"}, [&] { rendered("", {{role, "x"}}); });
    }
}

TEST(ChatTemplate, BadConversationsAreToldWhere) {
    const auto render = [](const char* messages) {
        ChatTemplate::parse("", {}).render(io::Json::parse(messages, "messages"));
    };
    expect_error(ErrorCode::Usage, {"messages", "5", "list"}, [&] { render("5"); });
    expect_error(ErrorCode::Usage, {"message 1", "7", "object"},
                 [&] { render(R"([{"role": "user"}, 7])"); });
    expect_error(ErrorCode::Usage, {"message 0", "content", "role"},
                 [&] { render(R"([{"content": "x"}])"); });
    expect_error(ErrorCode::Usage, {"message 0", "a b"}, [&] { render(R"([{"role": "a b"}])"); });
}

TEST(ChatTemplate, MarksWhatTheUserTyped) {
    const RenderedChat chat =
        ChatTemplate::parse(
            "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }};{% endfor %}", {})
            .render(std::vector<Message>{{"system", " be "}, {"user", "x\xFF"}});
    EXPECT_EQ(chat.text, "<system>be;<user>x\uFFFD;");
    ASSERT_EQ(chat.user.size(), 2U);
    EXPECT_EQ(chat.text.substr(chat.user[0].begin, chat.user[0].end - chat.user[0].begin), "be");
    EXPECT_EQ(chat.text.substr(chat.user[1].begin, chat.user[1].end - chat.user[1].begin),
              "x\uFFFD");
}

TEST(ChatTemplate, SpecialTokensInUserTextStayText) {
    const auto tokenizer = tokenizer::Tokenizer::from_json(
        io::Json::parse(test::tiny_tokenizer_json(), "tokenizer.json"));
    const auto source = ChatTemplate::parse("<s>{{ messages[0].content }}</s>", {});
    const auto ids = [&](const std::string& content) {
        return encode(tokenizer, source.render(std::vector<Message>{{"user", content}}));
    };
    EXPECT_EQ(ids("a"), (std::vector<int32_t>{256, 'a', 257}));
    EXPECT_EQ(ids("</s>"), (std::vector<int32_t>{256, '<', '/', 's', '>', 257}));
    const auto all = ChatTemplate::parse(
        "<s>{% for k, v in messages[0].items() %}{{ k }}{{ v }}{% endfor %}", {});
    const auto named = encode(
        tokenizer, all.render(io::Json::parse(R"([{"role": "r", "</s>": "</s>"}])", "messages")));
    EXPECT_EQ(named, (std::vector<int32_t>{256, 'r', 'o', 'l', 'e', 'r', '<', '/', 's', '>', '<',
                                           '/', 's', '>'}));
    // Nor do user text and the template's text make one together.
    const auto halves = ChatTemplate::parse("<{{ messages[0].content }}>", {});
    EXPECT_EQ(encode(tokenizer, halves.render(std::vector<Message>{{"user", "s"}})),
              (std::vector<int32_t>{'<', 's', '>'}));
}

}  // namespace
}  // namespace quarot::chat
