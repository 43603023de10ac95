// The tier that runs on any machine.
#include "kernels/cpu/gemm_int_scalar.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd_scalar.h"

namespace quarot::kernels::cpu {

static constexpr IsaKernels make_table() {
    IsaKernels k = common_kernels<Scalar>("scalar");
    k.int_panel = int_panel<Scalar>;
    k.int_row = int_row<Scalar>;
    return k;
}

const IsaKernels& scalar_kernels() {
    static constexpr IsaKernels kTable = make_table();
    return kTable;
}

}  // namespace quarot::kernels::cpu
