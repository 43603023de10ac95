#include "core/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "core/live_line.h"
#include "core/log.h"

namespace quarot {
namespace {

TEST(LiveLine, ALogLineErasesItFirst) {
    testing::internal::CaptureStderr();
    show_live_line("quantizing 3/9");
    log_info("one");
    log_info("two");
    show_live_line("quantizing 4/9");
    erase_live_line();
    erase_live_line();
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "\r\033[Kquantizing 3/9\r\033[Kquarot: one\nquarot: two\n"
              "\r\033[Kquantizing 4/9\r\033[K");
}

class ProgressTest : public testing::Test {
  protected:
    ~ProgressTest() override { set_progress_style(ProgressStyle::None); }

    // What a piece of work prints once it is beyond the quiet seconds, off a terminal.
    static std::string lines_of(ProgressStyle style) {
        set_progress_style(style);
        testing::internal::CaptureStderr();
        {
            Progress progress("quantizing", 4);
            std::this_thread::sleep_for(std::chrono::milliseconds(2100));
            progress.advance(2);
        }
        return testing::internal::GetCapturedStderr();
    }
};

TEST_F(ProgressTest, PartsOfNamedWorkAreTheirOwnersToTellOffATerminal) {
    EXPECT_NE(lines_of(ProgressStyle::Auto).find("quarot: quantizing 2/4 (50%)"),
              std::string::npos);
    const ProgressScope scope("row QuIK");
    EXPECT_EQ(lines_of(ProgressStyle::Auto), "");
    EXPECT_NE(lines_of(ProgressStyle::Json).find("\"progress\":\"row QuIK: quantizing\""),
              std::string::npos);
}

}  // namespace
}  // namespace quarot
