// For tests: does something fit a stack that is much smaller than a thread's usual one?
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstddef>
#include <functional>

namespace quarot::jinja {

// The frames of a sanitizer are several times larger than ordinary ones.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr size_t kSmallStackBytes = size_t{4} << 20;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr size_t kSmallStackBytes = size_t{4} << 20;
#else
inline constexpr size_t kSmallStackBytes = size_t{512} << 10;
#endif
#else
inline constexpr size_t kSmallStackBytes = size_t{512} << 10;
#endif

inline void run_on_small_stack(const std::function<void()>& body) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, kSmallStackBytes), 0);
    pthread_t thread{};
    const auto start = [](void* argument) -> void* {
        (*static_cast<const std::function<void()>*>(argument))();
        return nullptr;
    };
    std::function<void()> copy = body;
    ASSERT_EQ(pthread_create(&thread, &attributes, start, &copy), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

}  // namespace quarot::jinja
