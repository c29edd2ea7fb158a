# One target per folder under src/, each with a rank; a target links only to lower ranks.

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(ringway_flags INTERFACE)
target_compile_options(ringway_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wold-style-cast>
  -fvisibility=hidden -fno-plt -march=x86-64-v2 -ftls-model=initial-exec -falign-functions=64)
target_include_directories(ringway_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include
  ${CMAKE_SOURCE_DIR})
target_link_libraries(ringway_flags INTERFACE Threads::Threads)
if(RINGWAY_SANITIZE)
  target_compile_options(ringway_flags INTERFACE
    -fsanitize=${RINGWAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ringway_flags INTERFACE -fsanitize=${RINGWAY_SANITIZE})
  # What a program needs in LD_PRELOAD before a library of this build.
  set(runtime asan)
  if(RINGWAY_SANITIZE MATCHES "thread")
    set(runtime tsan)
    # g++ warns that this sanitizer does not model fences: it sees the atomics beside them.
    target_compile_options(ringway_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=lib${runtime}.so
    OUTPUT_VARIABLE RINGWAY_SANITIZER_RUNTIME OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(RINGWAY_FUZZ)
  add_custom_target(fuzz_targets)
  target_compile_options(ringway_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Folders whose tests also run under ThreadSanitizer: those that share memory between threads.
set(RINGWAY_TSAN_FOLDERS ring mem steering control control_daemon stack runtime posix)

# The tests of a sanitizer build are named after it, so that one ctest can run several builds.
set(RINGWAY_TEST_PREFIX "")
if(RINGWAY_SANITIZE MATCHES "address")
  set(RINGWAY_TEST_PREFIX "asan:")
elseif(RINGWAY_SANITIZE MATCHES "thread")
  set(RINGWAY_TEST_PREFIX "tsan:")
  add_custom_target(tsan_tests)
endif()

# ringway_tests(NAME SOURCES... DEPENDS...): one GoogleTest program, each test known to ctest.
function(ringway_tests name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT RINGWAY_TESTS OR NOT ARG_SOURCES)
    return()
  endif()
  if(RINGWAY_SANITIZE AND "apps" IN_LIST ARG_LABELS)
    return()  # programs of others run under the release build only
  endif()
  if(RINGWAY_SANITIZE MATCHES "thread" AND NOT "tsan" IN_LIST ARG_LABELS)
    return()
  endif()
  if(NOT TARGET ringway_test_headers)
    # What every test parses is parsed once.
    add_executable(ringway_test_headers ${CMAKE_SOURCE_DIR}/cmake/test_headers.cpp)
    target_link_libraries(ringway_test_headers PRIVATE ringway_flags GTest::gtest GTest::gmock)
    target_compile_options(ringway_test_headers PRIVATE -O0 -fpch-preprocess)
    target_precompile_headers(ringway_test_headers PRIVATE <gtest/gtest.h> <gmock/gmock.h> <algorithm> <array>
      <atomic> <cstring> <functional> <map> <memory> <optional> <span> <string> <thread> <tl/expected.hpp> <vector>)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ringway_flags ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  # The tests' own code is compiled once and run once: optimizing it costs more than it brings.
  target_compile_options(${name} PRIVATE -O0 -fpch-preprocess)
  target_precompile_headers(${name} REUSE_FROM ringway_test_headers)
  if(TARGET tsan_tests)
    add_dependencies(tsan_tests ${name})
  endif()
  include(GoogleTest)
  # One label: gtest_discover_tests loses what stands behind a list.
  list(GET ARG_LABELS 0 label)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${RINGWAY_TEST_PREFIX}"
    PROPERTIES LABELS "${label}" TIMEOUT 120)
endfunction()

# ringway_folder(NAME RANK n DEPENDS folders... LIBRARIES third parties...)
# Takes every *.cpp of the current folder: *_test.cpp are its unit tests, *_main.cpp and *_suite.cpp are left to the caller.
function(ringway_folder name)
  cmake_parse_arguments(ARG "" "RANK" "DEPENDS;LIBRARIES;TEST_DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|main|suite)\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(depends "")
  foreach(dependency ${ARG_DEPENDS})
    get_property(rank GLOBAL PROPERTY ringway_rank_${dependency})
    if("${rank}" STREQUAL "")
      message(FATAL_ERROR "${name} depends on ${dependency}, which is not known yet: order src/CMakeLists.txt by rank")
    endif()
    if(NOT rank LESS ARG_RANK)
      message(FATAL_ERROR "${name} (rank ${ARG_RANK}) must not depend on ${dependency} (rank ${rank})")
    endif()
    list(APPEND depends ringway_${dependency})
  endforeach()
  set_property(GLOBAL PROPERTY ringway_rank_${name} ${ARG_RANK})
  if(sources)
    add_library(ringway_${name} STATIC ${sources})
    target_link_libraries(ringway_${name} PUBLIC ringway_flags ${depends} ${ARG_LIBRARIES})
  else()
    add_library(ringway_${name} INTERFACE)
    target_link_libraries(ringway_${name} INTERFACE ringway_flags ${depends} ${ARG_LIBRARIES})
  endif()
  set(labels unit)
  if(name IN_LIST RINGWAY_TSAN_FOLDERS)
    list(APPEND labels tsan)
  endif()
  ringway_tests(${name}_test SOURCES ${tests} DEPENDS ringway_${name} ${ARG_TEST_DEPENDS} LABELS ${labels})
endfunction()

# ringway_program(NAME SOURCES... DEPENDS folders or targets...): a program, installed to bin/.
function(ringway_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  ringway_targets(depends ${ARG_DEPENDS})
  target_link_libraries(${name} PRIVATE ringway_flags ${depends})
  target_link_options(${name} PRIVATE -Wl,--as-needed)
  set_target_properties(${name} PROPERTIES SKIP_BUILD_RPATH ON)
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# ringway_preload(NAME SOURCES... DEPENDS... [VERSION_SCRIPT file]): lib/ringway/libNAME.so, to be loaded into
# programs of others. Only what its own SOURCES export is seen from outside: everything from static libraries,
# the C++ runtime included, stays hidden, so that it cannot meet another version of itself in the program.
# bin/ and lib/ringway/ stand in the same relation in the build tree and after installation:
# a program finds it as dirname(/proc/self/exe)/../lib/ringway/libNAME.so.
function(ringway_preload name)
  cmake_parse_arguments(ARG "" "VERSION_SCRIPT" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} SHARED ${ARG_SOURCES})
  ringway_targets(depends ${ARG_DEPENDS})
  target_link_libraries(${name} PRIVATE ringway_flags ${depends} ${CMAKE_DL_LIBS})
  target_link_options(${name} PRIVATE -Wl,-z,now -Wl,-z,nodelete -Wl,--as-needed)
  if(RINGWAY_SANITIZE)
    # The sanitizer's runtime must come first and brings its own C++ runtime: no static one beside it.
    # A program that loads this library needs LD_PRELOAD="${RINGWAY_SANITIZER_RUNTIME}:..." as well.
    target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
  else()
    target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL
      -Wl,--no-undefined)
  endif()
  set(script ${CMAKE_SOURCE_DIR}/cmake/preload.map)
  if(ARG_VERSION_SCRIPT)
    set(script ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_VERSION_SCRIPT})
  endif()
  target_link_options(${name} PRIVATE -Wl,--version-script=${script})
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${script})
  set_target_properties(${name} PROPERTIES SKIP_BUILD_RPATH ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/ringway)
  install(TARGETS ${name} LIBRARY DESTINATION lib/ringway)
