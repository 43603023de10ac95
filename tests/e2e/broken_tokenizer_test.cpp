// Broken tokenizer.json files, read by generate and tokenize.
#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

Damage tokenizer(std::function<void(io::Json&)> change) {
    return [=](const std::string& folder) { edit_json(folder + "/tokenizer.json", change); };
}

Damage tokenizer_model(std::function<void(io::Json&)> change) {
    return tokenizer([=](io::Json& json) {
        io::Json model = json.at("model");
        change(model);
        json.set("model", model);
    });
}

const std::vector<BrokenModel> kBrokenTokenizers = {
    {"Missing",
     [](const std::string& f) { remove_file(f + "/tokenizer.json"); },
     kNotFound,
     {"tokenizer.json"}},
    {"NotJson", text_file("tokenizer.json", "<xml/>"), kCorrupt, {"tokenizer.json"}},
    {"WithoutModel", text_file("tokenizer.json", "{}"), kCorrupt, {"tokenizer.json", "model"}},
    {"ModelOfAnotherKind",
     tokenizer_model([](io::Json& m) { m.set("type", "WordPiece"); }),
     kUnsupported,
     {"WordPiece"}},
    {"MergeOfUnknownTokens",
     tokenizer_model([](io::Json& m) { m.set("merges", io::Json::Array{"zz yy"}); }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TokenWithANegativeId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", -1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TwoTokensOfOneId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", 1}, {"b", 1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"NormalizerUnknown",
     tokenizer([](io::Json& json) {
         json.set("normalizer", io::Json::Object{{"type", "Rot13"}});
     }),
     kUnsupported,
     {"Rot13"}},
};

class BrokenTokenizerTest : public BrokenModelTest {};

TEST_P(BrokenTokenizerTest, IsRefused) {
    expect_refusal({"generate", "-m", model_, "-p", "abc", "-n", "2", "--json"});
    expect_refusal({"tokenize", "-m", model_, "-p", "abc", "--json"});
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, BrokenTokenizerTest, testing::ValuesIn(kBrokenTokenizers),
                         case_name);

}  // namespace
}  // namespace quarot::test
