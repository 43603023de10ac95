# Unity builds: the compiler reads several sources of a target at once, and what they all include
# only once. Each file still includes what it uses: clang's warnings (`make warnings`) and clang-tidy
# read them one by one. A changed file takes its batch with it, hence the switch.
option(QUAROT_UNITY "compile the sources of a folder in batches" OFF)
set(CMAKE_UNITY_BUILD ${QUAROT_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
if(QUAROT_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC takes the sources of a batch for headers, in which it warns of types that use local ones.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()
