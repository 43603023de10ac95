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

TEST_F(SocketExchangeTest, HandsAWholeAnswerOver) {
    exchange_->account(3, 4);
    exchange_->respond(json_response("{}", 404));
    EXPECT_EQ(n_wakes_, 0) << "not on the caller's thread";
    run_posted();
    EXPECT_EQ(n_wakes_, 1);
    EXPECT_EQ(exchange_->state().status, 404);
    EXPECT_EQ(exchange_->state().prompt_tokens, 3);
    EXPECT_EQ(exchange_->state().new_tokens, 4);
    const SocketExchange::Output output = exchange_->take_output();
    EXPECT_TRUE(output.is_last);
    EXPECT_NE(output.bytes.find("X-Request-Id: 7\r\n"), std::string::npos) << output.bytes;
    EXPECT_TRUE(output.bytes.ends_with("\r\n\r\n{}")) << output.bytes;
    EXPECT_EQ(exchange_->take_output().bytes, "");
}

TEST_F(SocketExchangeTest, WakesWhoHasFoundNothingAndAtTheEnd) {
    exchange_->begin_stream({});
    exchange_->send("a");
    run_posted();
    EXPECT_EQ(n_wakes_, 0) << "nobody has looked yet";
    EXPECT_TRUE(exchange_->take_output().bytes.ends_with(chunk_of("a")));
    exchange_->send("b");
    exchange_->send("c");
    run_posted();
    EXPECT_EQ(n_wakes_, 0) << "who was given something looks again";
    EXPECT_EQ(exchange_->take_output().bytes, chunk_of("b") + chunk_of("c"));
    const SocketExchange::Output nothing = exchange_->take_output();
    EXPECT_EQ(nothing.bytes, "");
    EXPECT_FALSE(nothing.is_last);
    exchange_->send("d");
    exchange_->send("e");
    run_posted();
    EXPECT_EQ(n_wakes_, 1);
    exchange_->take_output();
    exchange_->end_stream();
    run_posted();
    EXPECT_EQ(n_wakes_, 2);
    EXPECT_TRUE(exchange_->take_output().is_last);
}

TEST_F(SocketExchangeTest, CountsWhatTheClientHasNotTakenFromTheCallOn) {
    exchange_->begin_stream({});
    exchange_->send("abc");
    const size_t n = exchange_->backlog();
    EXPECT_EQ(exchange_->take_output().bytes.size(), n);
    EXPECT_EQ(exchange_->backlog(), n) << "taken by the connection, but not by the client";
    exchange_->written(n - 2);
    EXPECT_EQ(exchange_->backlog(), 2u);
    EXPECT_EQ(exchange_->n_bytes, static_cast<int64_t>(n) - 2);
    EXPECT_FALSE(exchange_->state().is_complete);
    exchange_->end_stream();
    EXPECT_TRUE(exchange_->state().is_complete);
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
    EXPECT_EQ(exchange_->take_output().bytes, "");
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
