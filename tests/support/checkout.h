// The folder of the checkout that the tests were built from.
#pragma once

#include <string>

namespace quarot::test {

std::string checkout();
// checkout() / relative
std::string in_checkout(const std::string& relative);

}  // namespace quarot::test
