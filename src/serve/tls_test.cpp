// The server through TLS, with certificates that the test makes.
#include "serve/tls.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "serve/limits.h"
#include "serve/server_for_tests.h"

namespace quarot::serve {
namespace {

template <typename T, void (*Free)(T*)>
struct Freed {
    void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;

constexpr long kDay = 86'400;

Key make_key() {
    return Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
}

// Signed by itself, valid from a day before until `seconds` after now.
Certificate make_certificate(EVP_PKEY* key, long seconds) {
    Certificate certificate(X509_new());
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * kDay);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), seconds);
    X509_set_pubkey(certificate.get(), key);
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    X509_sign(certificate.get(), key, EVP_sha256());
    return certificate;
}

void write_certificate(const std::string& path, X509* certificate) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    ASSERT_TRUE(file != nullptr && PEM_write_X509(file, certificate) == 1);
    std::fclose(file);
}

void write_key(const std::string& path, EVP_PKEY* key, const char* passphrase = nullptr) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    const EVP_CIPHER* const cipher = passphrase != nullptr ? EVP_aes_256_cbc() : nullptr;
    std::string phrase = passphrase != nullptr ? passphrase : "";
    ASSERT_TRUE(file != nullptr &&
                PEM_write_PrivateKey(file, key, cipher, nullptr, 0, nullptr, phrase.data()) == 1);
    std::fclose(file);
}

std::shared_ptr<const TlsContext> make_context() {
    const test::TempDir dir;
    const Key key = make_key();
    write_key(dir / "key", key.get());
    write_certificate(dir / "cert", make_certificate(key.get(), kDay).get());
    return TlsContext::of_files(dir / "cert", dir / "key");
}

// A client of one version of TLS, which takes any certificate.
class TlsClient {
  public:
    explicit TlsClient(int port, int version = TLS1_3_VERSION)
        : socket_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(nullptr) {
        SSL_CTX_set_security_level(context_.get(), 0);
        SSL_CTX_set_min_proto_version(context_.get(), version);
        SSL_CTX_set_max_proto_version(context_.get(), version);
        ssl_.reset(SSL_new(context_.get()));
        SSL_set_fd(ssl_.get(), socket_.fd());
        is_connected_ = SSL_connect(ssl_.get()) == 1;
    }
    bool is_connected() const { return is_connected_; }
    void send(const std::string& bytes) {
        SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    }
    void get(const std::string& path, const std::string& more = "") {
        send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
    }
    void post(const std::string& path, const std::string& body) {
        send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
             std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    // Reads until `end` is there, or the connection ends.
    std::string read_to(const std::string& end) {
        size_t at = 0;
        while ((at = bytes_.find(end)) == std::string::npos && read_some()) {
        }
        const size_t n = at == std::string::npos ? bytes_.size() : at + end.size();
        std::string text = bytes_.substr(0, n);
        bytes_.erase(0, n);
        return text;
    }
    // Whether the server said that it ends before it ended.
    bool is_told_the_end() {
        while (read_some()) {
        }
        return SSL_get_error(ssl_.get(), last_) == SSL_ERROR_ZERO_RETURN;
    }
    void say_the_end() { SSL_shutdown(ssl_.get()); }

  private:
    bool read_some() {
        char buffer[4096];
        last_ = SSL_read(ssl_.get(), buffer, sizeof buffer);
        if (last_ > 0) bytes_.append(buffer, static_cast<size_t>(last_));
        return last_ > 0;
    }

    Client socket_;
    std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>> context_;
    std::unique_ptr<SSL, Freed<SSL, SSL_free>> ssl_;
    bool is_connected_ = false;
    int last_ = 0;
    std::string bytes_;
};

class TlsServerTest : public HttpServerTest {
  protected:
    TlsServerTest() : HttpServerTest({}, make_context()) {}
};

const std::string kStream = R"({"prompt":"a","max_tokens":150,"stream":true,"ignore_eos":true})";

TEST_F(TlsServerTest, AnswersSeveralRequestsOfAConnectionInBothVersions) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        TlsClient client(port_, version);
        ASSERT_TRUE(client.is_connected());
        for (int i = 0; i < 3; ++i) {
            client.get("/health");
            EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200 OK\r\n"));
        }
        client.post("/v1/completions", kStream);
        EXPECT_NE(client.read_to("\r\n0\r\n\r\n").find("data: [DONE]\n\n"), std::string::npos);
        client.get("/health", "Connection: close\r\n");
        EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
        EXPECT_TRUE(client.is_told_the_end()) << "an end that anybody could have made";
    }
}

