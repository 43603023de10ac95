#include "serve/failed_keys.h"

#include <gtest/gtest.h>

#include "serve/limits.h"

namespace quarot::serve {
namespace {

TEST(FailedKeys, AreGuessesWhereAnAddressGivesTooManyOfThem) {
    FailedKeys keys;
    for (int i = 0; i < limits::kFailedKeysAMinute; ++i) {
        EXPECT_FALSE(keys.is_guessing("192.0.2.1")) << i;
    }
    EXPECT_TRUE(keys.is_guessing("192.0.2.1"));
    EXPECT_FALSE(keys.is_guessing("192.0.2.2")) << "of another address";
    EXPECT_TRUE(keys.is_guessing("192.0.2.1"));
}

}  // namespace
}  // namespace quarot::serve
