// What the public Tokenizer holds.
#pragma once

#include "quarot/tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quarot {

struct Tokenizer::Impl {
    tokenizer::Tokenizer tokenizer;
};

}  // namespace quarot
