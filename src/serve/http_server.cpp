#include "serve/http_server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <utility>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/connection.h"
#include "serve/hub.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

tcp::endpoint endpoint_of(asio::io_context& io, const std::string& host, int port) {
    NetError error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(host, std::to_string(port), error);
    if (error || found.empty()) {
        fail(ErrorCode::Usage, "the host {} has no address, expected one of this machine", host);
    }
    return found.begin()->endpoint();
}

int64_t most_connections() {
    constexpr int64_t kOtherFiles = 64;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const int64_t files = limit.rlim_cur == RLIM_INFINITY ? limits::kConnections + kOtherFiles
                                                          : static_cast<int64_t>(limit.rlim_cur);
    const int64_t most = std::min(limits::kConnections, files - kOtherFiles);
    if (most < 1) fail(ErrorCode::OutOfMemory, "the process may open {} files, too few", files);
    return most;
}

}  // namespace

struct HttpServer::State {
    State(Service& service, ServerOptions options)
        : hub(service, std::move(options)), acceptor(hub.io) {
        hub.most_connections = most_connections();
        const tcp::endpoint at = endpoint_of(hub.io, hub.options.host, hub.options.port);
        NetError error;
        acceptor.open(at.protocol(), error);
        if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
        if (!error) acceptor.bind(at, error);
        if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
        if (error) {
            fail(ErrorCode::Io, "cannot listen at {}:{}: {}", hub.options.host, hub.options.port,
                 error.message());
        }
    }

    asio::awaitable<void> accept() {
        while (acceptor.is_open()) {
            NetError error;
            if (std::ssize(hub.connections) < hub.most_connections) {
                tcp::socket socket = co_await acceptor.async_accept(
                    asio::redirect_error(asio::use_awaitable, error));
                if (!error) {
                    begin(std::move(socket));
                    continue;
                }
                if (error == asio::error::operation_aborted) co_return;
            }
            // Full, or the system is out of something.
            Timer timer(hub.io, std::chrono::milliseconds(20));
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
    }
    void begin(tcp::socket socket) {
        const auto connection = std::make_shared<Connection>(hub, std::move(socket));
        asio::co_spawn(
            hub.io, [connection] { return connection->serve(); },
            [connection](const std::exception_ptr& failure) {
                if (failure == nullptr) return;
                as_api_error(failure);  // tells the log
                connection->close();
            });
    }

    asio::awaitable<void> tick() {
        Timer timer(hub.io);
        Clock::time_point end = Clock::time_point::max();
        while (true) {
            timer.expires_after(std::chrono::milliseconds(100));
            NetError ignored;
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            const Clock::time_point now = Clock::now();
            hub.service.tick(now);
            if (!hub.is_draining && hub.options.stops && hub.options.stops()) {
                hub.is_draining = true;
                hub.service.drain();
                end = now + hub.options.drain_time;
            }
            if (!hub.is_draining) continue;
            const bool is_idle = hub.service.is_idle() && hub.n_answering == 0;
            if (is_idle || now > end) break;
        }
        co_await end_all();
    }
    // The last answers are written before the sockets close; a step may take longer than that.
    asio::awaitable<void> end_all() {
        const Clock::time_point latest = Clock::now() + std::chrono::seconds(2);
        Timer timer(hub.io);
        while ((!hub.service.is_idle() || hub.n_answering > 0) && Clock::now() < latest) {
            hub.service.abort_all(ApiError(503, "the server is going down"));
            timer.expires_after(std::chrono::milliseconds(5));
            NetError ignored;
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        NetError ignored;
        acceptor.close(ignored);
        for (Connection* connection : hub.connections) connection->close();
    }

    Hub hub;
    tcp::acceptor acceptor;
};

HttpServer::HttpServer(Service& service, ServerOptions options)
    : state_(std::make_unique<State>(service, std::move(options))) {}
HttpServer::~HttpServer() = default;

std::string HttpServer::address() const {
    const tcp::endpoint at = state_->acceptor.local_endpoint();
    const std::string host = at.address().to_string();
    return at.address().is_v6() ? fmt::format("[{}]:{}", host, at.port())
                                : fmt::format("{}:{}", host, at.port());
}

bool HttpServer::is_loopback() const {
    return state_->acceptor.local_endpoint().address().is_loopback();
}

const char* HttpServer::scheme() const {
    return state_->hub.options.tls != nullptr ? "https" : "http";
}

bool HttpServer::run() {
    const auto rethrow = [](const std::exception_ptr& failure) {
        if (failure != nullptr) std::rethrow_exception(failure);
    };
    asio::co_spawn(state_->hub.io, state_->accept(), rethrow);
    asio::co_spawn(state_->hub.io, state_->tick(), rethrow);
    Hub& hub = state_->hub;
    std::exception_ptr failure;
    try {
        hub.io.run();
    } catch (...) {
        failure = std::current_exception();
    }
    hub.workers.join();
    // After a failure some may still run.
    hub.service.abort_all(ApiError(503, "the server is going down"));
    while (failure != nullptr && !hub.service.is_idle()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    hub.log.join();
    hub.io.restart();
    hub.io.poll();  // what was handed over last
    if (failure != nullptr) std::rethrow_exception(failure);
    return hub.service.is_idle();
}

}  // namespace quarot::serve
