// Who may ask for which path: keys, hosts, methods, and what the page itself may do.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "serve/service.h"
#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

using io::Json;

TEST(ServiceAccess, WithKeysOnlyHealthAndThePageArePublic) {
    test::TempDir dir;
    const std::string key = "a-key-of-20-letters-", path = dir / "keys";
    std::ofstream(path) << "# two\n" << key << "\nanother-key-of-many\r\n";
    TinyService tiny({.keys = ApiKeys::of_file(path)});
    for (const Route& route : Service::routes()) {
        std::string of = route.path;
        if (of.ends_with("*")) of.back() = 'x';
        const auto status = [&](const std::string& authorization) {
            return tiny.ask(route.method, of, "{}", authorization)->wait().status;
        };
        const bool is_open = route.access != Access::Key;  // metrics: from this machine
        const std::vector<std::string> wrong_keys = {"",
                                                     "Bearer ",
                                                     "Bearer a",
                                                     "Bearer " + key.substr(1),
                                                     "Bearer " + key + "x",
                                                     key,
                                                     "Basic " + key,
                                                     "Bearer  " + key,
                                                     "Bearer # two"};
        for (const std::string& wrong : wrong_keys) {
            EXPECT_EQ(status(wrong) == 401, !is_open) << of << " " << wrong;
        }
        EXPECT_NE(status("Bearer " + key), 401) << of;
        EXPECT_NE(status("Bearer another-key-of-many"), 401) << of;
    }
    EXPECT_EQ(tiny.get("/nope").status, 401) << "tells nothing without a key";
    auto remote = std::make_shared<KeptExchange>();
    tiny.service().handle({.method = "GET", .path = "/metrics", .from_loopback = false}, remote);
    EXPECT_EQ(remote->wait().status, 401);
}

TEST(ServiceAccess, KeysAreRefusedThatAnyoneGuesses) {
    test::TempDir dir;
    for (const std::string& text :
         {std::string(), std::string("# none\n"), std::string("short\n"),
          std::string("with a space in it\n"), std::string("with-a-tab\tin-the-middle\n")}) {
        std::ofstream(dir / "keys") << text;
        EXPECT_THROW(ApiKeys::of_file(dir / "keys"), Error) << text;
    }
    EXPECT_THROW(ApiKeys::of_file(dir / "none"), Error);
}

TEST(ServiceAccess, OtherHostsAndMethodsAreRefused) {
    TinyService tiny({.allowed_hosts = {"127.0.0.1", "localhost", "[::1]"}});
    const auto status_of = [&](const std::string& host) {
        auto exchange = std::make_shared<KeptExchange>();
        tiny.service().handle({.method = "GET", .path = "/health", .headers = {{"host", host}}},
                              exchange);
        return exchange->wait().status;
    };
    for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"}) {
        EXPECT_EQ(status_of(host), 200) << host;
    }
    for (const char* host : {"evil.example", "evil.example:8080", "", "localhost.evil.example",
                             "127.0.0.1.evil.example", "[::1", "[::2]:1"}) {
        EXPECT_EQ(status_of(host), 403) << host;
    }
    const HttpResponse wrong = tiny.ask("POST", "/health")->wait();
    EXPECT_EQ(wrong.status, 405);
    EXPECT_EQ(wrong.headers, (Headers{{"Allow", "GET, HEAD"}}));
    EXPECT_EQ(tiny.ask("HEAD", kCompletions)->wait().headers, (Headers{{"Allow", "POST"}}));
    EXPECT_EQ(tiny.ask("HEAD", "/v1/models/makers/tiny")->wait().status, 200);
    EXPECT_EQ(tiny.ask("GET", kCompletions)->wait().status, 405);
    EXPECT_EQ(tiny.ask("DELETE", "/v1/models/tiny")->wait().status, 405);
    EXPECT_EQ(tiny.get("/../etc/passwd").status, 404);
    EXPECT_EQ(tiny.get("/v1/models/makers/tiny").status, 200);
    EXPECT_EQ(tiny.get("/v1/models/makers%2Ftiny").status, 200) << "as clients write the slash";
    EXPECT_EQ(tiny.get("/v1/models/makers%2").status, 404);
    EXPECT_EQ(tiny.get("/v1/models/tiny").status, 404);
    EXPECT_EQ(tiny.get("/v1/models/").status, 404);
}

// Every route is described, and nothing else is.
TEST(ServiceAccess, TheOpenApiDocumentHasTheRoutesAndOnlyThese) {
    TinyService tiny;
    const Json document = Json::parse(tiny.get("/openapi.json").body, "openapi.json");
    size_t n_described = 0;
    for (const auto& [path, item] : document.at("paths").as_object()) {
        n_described += (item.contains("get") ? 1 : 0) + (item.contains("post") ? 1 : 0);
    }
    EXPECT_EQ(n_described, Service::routes().size());
    for (const Route& route : Service::routes()) {
        std::string path = route.path;
        if (path.ends_with("*")) path.replace(path.size() - 1, 1, "{id}");
        const std::string method = std::string(route.method) == "GET" ? "get" : "post";
        EXPECT_TRUE(document.at("paths").at(path).contains(method)) << path;
    }
}

TEST(ServiceAccess, ThePageMayRunItsOwnScriptAlone) {
    TinyService tiny;
    const HttpResponse page = tiny.get("/");
    EXPECT_TRUE(page.content_type.starts_with("text/html"));
    std::string policy;
    for (const auto& [name, value] : page.headers) {
        if (name == "Content-Security-Policy") policy = value;
    }
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'sha256-")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    for (const char* word : {"http://", "https://", "onclick", "style=\"", "innerHTML"}) {
        EXPECT_EQ(page.body.find(word), std::string::npos) << word;
    }
}

}  // namespace
}  // namespace quarot::serve
