#include "generation.h"

#include <quarot/error.h>

namespace quarot::python {

namespace {

std::vector<ChatMessage> messages_of(const std::vector<std::map<std::string, std::string>>& given) {
    std::vector<ChatMessage> messages;
    for (const auto& message : given) {
        const auto role = message.find("role"), content = message.find("content");
        if (message.size() != 2 || role == message.end() || content == message.end()) {
            throw Error(ErrorCode::Usage,
                        "message " + std::to_string(messages.size()) +
                            " of the conversation is expected to have \"role\" and \"content\" "
                            "and nothing else");
        }
        messages.push_back({.role = role->second, .content = content->second});
    }
    return messages;
}

const char* name_of(FinishReason reason) {
    switch (reason) {
        case FinishReason::Length:
            return "length";
        case FinishReason::EndToken:
            return "eos";
        case FinishReason::Stop:
            return "stop";
        case FinishReason::Cancelled:
            return "cancelled";
        case FinishReason::Context:
            return "context";
    }
    return "";
}

}  // namespace

std::vector<int32_t> prompt_ids(const Model& model, const Prompt& prompt) {
    if (const auto* text = std::get_if<std::string>(&prompt)) {
        std::vector<int32_t> ids = model.tokenizer().encode(*text);
        if (ids.empty() && text->empty() && model.special_ids().begin) {
            ids.push_back(*model.special_ids().begin);
        }
        return ids;
    }
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
    return model.chat_prompt(
        messages_of(std::get<std::vector<std::map<std::string, std::string>>>(prompt)));
}

void bind_generation(nb::module_& module) {
    nb::class_<GenerateResult>(module, "Generation", "What a model made of a prompt.")
        .def_ro("text", &GenerateResult::text, "New text only.")
        .def_ro("ids", &GenerateResult::ids, "New tokens only.")
        .def_prop_ro(
            "finish_reason",
            [](const GenerateResult& result) { return name_of(result.finish_reason); },
            nb::sig("def finish_reason(self) -> "
                    "typing.Literal['length', 'eos', 'stop', 'cancelled', 'context']"),
            "As `quarot generate --json` has it; \"cancelled\" for a stream that was closed.")
        .def_ro("prompt_tokens", &GenerateResult::prompt_tokens)
        .def_ro("prompt_seconds", &GenerateResult::prompt_seconds)
        .def_ro("decode_seconds", &GenerateResult::decode_seconds)
        .def("__repr__", [](const GenerateResult& result) {
            const nb::object text = nb::cast(result.text);
            return "Generation(text=" + std::string(nb::repr(text).c_str()) + ", finish_reason='" +
                   name_of(result.finish_reason) + "')";
        });
}

}  // namespace quarot::python
