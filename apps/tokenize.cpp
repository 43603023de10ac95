// quarot tokenize: the token ids of a text, and how the vocabulary spells them.
#include <fmt/format.h>

#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "io/text.h"

namespace quarot::apps {

void tokenize_command(const Words& words) {
    Args args("tokenize", "Turn a text into token ids.", words);
    std::string model;
    TextFlags text;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    OutputFlags output;
    add_model_flag(args, model);
    text.declare(args, "--text");
    add_bos_flag(args, bos);
    output.declare(args);
    args.example("quarot tokenize models/tiny-novels -p \"It was a dark\"", "one line a token");
    args.example("quarot tokenize -m models/tiny-novels --text book.txt --json", "for scripts");
    if (!args.parse()) return;
    require_model(model);

    const std::string input = text.read();
    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(model);
    const std::vector<int32_t> ids = tokenizer.encode(input, bos);
    if (!output.json) {
        std::string lines;
        for (const int32_t id : ids) {
            lines += fmt::format("{:>7}  {}\n", id, io::printable(tokenizer.token(id)));
        }
        return print_result(lines);
    }
    io::Json::Array id_list, token_list;
    for (const int32_t id : ids) {
        id_list.emplace_back(id);
        token_list.emplace_back(tokenizer.token(id));
    }
    io::Json json = json_document("tokenize");
    json.set("ids", std::move(id_list));
    json.set("tokens", std::move(token_list));
    print_document(json);
}

}  // namespace quarot::apps
