# What `cmake --install` puts where, in three components: the program, the library that programs run
# with, and what is needed to build them. cmake/deb.cmake makes a Debian package of each.
include(CMakePackageConfigHelpers)

install(TARGETS quarot RUNTIME COMPONENT program)
install(TARGETS quarot_library EXPORT quarot
    LIBRARY COMPONENT library NAMELINK_COMPONENT development
    ARCHIVE COMPONENT development)
install(DIRECTORY include/quarot DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.h")

# Paths in these files are relative to themselves, so the prefix can be moved.
set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/quarot)
configure_package_config_file(cmake/package/quarotConfig.cmake.in quarotConfig.cmake
    INSTALL_DESTINATION ${cmake_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(quarotConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT quarot NAMESPACE quarot:: FILE quarotTargets.cmake DESTINATION ${cmake_folder}
    COMPONENT development)
install(FILES ${PROJECT_BINARY_DIR}/quarotConfig.cmake
              ${PROJECT_BINARY_DIR}/quarotConfigVersion.cmake
    DESTINATION ${cmake_folder} COMPONENT development)

file(RELATIVE_PATH QUAROT_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
if(NOT QUAROT_SHARED)
    set(QUAROT_PC_LIBS " -llapacke -lstdc++ -lm -pthread")
    set(QUAROT_PC_REQUIRES
        "Requires: fmt spdlog libcrypto openblas libxxhash libpcre2-8 libutf8proc")
endif()
configure_file(cmake/package/quarot.pc.in quarot.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/quarot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT development)

# The manual page and completions, laid out below share/ by the build (apps/CMakeLists.txt).
install(DIRECTORY ${PROJECT_BINARY_DIR}/share/ DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}
    COMPONENT program OPTIONAL)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

include(deb)
