# hs_layer(NAME DEPENDS <lower layers> SOURCES ... PUBLIC_HEADERS hs_*.h)
#
# Declares the folder it stands in as one layer. Its include path is its own folder and those of
# DEPENDS, nothing more: an upward include does not compile. External libraries are given to one
# layer alone, at the end of this file. A layer without sources has an include path and no objects.
#
# hs_program(NAME [INSTALL] [NO_LTO] sources...)   an executable in build/<preset>/bin on top of all
# layers.
# hs_example(NAME source)   one that includes <httpshard/...>, as users of the package do.

set_property(GLOBAL PROPERTY HS_LAYERS "")
set_property(GLOBAL PROPERTY HS_LAYER_DIRS "")
set_property(GLOBAL PROPERTY HS_PUBLIC_HEADERS "")
set_property(GLOBAL PROPERTY HS_OBJECTS "")

function(hs_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;SOURCES;PUBLIC_HEADERS")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "hs_layer(${name}): unknown words: ${arg_UNPARSED_ARGUMENTS}")
    endif()
    get_property(known GLOBAL PROPERTY HS_LAYERS)
    set(dirs ${CMAKE_CURRENT_SOURCE_DIR})
    foreach(lower IN LISTS arg_DEPENDS)
        if(NOT lower IN_LIST known)
            message(FATAL_ERROR "hs_layer(${name}): '${lower}' is not a layer below it")
        endif()
        list(APPEND dirs ${PROJECT_SOURCE_DIR}/${lower})
    endforeach()

    if(arg_SOURCES)
        add_library(hs_${name} OBJECT ${arg_SOURCES})
        target_include_directories(hs_${name} PRIVATE ${dirs})
        target_link_libraries(hs_${name} PRIVATE hs_compile ${HS_EXTERNAL_${name}})
        set_property(GLOBAL APPEND PROPERTY HS_OBJECTS $<TARGET_OBJECTS:hs_${name}>)
    endif()

    list(TRANSFORM arg_PUBLIC_HEADERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    set_property(GLOBAL APPEND PROPERTY HS_LAYERS ${name})
    set_property(GLOBAL APPEND PROPERTY HS_LAYER_DIRS ${CMAKE_CURRENT_SOURCE_DIR})
    set_property(GLOBAL APPEND PROPERTY HS_PUBLIC_HEADERS ${arg_PUBLIC_HEADERS})
endfunction()

function(hs_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL;NO_LTO" "" "")
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    get_property(dirs GLOBAL PROPERTY HS_LAYER_DIRS)
    target_include_directories(${name} PRIVATE ${dirs})
    target_link_libraries(${name} PRIVATE httpshard_static hs_compile)
    if(HS_LTO AND NOT arg_NO_LTO)
        target_link_options(${name} PRIVATE -flto=auto -O2)
    elseif(HS_LTO)
        target_link_options(${name} PRIVATE -fno-lto)
    endif()
    if(arg_INSTALL)
        install(TARGETS ${name} RUNTIME COMPONENT runtime)
    endif()
endfunction()

function(hs_example name source)
    set(include ${PROJECT_BINARY_DIR}/include)
    file(MAKE_DIRECTORY ${include}/httpshard)
    get_property(headers GLOBAL PROPERTY HS_PUBLIC_HEADERS)
    foreach(header IN LISTS headers)
        get_filename_component(file ${header} NAME)
        file(CREATE_LINK ${header} ${include}/httpshard/${file} SYMBOLIC)
    endforeach()
    file(CREATE_LINK ${HS_YYJSON_INCLUDE}/yyjson.h ${include}/httpshard/yyjson.h SYMBOLIC)
    hs_program(${name} NO_LTO ${source})
    set_property(TARGET ${name} PROPERTY INCLUDE_DIRECTORIES ${include})
endfunction()

# Which layer sees which library. Nobody else does (the lint checks the ones in /usr/include).
set(HS_EXTERNAL_shard hs::uring hs::hwloc Threads::Threads)
set(HS_EXTERNAL_net hs::cares)
set(HS_EXTERNAL_http hs::idn2 hs::psl hs::zlib hs::brotlidec hs::zstd)
set(HS_EXTERNAL_app hs::yyjson)
if(HTTPSHARD_TLS)
    set(HS_EXTERNAL_tls hs::wolfssl)
endif()
