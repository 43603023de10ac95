// Which instruction set the kernels use on this machine.
#pragma once

#include <string>

#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

// The table of a tier; "" is the best one present. Error{Usage} for an unknown name, Error{Device}
// for a tier that is not compiled in or not present.
const IsaKernels& choose_kernels(const std::string& name);

}  // namespace quarot::kernels::cpu
