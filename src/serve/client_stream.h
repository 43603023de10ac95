// The bytes of one client, plain or through TLS.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <functional>
#include <memory>

#include "serve/net.h"
#include "serve/tls_layer.h"

namespace quarot::serve {

// For the server's thread; one read and one write at a time. close() ends all that waits.
class ClientStream {
  public:
    // tls: null for a plain one; else it must outlive it.
    ClientStream(tcp::socket socket, const TlsContext* tls);

    enum class Greeting { Ready, NoTls, Gone };
    // First of all: the handshake. NoTls: the client speaks plainly where it must not, and is
    // answered so from now on.
    asio::awaitable<Greeting> begin();

    asio::awaitable<size_t> read_some(asio::mutable_buffer to, NetError& error);
    asio::awaitable<size_t> write_some(asio::const_buffer from, NetError& error);
    // Calls on_left if the client leaves before it sends anything. `owner` keeps this alive.
    void watch(std::shared_ptr<void> owner, std::function<void()> on_left);
    // Nothing more is written, and with TLS nothing read but by discard_some().
    asio::awaitable<void> end_sending();
    // Bytes that nobody looks at.
    asio::awaitable<size_t> discard_some(NetError& error);
    void close();

    tcp::socket& socket() { return socket_; }

  private:
    void watch_plain(std::shared_ptr<void> owner, std::function<void()> on_left);
    // With TLS the end is a message among others: what comes is read, and kept for read_some().
    asio::awaitable<void> read_ahead(std::shared_ptr<void> owner, std::function<void()> on_left);
    asio::awaitable<void> wait_for_ahead();

    tcp::socket socket_;
    std::unique_ptr<TlsLayer> tls_;
    char ahead_ = 0;
    size_t n_ahead_ = 0;
    NetError ahead_error_;
    bool is_reading_ahead_ = false;
    Timer ahead_is_there_;  // cancelled then
};

}  // namespace quarot::serve
