#include "support/checkout.h"

namespace quarot::test {

std::string checkout() {
    return QUAROT_SOURCE_DIR;
}

std::string in_checkout(const std::string& relative) {
    return checkout() + "/" + relative;
}

}  // namespace quarot::test
