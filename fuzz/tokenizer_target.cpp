// A tokenizer.json, then tokenizer_config.json, then a text: what loads must take any text and
// give back ids that it knows.
#include <algorithm>
#include <optional>

#include "fuzz/target.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace quarot::fuzz {
namespace {

// Tables grow with the highest id, up to a limit that a fuzzer would spend its time on.
constexpr size_t kMaxDigits = 4;

bool has_long_number(std::string_view text) {
    size_t digits = 0;
    for (const char c : text) {
        digits = c >= '0' && c <= '9' ? digits + 1 : 0;
        if (digits > kMaxDigits) return true;
    }
    return false;
}

void check_text(const tokenizer::Tokenizer& tokenizer, std::string_view text) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    for (const int32_t id : ids) {
        expect(id >= 0 && id < tokenizer.vocabulary_size(), "an id beyond the vocabulary");
    }
    const std::string decoded = tokenizer.decode(ids, false);
    std::string streamed;
    tokenizer::StreamDecoder stream(tokenizer, false);
    for (const int32_t id : ids) streamed += stream.put(id);
    streamed += stream.finish();
    expect(streamed == decoded, "streaming decodes otherwise");
}

void run(std::string_view input) {
    const std::string_view json_text = take_segment(input);
    const std::string_view config_text = take_segment(input);
    if (has_long_number(json_text)) return;
    const io::Json json = io::Json::parse(json_text, "tokenizer.json");
    std::optional<io::Json> config;
    if (!config_text.empty()) config = io::Json::parse(config_text, "tokenizer_config.json");
    check_text(tokenizer::Tokenizer::from_json(json, {.config = config ? &*config : nullptr}),
               input);
}

std::string model(const std::string& more) {
    return R"({"version":"1.0","model":{"type":"BPE","unk_token":"?","byte_fallback":true,)"
           R"("vocab":{"?":0,"a":1,"b":2,"ab":3,"▁":4,"▁a":5,"<0x41>":6},)"
           R"("merges":["a b",["▁","a"]]})" +
           more + "}";
}

std::vector<std::string> seeds() {
    const std::string text = "ab a b<s> \xc3\xa9 AB\n";
    const auto with = [&](const std::string& more, const std::string& config = "") {
        return join_segments({model(more), config, text});
    };
    return {
        with(""),
        with(R"(,"added_tokens":[{"id":7,"content":"<s>","special":true,"lstrip":true,)"
             R"("rstrip":true,"single_word":false,"normalized":false}])",
             R"({"bos_token":"<s>","eos_token":{"content":"<s>"}})"),
        with(R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},)"
             R"({"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},)"
             R"("content":"▁"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,)"
             R"("strip_right":false}]})"),
        with(R"(,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first",)"
             R"("split":true},"decoder":{"type":"Metaspace","replacement":"▁",)"
             R"("prepend_scheme":"first","split":true})"),
        with(R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits",)"
             R"("individual_digits":true},{"type":"Punctuation","behavior":"Isolated"},)"
             R"({"type":"WhitespaceSplit"}]})"),
        with(R"x(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{L}+|\\s+(?!\\S)"},)x"
             R"("behavior":"Isolated","invert":false})"),
        with(R"(,"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},)"
             R"("behavior":"MergedWithPrevious","invert":true})"),
        with(R"(,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":)"
             R"({"id":"?","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],)"
             R"("special_tokens":{"?":{"id":"?","ids":[0],"tokens":["?"]}}})"),
        with(R"(,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":)"
             R"({"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},)"
             R"({"type":"Strip","content":" ","start":1,"stop":0}]})"),
        with(R"(,"truncation":{},"padding":null)"),
        R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})",
        R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})",
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}})",
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}})",
        R"({"model":{"type":"Unigram","vocab":[]}})",
        R"({"version":"2.0"})",
        "{}"};
}

std::vector<std::string> words() {
    return {"\"type\":",
            "\"vocab\":",
            "\"merges\":",
            "\"added_tokens\":",
            "ByteLevel",
            "Metaspace",
            "Sequence",
            "Split",
            "Digits",
            "Punctuation",
            "Whitespace",
            "Replace",
            "Prepend",
            "Strip",
            "ByteFallback",
            "Fuse",
            "NFKC",
            "Lowercase",
            "\"Regex\":",
            "\"String\":",
            "\\\\p{N}{1,3}",
            "(?i:'s|'t)",
            "(?!\\\\S)",
            "Isolated",
            "Removed",
            "Contiguous",
            "\"lstrip\":true",
            "\"single_word\":true",
            "\"ignore_merges\":true",
            "\"content\":",
            "\"pattern\":",
            "\xe2\x96\x81",
            std::string(1, '\0'),
            "<0x41>"};
}

}  // namespace

constinit const Target kTokenizerTarget = {
    .name = "tokenizer", .run = run, .seeds = seeds, .words = words, .max_bytes = 1024};

}  // namespace quarot::fuzz
