# nginx's headers, configured exactly as the nginx was that will load the modules. Neither a source tree nor nginx-dev has
# ngx_auto_config.h: a copy is configured once per nginx, and all presets share it.
#   EVERCERT_NGINX_SOURCE    nginx-dev's headers, or the sources of the same version, from a tarball or a repository
#   EVERCERT_NGINX_PROGRAM   the nginx that will load the modules; it tells how it was configured, and its signature is compared
#   EVERCERT_NGINX_TREES     where the configured copies are kept
#   EVERCERT_NGINX_STREAM    the module for stream{}, too; nginx itself says whether it has one, unless this is given
set(EVERCERT_NGINX_SOURCE "/usr/share/nginx/src" CACHE PATH "nginx's sources, or the headers that nginx-dev installs")
set(EVERCERT_NGINX_TREES "${PROJECT_SOURCE_DIR}/build" CACHE PATH "where configured copies of nginx are kept")
find_program(EVERCERT_NGINX_PROGRAM nginx PATHS /usr/sbin /usr/local/sbin /usr/local/nginx/sbin)

# Of "configure arguments", those that shape what modules see. Left out: folders of the machine where nginx was built, and modules
# that need libraries of their own; none of them is in the signature that nginx compares.
function(evercert_nginx_arguments variable line)
  separate_arguments(words UNIX_COMMAND "${line}")
  set(kept "")
  foreach(word IN LISTS words)
    if(word MATCHES "^--with-openssl=")
      message(FATAL_ERROR "${EVERCERT_NGINX_PROGRAM} has an OpenSSL of its own built in (${word}). A module would bring a second one into "
        "the same process. Build nginx with the system's OpenSSL, without that argument.")
    elseif(word MATCHES "^--with-pcre=")
      list(APPEND kept --with-pcre)
    elseif(word MATCHES "^--with-(cc|ld)-opt=(.*)")
      # What may define a feature or find a library; not how the other machine's compiler was to optimize.
      set(option "--with-${CMAKE_MATCH_1}-opt=")
      separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_2}")
      list(FILTER flags INCLUDE REGEX "^-(D|U|I|L|Wl,-rpath)")
      list(FILTER flags EXCLUDE REGEX "^-D_FORTIFY_SOURCE")
      list(JOIN flags " " flags)
      list(APPEND kept "${option}${flags}")
    elseif(NOT word MATCHES "^--(add-module|add-dynamic-module|with-zlib|with-libatomic|build|override-.*)(=|$)" AND
           NOT word MATCHES "^--with-(http_(xslt|image_filter|geoip|perl)|stream_geoip|google_perftools|cpp_test|perl)(_|=|$)")
      list(APPEND kept "${word}")
    endif()
  endforeach()
  set(${variable} "${kept}" PARENT_SCOPE)
endfunction()

