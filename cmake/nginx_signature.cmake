# Fails unless MODULE carries the same binary-compatibility signature as the program NGINX, and only one, and needs the same OpenSSL.
foreach(file MODULE NGINX)
  file(STRINGS "${${file}}" found REGEX "^[0-9]+,[0-9]+,[0-9]+,[01]+$")
  list(REMOVE_DUPLICATES found)
  list(LENGTH found count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "${${file}} holds ${count} nginx signatures instead of one: ${found}")
  endif()
  set(${file}_signature "${found}")
endforeach()
if(NOT MODULE_signature STREQUAL NGINX_signature)
  message(FATAL_ERROR "${MODULE} was built for another nginx: signature ${MODULE_signature}, ${NGINX} has ${NGINX_signature}. "
    "Configure again with the sources of that nginx (-DEVERCERT_NGINX_SOURCE=DIR) and the program that will load the modules "
    "(-DEVERCERT_NGINX_PROGRAM=FILE).")
endif()
# Two OpenSSLs in one process would each take the other's objects for their own.
foreach(file MODULE NGINX)
  execute_process(COMMAND "${READELF}" -d "${${file}}" OUTPUT_VARIABLE told)
  string(REGEX MATCH "libssl\\.so[.0-9]*" ${file}_library "${told}")
endforeach()
if(NOT NGINX_library)
  message(FATAL_ERROR "${NGINX} uses no OpenSSL of this system: it has one built in, or no TLS. ${MODULE} cannot be loaded in it.")
endif()
# What calls only nginx's functions needs none.
if(MODULE_library AND NOT MODULE_library STREQUAL NGINX_library)
  message(FATAL_ERROR "${MODULE} needs ${MODULE_library}, ${NGINX} ${NGINX_library}: set OPENSSL_ROOT_DIR to the OpenSSL that nginx uses.")
endif()
message(STATUS "signature ${MODULE_signature}")
