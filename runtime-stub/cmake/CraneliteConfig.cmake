# Models in CMake projects.
#
#   find_package(Cranelite REQUIRED)            # CMAKE_PREFIX_PATH or Cranelite_DIR names the folder of this file
#   cranelite_add_model(app MODEL kws.tflite)   # compiled for the platform that app is built for, and linked into it
#
# The program `cranelite` is looked for in PATH; -DCRANELITE_EXECUTABLE=... names another one.

find_program(CRANELITE_EXECUTABLE cranelite DOC "The compiler of .tflite models")

# Triple of the platform that the project is built for; empty for the machine itself.
function(_cranelite_target result)
  set(triple "")
  string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
  if(processor MATCHES "^(arm64|aarch64)")
    set(processor aarch64)
  elseif(processor MATCHES "^(amd64|x86_64)$")
    set(processor x86_64)
  endif()
  if(CMAKE_SYSTEM_NAME STREQUAL "Android")
    set(triple ${processor}-linux-android)
  elseif(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
    list(LENGTH CMAKE_OSX_ARCHITECTURES count)
    if(count GREATER 1)
      message(FATAL_ERROR "cranelite_add_model: one object is for one architecture, but CMAKE_OSX_ARCHITECTURES is \"${CMAKE_OSX_ARCHITECTURES}\"; build for each and join them with lipo")
    elseif(count EQUAL 1)
      string(REPLACE arm64 aarch64 processor "${CMAKE_OSX_ARCHITECTURES}")
    endif()
    set(triple ${processor}-apple-darwin)
  elseif(CMAKE_SYSTEM_NAME STREQUAL "iOS")
    if(CMAKE_OSX_SYSROOT MATCHES "[Ss]imulator")
      set(triple aarch64-apple-ios-sim)
    else()
      set(triple aarch64-apple-ios)
    endif()
  elseif(CMAKE_SYSTEM_NAME STREQUAL "Windows")
    set(triple ${processor}-pc-windows-msvc)
  elseif(CMAKE_SYSTEM_NAME STREQUAL "Generic")
    set(triple ${processor}-unknown-none-elf)
  elseif(CMAKE_CROSSCOMPILING)
    string(REGEX REPLACE "^riscv64$" riscv64gc processor "${processor}")
    set(triple ${processor}-unknown-linux-gnu)
  endif()
  set(${result} "${triple}" PARENT_SCOPE)
endfunction()

# cranelite_add_model(<target> MODEL <file.tflite> [NAME <prefix>] [TARGET <triple>] [CPU <levels>] [OPT speed|size] [THREADS <n>]
#                     [PREBUILT <file.o>])
#
# NAME begins the names in C: <prefix>.h is what sources include. PREBUILT links an object that was made before, whose header lies beside
# it; then neither the compiler nor the model is needed.
function(cranelite_add_model target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "MODEL;NAME;TARGET;CPU;OPT;THREADS;PREBUILT" "")
  if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "cranelite_add_model: not understood: ${arg_UNPARSED_ARGUMENTS} ${arg_KEYWORDS_MISSING_VALUES}; it takes MODEL, NAME, TARGET, CPU, OPT, THREADS and PREBUILT, each with a value")
  endif()
  if(NOT TARGET ${target})
    message(FATAL_ERROR "cranelite_add_model: \"${target}\" is no target; call add_executable or add_library first")
  endif()

  if(arg_PREBUILT)
    get_filename_component(object "${arg_PREBUILT}" ABSOLUTE)
    get_filename_component(folder "${object}" DIRECTORY)
    get_filename_component(stem "${object}" NAME_WE)
    foreach(file "${object}" "${folder}/${stem}.h")
      if(NOT EXISTS "${file}")
        message(FATAL_ERROR "cranelite_add_model: PREBUILT wants ${file}, which does not exist; `cranelite compile MODEL -o ${folder}` writes it")
      endif()
    endforeach()
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE)
    target_sources(${target} PRIVATE "${object}")
    target_include_directories(${target} PRIVATE "${folder}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/..")
    return()
  endif()

  if(NOT arg_MODEL)
    message(FATAL_ERROR "cranelite_add_model: give MODEL a .tflite file, or PREBUILT an object")
  endif()
  get_filename_component(model "${arg_MODEL}" ABSOLUTE)
  if(NOT EXISTS "${model}")
    message(FATAL_ERROR "cranelite_add_model: there is no model ${model}")
  endif()
  if(NOT CRANELITE_EXECUTABLE)
    message(FATAL_ERROR "cranelite_add_model: the program cranelite is not in PATH; install it, or give -DCRANELITE_EXECUTABLE=PATH or PREBUILT")
  endif()
  if(NOT arg_NAME)
    get_filename_component(arg_NAME "${model}" NAME_WE)
    string(MAKE_C_IDENTIFIER "${arg_NAME}" arg_NAME)
    string(TOLOWER "${arg_NAME}" arg_NAME)
  endif()
  if(NOT arg_TARGET)
    _cranelite_target(arg_TARGET)
  endif()

  set(options --name ${arg_NAME})
  foreach(pair TARGET:--target CPU:--cpu OPT:--opt THREADS:--threads)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 name)
    list(GET pair 1 option)
    if(NOT "${arg_${name}}" STREQUAL "")
      list(APPEND options ${option} "${arg_${name}}")
    endif()
  endforeach()
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/cranelite-${target}")
  set(object "${folder}/${arg_NAME}.o")
  add_custom_command(
    OUTPUT "${object}" "${folder}/${arg_NAME}.h"
    COMMAND "${CRANELITE_EXECUTABLE}" compile "${model}" --output "${object}" ${options}
    DEPENDS "${model}" "${CRANELITE_EXECUTABLE}"
    COMMENT "Compiling model ${arg_NAME}"
    VERBATIM)
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  target_sources(${target} PRIVATE "${object}" "${folder}/${arg_NAME}.h")
  target_include_directories(${target} PRIVATE "${folder}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/..")
endfunction()
