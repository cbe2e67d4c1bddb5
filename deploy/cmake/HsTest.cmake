# Helpers to declare tests. All link the static library, whose hidden symbols a static link sees,
# and have the private include paths of all layers.
#
#   hs_unit_test(NAME sources...)            Criterion; label unit. Not built for TSan, whose shadow
#                                            memory clashes with Criterion's arena at start
#   hs_plain_test(NAME sources... [ARGS a..] [TIMEOUT s])   a program that exits 0; label plain
#   hs_sim_test(NAME sources... [ARGS a..] [TIMEOUT s])     the same; label sim
#   hs_fuzz_target(NAME sources... CORPUS dir)   LLVMFuzzerTestOneInput; label fuzz. In the preset
#                                            fuzz it fuzzes for 10 s (600 s in a long run);
#                                            elsewhere it replays the corpus
#   hs_script_test(NAME LABEL l COMMAND c... [TIMEOUT s] [SERIAL])   any command
#
# hs_test_on_epoll(LABEL.NAME...)   the same tests once more, as LABEL.NAME.epoll, with HS_IO=epoll
#
# Scripts are run by name or as `python3 file`: looking for an interpreter at configuration would
# keep a machine without one from building the server.
# A program or script that cannot run here exits with 77 and says why in a line "SKIP: why".

# Criterion's Test() and LLVMFuzzerTestOneInput() are functions without a prototype.
add_library(hs_test_compile INTERFACE)
target_compile_options(hs_test_compile INTERFACE -Wno-missing-prototypes)
if(HS_LTO)
    # The machine code beside the LTO form is enough for a test, and links in no time.
    target_compile_options(hs_test_compile INTERFACE -fno-lto)
    target_link_options(hs_test_compile INTERFACE -fno-lto)
endif()

