# What `cmake --install` puts where, by component: evercert, nginx, apache, haproxy. debian/ makes packages of it.
#   EVERCERT_NGINX_MODULES, EVERCERT_APACHE_MODULES, EVERCERT_HAPROXY_MODULES   where the servers look for modules
#   EVERCERT_UNITS                                                              where systemd looks for units
set(EVERCERT_UNITS "lib/systemd/system" CACHE STRING "where systemd's units go")

# Not readable by others: such a program is undumpable from its first instruction, whatever user it runs as.
install(PROGRAMS $<TARGET_FILE:evercert> DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT evercert
        PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
install(FILES conf/evercert.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/evercert COMPONENT evercert)
install(FILES conf/systemd/evercert.service DESTINATION ${EVERCERT_UNITS} COMPONENT evercert)

# The program itself prints its manual pages and completions, from its tables of options and commands.
set(manual "${CMAKE_CURRENT_BINARY_DIR}/manual")
file(MAKE_DIRECTORY "${manual}")
set(pages "")
function(evercert_page file folder)
  add_custom_command(OUTPUT "${manual}/${file}" COMMAND evercert ${ARGN} > "${manual}/${file}" DEPENDS evercert VERBATIM)
  set(pages ${pages} "${manual}/${file}" PARENT_SCOPE)
  install(FILES "${manual}/${file}" DESTINATION ${folder} COMPONENT evercert)
endfunction()
if(NOT CMAKE_CROSSCOMPILING)
  evercert_page(evercert.1 ${CMAKE_INSTALL_MANDIR}/man1 reference manual)
  evercert_page(evercert.5 ${CMAKE_INSTALL_MANDIR}/man5 reference manual-configuration)
  # bash finds it by the command's name.
  evercert_page(evercert ${CMAKE_INSTALL_DATADIR}/bash-completion/completions completion bash)
  evercert_page(_evercert ${CMAKE_INSTALL_DATADIR}/zsh/site-functions completion zsh)
  evercert_page(evercert.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d completion fish)
  # A sanitized program is nothing to install.
  if(EVERCERT_SANITIZE)
    add_custom_target(manual DEPENDS ${pages})
  else()
    add_custom_target(manual ALL DEPENDS ${pages})
  endif()
endif()

if(EVERCERT_NGINX)
  foreach(kind http stream)
    if(TARGET ngx_${kind}_evercert_module)
      install(FILES $<TARGET_FILE:ngx_${kind}_evercert_module> DESTINATION ${EVERCERT_NGINX_MODULES} COMPONENT nginx)
    endif()
  endforeach()
endif()
if(EVERCERT_APACHE)
  install(FILES $<TARGET_FILE:mod_evercert> DESTINATION ${EVERCERT_APACHE_MODULES} COMPONENT apache)
endif()
if(EVERCERT_HAPROXY)
  # HAProxy looks nowhere by itself; the samples name this folder.
  set(EVERCERT_HAPROXY_MODULES "lib/haproxy" CACHE STRING "where HAProxy's configuration finds the module")
  install(FILES $<TARGET_FILE:evercert_haproxy> DESTINATION ${EVERCERT_HAPROXY_MODULES} COMPONENT haproxy)
  install(FILES haproxy_lua_bridge/evercert.lua DESTINATION ${CMAKE_INSTALL_DATADIR}/evercert COMPONENT haproxy)
endif()
