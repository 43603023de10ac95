#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "io/input_text.h"
#include "serve/limits.h"
#include "serve/tls_layer.h"

namespace quarot::serve {

namespace {

namespace ssl = asio::ssl;

class OpensslLayer : public TlsLayer {
  public:
    OpensslLayer(tcp::socket& socket, ssl::context& context) : stream_(socket, context) {}

    asio::awaitable<void> handshake(NetError& error) override {
        co_await stream_.async_handshake(ssl::stream_base::server,
                                         asio::redirect_error(asio::use_awaitable, error));
    }
    asio::awaitable<size_t> read_some(asio::mutable_buffer to, NetError& error) override {
        co_return co_await stream_.async_read_some(
            to, asio::redirect_error(asio::use_awaitable, error));
    }
    asio::awaitable<size_t> write_some(asio::const_buffer from, NetError& error) override {
        co_return co_await stream_.async_write_some(
            from, asio::redirect_error(asio::use_awaitable, error));
    }
    asio::awaitable<void> shutdown() override {
        NetError ignored;
        co_await stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
    }

  private:
    ssl::stream<tcp::socket&> stream_;
};

// Of Asio's error, which is OpenSSL's.
std::string reason_of(const NetError& error) {
    const char* reason = ERR_reason_error_string(static_cast<unsigned>(error.value()));
    return reason != nullptr ? reason : error.message();
}

void warn_of_dates(SSL_CTX* context, const std::string& path) {
    const X509* certificate = SSL_CTX_get0_certificate(context);
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
        log_warning("{}: the certificate has run out; clients will refuse it", path);
    } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        log_warning("{}: the certificate is not valid yet; clients will refuse it", path);
    }
}

class OpensslContext : public TlsContext {
  public:
    OpensslContext(const std::string& certificate, const std::string& key) {
        SSL_CTX* const native = context_.native_handle();
        SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
        SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                        SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // idle connections hold none
        use_certificate(certificate);
        use_key(key, certificate);
        warn_of_dates(native, certificate);
    }
    std::unique_ptr<TlsLayer> layer(tcp::socket& socket) const {
        return std::make_unique<OpensslLayer>(socket, context_);
    }

  private:
    void use_certificate(const std::string& path) {
        const std::string text = io::read_input_text(path, limits::kTlsFileBytes);
        NetError error;
        context_.use_certificate_chain(asio::buffer(text), error);
        if (error) {
            fail(ErrorCode::Corrupt, "{} is no certificate in PEM that can be used: {}", path,
                 reason_of(error));
        }
    }
    void use_key(const std::string& path, const std::string& certificate) {
        const std::string text = io::read_input_text(path, limits::kTlsFileBytes);
        if (text.find("ENCRYPTED") != std::string::npos) {
            fail(ErrorCode::Unsupported,
                 "{} is a key with a passphrase; give one without (openssl pkey -in KEY -out "
                 "PLAIN)",
                 path);
        }
        NetError error;
        context_.use_private_key(asio::buffer(text), ssl::context::pem, error);
        const auto code = static_cast<unsigned>(error.value());
        const bool is_other = ERR_GET_LIB(code) == ERR_LIB_X509;  // which compares the two
        if (error && !is_other) {
            fail(ErrorCode::Corrupt, "{} is no private key in PEM: {}", path, reason_of(error));
        }
        if (error || SSL_CTX_check_private_key(context_.native_handle()) != 1) {
            fail(ErrorCode::Usage, "the key {} is not that of the certificate {}", path,
                 certificate);
        }
    }
    // Connections add sessions and count themselves in it, which OpenSSL guards.
    mutable ssl::context context_{ssl::context::tls_server};
};

}  // namespace

std::shared_ptr<const TlsContext> TlsContext::of_files(const std::string& certificate,
                                                       const std::string& key) {
    return std::make_shared<const OpensslContext>(certificate, key);
}

std::unique_ptr<TlsLayer> make_tls_layer(const TlsContext& context, tcp::socket& socket) {
    return static_cast<const OpensslContext&>(context).layer(socket);  // the only kind there is
}

std::string tls_version() {
    return OpenSSL_version(OPENSSL_VERSION);
}

}  // namespace quarot::serve
