if(NOT QUAROT_TESTS)
    function(quarot_test)
    endfunction()
    return()
endif()

# Tests compile fast rather than run fast: what takes time in them is the library. As position
# independent as the floors are, so that programs and libraries share the precompiled headers.
add_library(quarot_test_options INTERFACE)
target_compile_options(quarot_test_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fPIC>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>
    # Below -O2 GCC 12 misjudges moves of std::string and std::variant.
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>")
target_include_directories(quarot_test_options INTERFACE ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(quarot_test_options INTERFACE quarot_warnings)
if(QUAROT_FUZZ)
    # What tests call is fully instrumented; they themselves for addresses alone, which takes less
    # than half the time to compile and lets them know that they run under a sanitizer.
    target_compile_options(quarot_test_options INTERFACE -O0 -fsanitize=address)
    target_link_options(quarot_test_options INTERFACE -fsanitize=${QUAROT_SANITIZE})
else()
    target_link_libraries(quarot_test_options INTERFACE quarot_sanitizers)
endif()

# Where the checkout is: the only file that is told, so that others compile alike in each.
set(checkout ${PROJECT_SOURCE_DIR}/tests/support/checkout.cpp)
add_library(quarot_test_base STATIC ${checkout})
set_source_files_properties(${checkout} TARGET_DIRECTORY quarot_test_base PROPERTIES
    COMPILE_DEFINITIONS QUAROT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_precompile_headers(quarot_test_base PRIVATE <gtest/gtest.h> ${QUAROT_COMMON_HEADERS})
target_link_libraries(quarot_test_base PUBLIC fmt::fmt GTest::gtest PRIVATE quarot_test_options)

# quarot_test_library(name SOURCES ... DEPENDS ... LINKS ...)
# What several test programs share.
function(quarot_test_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINKS" ${ARGN})
    list(TRANSFORM ARG_DEPENDS PREPEND quarot_)
    add_library(quarot_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(quarot_${name}
        PUBLIC ${ARG_DEPENDS} quarot_test_base PRIVATE ${ARG_LINKS} quarot_test_options)
    target_precompile_headers(quarot_${name} REUSE_FROM quarot_test_base)
endfunction()

# quarot_test(name LABEL unit|oracle|slow SOURCES ... DEPENDS ... LINKS ...)
function(quarot_test name)
    cmake_parse_arguments(ARG "" "LABEL" "SOURCES;DEPENDS;LINKS" ${ARGN})
    list(TRANSFORM ARG_DEPENDS PREPEND quarot_)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINKS} quarot_test_base
                                          GTest::gtest_main quarot_test_options)
    target_precompile_headers(${name} REUSE_FROM quarot_test_base)
    gtest_discover_tests(${name} PROPERTIES LABELS ${ARG_LABEL} DISCOVERY_TIMEOUT 60)
endfunction()