TEST_F(TlsServerTest, ABodyOfMegabytesArrivesWhole) {
    TlsClient client(port_);
    const std::string text(size_t{1} << 20, ' ');
    client.post("/tokenize", R"({"prompt":"a")" + text + "}");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

TEST_F(TlsServerTest, OlderVersionsAreRefused) {
    EXPECT_FALSE(TlsClient(port_, TLS1_1_VERSION).is_connected());
    EXPECT_TRUE(TlsClient(port_).is_connected()) << "the next is served";
}

TEST_F(TlsServerTest, WhoSpeaksPlainlyIsToldToUseTls) {
    Client client(port_);
    client.get("/health");
    const std::string answer = client.read_all();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << answer;
    EXPECT_NE(answer.find("https://"), std::string::npos) << answer;
    EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos) << answer;
}

TEST_F(TlsServerTest, WhatIsNoRequestIsAnsweredAndEnds) {
    TlsClient client(port_);
    client.send("nonsense\r\n\r\n" + std::string(20'000, 'x'));
    const std::string answer = client.read_to("}}");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << answer;
    EXPECT_TRUE(client.is_told_the_end());
}

TEST_F(TlsServerTest, NonsenseInsteadOfAHandshakeConcernsNobodyElse) {
    TlsClient kept(port_);
    for (const std::string& bytes :
         {std::string("\x16\x03\x01\xff\xff") + std::string(1000, 'x'), std::string("\x16"),
          std::string("\x16\x03\x01\x00\x05hello"), std::string(1, '\0')}) {
        Client client(port_);
        client.send(bytes);
        client.shut_down();
        EXPECT_EQ(client.read_all().find("HTTP/1.1 200"), std::string::npos);
    }
    kept.get("/health");
    EXPECT_TRUE(kept.read_to("}").starts_with("HTTP/1.1 200"));
}

TEST_F(TlsServerTest, AHandshakeTakesNoLongerThanHeaders) {
    Client silent(port_), slow(port_);
    slow.send("\x16\x03\x01");
    const auto since = std::chrono::steady_clock::now();
    EXPECT_EQ(silent.read_all(), "");
    EXPECT_EQ(slow.read_all(), "");
    const auto took = std::chrono::steady_clock::now() - since;
    EXPECT_GT(took, limits::kHeaderTime - std::chrono::seconds(2));
    EXPECT_LT(took, limits::kHeaderTime * 3);
}

TEST_F(TlsServerTest, WhatIsSentDuringAnAnswerIsAnsweredBehindIt) {
    TlsClient client(port_);
    client.post("/v1/completions", kStream);
    client.read_to("data: ");
    client.get("/health");
    client.get("/version");
    EXPECT_NE(client.read_to("\r\n0\r\n\r\n").find("data: [DONE]\n\n"), std::string::npos);
    EXPECT_NE(client.read_to("}").find("status"), std::string::npos);
    EXPECT_NE(client.read_to("}").find("version"), std::string::npos);
}

TEST_F(TlsServerTest, ClientsThatLeaveInAnyStateFreeWhatTheyHeld) {
    const std::string whole = R"({"prompt":"a","max_tokens":150,"ignore_eos":true})";
    for (int i = 0; i < 20; ++i) {
        TlsClient client(port_, i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
        if (i % 5 == 1) client.send("POST /v1/comp");
        if (i % 5 == 2) client.post("/v1/completions", whole);
        if (i % 5 >= 3) client.post("/v1/completions", kStream);
        if (i % 5 == 4) client.read_to("data: ");
        if (i % 3 == 0) client.say_the_end();
    }
    tiny_.expect_nothing_runs();
    TlsClient client(port_);
    client.get("/health");
    EXPECT_TRUE(client.read_to("}").starts_with("HTTP/1.1 200"));
}

TEST_F(TlsServerTest, TheEndWaitsForWhatRuns) {
    TlsClient idle(port_), client(port_);
    client.post("/v1/completions", kStream);
    client.read_to("data: ");
    stops_ = true;
    EXPECT_NE(client.read_to("\r\n0\r\n\r\n").find("data: [DONE]\n\n"), std::string::npos);
    EXPECT_EQ(idle.read_to("\r\n"), "");
    thread_.join();
}

class TlsFiles : public testing::Test {
  protected:
    TlsFiles() {
        write_key(dir_ / "key", key_.get());
        write_certificate(dir_ / "cert", make_certificate(key_.get(), kDay).get());
        std::ofstream(dir_ / "nonsense") << "nonsense\n";
    }
    std::pair<ErrorCode, std::string> error_of(const std::string& certificate,
                                               const std::string& key) const {
        try {
            TlsContext::of_files(dir_ / certificate, dir_ / key);
        } catch (const Error& error) {
            return {error.code(), error.what()};
        }
        ADD_FAILURE() << "nothing was thrown";
        return {};
    }

    test::TempDir dir_;
    Key key_ = make_key();
};

TEST_F(TlsFiles, AreCheckedBeforeAnybodyIsServed) {
    EXPECT_NO_THROW(TlsContext::of_files(dir_ / "cert", dir_ / "key"));
    EXPECT_EQ(error_of("absent", "key").first, ErrorCode::NotFound);
    EXPECT_EQ(error_of("cert", "absent").first, ErrorCode::NotFound);
    EXPECT_EQ(error_of("nonsense", "key").first, ErrorCode::Corrupt);
    EXPECT_EQ(error_of("cert", "nonsense").first, ErrorCode::Corrupt);
    EXPECT_EQ(error_of("key", "cert").first, ErrorCode::Corrupt) << "one for the other";
    EXPECT_NE(error_of("nonsense", "key").second.find("nonsense is no certificate"),
              std::string::npos);
}

TEST_F(TlsFiles, AKeyOfAnotherCertificateIsRefused) {
    write_key(dir_ / "other", make_key().get());
    const auto [code, message] = error_of("cert", "other");
    EXPECT_EQ(code, ErrorCode::Usage) << message;
    write_key(dir_ / "rsa", Key(EVP_RSA_gen(2048)).get());
    EXPECT_EQ(error_of("cert", "rsa").first, ErrorCode::Usage);
}

TEST_F(TlsFiles, AKeyWithAPassphraseAsksNobody) {
    write_key(dir_ / "locked", key_.get(), "a secret");
    const auto [code, message] = error_of("cert", "locked");
    EXPECT_EQ(code, ErrorCode::Unsupported) << message;
}

TEST_F(TlsFiles, AChainIsTakenWhole) {
    const Key root = make_key();
    write_certificate(dir_ / "root", make_certificate(root.get(), kDay).get());
    std::ofstream chain(dir_ / "chain");
    for (const char* part : {"cert", "root"}) chain << std::ifstream(dir_ / part).rdbuf();
    chain.close();
    EXPECT_NO_THROW(TlsContext::of_files(dir_ / "chain", dir_ / "key"));
    std::ofstream(dir_ / "chain", std::ios::app) << "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                                    "-----END CERTIFICATE-----\n";
    EXPECT_EQ(error_of("chain", "key").first, ErrorCode::Corrupt);
}

TEST_F(TlsFiles, ACertificateThatHasRunOutIsAWarning) {
    write_certificate(dir_ / "old", make_certificate(key_.get(), -kDay).get());
    std::string said;
    set_log([&](LogLevel, const std::string& message) { said += message; });
    TlsContext::of_files(dir_ / "cert", dir_ / "key");
    EXPECT_EQ(said, "");
    TlsContext::of_files(dir_ / "old", dir_ / "key");
    set_log({});
    EXPECT_NE(said.find("old: the certificate has run out"), std::string::npos) << said;
}

}  // namespace
}  // namespace quarot::serve
