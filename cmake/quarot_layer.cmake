# quarot_layer(name SOURCES ... DEPENDS ... LINKS ... TESTS ...)
# One static library per folder. DEPENDS names lower folders (the link graph repeats the floors of
# layers.txt); LINKS names third-party targets; TESTS are x_test.cpp files, one program a folder.
function(quarot_layer name)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINKS;TESTS" ${ARGN})
    add_library(quarot_${name} STATIC ${ARG_SOURCES})
    target_include_directories(quarot_${name}
        PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    list(TRANSFORM ARG_DEPENDS PREPEND quarot_)
    target_link_libraries(quarot_${name}
        PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_LINKS} quarot_warnings quarot_sanitizers)
    if(QUAROT_TESTS AND ARG_TESTS)
        quarot_test(${name}_test LABEL unit SOURCES ${ARG_TESTS} DEPENDS ${name}
                    LINKS ${ARG_LINKS} $<TARGET_NAME_IF_EXISTS:quarot_test_support>)
    endif()
endfunction()

# quarot_test(name LABEL unit|oracle|slow SOURCES ... DEPENDS ... LINKS ...)
function(quarot_test name)
    cmake_parse_arguments(ARG "" "LABEL" "SOURCES;DEPENDS;LINKS" ${ARGN})
    if(NOT QUAROT_TESTS)
        return()
    endif()
    add_executable(${name} ${ARG_SOURCES})
    list(TRANSFORM ARG_DEPENDS PREPEND quarot_)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_compile_definitions(${name} PRIVATE QUAROT_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               QUAROT_BINARY_DIR="${PROJECT_BINARY_DIR}")
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINKS} GTest::gtest_main
                                          quarot_warnings quarot_sanitizers)
    gtest_discover_tests(${name} PROPERTIES LABELS ${ARG_LABEL} DISCOVERY_TIMEOUT 60)
endfunction()
