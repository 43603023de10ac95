// Ids and texts of real models against values stored with them: are ours the same?
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/hash.h"
#include "io/json.h"
#include "support/checkout.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

using test::in_checkout;

const std::string kShared = in_checkout("../shared");

struct Subject {
    std::string name;
    std::string folder;     // of the model
    std::string reference;  // path of reference.json
    std::string text;       // path of the perplexity text
};

void PrintTo(const Subject& subject, std::ostream* out) {
    *out << subject.folder;
}

bool exists(const std::string& path) {
    return std::filesystem::exists(path);
}

Subject tiny_novels() {
    const std::string own = in_checkout("models/tiny-novels");
    const bool has_own = exists(own + "/tokenizer.json") && exists(own + "/reference.json");
    const std::string folder = has_own ? own : kShared + "/models/tiny-novels";
    return {"tiny_novels", folder, folder + "/reference.json", kShared + "/data/text/hound.txt"};
}

Subject stories260k() {
    const std::string folder = kShared + "/models/stories260K";
    return {"stories260K", folder, folder + "/reference.json",
            kShared + "/data/text/tinystories.utf8"};
}

Subject smollm2() {
    const char* named = std::getenv("QUAROT_SMOLLM2");
    return {"smollm2_135m", named ? named : in_checkout("build/models/smollm2-135m"),
            kShared + "/models/smollm2-135m/reference.json",
            kShared + "/data/eval/wikitext-2-raw/wiki.test.raw"};
}

std::vector<int32_t> ids_of(const io::Json& list) {
    std::vector<int32_t> ids;
    for (const io::Json& id : list.as_array()) ids.push_back(static_cast<int32_t>(id.as_int()));
    return ids;
}

class Oracle : public testing::TestWithParam<Subject> {
  protected:
    void SetUp() override {
        const Subject& subject = GetParam();
        for (const std::string& path : {subject.folder + "/tokenizer.json", subject.reference}) {
            if (!exists(path)) GTEST_SKIP() << "MISSING " << path << ": nothing was compared";
        }
        tokenizer_.emplace(Tokenizer::load(subject.folder));
        reference_ = io::Json::parse_file(subject.reference);
    }

    std::optional<Tokenizer> tokenizer_;
    io::Json reference_;
};

TEST_P(Oracle, PromptsGiveTheStoredIds) {
    for (const auto& [name, prompt] : reference_.at("prompts").as_object()) {
        EXPECT_EQ(tokenizer_->encode(prompt.at("text").as_string()), ids_of(prompt.at("ids")))
            << name;
    }
}

TEST_P(Oracle, GreedyIdsGiveTheStoredText) {
    for (const auto& [name, prompt] : reference_.at("prompts").as_object()) {
        const std::vector<int32_t> ids = ids_of(prompt.at("greedy"));
        const std::string& text = prompt.at("greedy_text").as_string();
        EXPECT_EQ(tokenizer_->decode(ids), text) << name;
        StreamDecoder stream(*tokenizer_);
        std::string streamed;
        for (int32_t id : ids) streamed += stream.put(id);
        EXPECT_EQ(streamed + stream.finish(), text) << name;
    }
}

TEST_P(Oracle, TheWholePerplexityTextGivesTheStoredIds) {
    if (!exists(GetParam().text)) {
        GTEST_SKIP() << "MISSING " << GetParam().text << ": nothing was compared";
    }
    const io::Json& stored = reference_.at("perplexity");
    const std::string text = io::read_text(GetParam().text, int64_t{1} << 24);
    ASSERT_EQ(io::sha256_of_text(text), stored.at("text_sha256").as_string());
    const std::vector<int32_t> ids = tokenizer_->encode(text);
    EXPECT_EQ(static_cast<int64_t>(ids.size()), stored.at("tokens").as_int());
    const auto* bytes = reinterpret_cast<const char*>(ids.data());  // little-endian hosts
    EXPECT_EQ(io::sha256_of_text(std::string(bytes, ids.size() * sizeof(int32_t))),
              stored.at("ids_sha256_le_int32").as_string());
}

INSTANTIATE_TEST_SUITE_P(Models, Oracle, testing::Values(tiny_novels(), stories260k(), smollm2()),
                         [](const auto& subject) { return subject.param.name; });

// The 47 texts whose ids come with the vocabularies, as their makers' program gives them.
class GgufVectors : public testing::TestWithParam<const char*> {};

std::vector<std::string> split_at(const std::string& text, const std::string& border) {
    std::vector<std::string> parts;
    size_t from = 0;
    for (size_t at = 0; (at = text.find(border, from)) != std::string::npos;) {
        parts.push_back(text.substr(from, at - from));
        from = at + border.size();
    }
    parts.push_back(text.substr(from));
    return parts;
}

std::string ids_text(const std::vector<int32_t>& ids) {
    std::string text;
    for (const int32_t id : ids) text += fmt::format(" {}", id);
    return text;
}

TEST_P(GgufVectors, GiveTheStoredIds) {
    const std::string file = kShared + "/data/tokenizers/" + GetParam();
    if (!exists(file)) GTEST_SKIP() << "MISSING " << file << ": nothing was compared";
    const Tokenizer tokenizer = Tokenizer::load(file);
    const auto texts = split_at(io::read_text(file + ".inp", 1 << 20), "\n__ggml_vocab_test__\n");
    const auto lines = split_at(io::read_text(file + ".out", 1 << 20), "\n");
    ASSERT_EQ(texts.size(), 47u);
    ASSERT_GE(lines.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(ids_text(tokenizer.encode(texts[i], AddBos::None)), lines[i]) << texts[i];
    }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufVectors,
                         testing::Values("gpt2/ggml-vocab-gpt-2.gguf",
                                         "gpt-neox-mpt/ggml-vocab-mpt.gguf",
                                         "phi-3/ggml-vocab-phi-3.gguf"),
                         [](const auto& file) {
                             const std::string path = file.param;
                             std::string name = path.substr(0, path.find('/'));
                             std::erase(name, '-');
                             return name;
                         });

}  // namespace
}  // namespace quarot::tokenizer
