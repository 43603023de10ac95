// Bytes that are one request for every reader, and those that are not.
#include "serve/http_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/api_error.h"
#include "serve/limits.h"

namespace quarot::serve {
namespace {

// The status of the refusal; 0: none, whether the request is complete or not.
int refusal_of(const std::string& bytes) {
    try {
        HttpReader reader;
        reader.put(bytes);
        return 0;
    } catch (const ApiError& error) {
        return error.status();
    }
}

std::string get(const std::string& lines) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}

TEST(HttpReader, ReadsARequestHoweverItIsCut) {
    const std::string bytes =
        "POST /a/b?c=d HTTP/1.1\r\nHost: me\r\nX-One:  two \r\nContent-Length: 5\r\n\r\nhelloGET";
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
        HttpReader reader;
        std::optional<HttpRequest> request = reader.put(bytes.substr(0, cut));
        EXPECT_EQ(reader.has_begun(), cut > 0 && !(request && cut == bytes.size() - 3)) << cut;
        if (!request) request = reader.put(bytes.substr(cut));
        ASSERT_TRUE(request) << cut;
        EXPECT_EQ(request->method, "POST");
        EXPECT_EQ(request->path, "/a/b");
        EXPECT_EQ(request->query, "c=d");
        EXPECT_EQ(request->header("x-one"), "two");
        EXPECT_EQ(request->body, "hello");
        EXPECT_TRUE(request->keep_alive);
    }
}

TEST(HttpReader, ReadsAByteAtATime) {
    HttpReader reader;
    std::optional<HttpRequest> request;
    for (const char byte :
         std::string("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")) {
        EXPECT_FALSE(request);
        request = reader.put(std::string(1, byte));
    }
    ASSERT_TRUE(request);
    EXPECT_EQ(request->body, "abcde");
}

// The quoted extension has no end: its line is looked at again whenever more of it is there.
TEST(HttpReader, CountsTheBytesOfAChunkOnceHoweverItsLineIsCut) {
    const std::string bytes =
        get("Transfer-Encoding: chunked\r\n") + "1ddddd;x=\"a\r\n2;" + std::string(40, 'b') + "\r";
    HttpReader reader;
    int status = 0;
    for (const char byte : bytes) {
        try {
            reader.put({&byte, 1});
        } catch (const ApiError& error) {
            status = error.status();
            break;
        }
    }
    EXPECT_EQ(status, refusal_of(bytes));
    EXPECT_NE(status, 413);
}

TEST(HttpReader, KeepsWhatComesBehindARequestForTheNextOne) {
    HttpReader reader;
    const auto first = reader.put(get("") +
                                  "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                                  "Connection: close\r\n\r\nhi");
    ASSERT_TRUE(first);
    EXPECT_EQ(first->path, "/");
    EXPECT_TRUE(reader.has_begun());
    const auto second = reader.put("");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->body, "hi");
    EXPECT_FALSE(second->keep_alive);
    EXPECT_FALSE(reader.has_begun());
}

TEST(HttpReader, TellsOnceOfAClientThatWaitsToBeAskedForItsBody) {
    HttpReader reader;
    EXPECT_FALSE(
        reader.put("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 1\r\n\r\n"));
    EXPECT_TRUE(reader.take_expectation());
    EXPECT_FALSE(reader.take_expectation());
    EXPECT_TRUE(reader.put("x"));
}

