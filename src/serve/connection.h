// One client's connection: requests are read and answers written, one after the other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "serve/api_error.h"
#include "serve/client_stream.h"
#include "serve/http_reader.h"
#include "serve/hub.h"
#include "serve/socket_exchange.h"

namespace quarot::serve {

// For the server's thread. Among the hub's connections as long as it lives; hub must outlive it.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(Hub& hub, tcp::socket socket);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Until either side ends it.
    asio::awaitable<void> serve();
    void close();

  private:
    enum class Phase { Idle, Head, Body };
    Phase phase() const;
    // Closes the socket when it is over, which ends what waits for it.
    void set_deadline(std::chrono::seconds time);

    // False: there is nobody to serve.
    asio::awaitable<bool> begin();
    asio::awaitable<void> end();
    // Nothing: the connection has ended.
    asio::awaitable<std::optional<HttpRequest>> read();
    // Nobody has a body read who may not have it looked at.
    void check_head();
    void name_client(HttpRequest& request) const;
    // False: the client has gone or takes nothing.
    asio::awaitable<bool> write(std::string bytes, SocketExchange* exchange);
    // What could not be read: the answer, then the end, once the client has seen it.
    asio::awaitable<void> refuse(const ApiError& error);
    // Behind a wrong key.
    asio::awaitable<void> hold_if_guessing();
    // False: the connection must end.
    asio::awaitable<bool> answer(HttpRequest request);
    // The body is gone once it was looked at, and counted until then.
    void dispatch(HttpRequest request, std::string body,
                  const std::shared_ptr<SocketExchange>& exchange);
    asio::awaitable<void> send_output(SocketExchange& exchange);
    // Whether the client leaves while it is waiting for its answer. What it sends meanwhile stays
    // for later, and then only writing finds out.
    void watch(const std::shared_ptr<SocketExchange>& exchange);
    void tell_log(const HttpRequest& request, int status, Clock::time_point since,
                  const SocketExchange* exchange);
    void write_log(std::string line);

    Hub& hub_;
    ClientStream stream_;
    Timer deadline_, wake_;
    HttpReader reader_;
    std::string peer_;
    bool is_loopback_ = false;
    bool is_gone_ = false;
    bool is_checked_ = false;  // the head of the request that is being read
    int64_t n_reading_ = 0;    // bytes taken of a request that nobody handles yet
    std::weak_ptr<SocketExchange> watched_;
};

}  // namespace quarot::serve
