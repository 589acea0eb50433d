# Compile options of our own targets; dependencies are SYSTEM and stay silent. -Wrestrict of GCC 12 is wrong about std::string (GCC bug
# 105329), -Wmissing-field-initializers about designated initialisers.
function(steerlm_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-float-conversion
                         -Wdouble-promotion
                         -Wno-missing-field-initializers -Wno-restrict $<$<BOOL:${STEERLM_WERROR}>:-Werror>)
  if(STEERLM_SANITIZE)
    # Undefined behaviour ends the program: GCC's default is to print it and go on. GCC 12 takes what the sanitizers add for uses of
    # uninitialised values (<regex>, std::optional).
    target_compile_options(${target} PRIVATE -fsanitize=${STEERLM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
                           -Wno-maybe-uninitialized)
    target_link_options(${target} PUBLIC -fsanitize=${STEERLM_SANITIZE})
  endif()
endfunction()

# steerlm_module(NAME [MODULES other…] [LIBRARIES library…]): src/NAME/**.cpp as the static library steerlm_NAME. What is in a folder cuda/
# belongs to libsteerlm_cuda.so (cuda.cmake).
function(steerlm_module name)
  cmake_parse_arguments(arg "" "" "MODULES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/src/cli/main.cpp$|/src/${name}/cuda/")
  list(TRANSFORM arg_MODULES PREPEND steerlm_)
  if(sources)
    add_library(steerlm_${name} STATIC ${sources})
    steerlm_options(steerlm_${name})
    set(scope PUBLIC)
  else()
    add_library(steerlm_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(steerlm_${name} ${scope} ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(steerlm_${name} ${scope} ${arg_MODULES} ${arg_LIBRARIES})
endfunction()