# Sets `${variable}` to the folder of a configured copy, `${variable}_VERSION` to its version ("1.26.3"), and
# `${variable}_STREAM` to whether this nginx can have the module for stream{}.
function(evercert_configure_nginx variable)
  set(source "${EVERCERT_NGINX_SOURCE}")
  if(NOT EXISTS "${source}/src/core/nginx.h")
    message(FATAL_ERROR "No nginx sources in ${source}: install nginx-dev, name a folder with the sources of your nginx by "
      "-DEVERCERT_NGINX_SOURCE=DIR (docs/how-to/build-for-any-nginx.md), or configure with -DEVERCERT_NGINX=OFF.")
  endif()
  file(STRINGS "${source}/src/core/nginx.h" line REGEX "define NGINX_VERSION")
  string(REGEX MATCH "[0-9]+(\\.[0-9]+)+" version "${line}")
  set(told "")
  if(EVERCERT_NGINX_PROGRAM)
    execute_process(COMMAND "${EVERCERT_NGINX_PROGRAM}" -V ERROR_VARIABLE told OUTPUT_VARIABLE told RESULT_VARIABLE failed)
    if(failed OR NOT told MATCHES "nginx version: [^/\n]*/([0-9.]+)")
      message(FATAL_ERROR "`${EVERCERT_NGINX_PROGRAM} -V` does not say which nginx it is: ${told}")
    endif()
    if(NOT CMAKE_MATCH_1 STREQUAL version)
      message(FATAL_ERROR "${source} has nginx ${version}, ${EVERCERT_NGINX_PROGRAM} is ${CMAKE_MATCH_1}: it would refuse the modules. "
        "Name the sources of nginx ${CMAKE_MATCH_1} by -DEVERCERT_NGINX_SOURCE=DIR, or another nginx by -DEVERCERT_NGINX_PROGRAM=FILE.")
    endif()
    if(NOT told MATCHES "built with OpenSSL [3-9]")
      message(FATAL_ERROR "${EVERCERT_NGINX_PROGRAM} is not built with OpenSSL 3 or newer, which the modules need: ${told}")
    endif()
  endif()
  string(REGEX MATCH "configure arguments: ([^\n]*)" line "${told}")
  set(line "${CMAKE_MATCH_1}")
  set(modules "lib/nginx/modules")
  if(line MATCHES "--modules-path=([^ ]+)")
    set(modules "${CMAKE_MATCH_1}")
  endif()
  set(EVERCERT_NGINX_MODULES "${modules}" CACHE STRING "where this nginx looks for modules")
  if(EXISTS "${source}/conf_flags")
    # Debian's package tells it in a file for bash, and every nginx of Debian has stream.
    set(configure "source ./conf_flags && ./configure \"\${NGX_CONF_FLAGS[@]}\"")
    set(arguments "")
    set(stream TRUE)
    file(READ "${source}/conf_flags" digests)
  else()
    if(NOT told)
      message(FATAL_ERROR "How was the nginx of ${source} configured? Name the program that will load the modules by "
        "-DEVERCERT_NGINX_PROGRAM=FILE: `nginx -V` tells it.")
    endif()
    if(NOT line MATCHES "--with-http_ssl_module")
      message(FATAL_ERROR "${EVERCERT_NGINX_PROGRAM} was built without --with-http_ssl_module: it has no TLS that could be served.")
    endif()
    evercert_nginx_arguments(arguments "${line}")
    # A repository keeps in auto/ what a tarball has at its top.
    set(configure "if [ -e configure ]; then ./configure \"$@\"; else auto/configure \"$@\"; fi")
    set(digests "${arguments}")
    string(FIND "${line}" "--with-stream_ssl_module" at)
    if(at LESS 0)
      set(stream FALSE)
    else()
      set(stream TRUE)
    endif()
  endif()
  # A patched package keeps its version number; what decides is in the headers and the arguments.
  file(GLOB_RECURSE inputs LIST_DIRECTORIES false "${source}/src/*.h" "${source}/auto/*")
  foreach(input IN LISTS inputs)
    file(SHA256 "${input}" digest)
    string(APPEND digests "${digest}")
  endforeach()
  string(SHA256 digest "${digests}")
  string(SUBSTRING "${digest}" 0 8 digest)
  set(tree "${EVERCERT_NGINX_TREES}/nginx-${version}-${digest}")

  file(LOCK "${EVERCERT_NGINX_TREES}/nginx.lock" GUARD FUNCTION TIMEOUT 120)
  if(NOT EXISTS "${tree}/objs/ngx_auto_config.h")
    message(STATUS "Configuring the headers of nginx ${version} in ${tree}")
    set(draft "${tree}.new")
    file(REMOVE_RECURSE "${draft}" "${tree}")
    # Without what an earlier build left in a source tree.
    file(COPY "${source}/" DESTINATION "${draft}" USE_SOURCE_PERMISSIONS PATTERN ".git" EXCLUDE PATTERN "objs" EXCLUDE)
    execute_process(COMMAND bash -c "${configure}" configure ${arguments}
      WORKING_DIRECTORY "${draft}" OUTPUT_FILE configure.log ERROR_FILE configure.log RESULT_VARIABLE failed)
    if(failed OR NOT EXISTS "${draft}/objs/ngx_auto_config.h")
      message(FATAL_ERROR "nginx's ./configure failed, see ${draft}/configure.log; it needs what nginx was built with: the headers of "
        "OpenSSL, PCRE and zlib. On Debian they come with nginx-dev.")
    endif()
    file(RENAME "${draft}" "${tree}")
  endif()
  message(STATUS "nginx ${version}, configured in ${tree}")
  set(${variable} "${tree}" PARENT_SCOPE)
  set(${variable}_VERSION "${version}" PARENT_SCOPE)
  set(${variable}_STREAM "${stream}" PARENT_SCOPE)
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

# A module as nginx loads it: named as nginx wants it, everything hidden but what nginx looks up. One that this nginx would refuse
# is not left behind by the build.
function(evercert_nginx_module name exports)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" LINK_DEPENDS "${exports}")
  target_link_libraries(${name} PRIVATE evercert_flags nginx_headers)
  target_link_options(${name} PRIVATE "-Wl,--version-script=${exports}" "-Wl,--exclude-libs,ALL")
  if(EVERCERT_NGINX_PROGRAM)
    set(compare ${CMAKE_COMMAND} -DMODULE=$<TARGET_FILE:${name}> -DNGINX=${EVERCERT_NGINX_PROGRAM} -DREADELF=${CMAKE_READELF}
      -P ${PROJECT_SOURCE_DIR}/cmake/nginx_signature.cmake)
    add_custom_command(TARGET ${name} POST_BUILD COMMAND ${compare} VERBATIM)
    add_test(NAME ${name}_fits_nginx COMMAND ${compare})
  endif()
endfunction()
