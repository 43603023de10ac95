#include "serve/http_server.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "serve/api_error.h"
#include "serve/http_reader.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using NetError = boost::system::error_code;
using Timer = asio::steady_timer;

namespace {

class Connection;

// What all connections share. Used by the server's thread but for what is atomic, `workers` and
// `log`.
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
    struct Failures {
        Clock::time_point since;
        int n = 0;
    };
    std::map<std::string, Failures> failed_keys;  // by address
    asio::io_context io{1};                       // owns what the above is about
    asio::thread_pool workers{1};                 // requests that take long to read
    asio::thread_pool log{1};  // a reader of the log that is slow holds up nobody

    bool is_guessing(const std::string& peer) {
        constexpr size_t kAddresses = 4096;
        const Clock::time_point now = Clock::now();
        if (failed_keys.size() > kAddresses) failed_keys.clear();
        Failures& failures = failed_keys[peer];
        if (failures.n == 0 || now - failures.since > std::chrono::minutes(1)) failures = {now, 0};
        return ++failures.n > limits::kFailedKeysAMinute;
    }
    void write_log(std::string line) {
        constexpr int64_t kLines = 10'000;
        if (!options.log_line || n_lines_waiting > kLines) return;
        ++n_lines_waiting;
        asio::post(log, [this, line = std::move(line)] {
            options.log_line(line);
            --n_lines_waiting;
        });
    }
};

// The answer of one request, gathered for its connection. Its own fields are used by the server's
// thread; others hand over what they have.
class SocketExchange : public Exchange, public std::enable_shared_from_this<SocketExchange> {
  public:
    SocketExchange(Hub& hub, std::function<void()> wake, bool keep_alive, bool head_only,
                   std::string id)
        : hub_(hub),
          wake_(std::move(wake)),
          keep_alive_(keep_alive),
          head_only_(head_only),
          id_(std::move(id)) {}

    void respond(HttpResponse response) override {
        response.headers.emplace_back("X-Request-Id", id_);
        std::string bytes = head_of(response, std::ssize(response.body), keep_alive_);
        if (!head_only_) bytes += response.body;
        hand_over(std::move(bytes), response.status, true);
    }
    void begin_stream(HttpResponse head) override {
        head.headers.emplace_back("X-Request-Id", id_);
        hand_over(head_of(head, -1, keep_alive_), head.status, false);
    }
    void send(std::string bytes) override {
        if (!bytes.empty()) hand_over(chunk_of(bytes), 0, false);
    }
    void end_stream() override { hand_over(std::string(kLastChunk), 0, true); }
    size_t backlog() const override { return backlog_; }
    void drop() override {
        asio::post(hub_.io, [self = shared_from_this()] {
            self->is_cut = true;
            self->call_wake();
        });
    }
    void on_gone(std::function<void()> callback) override {
        asio::post(hub_.io, [self = shared_from_this(), callback = std::move(callback)]() mutable {
            if (self->has_left_) return callback();
            if (!self->is_complete) self->gone_ = std::move(callback);
        });
    }
    void account(int64_t n_prompt, int64_t n_new) override {
        asio::post(hub_.io, [self = shared_from_this(), n_prompt, n_new] {
            self->prompt_tokens = n_prompt;
            self->new_tokens = n_new;
        });
    }

    // For the connection.
    void written(size_t n) {
        backlog_ -= n;
        n_bytes += static_cast<int64_t>(n);
    }
    // Nobody reads the answer any more.
    void leave() {
        has_left_ = true;
        wake_ = nullptr;
        if (auto callback = std::exchange(gone_, nullptr)) callback();
    }
    void end() {
        has_left_ = true;
        wake_ = gone_ = nullptr;
    }
    std::string take_output() { return std::exchange(output_, ""); }
    const std::string& id() const { return id_; }

    bool is_complete = false;  // nothing follows what was taken
    bool is_cut = false;       // the connection must end
    int status = 0;
    int64_t n_bytes = 0, prompt_tokens = -1, new_tokens = -1;

  private:
    void hand_over(std::string bytes, int of_status, bool completes) {
        backlog_ += bytes.size();
        asio::post(hub_.io,
                   [self = shared_from_this(), bytes = std::move(bytes), of_status, completes] {
                       if (self->has_left_) return;
                       self->output_ += bytes;
                       if (of_status != 0) self->status = of_status;
                       self->is_complete = self->is_complete || completes;
                       self->call_wake();
                   });
    }
    void call_wake() {
        if (wake_) wake_();
    }

