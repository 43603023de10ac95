# QUAROT_TLS: whether `quarot serve` can speak TLS. AUTO: where OpenSSL's libssl is found.
set(QUAROT_TLS AUTO CACHE STRING "AUTO, ON or OFF")
set_property(CACHE QUAROT_TLS PROPERTY STRINGS AUTO ON OFF)

set(QUAROT_HAS_TLS OFF)
if(QUAROT_TLS AND TARGET OpenSSL::SSL)
    set(QUAROT_HAS_TLS ON)
elseif(QUAROT_TLS AND NOT QUAROT_TLS STREQUAL "AUTO")
    message(FATAL_ERROR "QUAROT_TLS=${QUAROT_TLS}: no libssl found")
endif()
message(STATUS "TLS of the server: ${QUAROT_HAS_TLS}")
