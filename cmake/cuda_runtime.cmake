# What the CUDA half runs on: libtorch_cuda.so and the libraries that it pulls in, beside the program in lib/ as the CPU's. The program opens
# libtorch_cuda.so by name, by its own RPATH; that one and all others find their own needs by the $ORIGIN in theirs. Included by
# dependencies.cmake; adds to _libraries.
#   STEERLM_CUDA_RUNTIME    fetch them (1,770 MB, 2,350 MB unpacked) or, with STEERLM_LIBTORCH, take them from there

option(STEERLM_CUDA_RUNTIME "put what a GPU needs at run time beside the program" OFF)
if(NOT STEERLM_CUDA_RUNTIME)
  return()
endif()

# Two of these are opened only when asked for: libcaffe2_nvrtc.so with nvrtc (pinned memory asks the driver through it) and libcudnn_graph.so.9
# (cuDNN's version). Left out: libtorch_cuda_linalg.so with cusolver (no factorisations here) and cuDNN's engines (no convolutions).
set(_torch_names libtorch_cuda.so libc10_cuda.so libtorch_nvshmem.so libcaffe2_nvrtc.so)
set(_cuda_names libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcudnn_graph.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10
    libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvJitLink.so.13 libnvrtc.so.13 libnvrtc-builtins.so.13.0 libnvshmem_host.so.3)

if(STEERLM_LIBTORCH)
  # An unpacked libtorch has all in lib/; pip leaves NVIDIA's beside torch.
  file(GLOB _places ${_torch}/lib ${_torch}/../nvidia/*/lib)
else()
  set(_runtime ${STEERLM_CACHE}/libtorch-cuda-2.11.0)
  if(NOT EXISTS ${_runtime}/complete)
    message(STATUS "CUDA libraries: up to 1,770 MB to fetch, 2,350 MB unpacked in ${_runtime}")
    file(REMOVE_RECURSE ${_runtime}.part)
    set(_wheels "")
    foreach(_package nvidia-cublas nvidia-cuda-nvrtc nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusparse
            nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13)
      string(REPLACE "-" "_" _pattern ${_package})
      steerlm_fetch(${_package} "${_pattern}-*.whl" _wheel)
      list(APPEND _wheels ${_wheel})
    endforeach()
    steerlm_fetch(torch "torch-2.11.0-*.whl" _wheel)
    message(STATUS "unpacking the CUDA libraries into ${_runtime}")
    list(TRANSFORM _torch_names PREPEND torch/lib/ OUTPUT_VARIABLE _patterns)
    file(ARCHIVE_EXTRACT INPUT ${_wheel} DESTINATION ${_runtime}.part PATTERNS ${_patterns})
    list(TRANSFORM _cuda_names PREPEND nvidia/*/lib/ OUTPUT_VARIABLE _patterns)
    foreach(_wheel ${_wheels})
      # A pattern that matches nothing in an archive is an error: ask for what is in this one.
      execute_process(COMMAND ${CMAKE_COMMAND} -E tar tf ${_wheel} OUTPUT_VARIABLE _listed COMMAND_ERROR_IS_FATAL ANY)
      string(REGEX MATCHALL "nvidia/[a-z0-9]+/lib/[^/\n]+" _listed "${_listed}")
      set(_wanted "")
      foreach(_file ${_listed})
        get_filename_component(_name ${_file} NAME)
        if(_name IN_LIST _cuda_names)
          list(APPEND _wanted ${_file})
        endif()
      endforeach()
      file(ARCHIVE_EXTRACT INPUT ${_wheel} DESTINATION ${_runtime}.part PATTERNS ${_wanted})
    endforeach()
    file(REMOVE_RECURSE ${_runtime})
    file(RENAME ${_runtime}.part ${_runtime})
    file(TOUCH ${_runtime}/complete)
    file(REMOVE ${_wheels})
  endif()
  file(GLOB _places ${_runtime}/torch/lib ${_runtime}/nvidia/*/lib)
endif()

foreach(_name ${_torch_names} ${_cuda_names})
  unset(_file CACHE)
  find_file(_file ${_name} PATHS ${_places} NO_DEFAULT_PATH NO_CACHE)
  if(NOT _file)
    message(FATAL_ERROR "${_name} is in none of ${_places}")
  endif()
  list(APPEND _libraries ${_file})
  unset(_file)
endforeach()