TEST(HttpReader, RefusesWhatIsNoRequestOfOneMeaning) {
    const std::vector<std::string> bad = {
        "\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",  // no Host
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "G<T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/x.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        get("X: a\r\n b\r\n"),
        get("X: a\r\n\tb\r\n"),
        get(" X: a\r\n"),
        get("X : a\r\n"),
        get("X\r\n"),
        get(": a\r\n"),
        get("X: a\rb\r\n"),
        get(std::string("X: a\0b\r\n", 8)),
        get("Content-Length: 1\r\nContent-Length: 1\r\n"),
        get("Content-Length: 1\r\nContent-Length: 2\r\n"),
        get("Content-Length: 1, 1\r\n"),
        get("Content-Length: -1\r\n"),
        get("Content-Length: +1\r\n"),
        get("Content-Length: 1x\r\n"),
        get("Content-Length: 0x1\r\n"),
        get("Content-Length: 99999999999999999999999\r\n"),
        get("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        get("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
        get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        get("Transfer-Encoding: gzip, chunked\r\n"),
        get("Transfer-Encoding: chunked, identity\r\n"),
        get("Transfer-Encoding: identity\r\n"),
        get("Transfer-Encoding: \x0b"
            "chunked\r\n"),
        get("Transfer-Encoding: chunked\r\n") + "-1\r\n",
        get("Transfer-Encoding: chunked\r\n") + "x\r\n",
        get("Transfer-Encoding: chunked\r\n") + "1\r\nabc\r\n",
        get("Transfer-Encoding: chunked\r\n") + "0x1\r\na\r\n0\r\n\r\n",
    };
    for (const std::string& bytes : bad) EXPECT_EQ(refusal_of(bytes), 400) << bytes;
    EXPECT_EQ(refusal_of("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), 505);
    EXPECT_EQ(refusal_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 400);
}

TEST(HttpReader, HoldsItsLimits) {
    const std::string long_value(limits::kHeaderBytes, 'a');
    EXPECT_EQ(refusal_of(get("X: " + long_value + "\r\n")), 431);
    EXPECT_EQ(refusal_of("GET /" + long_value), 431) << "before the headers end";
    std::string many;
    for (size_t i = 0; i < limits::kHeaderFields; ++i) many += "X: y\r\n";
    EXPECT_EQ(refusal_of(get(many)), 431);
    EXPECT_EQ(refusal_of(get(many.substr(6))), 0);
    const std::string length = std::to_string(limits::kBodyBytes + 1);
    EXPECT_EQ(refusal_of(get("Content-Length: " + length + "\r\n")), 413);
    EXPECT_EQ(refusal_of(get("Transfer-Encoding: chunked\r\n") + "fffffff\r\n" +
                         std::string(limits::kBodyBytes + 1, 'a')),
              413);
    EXPECT_EQ(refusal_of(get("Transfer-Encoding: chunked\r\n") + "ffffffffffffffffff\r\n"), 400);
    EXPECT_EQ(refusal_of(get("Transfer-Encoding: chunked\r\n") + "1;x=" + long_value), 400);
    EXPECT_EQ(refusal_of(get("Transfer-Encoding: chunked\r\n") + "400000\r\n" +
                         std::string(size_t{4} << 20, 'b') + "\r\n400001\r\n"),
              413);
}

TEST(HttpReader, ABodysChunksHoldNoMoreThanABodyAndALittleMore) {
    const std::string chunk = "1;x=" + std::string(limits::kHeaderBytes / 2, 'a') + "\r\nb\r\n";
    const auto refusal_after = [&](size_t most) {
        HttpReader reader;
        reader.put(get("Transfer-Encoding: chunked\r\n"));
        try {
            for (size_t n = 0; n < most; n += chunk.size()) reader.put(chunk);
            return 0;
        } catch (const ApiError& error) {
            return error.status();
        }
    };
    EXPECT_EQ(refusal_after(limits::kBodyBytes), 0);
    const size_t most = limits::kHeaderBytes + limits::kBodyBytes + limits::kFramingBytes;
    EXPECT_EQ(refusal_after(most + chunk.size()), 413);
}

TEST(HttpReader, CountsTheBytesOfEachRequestAnew) {
    HttpReader reader;
    const std::string body(limits::kBodyBytes, 'a');
    for (int i = 0; i < 2; ++i) {
        reader.put(get("Content-Length: " + std::to_string(body.size()) + "\r\n"));
        EXPECT_FALSE(reader.put(body.substr(1)));
        EXPECT_TRUE(reader.put("a"));
    }
}

TEST(HttpReader, HasTheHeadBeforeTheBody) {
    HttpReader reader;
    EXPECT_FALSE(reader.head());
    reader.put("POST /x HTTP/1.1\r\nHost: a\r\n");
    EXPECT_FALSE(reader.head());
    reader.put("Content-Length: 2\r\n\r\nh");
    ASSERT_TRUE(reader.head());
    EXPECT_EQ(reader.head()->path, "/x");
    EXPECT_EQ(reader.head()->header("host"), "a");
    EXPECT_EQ(reader.head()->body, "");
    EXPECT_EQ(reader.put("i")->body, "hi") << "head() takes nothing away";
    EXPECT_FALSE(reader.head());
}

}  // namespace
}  // namespace quarot::serve
