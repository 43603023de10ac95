// A template is a program from a stranger's folder: it sees the date, and a clock ends it.
#include "apps/chat_prompt.h"

#include "core/error.h"
#include "core/process.h"

namespace quarot::apps {

std::vector<int32_t> encode_chat(const std::string& folder, const tokenizer::Tokenizer& tokenizer,
                                 std::span<const chat::Message> messages) {
    const auto chat_template = chat::ChatTemplate::load(folder);
    chat::RenderOptions options;
    options.now = local_time();
    options.clock_ms = thread_cpu_milliseconds;
    const chat::RenderedChat rendered = chat_template.render(messages, options);
    std::vector<int32_t> ids = chat::encode(tokenizer, rendered);
    if (ids.empty())
        fail(ErrorCode::Usage, "the chat template of {} gives an empty prompt", folder);
    return ids;
}

}  // namespace quarot::apps
