#include "serve/client_stream.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace quarot::serve {

ClientStream::ClientStream(tcp::socket socket, const TlsContext* tls)
    : socket_(std::move(socket)),
      ahead_is_there_(socket_.get_executor(), Timer::time_point::max()) {
    NetError ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    if (tls != nullptr) tls_ = make_tls_layer(*tls, socket_);
}

asio::awaitable<ClientStream::Greeting> ClientStream::begin() {
    if (tls_ == nullptr) co_return Greeting::Ready;
    constexpr char kHandshake = 0x16;  // the type of a client's first record, no letter of HTTP
    char first = 0;
    NetError error;
    do {
        co_await socket_.async_wait(tcp::socket::wait_read,
                                    asio::redirect_error(asio::use_awaitable, error));
        if (!error) socket_.receive(asio::buffer(&first, 1), tcp::socket::message_peek, error);
    } while (error == asio::error::would_block);
    if (error) co_return Greeting::Gone;
    if (first != kHandshake) {
        tls_.reset();
        co_return Greeting::NoTls;
    }
    co_await tls_->handshake(error);
    co_return error ? Greeting::Gone : Greeting::Ready;
}

asio::awaitable<size_t> ClientStream::read_some(asio::mutable_buffer to, NetError& error) {
    if (tls_ == nullptr) {
        co_return co_await socket_.async_read_some(
            to, asio::redirect_error(asio::use_awaitable, error));
    }
    co_await wait_for_ahead();
    error = ahead_error_;
    if (error) co_return 0;
    if (n_ahead_ == 0) co_return co_await tls_->read_some(to, error);
    n_ahead_ = 0;
    co_return asio::buffer_copy(to, asio::buffer(&ahead_, 1));
}

asio::awaitable<size_t> ClientStream::write_some(asio::const_buffer from, NetError& error) {
    if (tls_ != nullptr) co_return co_await tls_->write_some(from, error);
    co_return co_await socket_.async_write_some(from,
                                                asio::redirect_error(asio::use_awaitable, error));
}

void ClientStream::watch(std::shared_ptr<void> owner, std::function<void()> on_left) {
    if (tls_ == nullptr) return watch_plain(std::move(owner), std::move(on_left));
    if (is_reading_ahead_ || n_ahead_ > 0 || ahead_error_) return;
    is_reading_ahead_ = true;
    asio::co_spawn(
        socket_.get_executor(),
        [this, owner = std::move(owner), on_left = std::move(on_left)] {
            return read_ahead(owner, on_left);
        },
        asio::detached);
}

void ClientStream::watch_plain(std::shared_ptr<void> owner, std::function<void()> on_left) {
    socket_.async_wait(tcp::socket::wait_read, [this, owner = std::move(owner),
                                                on_left = std::move(on_left)](NetError error) {
        char byte = 0;
        size_t n = 0;
        if (!error) {
            n = socket_.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, error);
        }
        if (error == asio::error::would_block) return watch_plain(owner, on_left);
        if (error || n == 0) on_left();
    });
}

asio::awaitable<void> ClientStream::read_ahead(std::shared_ptr<void> /*owner*/,
                                               std::function<void()> on_left) {
    n_ahead_ = co_await tls_->read_some(asio::buffer(&ahead_, 1), ahead_error_);
    is_reading_ahead_ = false;
    ahead_is_there_.cancel();
    if (ahead_error_) on_left();
}

asio::awaitable<void> ClientStream::wait_for_ahead() {
    NetError ignored;
    while (is_reading_ahead_) {
        co_await ahead_is_there_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
}

asio::awaitable<void> ClientStream::end_sending() {
    if (tls_ != nullptr) co_return co_await tls_->shutdown();
    NetError ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<size_t> ClientStream::discard_some(NetError& error) {
    std::array<char, 16384> buffer;
    co_return co_await socket_.async_read_some(asio::buffer(buffer),
                                               asio::redirect_error(asio::use_awaitable, error));
}

void ClientStream::close() {
    NetError ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
}

}  // namespace quarot::serve
