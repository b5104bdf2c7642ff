# One function per kind of target, so that warnings, sanitizers and test labels are set in one place.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(menagerie_options INTERFACE)
target_include_directories(menagerie_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(menagerie_options INTERFACE -Wall -Wextra -Werror)
target_link_libraries(menagerie_options INTERFACE Threads::Threads)
if(MENAGERIE_SANITIZE)
  target_compile_options(menagerie_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  # GCC sees uninitialised reads inside sanitized std::function and std::regex that are not there.
  target_compile_options(menagerie_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(menagerie_options INTERFACE -fsanitize=address,undefined)
endif()

if(MENAGERIE_FUZZ)
  # Libraries too tell the fuzzer which of their paths were taken.
  target_compile_options(menagerie_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# menagerie_add_folders(<dir>...): add_subdirectory for those that have a CMakeLists.txt.
function(menagerie_add_folders)
  foreach(dir ${ARGN})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
      add_subdirectory(${dir})
    endif()
  endforeach()
endfunction()

# menagerie_library(<name> SOURCES <file>... [DEPS <target>...])
function(menagerie_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC menagerie_options ${ARG_DEPS})
endfunction()

include(GNUInstallDirs)

# menagerie_program(<name> SOURCES <file>... [DEPS <target>...]): a program in build/bin, installed with
# its manual pages, docs/man/<name>*.
function(menagerie_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE menagerie_options ${ARG_DEPS})
  install(TARGETS ${name})
  foreach(section 1 5 7)
    file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/${name}*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
endfunction()

# Catch2's main is compiled once and shared by all test programs.
find_package(Catch2 2 REQUIRED)
include(Catch)
add_library(menagerie_test_main STATIC ${CMAKE_SOURCE_DIR}/tests/catch_main.cpp)
target_link_libraries(menagerie_test_main PUBLIC Catch2::Catch2 menagerie_options)
target_compile_definitions(menagerie_test_main PRIVATE
  MENAGERIE_BUILT_BIN="${CMAKE_BINARY_DIR}/bin" MENAGERIE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")

# What test programs end with when what they need is not on this machine: shown as skipped.
set(menagerie_skipped 77)

# menagerie_test(<name> SOURCES <file>... [DEPS <target>...] [LABELS <label>...] [TIMEOUT <s>] [SLOW])
# One Catch2 program; each of its cases is a test of its own, "<name>/<case>". SLOW: cases with the tag
# [slow] are left out of `./dev test --quick`, by the label "slow".
function(menagerie_test name)
  cmake_parse_arguments(ARG "SLOW" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE menagerie_test_main ${ARG_DEPS})
  set(common TEST_PREFIX "${name}/" WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE ${menagerie_skipped})
  catch_discover_tests(${name} TEST_SPEC "~[slow]" ${common} LABELS ${ARG_LABELS})
  if(ARG_SLOW)
    catch_discover_tests(${name} TEST_SPEC "[slow]" TEST_LIST ${name}_SLOW_TESTS ${common} LABELS slow)
  endif()
endfunction()

# menagerie_check(<name> COMMAND <word>... [LABELS <label>...] [TIMEOUT <s>]): a script that is a test.
function(menagerie_check name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    SKIP_RETURN_CODE ${menagerie_skipped})
endfunction()

# menagerie_fuzz(<name> SOURCES <file>... [DEPS <target>...] CORPUS <dir>)
# The source defines LLVMFuzzerTestOneInput. With MENAGERIE_FUZZ it is a libFuzzer program (clang);
# always, a replay program runs the saved corpus as a test.
function(menagerie_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  if(MENAGERIE_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  endif()
  add_executable(${name}_replay ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz_replay_main.cpp)
  set_target_properties(${name}_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name}_replay PRIVATE menagerie_options ${ARG_DEPS})
  menagerie_check(${name}_corpus LABELS fuzz COMMAND ${name}_replay ${ARG_CORPUS})
endfunction()
