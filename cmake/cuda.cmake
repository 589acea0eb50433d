# The CUDA half: libsteerlm_cuda.so from src/kernels/cuda, which the program opens by name where a GPU is to be used. It exports one C
# function. *.cu are compiled by a pinned nvcc that is fetched as libtorch is, so that every machine compiles with the same one and none
# needs a toolkit or a card; *.cpp, which may use ATen's CUDA headers, by the compiler of the program. It is linked to libcudart alone:
# what a .cpp uses of libtorch is there when the program opens it.
#   STEERLM_CUDA                  build it (104 MB to fetch, 215 MB unpacked); it becomes part of `all`
#   STEERLM_CUDA_ARCHITECTURES    the cards that it has machine code for; later ones compile the PTX of compute_90 when it is opened

option(STEERLM_CUDA "build libsteerlm_cuda.so" OFF)
# 80 serves 8.6 and 8.9 too, 100 serves 10.3, 120 serves 12.1.
set(STEERLM_CUDA_ARCHITECTURES 80 90 100 120 CACHE STRING "compute capabilities, without the point")
if(NOT STEERLM_CUDA)
  return()
endif()

set(_cuda ${STEERLM_CACHE}/cuda-13.0.88)
if(NOT EXISTS ${_cuda}/complete)
  file(REMOVE_RECURSE ${_cuda}.part)
  foreach(_package nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-runtime)
    string(REPLACE "-" "_" _pattern ${_package})
    steerlm_fetch(${_package} "${_pattern}-*.whl" _wheel)
    message(STATUS "unpacking ${_package} into ${_cuda}")
    file(ARCHIVE_EXTRACT INPUT ${_wheel} DESTINATION ${_cuda}.part)
  endforeach()
  # A wheel's programs may come without the right to run; libcudart is linked to, the other libraries are for other ways to use the compiler.
  file(GLOB _programs ${_cuda}.part/nvidia/cu13/bin/* ${_cuda}.part/nvidia/cu13/nvvm/bin/*)
  list(FILTER _programs EXCLUDE REGEX "/crt$")
  file(CHMOD ${_programs} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  file(GLOB _others ${_cuda}.part/nvidia/cu13/lib/*)
  list(FILTER _others EXCLUDE REGEX "libcudart.so")
  file(REMOVE ${_others})
  file(REMOVE_RECURSE ${_cuda})
  file(RENAME ${_cuda}.part ${_cuda})
  file(TOUCH ${_cuda}/complete)
endif()
set(_toolkit ${_cuda}/nvidia/cu13)

set(_flags -std=c++20 -O3 --expt-relaxed-constexpr -Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra
    $<$<NOT:$<CONFIG:Debug>>:-DNDEBUG> -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/src
    -gencode=arch=compute_90,code=compute_90 -t=2)
foreach(_architecture ${STEERLM_CUDA_ARCHITECTURES})
  list(APPEND _flags -gencode=arch=compute_${_architecture},code=sm_${_architecture})
endforeach()
if(STEERLM_WERROR)
  list(APPEND _flags -Werror=all-warnings)
endif()

# Options of the user's own for nvcc would make another library.
set(_nvcc ${CMAKE_COMMAND} -E env --unset=NVCC_PREPEND_FLAGS --unset=NVCC_APPEND_FLAGS ${CMAKE_CXX_COMPILER_LAUNCHER}
    ${_toolkit}/bin/nvcc -ccbin=${CMAKE_CXX_COMPILER})
file(GLOB _sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cuda/*.cu)
file(GLOB _units CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cuda/*.cpp)
if(NOT _sources)
  message(STATUS "src/kernels/cuda has no .cu: no CUDA library")
  return()
endif()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
set(_objects "")
foreach(_source ${_sources})
  get_filename_component(_name ${_source} NAME)
  set(_object ${CMAKE_BINARY_DIR}/cuda/${_name}.o)
  list(APPEND _objects ${_object})
  add_custom_command(
    OUTPUT ${_object}
    COMMAND ${_nvcc} ${_flags} -MD -MF ${_object}.d -c ${_source} -o ${_object}
    DEPENDS ${_source} ${_toolkit}/bin/nvcc
    DEPFILE ${_object}.d
    COMMENT "Building CUDA object cuda/${_name}.o"
    COMMAND_EXPAND_LISTS VERBATIM)
endforeach()

add_library(steerlm_cuda SHARED ${_objects} ${_units})
steerlm_options(steerlm_cuda)
set_source_files_properties(${_objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
set_target_properties(steerlm_cuda PROPERTIES LINKER_LANGUAGE CXX CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
                      BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
target_include_directories(steerlm_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_include_directories(steerlm_cuda SYSTEM PRIVATE ${_fmt} ${_torch}/include ${_toolkit}/include)
target_link_options(steerlm_cuda PRIVATE -Wl,--as-needed)
target_link_libraries(steerlm_cuda PRIVATE ${_toolkit}/lib/libcudart.so.13)
install(TARGETS steerlm_cuda LIBRARY DESTINATION lib/steerlm)
