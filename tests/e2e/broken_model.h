// Cases of model folders that somebody broke, and what every command must say to them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "e2e/expectations.h"
#include "io/json.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

using Damage = std::function<void(const std::string& folder)>;

struct BrokenModel {
    const char* name;
    Damage damage;  // to a small model that was whole
    int exit_code;
    std::vector<std::string> words;  // the message names these
};

inline void PrintTo(const BrokenModel& model, std::ostream* out) {
    *out << model.name;
}

inline std::string case_name(const testing::TestParamInfo<BrokenModel>& info) {
    return info.param.name;
}

// config.json with one value changed.
Damage config(const std::string& key, const io::Json& value);
// A file of the folder written or replaced.
Damage text_file(const std::string& name, const std::string& text);
// A file as the hub's cache leaves it when its blob is gone: a link to ../../blobs/12ab.
Damage link_to_nowhere(const std::string& name);
void erase_member(io::Json& object, const std::string& key);

class BrokenModelTest : public testing::TestWithParam<BrokenModel> {
  protected:
    void SetUp() override;
    // Runs a command on the damaged folder; nothing may lie there after that was not there before.
    void expect_refusal(const std::vector<std::string>& arguments) const;
    // By both commands that read whole models.
    void expect_refusal_by_quantize_and_logits() const;

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string out_ = dir_ / "out";
};

}  // namespace quarot::test
