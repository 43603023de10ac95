// How much a request may ask for, and how long a connection may take. docs/server.md has the table.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace quarot::limits {

// HTTP
inline constexpr size_t kHeaderBytes = size_t{16} << 10;  // request line and headers
inline constexpr size_t kHeaderFields = 100;
inline constexpr size_t kBodyBytes = size_t{8} << 20;
inline constexpr size_t kFramingBytes = size_t{1} << 20;  // of a body in chunks: what is no body
inline constexpr int kBodyDepth = 64;
inline constexpr int64_t kConnections = 1024;
inline constexpr int64_t kRequestsOfConnection = 1000;
inline constexpr size_t kBacklogBytes = size_t{256} << 10;  // of an answer that is not read
inline constexpr std::chrono::seconds kHeaderTime{10};
inline constexpr std::chrono::seconds kBodyTime{30};
inline constexpr std::chrono::seconds kIdleTime{60};
inline constexpr std::chrono::seconds kStallTime{30};  // of a client that reads nothing
inline constexpr std::chrono::seconds kPingTime{15};
// Between two writes of a stream: a frame of a screen. Each costs a wake-up here and at the client,
// more than a token of a small model should.
inline constexpr std::chrono::milliseconds kWriteTime{16};
inline constexpr std::chrono::seconds kEndTime{2};  // of a client that was told it is the end
inline constexpr int64_t kTlsFileBytes = int64_t{1} << 20;
inline constexpr size_t kKeysOfFile = 256;
inline constexpr int64_t kKeyFileBytes = int64_t{1} << 20;
inline constexpr int64_t kBytesInFlight = int64_t{256} << 20;  // of requests being read, together
inline constexpr int kFailedKeysAMinute = 20;                  // of an address; then each waits
inline constexpr std::chrono::seconds kFailedKeyTime{1};

// Fields of a body
inline constexpr size_t kPrompts = 128;
inline constexpr int64_t kChoices = 8;      // n
inline constexpr int64_t kSequences = 256;  // prompts times n
inline constexpr int64_t kTopLogprobs = 20;
inline constexpr size_t kLogitBiases = 1024;
inline constexpr double kMostBias = 100.0;
inline constexpr double kMostPenalty = 10.0;                // presence and frequency
inline constexpr int64_t kMaxTokensOfCompletion = 256;      // where the request does not say
inline constexpr int64_t kPromptBytesOfToken = 64;          // a longer prompt has too many tokens
inline constexpr int64_t kPromptBytes = int64_t{64} << 10;  // that are always looked at
inline constexpr size_t kTools = 128;
inline constexpr int64_t kQueuedTokens = 1'000'000;

}  // namespace quarot::limits
