# The two libraries that all layers are linked into, and (later in this file) how they install.

get_property(HS_OBJECT_LIST GLOBAL PROPERTY HS_OBJECTS)
get_property(HS_HEADER_LIST GLOBAL PROPERTY HS_PUBLIC_HEADERS)
get_property(HS_LAYER_DIR_LIST GLOBAL PROPERTY HS_LAYER_DIRS)

set(HS_LINK_LIBS hs::uring hs::hwloc Threads::Threads)
if(HTTPSHARD_TLS)
    list(APPEND HS_LINK_LIBS hs::wolfssl)
endif()

if(HS_OBJECT_LIST)
    add_library(httpshard_static STATIC ${HS_OBJECT_LIST})
    target_link_libraries(httpshard_static PRIVATE ${HS_LINK_LIBS})

    add_library(httpshard_shared SHARED ${HS_OBJECT_LIST})
    target_link_libraries(httpshard_shared PRIVATE hs_compile ${HS_LINK_LIBS})
    # liburing's and wolfSSL's symbols stay inside: a program may bring its own.
    target_link_options(httpshard_shared PRIVATE -Wl,--exclude-libs,ALL)
    if(HS_LTO)
        target_link_options(httpshard_shared PRIVATE -flto=auto -O2)
    endif()
    if(NOT HTTPSHARD_SANITIZE)
        target_link_options(httpshard_shared PRIVATE -Wl,-z,defs)
    endif()
    set_target_properties(httpshard_shared PROPERTIES
        VERSION ${PROJECT_VERSION}
        SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    foreach(lib IN ITEMS httpshard_static httpshard_shared)
        set_target_properties(${lib} PROPERTIES OUTPUT_NAME httpshard LINKER_LANGUAGE C)
    endforeach()
else()
    add_library(httpshard_static INTERFACE)
endif()
