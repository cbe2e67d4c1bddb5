# How everything is compiled: language, warnings, optimisation, sanitizers.
# The processor baseline stays the architecture's generic one: wider instructions are chosen at run
# time.

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

# No NDEBUG anywhere: assertions stay on in a release.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")
if(HTTPSHARD_SANITIZE)
    # A report names functions and lines. More would double the time to compile and link.
    set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
endif()

add_library(hs_compile INTERFACE)
target_compile_definitions(hs_compile INTERFACE _GNU_SOURCE)
target_compile_options(hs_compile INTERFACE
    -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wundef -Wwrite-strings -Wvla -Wformat=2 -Wimplicit-fallthrough
    -Wdate-time -fno-omit-frame-pointer -fno-common
    -fno-semantic-interposition)
if(HTTPSHARD_WERROR)
    target_compile_options(hs_compile INTERFACE -Werror)
endif()
target_link_options(hs_compile INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)

if(CMAKE_BUILD_TYPE STREQUAL "Debug" OR HTTPSHARD_SANITIZE)
    target_compile_definitions(hs_compile INTERFACE HS_DEBUG=1)
endif()

if(HTTPSHARD_SANITIZE STREQUAL "asan")
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(HTTPSHARD_SANITIZE STREQUAL "tsan")
    set(sanitize -fsanitize=thread)
elseif(HTTPSHARD_SANITIZE)
    message(FATAL_ERROR "HTTPSHARD_SANITIZE is '${HTTPSHARD_SANITIZE}': say asan, tsan or nothing")
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(hs_compile INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(sanitize)
    target_compile_options(hs_compile INTERFACE ${sanitize})
    target_link_options(hs_compile INTERFACE ${sanitize})
    find_program(HS_LLD ld.lld)
    if(HS_LLD)
        target_link_options(hs_compile INTERFACE -fuse-ld=lld) # a hundred programs to link
    endif()
endif()

# gcc keeps machine code beside the LTO form ("fat"), so that the static library serves everyone
# and the tests link fast; clang's has only the LTO form, so there it stays off.
set(HS_LTO OFF)
if(HTTPSHARD_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT HTTPSHARD_SANITIZE)
    set(HS_LTO ON)
    target_compile_options(hs_compile INTERFACE -flto=auto -ffat-lto-objects)
    set(CMAKE_AR ${CMAKE_C_COMPILER_AR})
    set(CMAKE_RANLIB ${CMAKE_C_COMPILER_RANLIB})
endif()

# libFuzzer wants its coverage probes in all of the code; only the fuzz targets get its main().
if(HTTPSHARD_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "HTTPSHARD_FUZZ needs clang: use the preset 'fuzz'")
    endif()
    target_compile_options(hs_compile INTERFACE -fsanitize=fuzzer-no-link)
endif()
