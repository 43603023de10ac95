#include "io/hash.h"

#include <gtest/gtest.h>

#include "io/handmade_safetensors.h"
#include "support/temp_dir.h"

namespace quarot::io {

TEST(Hash, AgreesWithPublishedVectors) {
    const test::TempDir dir;
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const std::string million_a =
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    EXPECT_EQ(sha256_of_text("abc"), abc);
    write_bytes(dir / "a", std::string(1'000'000, 'a'));
    EXPECT_EQ(sha256_of_file(dir / "a"), million_a);
    write_bytes(dir / "long", std::string(3'000'000, 'b'));
    EXPECT_EQ(sha256_of_file(dir / "long"), sha256_of_text(std::string(3'000'000, 'b')));
    EXPECT_EQ(xxh3_128({}), "99aa06d3014798d86001c324468d497f");
}

}  // namespace quarot::io
