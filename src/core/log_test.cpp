#include "core/log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quarot {
namespace {

class LogTest : public testing::Test {
  protected:
    ~LogTest() override { set_log({}); }

    std::vector<std::string> lines_;
};

TEST_F(LogTest, ACallbackMayNameAnother) {
    set_log([&](LogLevel, const std::string& first) {
        const std::string kept = "kept";  // the callback outlives its own replacement
        set_log([&](LogLevel, const std::string& line) { lines_.push_back("second " + line); });
        lines_.push_back(kept + " " + first);
    });
    log_info("a");
    log_info("b");
    EXPECT_EQ(lines_, (std::vector<std::string>{"kept a", "second b"}));
}

TEST_F(LogTest, ACallbackMayEndItself) {
    set_log([&](LogLevel, const std::string& line) {
        set_log({});
        lines_.push_back(line);
    });
    log_info("a");
    testing::internal::CaptureStderr();
    log_info("b");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "quarot: b\n");
    EXPECT_EQ(lines_, std::vector<std::string>{"a"});
}

TEST_F(LogTest, LinesFromWithinTheCallbackGoToStderr) {
    set_log([&](LogLevel, const std::string& line) {
        lines_.push_back(line);
        log_warning("within");
    });
    testing::internal::CaptureStderr();
    log_info("a");
    log_info("b");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "quarot: warning: within\nquarot: warning: within\n");
    EXPECT_EQ(lines_, (std::vector<std::string>{"a", "b"}));
}

TEST_F(LogTest, ACallbackThatThrowsIsHeardAgain) {
    set_log([&](LogLevel, const std::string& line) {
        lines_.push_back(line);
        throw 1;
    });
    EXPECT_THROW(log_info("a"), int);
    EXPECT_THROW(log_info("b"), int);
    EXPECT_EQ(lines_.size(), 2u);
}

}  // namespace
}  // namespace quarot
