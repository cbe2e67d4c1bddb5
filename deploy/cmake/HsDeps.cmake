# Finds what the set-up prepared: liburing (>= 2.9), wolfSSL and yyjson from the cache folder, whose
# place is computed here as deploy/lib.sh computes it; the others from the distribution.

function(hs_cache_dir out)
    set(root "$ENV{HTTPSHARD_CACHE}")
    if(NOT root)
        set(root "$ENV{XDG_CACHE_HOME}")
        if(NOT root)
            set(root "$ENV{HOME}/.cache")
        endif()
        string(APPEND root "/httpshard")
    endif()
    set(id linux)
    set(version 0)
    if(EXISTS /etc/os-release)
        file(STRINGS /etc/os-release lines REGEX "^(ID|VERSION_ID)=")
        foreach(line IN LISTS lines)
            string(REGEX MATCH "^(ID|VERSION_ID)=\"?([^\"]*)\"?$" matched "${line}")
            if(CMAKE_MATCH_1 STREQUAL "ID")
                set(id ${CMAKE_MATCH_2})
            elseif(CMAKE_MATCH_1 STREQUAL "VERSION_ID")
                set(version ${CMAKE_MATCH_2})
            endif()
        endforeach()
    endif()
    set(${out} "${root}/${id}-${version}-${CMAKE_HOST_SYSTEM_PROCESSOR}" PARENT_SCOPE)
endfunction()

function(hs_import name include library)
    foreach(path IN ITEMS ${include} ${library})
        if(NOT EXISTS ${path})
            message(FATAL_ERROR "${name}: ${path} is missing. Run ./deploy/setup")
        endif()
    endforeach()
    add_library(hs::${name} STATIC IMPORTED GLOBAL)
    set_target_properties(hs::${name} PROPERTIES
        IMPORTED_LOCATION ${library}
        INTERFACE_INCLUDE_DIRECTORIES ${include}
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${include})
endfunction()

# deps.cmake is written by deploy/setup last, once all is built:
# HS_URING_VERSION, HS_URING_INCLUDE, HS_URING_LIBRARY, and the same three for HS_WOLFSSL
# and HS_YYJSON.
hs_cache_dir(HS_CACHE)
if(NOT EXISTS ${HS_CACHE}/deps.cmake)
    message(FATAL_ERROR "${HS_CACHE}/deps.cmake is missing: liburing, wolfSSL and yyjson were not "
                        "set up for this system and user. Run ./deploy/setup")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${HS_CACHE}/deps.cmake)
include(${HS_CACHE}/deps.cmake)

if(HS_URING_VERSION VERSION_LESS 2.9)
    message(FATAL_ERROR "liburing ${HS_URING_VERSION} is older than 2.9. Run ./deploy/setup")
endif()
hs_import(uring ${HS_URING_INCLUDE} ${HS_URING_LIBRARY})
if(NOT HS_YYJSON_LIBRARY)
    message(FATAL_ERROR "yyjson was not set up yet. Run ./deploy/setup")
endif()
hs_import(yyjson ${HS_YYJSON_INCLUDE} ${HS_YYJSON_LIBRARY})
if(HTTPSHARD_TLS)
    hs_import(wolfssl ${HS_WOLFSSL_INCLUDE} ${HS_WOLFSSL_LIBRARY})
    set_target_properties(hs::wolfssl PROPERTIES INTERFACE_LINK_LIBRARIES m)
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# hs_system(NAME MODULE PACKAGE): a library of the distribution, as pkg-config knows it, becomes
# hs::NAME. Whoever links the static library needs it too: HsPackage.cmake passes it on.
set(HS_SYSTEM_NAMES "")
set(HS_SYSTEM_MODULES "")
macro(hs_system name module package)
    pkg_check_modules(HS_SYSTEM_${name} QUIET ${module})
    if(NOT HS_SYSTEM_${name}_FOUND)
        message(FATAL_ERROR "${module} is missing (package ${package}). Run ./deploy/setup")
    endif()
    add_library(hs::${name} INTERFACE IMPORTED GLOBAL)
    target_include_directories(hs::${name} SYSTEM INTERFACE ${HS_SYSTEM_${name}_INCLUDE_DIRS})
    target_link_libraries(hs::${name} INTERFACE ${HS_SYSTEM_${name}_LINK_LIBRARIES})
    list(APPEND HS_SYSTEM_NAMES ${name})
    list(APPEND HS_SYSTEM_MODULES ${module})
endmacro()

hs_system(hwloc hwloc libhwloc-dev)
hs_system(idn2 libidn2 libidn2-dev)
hs_system(cares libcares libc-ares-dev)
hs_system(psl libpsl libpsl-dev)
hs_system(zlib zlib zlib1g-dev)
hs_system(brotlidec libbrotlidec libbrotli-dev)
hs_system(zstd libzstd libzstd-dev)
