// A template is a program from a stranger's folder: it sees the date, and a clock ends it.
#include "apps/chat_prompt.h"

#include <ctime>

#include "chat/chat_template.h"
#include "core/error.h"

namespace quarot::apps {

namespace {

// The date that some templates tell the model.
std::tm local_time() {
    const std::time_t now = std::time(nullptr);
    std::tm time{};
    localtime_r(&now, &time);
    return time;
}

// Of processor time, so that a busy machine ends no honest template.
int64_t thread_milliseconds() {
    std::timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return int64_t{spent.tv_sec} * 1000 + spent.tv_nsec / 1'000'000;
}

}  // namespace

std::vector<int32_t> encode_chat(const std::string& folder, const tokenizer::Tokenizer& tokenizer,
                                 const std::optional<std::string>& system,
                                 const std::string& user) {
    const auto chat_template = chat::ChatTemplate::load(folder);
    std::vector<chat::Message> messages;
    if (system) messages.push_back({"system", *system});
    messages.push_back({"user", user});
    chat::RenderOptions options;
    options.now = local_time();
    options.clock_ms = thread_milliseconds;
    const chat::RenderedChat rendered = chat_template.render(messages, options);
    std::vector<int32_t> ids = chat::encode(tokenizer, rendered);
    if (ids.empty())
        fail(ErrorCode::Usage, "the chat template of {} gives an empty prompt", folder);
    return ids;
}

}  // namespace quarot::apps
