# nginx's headers, configured exactly as the nginx of this system was. nginx-dev ships headers and ./configure, but neither
# ngx_auto_config.h nor sources: a copy is configured once per nginx version, and all presets share it.
set(EVERCERT_NGINX_SOURCE "/usr/share/nginx/src" CACHE PATH "nginx's headers and configure script, as nginx-dev installs them")
find_program(EVERCERT_NGINX_PROGRAM nginx PATHS /usr/sbin /usr/local/sbin)

# Sets `variable` to the folder of a configured copy.
function(evercert_configure_nginx variable)
  set(version_header "${EVERCERT_NGINX_SOURCE}/src/core/nginx.h")
  if(NOT EXISTS "${version_header}" OR NOT EXISTS "${EVERCERT_NGINX_SOURCE}/conf_flags")
    message(FATAL_ERROR "No nginx headers in ${EVERCERT_NGINX_SOURCE}: install nginx-dev, or configure with -DEVERCERT_NGINX=OFF.")
  endif()
  file(STRINGS "${version_header}" line REGEX "define NGINX_VERSION")
  string(REGEX MATCH "[0-9]+(\\.[0-9]+)+" version "${line}")
  # A patched package keeps its version number; what decides is in the headers and the flags.
  file(GLOB_RECURSE inputs LIST_DIRECTORIES false "${EVERCERT_NGINX_SOURCE}/src/*.h" "${EVERCERT_NGINX_SOURCE}/auto/*")
  set(digests "")
  foreach(input IN LISTS inputs ITEMS "${EVERCERT_NGINX_SOURCE}/conf_flags")
    file(SHA256 "${input}" digest)
    string(APPEND digests "${digest}")
  endforeach()
  string(SHA256 digest "${digests}")
  string(SUBSTRING "${digest}" 0 8 digest)
  set(tree "${PROJECT_SOURCE_DIR}/build/nginx-${version}-${digest}")

  file(LOCK "${PROJECT_SOURCE_DIR}/build/nginx.lock" GUARD FUNCTION TIMEOUT 120)
  if(NOT EXISTS "${tree}/objs/ngx_auto_config.h")
    message(STATUS "Configuring the headers of nginx ${version} in ${tree}")
    set(draft "${tree}.new")
    file(REMOVE_RECURSE "${draft}" "${tree}")
    file(COPY "${EVERCERT_NGINX_SOURCE}/" DESTINATION "${draft}" USE_SOURCE_PERMISSIONS)
    execute_process(
      COMMAND bash -c "source ./conf_flags && ./configure \"\${NGX_CONF_FLAGS[@]}\""
      WORKING_DIRECTORY "${draft}" OUTPUT_FILE configure.log ERROR_FILE configure.log RESULT_VARIABLE failed)
    if(failed OR NOT EXISTS "${draft}/objs/ngx_auto_config.h")
      message(FATAL_ERROR "nginx's ./configure failed, see ${draft}/configure.log; its build dependencies come with nginx-dev.")
    endif()
    file(RENAME "${draft}" "${tree}")
  endif()
  set(${variable} "${tree}" PARENT_SCOPE)
endfunction()

# The interface target `nginx_headers`: include folders of a configured tree, as system headers.
function(evercert_nginx_headers tree)
  add_library(nginx_headers INTERFACE)
  foreach(folder core event event/modules event/quic os/unix http http/modules http/v2 http/v3 stream)
    if(IS_DIRECTORY "${tree}/src/${folder}")
      target_include_directories(nginx_headers SYSTEM INTERFACE "${tree}/src/${folder}")
    endif()
  endforeach()
  target_include_directories(nginx_headers SYSTEM INTERFACE "${tree}/objs")
endfunction()

# A module as nginx loads it: named as nginx wants it, everything hidden but what nginx looks up.
function(evercert_nginx_module name exports)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" LINK_DEPENDS "${exports}")
  target_link_libraries(${name} PRIVATE evercert_flags nginx_headers)
  target_link_options(${name} PRIVATE "-Wl,--version-script=${exports}" "-Wl,--exclude-libs,ALL")
  if(EVERCERT_NGINX_PROGRAM)
    add_test(NAME ${name}_fits_nginx COMMAND ${CMAKE_COMMAND} -DMODULE=$<TARGET_FILE:${name}>
      -DNGINX=${EVERCERT_NGINX_PROGRAM} -P ${PROJECT_SOURCE_DIR}/cmake/nginx_signature.cmake)
  endif()
endfunction()

# Debian's name for the binary interface of this nginx, for the package's dependencies. Empty elsewhere.
set(EVERCERT_NGINX_ABI "")
if(EXISTS "${EVERCERT_NGINX_SOURCE}/debian/libnginx-mod.abisubstvars")
  file(STRINGS "${EVERCERT_NGINX_SOURCE}/debian/libnginx-mod.abisubstvars" line REGEX "^nginx:abi=")
  string(REPLACE "nginx:abi=" "" EVERCERT_NGINX_ABI "${line}")
endif()
set(EVERCERT_NGINX_ABI "${EVERCERT_NGINX_ABI}" CACHE INTERNAL "nginx's binary interface, as Debian names it")
