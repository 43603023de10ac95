#include "serve/connection.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <utility>

namespace quarot::serve {

Connection::Connection(Hub& hub, tcp::socket socket)
    : hub_(hub),
      stream_(std::move(socket), hub.options.tls.get()),
      deadline_(hub.io),
      wake_(hub.io) {
    hub_.connections.insert(this);
    NetError ignored;
    const auto peer = stream_.socket().remote_endpoint(ignored);
    peer_ = peer.address().to_string();
    is_loopback_ = peer.address().is_loopback() ||
                   (peer.address().is_v6() && peer.address().to_v6().is_v4_mapped() &&
                    peer_.starts_with("::ffff:127."));
}

Connection::~Connection() {
    hub_.connections.erase(this);
    hub_.bytes_in_flight -= n_reading_;
}

asio::awaitable<void> Connection::serve() {
    if (!co_await begin()) co_return close();
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
            co_return close();
        }
        if (!request) break;
        const bool is_last = n == limits::kRequestsOfConnection || hub_.is_draining;
        request->keep_alive = request->keep_alive && !is_last;
        name_client(*request);
        if (!co_await answer(std::move(*request))) break;
    }
    co_await end();
    close();
}

asio::awaitable<bool> Connection::begin() {
    set_deadline(limits::kHeaderTime);
    const ClientStream::Greeting greeting = co_await stream_.begin();
    deadline_.cancel();
    if (greeting == ClientStream::Greeting::NoTls) {
        co_await refuse(ApiError(400, "this port speaks TLS alone; ask it by https://"));
    }
    co_return greeting == ClientStream::Greeting::Ready;
}

asio::awaitable<void> Connection::end() {
    if (!is_gone_) {
        set_deadline(limits::kEndTime);
        co_await stream_.end_sending();
    }
}

void Connection::close() {
    deadline_.cancel();
    stream_.close();
}

void Connection::set_deadline(std::chrono::seconds time) {
    deadline_.expires_after(time);
    deadline_.async_wait([weak = weak_from_this()](const NetError& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->close();
    });
}

Connection::Phase Connection::phase() const {
    if (reader_.has_headers()) return Phase::Body;
    return reader_.has_begun() ? Phase::Head : Phase::Idle;
}

