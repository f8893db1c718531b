# Apache's headers and flags, as apxs of this system tells them. A module links neither httpd nor APR: the server brings both.
find_program(EVERCERT_APXS NAMES apxs apxs2)

# The interface target `apache_headers`.
function(evercert_apache_headers)
  if(NOT EVERCERT_APXS)
    message(FATAL_ERROR "No apxs: install apache2-dev, or configure with -DEVERCERT_APACHE=OFF.")
  endif()
  add_library(apache_headers INTERFACE)
  foreach(variable INCLUDEDIR APR_INCLUDEDIR APU_INCLUDEDIR)
    execute_process(COMMAND "${EVERCERT_APXS}" -q ${variable} OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE)
    target_include_directories(apache_headers SYSTEM INTERFACE "${folder}")
  endforeach()
  execute_process(COMMAND "${EVERCERT_APXS}" -q EXTRA_CPPFLAGS OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  execute_process(COMMAND "${EVERCERT_APXS}" -q LIBEXECDIR OUTPUT_VARIABLE modules OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(EVERCERT_APACHE_MODULES "${modules}" CACHE STRING "where Apache looks for modules")
  target_compile_options(apache_headers INTERFACE ${flags})
endfunction()

# A module as Apache loads it: one symbol for the server, and never unloaded. A graceful restart would otherwise take the code
# away from under what the parent process keeps over it (the agent's maintenance callback).
function(evercert_apache_module name exports)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" LINK_DEPENDS "${exports}")
  target_link_libraries(${name} PRIVATE evercert_flags apache_headers)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE -fno-gnu-unique)
  endif()
  target_link_options(${name} PRIVATE "-Wl,--version-script=${exports}" "-Wl,--exclude-libs,ALL" "-Wl,-z,nodelete")
endfunction()
