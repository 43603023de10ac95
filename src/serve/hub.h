// What all connections of a server share.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <set>
#include <string>

#include "serve/failed_keys.h"
#include "serve/http_server.h"
#include "serve/limits.h"
#include "serve/net.h"
#include "serve/service.h"

namespace quarot::serve {

class Connection;

// Used by the server's thread but for what is atomic, `workers` and `log`.
struct Hub {
    Hub(Service& of, ServerOptions with) : service(of), options(std::move(with)) {}

    Service& service;
    ServerOptions options;
    std::atomic<int64_t> n_lines_waiting = 0;
    std::set<Connection*> connections;
    int64_t most_connections = limits::kConnections;
    std::atomic<int64_t> bytes_in_flight = 0;  // of requests that are read or wait for a worker
    int64_t n_answering = 0;
    int64_t next_request = 1;
    bool is_draining = false;
    FailedKeys failed_keys;
    asio::io_context io{1};        // owns what the above is about
    asio::thread_pool workers{1};  // requests that take long to read
    asio::thread_pool log{1};      // a reader of the log that is slow holds up nobody
};

}  // namespace quarot::serve
