#include "serve/socket_exchange.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace quarot::serve {
namespace {

// An exchange and the work that it has posted, which runs when the test says so.
class SocketExchangeTest : public testing::Test {
  protected:
    void run_posted() {
        for (const auto& work : std::exchange(posted_, {})) work();
    }

    std::vector<std::function<void()>> posted_;
    int n_wakes_ = 0, n_gone_ = 0;
    std::shared_ptr<SocketExchange> exchange_ =
        std::make_shared<SocketExchange>(SocketExchange::Options{
            .post = [this](std::function<void()> work) { posted_.push_back(std::move(work)); },
            .wake = [this] { ++n_wakes_; },
            .id = "7"});
};

TEST_F(SocketExchangeTest, HandsAnAnswerOverOnTheServersThread) {
    exchange_->respond(json_response("{}", 404));
    EXPECT_EQ(exchange_->take_output(), "") << "not before that thread runs it";
    run_posted();
    EXPECT_EQ(n_wakes_, 1);
    EXPECT_EQ(exchange_->status, 404);
    EXPECT_TRUE(exchange_->is_complete);
    const std::string output = exchange_->take_output();
    EXPECT_NE(output.find("X-Request-Id: 7\r\n"), std::string::npos) << output;
    EXPECT_TRUE(output.ends_with("\r\n\r\n{}")) << output;
    EXPECT_EQ(exchange_->take_output(), "");
}

TEST_F(SocketExchangeTest, CountsWhatTheClientHasNotTakenFromTheCallOn) {
    exchange_->begin_stream({});
    exchange_->send("abc");
    const size_t n = exchange_->backlog();
    run_posted();
    EXPECT_EQ(exchange_->take_output().size(), n);
    EXPECT_EQ(exchange_->backlog(), n) << "taken by the connection, but not by the client";
    exchange_->written(n - 2);
    EXPECT_EQ(exchange_->backlog(), 2u);
    EXPECT_EQ(exchange_->n_bytes, static_cast<int64_t>(n) - 2);
    EXPECT_FALSE(exchange_->is_complete);
    exchange_->end_stream();
    run_posted();
    EXPECT_TRUE(exchange_->is_complete);
}

TEST_F(SocketExchangeTest, TellsOnceThatTheClientLeft) {
    exchange_->on_gone([this] { ++n_gone_; });
    run_posted();
    EXPECT_EQ(n_gone_, 0);
    exchange_->leave();
    EXPECT_EQ(n_gone_, 1);
    exchange_->leave();
    EXPECT_EQ(n_gone_, 1);
    exchange_->send("more");
    run_posted();
    EXPECT_EQ(exchange_->take_output(), "");
    EXPECT_EQ(n_wakes_, 0);
}

TEST_F(SocketExchangeTest, TellsWhoAsksLateButNotWithinTheCall) {
    exchange_->leave();
    exchange_->on_gone([this] { ++n_gone_; });
    EXPECT_EQ(n_gone_, 0);
    run_posted();
    EXPECT_EQ(n_gone_, 1);
}

TEST_F(SocketExchangeTest, TellsNothingOfAClientThatHasItsAnswer) {
    exchange_->on_gone([this] { ++n_gone_; });
    run_posted();
    exchange_->end();
    exchange_->leave();
    EXPECT_EQ(n_gone_, 0);
}

TEST_F(SocketExchangeTest, WakesTheConnectionThatIsToBeCut) {
    exchange_->drop();
    EXPECT_FALSE(exchange_->is_cut);
    run_posted();
    EXPECT_TRUE(exchange_->is_cut);
    EXPECT_EQ(n_wakes_, 1);
}

}  // namespace
}  // namespace quarot::serve
