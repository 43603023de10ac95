# `cpack -G DEB` in the build folder makes quarot, libquarot0.1 and libquarot-dev.
set(soname_package libquarot${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

set(CPACK_PACKAGE_CONTACT "quarot.cpp maintainers <maintainers@quarot.invalid>")
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(QUAROT_DEB_VERSION ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

# Debian wants these beside each package; a plain `cmake --install` leaves them out.
string(TIMESTAMP QUAROT_DEB_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)  # of SOURCE_DATE_EPOCH if set
configure_file(cmake/package/changelog.Debian.in package/changelog.Debian @ONLY)
configure_file(CHANGELOG.md package/changelog COPYONLY)
set(debian_files cmake/package/copyright)
find_program(GZIP gzip)
if(GZIP)
    foreach(file changelog changelog.Debian)
        execute_process(COMMAND ${GZIP} -9nkf ${PROJECT_BINARY_DIR}/package/${file}
                        COMMAND_ERROR_IS_FATAL ANY)
        list(APPEND debian_files ${PROJECT_BINARY_DIR}/package/${file}.gz)
    endforeach()
endif()
foreach(pair program=quarot library=${soname_package} development=libquarot-dev)
    string(REGEX MATCH "(.+)=(.+)" whole ${pair})
    install(FILES ${debian_files} DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${CMAKE_MATCH_2}
        COMPONENT ${CMAKE_MATCH_1} EXCLUDE_FROM_ALL)
endforeach()
# Debian's zsh looks for what packages bring in a folder of its own.
install(FILES ${PROJECT_BINARY_DIR}/share/zsh/site-functions/_quarot
    DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/zsh/vendor-completions
    COMPONENT program EXCLUDE_FROM_ALL OPTIONAL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME quarot)
set(CPACK_PACKAGE_VENDOR "quarot.cpp")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/package)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package/compress_manual.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL program library development)
set(CPACK_COMPONENTS_GROUPING IGNORE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME quarot)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION
    "The program takes a model folder as it comes from Hugging Face, rotates it so
that outliers vanish, quantizes weights, activations and the KV cache, and runs
the result with integer arithmetic.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${soname_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/package/triggers)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION
    "The shared library, which programs built with libquarot-dev need to run.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libquarot-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${soname_package} (= ${QUAROT_DEB_VERSION})")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
    "What it takes to build programs with the library: C++20 headers, the CMake
package that gives quarot::quarot, and a pkg-config file.")
if(NOT QUAROT_SHARED)  # the archive is all there is
    set(CPACK_COMPONENTS_ALL program development)
    set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
        "libfmt-dev, libspdlog-dev, libssl-dev, libopenblas-dev, liblapacke-dev, libxxhash-dev, libpcre2-dev, libutf8proc-dev")
endif()
include(CPack)
