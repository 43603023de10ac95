// A tiny model, and quarot quantize on it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "e2e/command_words.h"
#include "e2e/expectations.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

class Quantize : public testing::Test {
  protected:
    void SetUp() override { write_tiny_model(model_); }

    io::Json run(const Words& flags) const {
        Words arguments = {"quantize", model_, out_, "--overwrite", "--json"};
        if (std::find(flags.begin(), flags.end(), "--recipe") == flags.end()) {
            arguments.insert(arguments.end(), {"--recipe", "quarot-rtn"});
        }
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        const Outcome outcome = run_program(arguments);
        expect_success(outcome);
        return outcome.json();
    }
    io::Json inspect() const { return run_program({"inspect", out_, "--json"}).json(); }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string out_ = dir_ / "out";
    const std::string text_ = dir_ / "text.txt";  // not there until a test writes it
};

}  // namespace quarot::test