asio::awaitable<std::optional<HttpRequest>> Connection::read() {
    std::optional<HttpRequest> request = reader_.put("");
    std::optional<Phase> timed;
    std::array<char, 16384> buffer;
    while (!request) {
        if (timed != phase()) {
            timed = phase();
            set_deadline(*timed == Phase::Idle   ? limits::kIdleTime
                         : *timed == Phase::Head ? limits::kHeaderTime
                                                 : limits::kBodyTime);
        }
        NetError error;
        const size_t n = co_await stream_.read_some(asio::buffer(buffer), error);
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

void Connection::check_head() {
    if (is_checked_) return;
    std::optional<HttpRequest> head = reader_.head();
    if (!head) return;
    is_checked_ = true;
    name_client(*head);
    hub_.service.check(*head);
}

void Connection::name_client(HttpRequest& request) const {
    request.peer = peer_;
    request.from_loopback = is_loopback_;
}

asio::awaitable<bool> Connection::write(std::string bytes, SocketExchange* exchange) {
    for (size_t at = 0; at < bytes.size();) {
        set_deadline(limits::kStallTime);
        NetError error;
        const size_t n =
            co_await stream_.write_some(asio::buffer(bytes.data() + at, bytes.size() - at), error);
        if (error) co_return false;
        if (exchange != nullptr) exchange->written(n);
        at += n;
    }
    deadline_.cancel();
    co_return true;
}

asio::awaitable<void> Connection::refuse(const ApiError& error) {
    const HttpResponse response = error.response();
    const HttpRequest head = reader_.head().value_or(HttpRequest{});
    hub_.service.count(head, error.status());
    tell_log(head, error.status(), Clock::now(), nullptr);
    if (error.status() == 401) co_await hold_if_guessing();
    std::string answer = head_of(response, std::ssize(response.body), false);
    if (head.method != "HEAD") answer += response.body;
    co_await write(std::move(answer), nullptr);
    set_deadline(limits::kEndTime);
    co_await stream_.end_sending();
    // A close with unread bytes would take the answer back.
    for (size_t n_left = limits::kBodyBytes; n_left > 0;) {
        NetError gone;
        const size_t n = co_await stream_.discard_some(gone);
        if (gone) break;
        n_left -= std::min(n, n_left);
    }
}

asio::awaitable<void> Connection::hold_if_guessing() {
    if (!hub_.failed_keys.is_guessing(peer_)) co_return;
    Timer timer(hub_.io, limits::kFailedKeyTime);
    NetError ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<bool> Connection::answer(HttpRequest request) {
    const Clock::time_point since = Clock::now();
    std::string body = std::exchange(request.body, "");
    auto wake = [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->wake_.cancel();
    };
    auto post = [&io = hub_.io](std::function<void()> work) { asio::post(io, std::move(work)); };
    const auto exchange = std::make_shared<SocketExchange>(
        SocketExchange::Options{.post = std::move(post),
                                .wake = std::move(wake),
                                .keep_alive = request.keep_alive,
                                .head_only = request.method == "HEAD",
                                .id = fmt::format("{:x}", hub_.next_request++)});
    ++hub_.n_answering;
    is_gone_ = false;
    dispatch(request, std::move(body), exchange);
    if (!reader_.has_begun()) watch(exchange);
    co_await send_output(*exchange);
    --hub_.n_answering;
    const AnswerState state = exchange->state();
    const bool is_whole = state.is_complete && !is_gone_ && !exchange->is_cut;
    if (is_whole) {
        exchange->end();
    } else {
        exchange->leave();
    }
    constexpr int kClientGone = 499;
    const int status = is_whole ? state.status : kClientGone;
    hub_.service.count(request, status);
    tell_log(request, status, since, exchange.get());
    watched_.reset();
    const bool stays = is_whole && request.keep_alive;
    co_return stays;
}

void Connection::dispatch(HttpRequest request, std::string body,
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

asio::awaitable<void> Connection::send_output(SocketExchange& exchange) {
    bool is_held = false;  // if it gave too many wrong keys
    int n_writes = 0;
    while (!is_gone_ && !exchange.is_cut) {
        SocketExchange::Output output = exchange.take_output();
        Clock::time_point next = Clock::time_point::max();
        if (!output.bytes.empty()) {
            if (exchange.state().status == 401 && !std::exchange(is_held, true)) {
                co_await hold_if_guessing();
            }
            // A stream's head and its first token wait for nobody.
            next = Clock::now();
            if (++n_writes > 2) next += limits::kWriteTime;
            if (!co_await write(std::move(output.bytes), &exchange)) is_gone_ = true;
        }
        if (output.is_last || is_gone_) break;
        if (exchange.state().is_complete) continue;  // meanwhile
        wake_.expires_at(next);
        NetError ignored;
        co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
}

void Connection::watch(const std::shared_ptr<SocketExchange>& exchange) {
    watched_ = exchange;
    stream_.watch(shared_from_this(), [this, of = std::weak_ptr(exchange)] {
        const auto still = of.lock();
        if (still == nullptr || watched_.lock() != still) return;
        is_gone_ = true;
        wake_.cancel();
    });
}

void Connection::tell_log(const HttpRequest& request, int status, Clock::time_point since,
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
        const AnswerState state = exchange->state();
        if (state.prompt_tokens >= 0) {
            line.set("prompt_tokens", state.prompt_tokens);
            line.set("new_tokens", state.new_tokens);
        }
    }
    write_log(line.dump(-1));
}

void Connection::write_log(std::string line) {
    constexpr int64_t kLines = 10'000;
    if (!hub_.options.log_line || hub_.n_lines_waiting > kLines) return;
    ++hub_.n_lines_waiting;
    asio::post(hub_.log, [&hub = hub_, line = std::move(line)] {
        hub.options.log_line(line);
        --hub.n_lines_waiting;
    });
}

}  // namespace quarot::serve
