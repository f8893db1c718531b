# What is installed where, and the two Debian packages (cpack --preset is not needed: `cpack --config build/release/CPackConfig.cmake`).
if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
  set(CMAKE_INSTALL_PREFIX /usr CACHE PATH "" FORCE)
endif()

# Not readable by others: such a program is undumpable from its first instruction, whatever user it runs as.
install(PROGRAMS $<TARGET_FILE:evercert> DESTINATION /usr/bin COMPONENT evercert
        PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
install(FILES conf/evercert.example.json DESTINATION /usr/share/doc/evercert/examples COMPONENT evercert)
install(FILES conf/evercert.schema.json DESTINATION /usr/share/evercert COMPONENT evercert)
install(FILES README.md CHANGELOG.md DESTINATION /usr/share/doc/evercert COMPONENT evercert)
install(FILES conf/debian/copyright DESTINATION /usr/share/doc/evercert COMPONENT evercert)

if(EVERCERT_NGINX)
  set(nginx_component libnginx-mod-http-evercert)
  install(FILES $<TARGET_FILE:ngx_http_evercert_module> $<TARGET_FILE:ngx_stream_evercert_module>
          DESTINATION /usr/lib/nginx/modules COMPONENT ${nginx_component})
  install(FILES conf/nginx/mod-http-evercert.conf conf/nginx/mod-stream-evercert.conf
          DESTINATION /usr/share/nginx/modules-available COMPONENT ${nginx_component})
  install(DIRECTORY conf/nginx/ DESTINATION /usr/share/doc/${nginx_component}/examples COMPONENT ${nginx_component}
          FILES_MATCHING PATTERN "*.conf" PATTERN "mod-*.conf" EXCLUDE)
  install(FILES conf/debian/copyright DESTINATION /usr/share/doc/${nginx_component} COMPONENT ${nginx_component})
endif()

if(EVERCERT_APACHE)
  set(apache_component libapache2-mod-evercert)
  install(FILES $<TARGET_FILE:mod_evercert> DESTINATION /usr/lib/apache2/modules COMPONENT ${apache_component})
  install(FILES conf/apache/evercert.load conf/apache/evercert.conf DESTINATION /etc/apache2/mods-available COMPONENT ${apache_component})
  install(FILES conf/apache/minimal.conf conf/apache/full.conf DESTINATION /usr/share/doc/${apache_component}/examples
          COMPONENT ${apache_component})
  install(FILES conf/debian/copyright DESTINATION /usr/share/doc/${apache_component} COMPONENT ${apache_component})
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME evercert)
set(CPACK_PACKAGE_VENDOR "the evercert authors")
set(CPACK_PACKAGE_CONTACT "the evercert authors <evercert@users.noreply.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "certificates that order, renew and swap themselves inside the web server")
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL evercert)
if(EVERCERT_NGINX)
  list(APPEND CPACK_COMPONENTS_ALL libnginx-mod-http-evercert)
endif()
if(EVERCERT_APACHE)
  list(APPEND CPACK_COMPONENTS_ALL libapache2-mod-evercert)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_EVERCERT_PACKAGE_NAME evercert)
set(CPACK_DEBIAN_EVERCERT_PACKAGE_SECTION net)
set(CPACK_COMPONENT_EVERCERT_DESCRIPTION "The agent and command line of evercert: orders and renews certificates, keeps them and tells what is served.")
set(CPACK_DEBIAN_LIBNGINX-MOD-HTTP-EVERCERT_PACKAGE_NAME libnginx-mod-http-evercert)
set(CPACK_DEBIAN_LIBNGINX-MOD-HTTP-EVERCERT_PACKAGE_SECTION httpd)
set(CPACK_DEBIAN_LIBNGINX-MOD-HTTP-EVERCERT_PACKAGE_DEPENDS "${EVERCERT_NGINX_ABI}, evercert (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_LIBNGINX-MOD-HTTP-EVERCERT_PACKAGE_RECOMMENDS "nginx")
set(CPACK_COMPONENT_LIBNGINX-MOD-HTTP-EVERCERT_DESCRIPTION "nginx modules of evercert: certificates ordered, served and swapped inside the running server, without a reload.")
set(CPACK_DEBIAN_LIBNGINX-MOD-HTTP-EVERCERT_PACKAGE_CONTROL_EXTRA
    "${PROJECT_SOURCE_DIR}/conf/debian/nginx/postinst;${PROJECT_SOURCE_DIR}/conf/debian/nginx/prerm")
set(CPACK_DEBIAN_LIBAPACHE2-MOD-EVERCERT_PACKAGE_NAME libapache2-mod-evercert)
set(CPACK_DEBIAN_LIBAPACHE2-MOD-EVERCERT_PACKAGE_SECTION httpd)
# Debian's name for the binary interface of Apache's modules.
set(CPACK_DEBIAN_LIBAPACHE2-MOD-EVERCERT_PACKAGE_DEPENDS "apache2-api-20120211, evercert (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_LIBAPACHE2-MOD-EVERCERT_PACKAGE_RECOMMENDS "apache2")
set(CPACK_COMPONENT_LIBAPACHE2-MOD-EVERCERT_DESCRIPTION "Apache module of evercert: certificates ordered, served and swapped inside the running server, without a restart.")
set(CPACK_DEBIAN_LIBAPACHE2-MOD-EVERCERT_PACKAGE_CONTROL_EXTRA
    "${PROJECT_SOURCE_DIR}/conf/debian/apache/prerm;${PROJECT_SOURCE_DIR}/conf/debian/apache/conffiles")
set(CPACK_DEBIAN_EVERCERT_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/conf/debian/evercert/postrm")
include(CPack)
