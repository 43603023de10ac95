#include "core/watch.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "core/progress.h"

namespace quarot {
namespace {

TEST(Watch, HearsOfEveryStepOnItsThread) {
    std::vector<std::string> heard;
    const ProgressCallback hear = [&](const ProgressEvent& event) {
        heard.push_back(event.what + " " + std::to_string(event.done) + "/" +
                        std::to_string(event.total));
        return true;
    };
    {
        const Watch watch(hear);
        Progress progress("baking", 3);
        progress.advance();
        progress.advance(2);
        std::thread([] { Progress("elsewhere", 1).advance(); }).join();
    }
    Progress("later", 1).advance();
    EXPECT_EQ(heard, (std::vector<std::string>{"baking 1/3", "baking 3/3"}));
}

TEST(Watch, EndsTheWorkAtAStepOrBetweenSteps) {
    bool go_on = true;
    const ProgressCallback ask = [&](const ProgressEvent&) { return go_on; };
    const Watch watch(ask);
    throw_if_interrupted();
    go_on = false;
    for (const bool at_step : {true, false}) {
        try {
            at_step ? Progress("baking", 1).advance() : throw_if_interrupted();
            FAIL() << "the work went on";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Interrupted);
        }
    }
}

TEST(Watch, GivesTheThreadBackToTheOneBeforeIt) {
    int outer_calls = 0, inner_calls = 0;
    const ProgressCallback outer = [&](const ProgressEvent&) { return ++outer_calls > 0; };
    const ProgressCallback inner = [&](const ProgressEvent&) { return ++inner_calls > 0; };
    const Watch first(outer);
    {
        const Watch second(inner);
        throw_if_interrupted();
    }
    throw_if_interrupted();
    EXPECT_EQ(inner_calls, 1);
    EXPECT_EQ(outer_calls, 1);
}

TEST(Watch, WithoutACallbackNothingIsAsked) {
    const ProgressCallback none;
    const Watch watch(none);
    throw_if_interrupted();
    Progress("baking", 1).advance();
}

TEST(Log, GoesToTheCallbackThatWasSet) {
    std::vector<std::string> lines;
    set_log([&](LogLevel level, const std::string& message) {
        lines.push_back(std::to_string(static_cast<int>(level)) + message);
    });
    log_warning("a {}", "b\n");
    set_log({});
    EXPECT_EQ(lines, (std::vector<std::string>{"1a b\\x0a"}));
}

}  // namespace
}  // namespace quarot