set(HS_RUN_PREFIX "")
if(HTTPSHARD_SANITIZE STREQUAL "tsan")
    # Older TSan runtimes die where mmap is randomised by more than 28 bits: run without that.
    execute_process(COMMAND setarch ${CMAKE_HOST_SYSTEM_PROCESSOR} -R true
                    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(NOT failed)
        set(HS_RUN_PREFIX setarch ${CMAKE_HOST_SYSTEM_PROCESSOR} -R)
    endif()
endif()

# What is freed stays out of use for a while; the default of 256 MB makes each test's process touch
# as much, and a new page is what costs most.
set(HS_SANITIZER_ENV
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:quarantine_size_mb=16"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=0:exitcode=66:second_deadlock_stack=1")

# In a fresh tree ctest does not know how long a test takes: those of these kinds begin first, so
# that none of them runs alone at the end.
set(HS_LONG_KINDS package lint sim e2e perf fuzz plain)

# Seconds after which a test hangs. It is no measure of speed: a slow machine with others on it
# takes ten times as long as a good one, and may stand still for a while besides.
set(HS_TEST_TIMEOUT 900)

function(hs_register_test name label timeout)
    add_test(NAME ${label}.${name} COMMAND ${HS_RUN_PREFIX} ${ARGN})
    set(cost 0)
    if(label IN_LIST HS_LONG_KINDS)
        list(FIND HS_LONG_KINDS ${label} place)
        math(EXPR cost "100 - ${place}")
    endif()
    set_tests_properties(${label}.${name} PROPERTIES
        LABELS ${label} TIMEOUT ${timeout} SKIP_RETURN_CODE 77 COST ${cost}
        ENVIRONMENT "${HS_SANITIZER_ENV}")
    # A test cannot be asked for its command later.
    set_property(DIRECTORY PROPERTY HS_COMMAND_${label}.${name} ${ARGN})
endfunction()

# What depends on the backend is run on both: as the program chooses, and on epoll.
function(hs_test_on_epoll)
    foreach(test IN LISTS ARGN)
        get_property(registered DIRECTORY PROPERTY HS_COMMAND_${test} SET)
        if(NOT registered)
            continue() # not built for this preset
        endif()
        get_property(command DIRECTORY PROPERTY HS_COMMAND_${test})
        get_test_property(${test} LABELS label)
        get_test_property(${test} TIMEOUT timeout)
        string(REGEX REPLACE "^[^.]*\\." "" name ${test})
        hs_register_test(${name}.epoll ${label} ${timeout} ${command})
        set_property(TEST ${test}.epoll APPEND PROPERTY ENVIRONMENT HS_IO=epoll)
    endforeach()
endfunction()

function(hs_test_program name)
    add_executable(${name} ${ARGN})
    get_property(dirs GLOBAL PROPERTY HS_LAYER_DIRS)
    target_include_directories(${name} PRIVATE ${dirs} ${PROJECT_SOURCE_DIR}/tests)
    # In this order: the later flags weaken the earlier ones.
    target_link_libraries(${name} PRIVATE hs_compile hs_test_compile hs_sim httpshard_static
                                          Threads::Threads)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
endfunction()

function(hs_unit_test name)
    if(HTTPSHARD_SANITIZE STREQUAL "tsan")
        return()
    endif()
    if(NOT TARGET hs_criterion)
        pkg_check_modules(CRITERION QUIET criterion)
        if(NOT CRITERION_FOUND)
            # Without it the rest still builds; the tests are there, and fail.
            get_property(told GLOBAL PROPERTY HS_CRITERION_TOLD)
            if(NOT told)
                message(STATUS "no Criterion: unit tests will fail (./deploy/setup --test)")
                set_property(GLOBAL PROPERTY HS_CRITERION_TOLD ON)
            endif()
            hs_register_test(${name} unit 10 sh -c
                "echo 'no Criterion, which unit tests need: run ./deploy/setup --test' >&2 && false")
            return()
        endif()
        add_library(hs_criterion INTERFACE IMPORTED GLOBAL)
        target_include_directories(hs_criterion SYSTEM INTERFACE ${CRITERION_INCLUDE_DIRS})
        target_link_libraries(hs_criterion INTERFACE ${CRITERION_LINK_LIBRARIES})
        # Its assertions expand to a page each: optimising them takes longer than running them. In
        # one string, since CMake drops what it has seen before.
        set(quick "-O0 -U_FORTIFY_SOURCE")
        if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
            string(APPEND quick " -Wno-maybe-uninitialized") # guesses, without the optimiser
        endif()
        target_compile_options(hs_criterion INTERFACE "SHELL:${quick}")
        add_library(hs_no_certificates OBJECT ${PROJECT_SOURCE_DIR}/tests/unit/no_certificates.c)
        target_link_options(hs_criterion INTERFACE
            -Wl,--export-dynamic-symbol=mbedtls_x509_crt_parse_file)
    endif()
    hs_test_program(unit_${name} ${ARGN})
    target_link_libraries(unit_${name} PRIVATE hs_criterion hs_no_certificates)
    hs_register_test(${name} unit ${HS_TEST_TIMEOUT} $<TARGET_FILE:unit_${name}>)
endfunction()

function(hs_plain_or_sim_test label name)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "ARGS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT ${HS_TEST_TIMEOUT})
    endif()
    hs_test_program(${label}_${name} ${arg_UNPARSED_ARGUMENTS})
    hs_register_test(${name} ${label} ${arg_TIMEOUT} $<TARGET_FILE:${label}_${name}> ${arg_ARGS})
endfunction()

function(hs_plain_test)
    hs_plain_or_sim_test(plain ${ARGV})
endfunction()

function(hs_sim_test)
    hs_plain_or_sim_test(sim ${ARGV})
endfunction()

function(hs_fuzz_target name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS" "")
    get_filename_component(corpus ${arg_CORPUS} ABSOLUTE)
    if(NOT IS_DIRECTORY ${corpus})
        message(FATAL_ERROR "hs_fuzz_target(${name}): no corpus folder ${corpus}")
    endif()
    set(target fuzz_${name})
    if(HTTPSHARD_FUZZ)
        hs_test_program(${target} ${arg_UNPARSED_ARGUMENTS})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        if(NOT TARGET fuzz_targets)
            add_custom_target(fuzz_targets)
        endif()
        add_dependencies(fuzz_targets ${target})
        # What it finds goes to the build tree; the corpus in the source tree is only read.
        set(found ${CMAKE_BINARY_DIR}/fuzz/${name})
        file(MAKE_DIRECTORY ${found}/corpus)
        set(seconds 10)
        if(HTTPSHARD_LONG_TESTS)
            set(seconds 600)
        endif()
        math(EXPR timeout "${seconds} + ${HS_TEST_TIMEOUT}")
        # A finding ends libFuzzer with 77 otherwise, which is ctest's "skipped".
        hs_register_test(${name} fuzz ${timeout} $<TARGET_FILE:${target}> -error_exitcode=1
            -max_total_time=${seconds} -timeout=300 -rss_limit_mb=2048
            -print_final_stats=1 -artifact_prefix=${found}/ ${found}/corpus ${corpus})
    else()
        hs_test_program(${target} ${arg_UNPARSED_ARGUMENTS}
                        ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c)
        hs_register_test(${name} fuzz ${HS_TEST_TIMEOUT} $<TARGET_FILE:${target}> ${corpus})
    endif()
endfunction()

function(hs_script_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "LABEL;TIMEOUT" "COMMAND")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT ${HS_TEST_TIMEOUT})
    endif()
    hs_register_test(${name} ${arg_LABEL} ${arg_TIMEOUT} ${arg_COMMAND})
    if(arg_SERIAL)
        set_tests_properties(${arg_LABEL}.${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()
