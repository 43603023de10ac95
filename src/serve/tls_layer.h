// What lies between one socket and its connection where there is TLS.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <memory>

#include "serve/net.h"
#include "serve/tls.h"

namespace quarot::serve {

// For the server's thread; one read and one write at a time.
class TlsLayer {
  public:
    virtual ~TlsLayer() = default;
    virtual asio::awaitable<void> handshake(NetError& error) = 0;
    virtual asio::awaitable<size_t> read_some(asio::mutable_buffer to, NetError& error) = 0;
    virtual asio::awaitable<size_t> write_some(asio::const_buffer from, NetError& error) = 0;
    // Tells the client that nothing follows, and waits until it says the same or leaves.
    virtual asio::awaitable<void> shutdown() = 0;
};

// context and socket must outlive it.
std::unique_ptr<TlsLayer> make_tls_layer(const TlsContext& context, tcp::socket& socket);

}  // namespace quarot::serve
