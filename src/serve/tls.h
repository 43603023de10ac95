// TLS of the server, by OpenSSL (tls_openssl.cpp), or its absence (tls_absent.cpp).
#pragma once

#include <memory>
#include <string>

namespace quarot::serve {

// A certificate and its key, for all connections.
class TlsContext {
  public:
    // Files in PEM: the certificate with those that lead to its root behind it, and its key without
    // a passphrase. Error{NotFound}, Error{Corrupt} for what is no certificate or key,
    // Error{Usage} for a key of another certificate, Error{Unsupported} in a build without TLS.
    // Warns of a certificate that has run out.
    static std::shared_ptr<const TlsContext> of_files(const std::string& certificate,
                                                      const std::string& key);
    virtual ~TlsContext() = default;
};

// "OpenSSL 3.0.17 1 Jul 2025"; empty in a build without TLS.
std::string tls_version();

}  // namespace quarot::serve
