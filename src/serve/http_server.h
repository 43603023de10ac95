// Sockets: connections of clients to a service, on one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "serve/service.h"

namespace quarot::serve {

class TlsContext;

struct ServerOptions {
    std::string host = "127.0.0.1";         // an address, or a name that has one
    int port = 8080;                        // 0: a free one
    std::shared_ptr<const TlsContext> tls;  // or null: plain
    std::chrono::seconds drain_time{30};
    std::function<bool()> stops;                       // asked ten times a second
    std::function<void(const std::string&)> log_line;  // a JSON object for each answer; or empty
};

class HttpServer {
  public:
    // Listens. Error{Usage} for a host that has no address, Error{Io} if the port is taken.
    // service must outlive it.
    HttpServer(Service& service, ServerOptions options);
    ~HttpServer();

    std::string address() const;  // "127.0.0.1:8080", "[::1]:8080"
    bool is_loopback() const;
    const char* scheme() const;  // "http" or "https"

    // Serves until stops() is true. Then new work is refused, what runs may end within drain_time,
    // the rest ends with an error to its client. False: a step of the engine is still on its way,
    // which nothing ends but the process. True: nobody uses the service any more.
    bool run();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace quarot::serve
