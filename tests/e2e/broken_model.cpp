#include "e2e/broken_model.h"

#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"

namespace quarot::test {

Damage config(const std::string& key, const io::Json& value) {
    return [=](const std::string& folder) {
        edit_json(folder + "/config.json", [&](io::Json& json) { json.set(key, value); });
    };
}

Damage text_file(const std::string& name, const std::string& text) {
    return [=](const std::string& folder) { write_bytes(folder + "/" + name, text); };
}

Damage link_to_nowhere(const std::string& name) {
    return [=](const std::string& folder) {
        std::filesystem::remove(folder + "/" + name);
        std::filesystem::create_symlink("../../blobs/12ab", folder + "/" + name);
    };
}

void erase_member(io::Json& object, const std::string& key) {
    std::erase_if(object.as_object(), [&](const auto& member) { return member.first == key; });
}

void BrokenModelTest::SetUp() {
    write_tiny_model(model_);
    GetParam().damage(model_);
}

void BrokenModelTest::expect_refusal(const std::vector<std::string>& arguments) const {
    const std::vector<std::string> before = listing(dir_.path());
    expect_failure(run_program(arguments), GetParam().exit_code, GetParam().words);
    EXPECT_EQ(listing(dir_.path()), before);
}

void BrokenModelTest::expect_refusal_by_quantize_and_logits() const {
    expect_refusal({"quantize", model_, out_, "--recipe", "quarot-rtn", "--json"});
    expect_refusal({"logits", "-m", model_, "--ids", "1,2,3", "--out", out_, "--json"});
}

}  // namespace quarot::test
