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
    target_precompile_headers(quarot_${name} REUSE_FROM quarot_precompiled)
    # No template of the standard library in what is compiled for one instruction set
    # (kernels/cpu/isa_kernels.h).
    list(FILTER ARG_SOURCES INCLUDE REGEX "/isa_[^/]*\\.cpp$")
    set_source_files_properties(${ARG_SOURCES} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    if(QUAROT_TESTS AND ARG_TESTS)
        quarot_test(${name}_test LABEL unit SOURCES ${ARG_TESTS} DEPENDS ${name}
                    LINKS ${ARG_LINKS} $<TARGET_NAME_IF_EXISTS:quarot_test_support>)
    endif()
endfunction()
