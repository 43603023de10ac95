// A server on a port of its own, and a client with nothing but a socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "serve/http_server.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {

// A connection that is closed with its scope.
class Client {
  public:
    explicit Client(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const timeval longest = {60, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
        EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    ~Client() { close(fd_); }
    int fd() const { return fd_; }
    void shut_down() { ::shutdown(fd_, SHUT_WR); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void send(const std::string& bytes) { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    void post(const std::string& path, const std::string& body) {
        send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
             std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    void get(const std::string& path, const std::string& more = "") {
        send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
    }
    // Reads until `end` is there, or the connection ends.
    std::string read_to(const std::string& end) {
        while (bytes_.find(end) == std::string::npos && read_some()) {
        }
        const size_t at = bytes_.find(end);
        const size_t n = at == std::string::npos ? bytes_.size() : at + end.size();
        std::string text = bytes_.substr(0, n);
        bytes_.erase(0, n);
        return text;
    }
    std::string read_all() {
        while (read_some()) {
        }
        return std::move(bytes_);
    }

  private:
    bool read_some() {
        char buffer[4096];
        const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
        if (n > 0) bytes_.append(buffer, static_cast<size_t>(n));
        return n > 0;
    }
    int fd_;
    std::string bytes_;
};

class HttpServerTest : public testing::Test {
  protected:
    explicit HttpServerTest(ServiceOptions service = {},
                            std::shared_ptr<const TlsContext> tls = nullptr)
        : tiny_(std::move(service)) {
        ServerOptions options;
        options.tls = std::move(tls);
        options.port = 0;
        options.drain_time = std::chrono::seconds(20);
        options.stops = [this] { return stops_.load(); };
        options.log_line = [this](const std::string& line) {
            const std::lock_guard lock(mutex_);
            log_ += line + "\n";
        };
        server_ = std::make_unique<HttpServer>(tiny_.service(), std::move(options));
        const std::string address = server_->address();
        port_ = std::stoi(address.substr(address.rfind(':') + 1));
        thread_ = std::thread([this] { EXPECT_TRUE(server_->run()); });
    }
    ~HttpServerTest() override { stop(); }
    void stop() {
        stops_ = true;
        if (thread_.joinable()) thread_.join();
    }

    TinyService tiny_;
    std::unique_ptr<HttpServer> server_;
    int port_ = 0;
    std::atomic<bool> stops_ = false;
    std::mutex mutex_;  // guards the log
    std::string log_;
    std::thread thread_;
};

}  // namespace quarot::serve