    Hub& hub_;
    std::function<void()> wake_;
    const bool keep_alive_, head_only_;
    const std::string id_;
    std::atomic<size_t> backlog_ = 0;
    std::string output_;
    std::function<void()> gone_;
    bool has_left_ = false;
};

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(Hub& hub, tcp::socket socket)
        : hub_(hub), socket_(std::move(socket)), deadline_(hub.io), wake_(hub.io) {
        hub_.connections.insert(this);
        NetError ignored;
        const auto peer = socket_.remote_endpoint(ignored);
        peer_ = peer.address().to_string();
        is_loopback_ = peer.address().is_loopback() ||
                       (peer.address().is_v6() && peer.address().to_v6().is_v4_mapped() &&
                        peer_.starts_with("::ffff:127."));
        socket_.set_option(tcp::no_delay(true), ignored);
        socket_.non_blocking(true, ignored);
    }
    ~Connection() {
        hub_.connections.erase(this);
        hub_.bytes_in_flight -= n_reading_;
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    asio::awaitable<void> serve() {
        for (int64_t n = 1; n <= limits::kRequestsOfConnection; ++n) {
            std::optional<ApiError> refusal;
            std::optional<HttpRequest> request;
            is_checked_ = false;
            try {
                request = co_await read();
            } catch (const ApiError& error) {
                refusal = error;
            }
            if (refusal) {
                co_await refuse(*refusal);
                break;
            }
            if (!request) break;
            const bool is_last = n == limits::kRequestsOfConnection || hub_.is_draining;
            request->keep_alive = request->keep_alive && !is_last;
            name_client(*request);
            if (!co_await answer(std::move(*request))) break;
        }
        close();
    }

    void close() {
        NetError ignored;
        deadline_.cancel();
        socket_.shutdown(tcp::socket::shutdown_both, ignored);
        socket_.close(ignored);
    }

  private:
    // Closes the socket when it is over, which ends what waits for it.
    void set_deadline(std::chrono::seconds time) {
        deadline_.expires_after(time);
        deadline_.async_wait([weak = weak_from_this()](const NetError& error) {
            if (error) return;
            if (const auto self = weak.lock()) self->close();
        });
    }

    enum class Phase { Idle, Headers, Body };
    Phase phase() const {
        if (reader_.has_headers()) return Phase::Body;
        return reader_.has_begun() ? Phase::Headers : Phase::Idle;
    }

    // Nothing: the connection has ended.
    asio::awaitable<std::optional<HttpRequest>> read() {
        std::optional<HttpRequest> request = reader_.put("");
        std::optional<Phase> timed;
        std::array<char, 16384> buffer;
        while (!request) {
            if (timed != phase()) {
                timed = phase();
                set_deadline(*timed == Phase::Idle      ? limits::kIdleTime
                             : *timed == Phase::Headers ? limits::kHeaderTime
                                                        : limits::kBodyTime);
            }
            NetError error;
            const size_t n = co_await socket_.async_read_some(
                asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return std::nullopt;
            n_reading_ += static_cast<int64_t>(n);
            hub_.bytes_in_flight += static_cast<int64_t>(n);
            if (hub_.bytes_in_flight > limits::kBytesInFlight) {
                throw ApiError(503, "too many bytes of requests are being read; come again");
            }
            request = reader_.put(std::string_view(buffer.data(), n));
            if (!request) check_head();
            if (!request && reader_.take_expectation()) {
                co_await write("HTTP/1.1 100 Continue\r\n\r\n", nullptr);
            }
        }
        deadline_.cancel();
        co_return request;
    }

    // Nobody has a body read who may not have it looked at.
    void check_head() {
        if (is_checked_ || !reader_.has_headers()) return;
        is_checked_ = true;
        HttpRequest head = reader_.head().value();
        name_client(head);
        hub_.service.check(head);
    }
    void name_client(HttpRequest& request) const {
        request.peer = peer_;
        request.from_loopback = is_loopback_;
    }

    // False: the client has gone or takes nothing.
    asio::awaitable<bool> write(std::string bytes, SocketExchange* exchange) {
        for (size_t at = 0; at < bytes.size();) {
            set_deadline(limits::kStallTime);
            NetError error;
            const size_t n = co_await socket_.async_write_some(
                asio::buffer(bytes.data() + at, bytes.size() - at),
                asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return false;
            if (exchange != nullptr) exchange->written(n);
            at += n;
        }
        deadline_.cancel();
        co_return true;
    }

    // What could not be read: the answer, then the end, once the client has seen it.
    asio::awaitable<void> refuse(const ApiError& error) {
        const HttpResponse response = error.response();
        const HttpRequest head = reader_.head().value_or(HttpRequest{});
        hub_.service.count(head, error.status());
        tell_log(head, error.status(), Clock::now(), nullptr);
        if (error.status() == 401) co_await hold_if_guessing();
        co_await write(head_of(response, std::ssize(response.body), false) + response.body,
                       nullptr);
        NetError ignored;
        socket_.shutdown(tcp::socket::shutdown_send, ignored);
        // A close with unread bytes would take the answer back.
        set_deadline(std::chrono::seconds(2));
        std::array<char, 16384> buffer;
        for (size_t n_left = limits::kBodyBytes; n_left > 0;) {
            NetError gone;
            const size_t n = co_await socket_.async_read_some(
                asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, gone));
            if (gone) break;
            n_left -= std::min(n, n_left);
        }
    }

    // Behind a wrong key.
    asio::awaitable<void> hold_if_guessing() {
        if (!hub_.is_guessing(peer_)) co_return;
        Timer timer(hub_.io, limits::kFailedKeyTime);
        NetError ignored;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }

    // False: the connection must end.
    asio::awaitable<bool> answer(HttpRequest request) {
        const Clock::time_point since = Clock::now();
        std::string body = std::exchange(request.body, "");
        auto wake = [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->wake_.cancel();
        };
        const auto exchange = std::make_shared<SocketExchange>(
            hub_, std::move(wake), request.keep_alive, request.method == "HEAD",
            fmt::format("{:x}", hub_.next_request++));
        ++hub_.n_answering;
        is_gone_ = false;
        dispatch(request, std::move(body), exchange);
        if (!reader_.has_begun()) watch(exchange);
        co_await send_output(*exchange);
        --hub_.n_answering;
        const bool is_whole = exchange->is_complete && !is_gone_ && !exchange->is_cut;
        if (is_whole) {
            exchange->end();
        } else {
            exchange->leave();
        }
        constexpr int kClientGone = 499;
        const int status = is_whole ? exchange->status : kClientGone;
        hub_.service.count(request, status);
        tell_log(request, status, since, exchange.get());
        watched_.reset();
        const bool stays = is_whole && request.keep_alive;
        co_return stays;
    }

    // The body is gone once it was looked at, and counted until then.
    void dispatch(HttpRequest request, std::string body,
                  const std::shared_ptr<SocketExchange>& exchange) {
        const bool is_heavy = Service::is_heavy(request);
        request.body = std::move(body);
        const int64_t n_held = std::exchange(n_reading_, 0);
        auto handle = [&hub = hub_, request = std::move(request), n_held, exchange]() mutable {
            hub.service.handle(request, exchange);
            request = {};
            hub.bytes_in_flight -= n_held;
        };
        if (!is_heavy) return handle();
        asio::post(hub_.workers, std::move(handle));
    }

    asio::awaitable<void> send_output(SocketExchange& exchange) {
        bool is_held = false;  // if it gave too many wrong keys
        while (!is_gone_ && !exchange.is_cut) {
            std::string output = exchange.take_output();
            if (!output.empty()) {
                if (exchange.status == 401 && !std::exchange(is_held, true)) {
                    co_await hold_if_guessing();
                }
                if (!co_await write(std::move(output), &exchange)) is_gone_ = true;
            } else if (exchange.is_complete) {
                break;
            } else {
                wake_.expires_at(Clock::time_point::max());
                NetError ignored;
                co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            }
        }
    }

    // Whether the client leaves while it is waiting for its answer. What it sends meanwhile stays
    // for later, and then only writing finds out.
    void watch(const std::shared_ptr<SocketExchange>& exchange) {
        watched_ = exchange;
        socket_.async_wait(tcp::socket::wait_read,
                           [weak = weak_from_this(), of = std::weak_ptr(exchange)](NetError error) {
                               const auto self = weak.lock();
                               const auto still = of.lock();
                               if (self == nullptr || still == nullptr) return;
                               if (self->watched_.lock() == still) self->look(error, still);
                           });
    }
    void look(NetError error, const std::shared_ptr<SocketExchange>& exchange) {
        char byte = 0;
        size_t n = 0;
        if (!error) {
            n = socket_.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, error);
        }
        if (error == asio::error::would_block) return watch(exchange);
        if (!error && n > 0) return;
        is_gone_ = true;
        wake_.cancel();
    }

    void tell_log(const HttpRequest& request, int status, Clock::time_point since,
                  const SocketExchange* exchange) {
        const std::time_t now = std::time(nullptr);
        io::Json line = io::Json::Object{{"time", fmt::format("{:%FT%TZ}", fmt::gmtime(now))},
                                         {"peer", peer_},
                                         {"method", request.method},
                                         {"path", request.path},
                                         {"status", status}};
        line.set("seconds", std::chrono::duration<double>(Clock::now() - since).count());
        if (exchange != nullptr) {
            line.set("id", exchange->id());
            line.set("bytes", exchange->n_bytes);
            if (exchange->prompt_tokens >= 0) {
                line.set("prompt_tokens", exchange->prompt_tokens);
                line.set("new_tokens", exchange->new_tokens);
            }
        }
        hub_.write_log(line.dump(-1));
    }

    Hub& hub_;
    tcp::socket socket_;
    Timer deadline_, wake_;
    HttpReader reader_;
    std::string peer_;
    bool is_loopback_ = false;
    bool is_gone_ = false;
    bool is_checked_ = false;  // the head of the request that is being read
    int64_t n_reading_ = 0;    // bytes taken of a request that nobody handles yet
    std::weak_ptr<SocketExchange> watched_;
};

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
    // The last answers are written before the sockets close.
    asio::awaitable<void> end_all() {
        const Clock::time_point latest = Clock::now() + std::chrono::seconds(2);
        Timer timer(hub.io);
        while (!hub.service.is_idle() || (hub.n_answering > 0 && Clock::now() < latest)) {
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

void HttpServer::run() {
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
    while (!hub.service.is_idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    hub.log.join();
    hub.io.restart();
    hub.io.poll();  // what was handed over last
    if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace quarot::serve
