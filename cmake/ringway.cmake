# One target per folder under src/, each with a rank; a target links only to lower ranks.

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(ringway_flags INTERFACE)
target_compile_options(ringway_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wold-style-cast>
  -fvisibility=hidden -fno-plt -march=x86-64-v2 -ftls-model=initial-exec)
target_include_directories(ringway_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include
  ${CMAKE_SOURCE_DIR})
target_link_libraries(ringway_flags INTERFACE Threads::Threads)
if(RINGWAY_SANITIZE)
  target_compile_options(ringway_flags INTERFACE
    -fsanitize=${RINGWAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ringway_flags INTERFACE -fsanitize=${RINGWAY_SANITIZE})
endif()

# ringway_tests(NAME SOURCES... DEPENDS...): one GoogleTest program, each test known to ctest.
function(ringway_tests name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT RINGWAY_TESTS OR NOT ARG_SOURCES)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ringway_flags ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
endfunction()

# ringway_folder(NAME RANK n DEPENDS folders... LIBRARIES third parties...)
# Takes every *.cpp of the current folder: *_test.cpp are its unit tests, *_main.cpp are left to the caller.
function(ringway_folder name)
  cmake_parse_arguments(ARG "" "RANK" "DEPENDS;LIBRARIES;TEST_DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|main)\\.cpp$")
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
  ringway_tests(${name}_test SOURCES ${tests} DEPENDS ringway_${name} ${ARG_TEST_DEPENDS} LABELS unit)
endfunction()
