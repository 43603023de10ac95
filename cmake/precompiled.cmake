# Precompiled headers: one of the standard library and fmt for the floors and the program, one with
# GoogleTest for the tests. System headers only, so that every checkout can share what ccache keeps.
# Each file still includes what it uses: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without them.
set(QUAROT_COMMON_HEADERS
    <algorithm> <array> <cmath> <cstddef> <cstdint> <cstring> <filesystem> <functional> <limits>
    <map> <memory> <optional> <span> <string> <string_view> <utility> <variant> <vector>
    <fmt/format.h>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # ccache wants to see in the preprocessed text which header was used.
    list(PREPEND CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -fpch-preprocess)
endif()

file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/empty.cpp CONTENT "// Owns the precompiled headers.\n")
add_library(quarot_precompiled OBJECT ${PROJECT_BINARY_DIR}/empty.cpp)
target_precompile_headers(quarot_precompiled PRIVATE ${QUAROT_COMMON_HEADERS})
target_link_libraries(quarot_precompiled PRIVATE fmt::fmt quarot_warnings quarot_sanitizers)
