// quarot tokenize: the token ids of a text, and how the vocabulary spells them.
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

struct TokenizeFlags {
    std::string model;
    TextFlags text;
    tokenizer::AddBos bos = tokenizer::AddBos::Auto;
    OutputFlags output;
};

void declare(Args& args, TokenizeFlags& flags) {
    add_model_flag(args, flags.model);
    flags.text.declare(args, "--text");
    add_bos_flag(args, flags.bos);
    flags.output.declare(args);
    args.example("quarot tokenize models/tiny-novels -p \"It was a dark\"", "one line a token");
    args.example("quarot tokenize -m models/tiny-novels --text book.txt --json", "for scripts");
}

void print_text(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
    std::string lines;
    for (const int32_t id : ids) {
        lines += fmt::format("{:>7}  {}\n", id, io::printable(tokenizer.token(id)));
    }
    print_result(lines);
}

void print_json(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
    io::Json::Array tokens;
    for (const int32_t id : ids) tokens.emplace_back(tokenizer.token(id));
    io::Json json = json_document("tokenize");
    json.set("ids", io::Json::Array(ids.begin(), ids.end()));
    json.set("tokens", std::move(tokens));
    print_document(json);
}

void work(const TokenizeFlags& flags) {
    require_model(flags.model);
    const std::string text = flags.text.read();
    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(flags.model);
    const std::vector<int32_t> ids = tokenizer.encode(text, flags.bos);
    flags.output.json ? print_json(tokenizer, ids) : print_text(tokenizer, ids);
}

}  // namespace

Work tokenize_command(Args& args) {
    auto flags = std::make_shared<TokenizeFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