endfunction()

# ringway_module(NAME SOURCES... DEPENDS... VERSION_SCRIPT file): lib/ringway/modules/libNAME.so, loaded by Ringway's own
# programs when they need it. It may depend on libraries that nothing else of Ringway does.
function(ringway_module name)
  cmake_parse_arguments(ARG "" "VERSION_SCRIPT" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  ringway_targets(depends ${ARG_DEPENDS})
  target_link_libraries(${name} PRIVATE ringway_flags ${depends})
  set(script ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_VERSION_SCRIPT})
  target_link_options(${name} PRIVATE -Wl,-z,now -Wl,-z,nodelete -Wl,--as-needed
    -Wl,--exclude-libs,ALL -Wl,--version-script=${script})
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${script})
  # Macros of other people's headers become our code.
  target_compile_options(${name} PRIVATE -Wno-old-style-cast -Wno-conversion -Wno-pedantic -Wno-shadow)
  # Thread-local variables of such a library are reached by call: glibc keeps too little room to place those of a library
  # that comes late (DPDK's 4.5 KiB) beside the program's. Given with the sources, it comes after the flags of all.
  set_property(SOURCE ${ARG_SOURCES} APPEND PROPERTY COMPILE_OPTIONS -ftls-model=global-dynamic)
  set_target_properties(${name} PROPERTIES SKIP_BUILD_RPATH ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/ringway/modules)
  install(TARGETS ${name} LIBRARY DESTINATION lib/ringway/modules)
endfunction()

# ringway_targets(OUT names...): a name of a folder becomes its target, any other stays.
function(ringway_targets out)
  set(found "")
  foreach(name ${ARGN})
    if(TARGET ringway_${name})
      list(APPEND found ringway_${name})
    else()
      list(APPEND found ${name})
    endif()
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# ringway_fuzz(NAME SOURCES... DEPENDS...): a target with LLVMFuzzerTestOneInput. With clang (preset fuzz) it is a
# real fuzzer; otherwise it runs the files of fuzz/corpus/NAME once and is a test in every build.
function(ringway_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  if(RINGWAY_SANITIZE MATCHES "thread")
    return()
  endif()
  add_executable(fuzz_${name} ${ARG_SOURCES})
  ringway_targets(depends ${ARG_DEPENDS})
  target_link_libraries(fuzz_${name} PRIVATE ringway_flags ${depends})
  if(RINGWAY_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz_targets fuzz_${name})
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/fuzz/corpus_main.cpp)
    add_test(NAME ${RINGWAY_TEST_PREFIX}fuzz.${name}
      COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(${RINGWAY_TEST_PREFIX}fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
endfunction()
