# The two libraries that all layers are linked into, and how they install:
#   include/httpshard/*.h, lib/libhttpshard.{a,so}, bin/httpshard, and for those who build on it
#   pkg-config's httpshard.pc and httpshard-static.pc, and CMake's find_package(httpshard).
# liburing comes along as lib/httpshard/liburing.a, since the static library needs that very one.
# yyjson does for users of either library, who read documents with it: the shared one keeps its own
# to itself, and both are of one version. Its header is include/httpshard/yyjson.h.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(HS_OBJECT_LIST GLOBAL PROPERTY HS_OBJECTS)
get_property(HS_HEADER_LIST GLOBAL PROPERTY HS_PUBLIC_HEADERS)
get_property(HS_LAYER_DIR_LIST GLOBAL PROPERTY HS_LAYER_DIRS)

set(HS_LINK_LIBS hs::uring Threads::Threads)
foreach(name IN LISTS HS_SYSTEM_NAMES)
    list(APPEND HS_LINK_LIBS hs::${name})
endforeach()
set(HS_BUNDLED hs::uring hs::yyjson)
if(HTTPSHARD_TLS)
    list(APPEND HS_LINK_LIBS hs::wolfssl)
    list(APPEND HS_BUNDLED hs::wolfssl)
endif()

add_library(httpshard_static STATIC ${HS_OBJECT_LIST})
target_link_libraries(httpshard_static PUBLIC hs::yyjson PRIVATE ${HS_LINK_LIBS})

add_library(httpshard_shared SHARED ${HS_OBJECT_LIST})
target_link_libraries(httpshard_shared PUBLIC hs::yyjson PRIVATE hs_compile ${HS_LINK_LIBS})
# The symbols of what is linked in stay inside: a program may bring its own.
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

foreach(kind IN ITEMS static shared)
    set_target_properties(httpshard_${kind} PROPERTIES
        OUTPUT_NAME httpshard LINKER_LANGUAGE C EXPORT_NAME ${kind})
    # Flat below include/httpshard, though they lie in a folder a layer here.
    target_sources(httpshard_${kind} PUBLIC FILE_SET HEADERS
                   BASE_DIRS ${HS_LAYER_DIR_LIST} FILES ${HS_HEADER_LIST})
endforeach()

install(TARGETS httpshard_static httpshard_shared EXPORT httpshardTargets
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/httpshard
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${HS_YYJSON_INCLUDE}/yyjson.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/httpshard)

# What the static library needs besides, under our own folder so that it is in nobody's way.
set(HS_PC_BUNDLED "")
foreach(lib IN LISTS HS_BUNDLED)
    get_target_property(file ${lib} IMPORTED_LOCATION)
    get_filename_component(name ${file} NAME)
    install(FILES ${file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/httpshard)
    string(APPEND HS_PC_BUNDLED " \${libdir}/httpshard/${name}")
endforeach()

list(JOIN HS_SYSTEM_MODULES " " HS_PC_REQUIRES)
set(HS_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH HS_PC_PREFIX /${HS_PC_DIR} /)
string(REGEX REPLACE "/$" "" HS_PC_PREFIX ${HS_PC_PREFIX})
foreach(name IN ITEMS httpshard httpshard-static)
    configure_file(${PROJECT_SOURCE_DIR}/deploy/cmake/${name}.pc.in
                   ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${HS_PC_DIR})
endforeach()

set(HS_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/httpshard)
configure_package_config_file(${PROJECT_SOURCE_DIR}/deploy/cmake/httpshardConfig.cmake.in
    ${PROJECT_BINARY_DIR}/httpshardConfig.cmake INSTALL_DESTINATION ${HS_CONFIG_DIR}
    PATH_VARS CMAKE_INSTALL_LIBDIR)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/httpshardConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/httpshardConfig.cmake
              ${PROJECT_BINARY_DIR}/httpshardConfigVersion.cmake DESTINATION ${HS_CONFIG_DIR})
install(EXPORT httpshardTargets NAMESPACE httpshard:: DESTINATION ${HS_CONFIG_DIR})
