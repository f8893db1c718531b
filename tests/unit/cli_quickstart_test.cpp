// quickstart: what it makes of a machine, below a directory of the test's own.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>

#include "serving/config/known_cas.h"
#include "unit/cli_ground.h"

namespace {

using namespace evercert;
using namespace evercert::cli_tests;

class QuickstartTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(QuickstartTest);
  CPPUNIT_TEST(nginx_gets_one_file_where_it_includes_files);
  CPPUNIT_TEST(a_name_that_nginx_has_is_left_where_it_is);
  CPPUNIT_TEST(a_module_that_is_not_loaded_or_not_there_is_a_step);
  CPPUNIT_TEST(apache_gets_a_site_on_debian_and_a_file_elsewhere);
  CPPUNIT_TEST(a_name_that_apache_has_is_left_where_it_is);
  CPPUNIT_TEST(haproxy_gets_settings_and_lines_for_its_own_file);
  CPPUNIT_TEST(a_haproxy_that_listens_already_is_told_where_to_write);
  CPPUNIT_TEST(haproxy_is_told_of_each_port_where_it_is_bound);
  CPPUNIT_TEST(nginx_is_told_of_the_block_with_tls_and_not_of_one_that_only_redirects);
  CPPUNIT_TEST(names_in_included_files_and_under_patterns_are_taken);
  CPPUNIT_TEST(apache_is_told_of_the_host_with_tls);
  CPPUNIT_TEST(a_state_directory_of_another_user_is_left_to_it);
  CPPUNIT_TEST(nothing_that_is_there_is_overwritten);
  CPPUNIT_TEST(who_has_evercert_already_is_told_so);
  CPPUNIT_TEST(a_machine_without_the_server_is_said_to_be_one);
  CPPUNIT_TEST(what_no_server_would_take_is_refused);
  CPPUNIT_TEST(the_ca_says_what_it_wants);
  CPPUNIT_TEST(words_are_quoted_as_each_server_wants_them);
  CPPUNIT_TEST(a_directory_that_cannot_be_written_leaves_nothing);
  CPPUNIT_TEST(no_link_leads_out_of_another_root);
  CPPUNIT_TEST(completions_and_the_manual_know_the_words_for_cas);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override { machine_ = std::make_unique<Folder>(); }

  void nginx_gets_one_file_where_it_includes_files() {
    debian_nginx();
    const Outcome shown =
        quickstart({"nginx", "--name", "www.example.com", "--name", "example.com", "--contact", "ops@example.com"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(shown.err, 0, shown.exit);
    const std::string expected =
        "# /etc/nginx/conf.d/evercert.conf\nevercert_issuer letsencrypt {\n    uri letsencrypt;\n    contact ops@example.com;\n"
        "    accept_terms_of_service;\n}\nserver {\n    listen 80;\n    listen 443 ssl;\n    server_name www.example.com "
        "example.com;\n    evercert on;\n}\n";
    CPPUNIT_ASSERT_EQUAL(expected, without_ipv6(shown.out));
    CPPUNIT_ASSERT(holds(shown.err, "To be written (--write does it): " + place("/etc/nginx/conf.d/evercert.conf") + "\n"));
    CPPUNIT_ASSERT(holds(shown.err, "  1. sudo nginx -t\n  2. sudo ") && holds(shown.err, "sudo evercert status"));
    CPPUNIT_ASSERT(holds(shown.err, "--issuer letsencrypt-staging"));
    CPPUNIT_ASSERT(!there("/etc/nginx/conf.d/evercert.conf"));
    const Outcome written = quickstart({"nginx", "--name", "www.example.com", "--write"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(written.err, 0, written.exit);
    CPPUNIT_ASSERT_EQUAL(std::string(), written.out);
    CPPUNIT_ASSERT(holds(content("/etc/nginx/conf.d/evercert.conf"), "server_name www.example.com;"));
    put("/etc/nginx/nginx.conf", "http {\n  include /etc/nginx/http.d/*.conf;\n}\n");
    CPPUNIT_ASSERT(holds(quickstart({"nginx", "--name", "b.example"}).out, "# /etc/nginx/http.d/evercert.conf"));
    put("/etc/nginx/nginx.conf", "http { # include /etc/nginx/conf.d/*.conf;\n}\n");
    CPPUNIT_ASSERT(
        holds(quickstart({"nginx", "--name", "b.example"}).err, "write include /etc/nginx/evercert.conf; at the end of http"));
  }

  void a_name_that_nginx_has_is_left_where_it_is() {
    debian_nginx();
    put("/etc/nginx/sites-available/shop", "server {\n  listen 80;\n  server_name other.example\n    WWW.example.com;\n}\n");
    std::filesystem::create_symlink("/etc/nginx/sites-available/shop", place("/etc/nginx/sites-enabled/shop"));
    const Outcome shown = quickstart({"nginx", "--name", "www.example.com", "--name", "new.example.com"});
    CPPUNIT_ASSERT(holds(shown.out, "server_name new.example.com;"));
    CPPUNIT_ASSERT(holds(shown.err,
                         "in /etc/nginx/sites-enabled/shop:4, in the server block of www.example.com: write listen "
                         "443 ssl; and evercert on;"));
    CPPUNIT_ASSERT(!holds(quickstart({"nginx", "--name", "www.example.com"}).out, "server {"));
    put("/etc/nginx/sites-enabled/\x1b[2J", "server { server_name odd.example.com; }");
    const Outcome odd = quickstart({"nginx", "--name", "odd.example.com"});
    CPPUNIT_ASSERT_MESSAGE(odd.err, holds(odd.err, "of odd.example.com: write") && !holds(odd.err, "\x1b"));
  }

  void a_module_that_is_not_loaded_or_not_there_is_a_step() {
    debian_nginx();
    std::filesystem::remove(place("/etc/nginx/modules-enabled/50-mod-http-evercert.conf"));
    CPPUNIT_ASSERT(holds(quickstart({"nginx", "--name", "a.example.com"}).err,
                         "1. write load_module /usr/lib/nginx/modules/ngx_http_evercert_module.so; at the top of"));
    std::filesystem::remove(place("/usr/lib/nginx/modules/ngx_http_evercert_module.so"));
    CPPUNIT_ASSERT(holds(quickstart({"nginx", "--name", "a.example.com"}).err, "1. install evercert's module for nginx"));
  }

  void apache_gets_a_site_on_debian_and_a_file_elsewhere() {
    debian_apache();
    const Outcome shown = quickstart({"apache", "--name", "a.example.com", "--name", "b.example.com"});
    CPPUNIT_ASSERT_EQUAL(
        std::string("# /etc/apache2/sites-available/evercert.conf\n<EvercertIssuer letsencrypt>\n    EvercertUri letsencrypt\n"
                    "    EvercertAcceptTermsOfService on\n</EvercertIssuer>\n<VirtualHost *:80>\n    ServerName a.example.com\n"
                    "    ServerAlias b.example.com\n</VirtualHost>\n<VirtualHost *:443>\n    ServerName a.example.com\n    "
                    "ServerAlias b.example.com\n    SSLEngine on\n    Evercert on\n</VirtualHost>\n"),
        shown.out);
    CPPUNIT_ASSERT(holds(shown.err, "  1. sudo a2enmod evercert\n  2. sudo a2ensite evercert\n  3. sudo apache2ctl -t\n"));
    put("/etc/apache2/mods-enabled/evercert.load", "");
    CPPUNIT_ASSERT(!holds(quickstart({"apache", "--name", "a.example.com"}).err, "a2enmod"));
    put("/etc/apache2/ports.conf", "Listen 80\n");
    CPPUNIT_ASSERT(holds(quickstart({"apache", "--name", "a.example.com"}).out, "evercert.conf\nListen 443\n<Ever"));
    std::filesystem::remove_all(place("/etc/apache2"));
    put("/etc/httpd/conf/httpd.conf", "Listen 80\n");
    put("/etc/httpd/conf.d/ssl.conf", "Listen 443 https\n");
    const Outcome other = quickstart({"apache", "--name", "a.example.com"});
    CPPUNIT_ASSERT(holds(other.out, "# /etc/httpd/conf.d/evercert.conf\n<EvercertIssuer"));
    CPPUNIT_ASSERT(holds(other.err, "LoadModule evercert_module") && !holds(other.err, "a2ensite"));
  }

  void a_name_that_apache_has_is_left_where_it_is() {
    debian_apache();
    put("/etc/apache2/sites-enabled/shop.conf",
        "<VirtualHost *:80>\nServerName https://WWW.example.com:443\nServerAlias \"a.example.com\" "
        "b.example.com\n</VirtualHost>\n");
    const Outcome shown =
        quickstart({"apache", "--name", "b.example.com", "--name", "c.example.com", "--name", "www.example.com"});
    CPPUNIT_ASSERT(holds(shown.out, "ServerName c.example.com\n") && !holds(shown.out, "ServerAlias"));
    CPPUNIT_ASSERT(holds(shown.err, "in /etc/apache2/sites-enabled/shop.conf:2, for www.example.com"));
    CPPUNIT_ASSERT(holds(shown.err, "in /etc/apache2/sites-enabled/shop.conf:3, for b.example.com"));
  }

  void haproxy_gets_settings_and_lines_for_its_own_file() {
    debian_haproxy();
    const Outcome shown = quickstart({"haproxy", "--name", "a.example.com", "--write"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(shown.err, 0, shown.exit);
    CPPUNIT_ASSERT_EQUAL(
        std::string("// /etc/evercert/evercert.json\n{\n  \"issuers\": {\n    \"letsencrypt\": {\n      \"uri\": "
                    "\"letsencrypt\",\n      \"accept_terms_of_service\": true\n    }\n  },\n  \"certificates\": "
                    "[\n    { \"identifiers\": [\"a.example.com\"] }\n  ]\n}\n"),
        content("/etc/evercert/evercert.json"));
    CPPUNIT_ASSERT(shown.out.starts_with("# /etc/haproxy/haproxy.cfg, at its end\nglobal\n    setenv EVERCERT_CONFIG"));
    CPPUNIT_ASSERT(holds(shown.out, "ssl crt /run/evercert/haproxy/ alpn h2,http/1.1\n"));
    CPPUNIT_ASSERT(
        holds(shown.err, "To be added by you: what stands on standard output, to " + place("/etc/haproxy/haproxy.cfg")));
    std::filesystem::remove_all(place("/etc/evercert"));
    put("/etc/haproxy/haproxy.cfg", "global\n");
    CPPUNIT_ASSERT(!holds(quickstart({"haproxy", "--name", "a.example.com"}).out, "agent_user"));
    put("/etc/haproxy/haproxy.cfg", "global\n user proxy\n");
    CPPUNIT_ASSERT(holds(quickstart({"haproxy", "--name", "a.example.com"}).out, "\"agent_user\": \"proxy\""));
  }

  void a_haproxy_that_listens_already_is_told_where_to_write() {
    debian_haproxy();
    put("/etc/haproxy/haproxy.cfg",
        "global\n user haproxy\nfrontend web\n mode http\n bind 192.0.2.1:80,[::]:443 ssl crt /x\n");
    const Outcome shown = quickstart({"haproxy", "--name", "a.example.com", "--write"});
    CPPUNIT_ASSERT_EQUAL(std::string(), shown.out);
    CPPUNIT_ASSERT(holds(shown.err, "in global, before the first bind: write setenv EVERCERT_CONFIG"));
    CPPUNIT_ASSERT(
        holds(shown.err, "in /etc/haproxy/haproxy.cfg:5, in that frontend, before any redirect: write http-request lua"));
    CPPUNIT_ASSERT(holds(shown.err, "in /etc/haproxy/haproxy.cfg:5, at that bind: write crt /run/evercert/haproxy/\n"));
    CPPUNIT_ASSERT(there("/etc/evercert/evercert.json"));
  }

  void haproxy_is_told_of_each_port_where_it_is_bound() {
    debian_haproxy();
    put("/etc/haproxy/haproxy.cfg",
        "global\nfrontend plain\n bind :80\n redirect scheme https\nfrontend tls\n bind :443 ssl crt /etc/ssl/a.pem\n");
    const std::string both = quickstart({"haproxy", "--name", "a.example.com"}).err;
    CPPUNIT_ASSERT_MESSAGE(both, holds(both, "haproxy.cfg:3, in that frontend, before any redirect: write http-request lua"));
    CPPUNIT_ASSERT_MESSAGE(both, holds(both, "haproxy.cfg:6, at that bind: write crt /run/evercert/haproxy/\n"));
    put("/etc/haproxy/haproxy.cfg", "global\nfrontend plain\n bind :80\n");
    const std::string plain = quickstart({"haproxy", "--name", "a.example.com"}).err;
    CPPUNIT_ASSERT_MESSAGE(plain,
                           holds(plain, "haproxy.cfg:3, in that frontend: write bind :443 ssl crt /run/evercert/haproxy/\n"));
    put("/etc/haproxy/haproxy.cfg", "global\nfrontend tls\n bind :443\n");
    const std::string tls = quickstart({"haproxy", "--name", "a.example.com"}).err;
    CPPUNIT_ASSERT_MESSAGE(tls, holds(tls, "write a frontend with bind :80 and http-request lua"));
    CPPUNIT_ASSERT_MESSAGE(tls, holds(tls, "haproxy.cfg:3, at that bind: write ssl crt /run/evercert/haproxy/\n"));
  }

  void nginx_is_told_of_the_block_with_tls_and_not_of_one_that_only_redirects() {
    debian_nginx();
    const std::string redirect = "server { listen 80; server_name www.example.com; return 301 https://$host$request_uri; }\n";
    put("/etc/nginx/sites-enabled/shop",
        redirect +
            "server {\n listen 443 ssl;\n server_name www.example.com;\n ssl_certificate /a;\n location / { return 200; "
            "}\n}\n");
    const Outcome both = quickstart({"nginx", "--name", "www.example.com"});
    CPPUNIT_ASSERT_MESSAGE(both.err, holds(both.err,
                                           "in /etc/nginx/sites-enabled/shop:4, in the server block of "
                                           "www.example.com: write evercert on; in place of its ssl_certificate"));
    CPPUNIT_ASSERT_MESSAGE(both.err, !holds(both.err, "shop:1,") && !holds(both.out, "server {"));
    put("/etc/nginx/sites-enabled/shop", redirect);
    const Outcome alone = quickstart({"nginx", "--name", "www.example.com"});
    CPPUNIT_ASSERT_MESSAGE(alone.out, holds(without_ipv6(alone.out),
                                            "server {\n    listen 443 ssl;\n    server_name "
                                            "www.example.com;\n    evercert on;\n}\n"));
    CPPUNIT_ASSERT_MESSAGE(alone.err, !holds(alone.err, "shop:1"));
  }

  void names_in_included_files_and_under_patterns_are_taken() {
    debian_nginx();
    put("/etc/nginx/nginx.conf", "http {\n include conf.d/*.conf;\n include vhosts/site-*.conf;\n include extra;\n}\n");
    put("/etc/nginx/vhosts/site-a.conf", "server { server_name .example.com; }\n");
    put("/etc/nginx/vhosts/other.conf", "server { server_name b.example.net; }\n");
    put("/etc/nginx/extra", "include /etc/nginx/extra;\nserver { server_name *.example.org; }\n");
    const Outcome shown = quickstart({"nginx", "--name", "www.example.com", "--name", "example.com", "--name", "b.example.net",
                                      "--name", "c.example.org", "--name", "example.org"});
    CPPUNIT_ASSERT_MESSAGE(shown.out, holds(shown.out, "server_name b.example.net example.org;"));
    CPPUNIT_ASSERT_MESSAGE(shown.err, holds(shown.err, "vhosts/site-a.conf:1, in the server block of www.example.com") &&
                                          holds(shown.err, "vhosts/site-a.conf:1, in the server block of example.com") &&
                                          holds(shown.err, "in /etc/nginx/extra:2, in the server block of c.example.org"));
  }

  void apache_is_told_of_the_host_with_tls() {
    debian_apache();
    put("/etc/apache2/sites-enabled/shop.conf",
        "<VirtualHost *:80>\nServerName a.example.com\nRedirect / https://a.example.com/\n</VirtualHost>\n"
        "<VirtualHost *:443>\nServerName a.example.com\nSSLEngine on\nSSLCertificateFile /a\n</VirtualHost>\n");
    const Outcome shown = quickstart({"apache", "--name", "a.example.com"});
    CPPUNIT_ASSERT_MESSAGE(shown.err, holds(shown.err,
                                            "shop.conf:6, for a.example.com: write Evercert on in place of "
                                            "SSLCertificateFile and SSLCertificateKeyFile\n"));
    CPPUNIT_ASSERT(!holds(shown.err, "shop.conf:2,"));
  }

  void a_state_directory_of_another_user_is_left_to_it() {
    debian_nginx();
    debian_apache();
    debian_haproxy();
    const std::string ours = std::to_string(geteuid());
    const std::string other = std::to_string(geteuid() + 1);
    put("/var/lib/evercert/state/status.json", "{}");
    put("/etc/apache2/apache2.conf", "User ${APACHE_RUN_USER}\n");
    put("/etc/apache2/envvars", "export APACHE_RUN_USER=www-data\n");
    const std::pair<const char*, std::pair<const char*, const char*>> rows[] = {
        {"nginx", {"evercert.conf\nevercert_state_path /var/lib/evercert-www-data;\n", "/var/lib/evercert-www-data"}},
        {"apache", {"evercert.conf\nEvercertStatePath /var/lib/evercert-www-data\n", "/var/lib/evercert-www-data"}},
        {"haproxy", {"{\n  \"state_path\": \"/var/lib/evercert-haproxy\",\n", "/var/lib/evercert-haproxy"}}};
    for (const auto& [server, wanted] : rows) {
      put("/etc/passwd", "first:x:" + ours + ":1::/:\nwww-data:x:" + other + ":1::/:\nhaproxy:x:" + other + ":1::/:\n");
      const Outcome shown = quickstart({server, "--name", "a.example.com"});
      CPPUNIT_ASSERT_MESSAGE(shown.out, holds(shown.out, wanted.first));
      CPPUNIT_ASSERT_MESSAGE(shown.err, holds(shown.err, "belongs to first") &&
                                            holds(shown.err, std::string("sudo evercert status --state ") + wanted.second));
      // Its own, and one that nobody has used.
      put("/etc/passwd", "www-data:x:" + ours + ":1::/:\nhaproxy:x:" + ours + ":1::/:\n");
      const Outcome own = quickstart({server, "--name", "a.example.com"});
      CPPUNIT_ASSERT(!holds(own.out, "/var/lib/evercert") && !holds(own.err, "--state"));
      put("/etc/passwd", "www-data:x:" + other + ":1::/:\nhaproxy:x:" + other + ":1::/:\n");
      std::filesystem::rename(place("/var/lib/evercert/state/status.json"), place("/kept"));
      CPPUNIT_ASSERT(!holds(quickstart({server, "--name", "a.example.com"}).err, "--state"));
      std::filesystem::rename(place("/kept"), place("/var/lib/evercert/state/status.json"));
    }
  }

  void nothing_that_is_there_is_overwritten() {
    debian_nginx();
    debian_apache();
    debian_haproxy();
    for (const auto& [server, file] : {std::pair("nginx", "/etc/nginx/conf.d/evercert.conf"),
                                       std::pair("apache", "/etc/apache2/sites-available/evercert.conf"),
                                       std::pair("haproxy", "/etc/evercert/evercert.json")}) {
      put(file, "mine");
      const Outcome refused = quickstart({server, "--name", "a.example.com", "--write"});
      CPPUNIT_ASSERT_EQUAL_MESSAGE(refused.err, 1, refused.exit);
      CPPUNIT_ASSERT_EQUAL(place(file) + " is there already, so nothing was written: move it away, or change it by hand\n",
                           refused.err);
      CPPUNIT_ASSERT_EQUAL(std::string(), refused.out);
      CPPUNIT_ASSERT_EQUAL(std::string("mine"), content(file));
    }
  }

  void who_has_evercert_already_is_told_so() {
    debian_nginx();
    debian_apache();
    debian_haproxy();
    put("/etc/nginx/sites-enabled/shop", "# evercert_issuer no\nevercert_issuer default { uri letsencrypt; }\n");
    put("/etc/apache2/sites-enabled/shop.conf", "\n\n<EvercertIssuer default>\n");
    put("/etc/haproxy/haproxy.cfg", "global\n setenv EVERCERT_CONFIG /etc/e.json\n");
    for (const auto& [server, where] :
         {std::pair("nginx", "/etc/nginx/sites-enabled/shop:2"), std::pair("apache", "/etc/apache2/sites-enabled/shop.conf:3"),
          std::pair("haproxy", "/etc/haproxy/haproxy.cfg:2")}) {
      const Outcome refused = quickstart({server, "--name", "a.example.com"});
      CPPUNIT_ASSERT_EQUAL(3, refused.exit);
      CPPUNIT_ASSERT_MESSAGE(refused.err,
                             holds(refused.err, std::string("evercert is set up here already, in ") + where + ": "));
    }
  }

  void a_machine_without_the_server_is_said_to_be_one() {
    for (const char* const server : {"nginx", "apache", "haproxy"}) {
      const Outcome refused = quickstart({server, "--name", "a.example.com"});
      CPPUNIT_ASSERT_EQUAL(1, refused.exit);
      CPPUNIT_ASSERT_MESSAGE(refused.err, holds(refused.err, "there is no ") && holds(refused.err, " here: /etc/"));
    }
  }

  void what_no_server_would_take_is_refused() {
    debian_nginx();
    const auto refusal = [&](const std::vector<std::string>& words) {
      std::vector<std::string> all{"nginx"};
      all.insert(all.end(), words.begin(), words.end());
      const Outcome refused = quickstart(all);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(refused.err + refused.out, 2, refused.exit);
      CPPUNIT_ASSERT_EQUAL(std::string(), refused.out);
      return refused.err;
    };
    CPPUNIT_ASSERT(holds(refusal({"--name", "a.example.com", "--issuer", "letsencript"}), "did you mean \"letsencrypt\"?"));
    CPPUNIT_ASSERT(holds(refusal({"--name", "a.example.com", "--issuer", "http://ca.example/"}), "plain http"));
    CPPUNIT_ASSERT(holds(refusal({"--name", "*.example.com"}), "wildcard"));
    CPPUNIT_ASSERT(holds(refusal({"--name", "a b;"}), "a b;"));
    CPPUNIT_ASSERT(holds(refusal({"--name", "a.example.com", "--contact", "nobody"}), "contact"));
    CPPUNIT_ASSERT(holds(refusal({"--name", "a.example.com", "--ssl-trusted-certificate", "/missing"}), "/missing"));
    const std::string secret = refusal({"--name", "a.example.com", "--external-account-key", "kid", "data:c2VjcmV0"});
    CPPUNIT_ASSERT(holds(secret, "put it into a file") && !holds(secret, "c2VjcmV0"));
    CPPUNIT_ASSERT(holds(refusal({}), "--name"));
  }

  void the_ca_says_what_it_wants() {
    debian_apache();
    const Outcome shown = quickstart({"apache", "--name", "a.example.com", "--issuer", "zerossl"});
    CPPUNIT_ASSERT_EQUAL(0, shown.exit);
    CPPUNIT_ASSERT(holds(shown.err, "https://app.zerossl.com/developer") &&
                   holds(shown.err, "add EvercertExternalAccountKey KID FILE"));
    CPPUNIT_ASSERT(holds(shown.err, "the terms of ZeroSSL"));
    put("/key", "c29tZSBITUFDIGtleSBvZiB0aGlydHktdHdvIGJ5dGVz");
    std::filesystem::permissions(place("/key"), std::filesystem::perms::owner_read);
    debian_nginx();
    debian_haproxy();
    for (const auto& [server, line] :
         {std::pair("nginx", "external_account_key kid " + place("/key") + ";\n"),
          std::pair("apache", "EvercertExternalAccountKey kid " + place("/key") + "\n"),
          std::pair("haproxy", "\"external_account_key\": [\"kid\", \"" + place("/key") + "\"],\n")}) {
      // A word of two values may stand before the command, too, and a path may be relative.
      const Outcome whole =
          run({"--external-account-key", "kid", std::filesystem::relative(place("/key")).string(), "quickstart", server,
               "--name", "a.example.com", "--issuer", "zerossl", "--root", machine_->path()});
      CPPUNIT_ASSERT_MESSAGE(whole.out + whole.err, holds(whole.out, line) && !holds(whole.err, "Mind:"));
    }
    CPPUNIT_ASSERT(holds(quickstart({"apache", "--name", "a.example.com", "--issuer", "letsencrypt-staging"}).err,
                         "name the CA that is to issue"));
  }

  void words_are_quoted_as_each_server_wants_them() {
    debian_nginx();
    debian_haproxy();
    const std::vector<std::string> words{"--name",    "a.example.com",     "--issuer", "https://ca.example/a;b{c}",
                                         "--contact", "x\"y#z@example.com"};
    const auto with = [&](const char* server) {
      std::vector<std::string> all{server};
      all.insert(all.end(), words.begin(), words.end());
      return quickstart(all);
    };
    const Outcome nginx = with("nginx");
    CPPUNIT_ASSERT_MESSAGE(nginx.err + nginx.out,
                           holds(nginx.out, "evercert_issuer default {\n    uri \"https://ca.example/a;b{c}\";"));
    CPPUNIT_ASSERT(holds(nginx.out, "contact \"x\\\"y#z@example.com\";"));
    CPPUNIT_ASSERT(holds(with("haproxy").out, R"("contact": ["x\"y#z@example.com"])"));
  }

  void a_directory_that_cannot_be_written_leaves_nothing() {
    debian_nginx();
    std::filesystem::remove_all(place("/etc/nginx/conf.d"));
    put("/etc/nginx/conf.d", "no directory");
    const Outcome refused = quickstart({"nginx", "--name", "a.example.com", "--write"});
    CPPUNIT_ASSERT_EQUAL(1, refused.exit);
    CPPUNIT_ASSERT_MESSAGE(refused.err, holds(refused.err, "Not a directory"));
    debian_haproxy();
    put("/etc/evercert", "no directory");
    CPPUNIT_ASSERT_EQUAL(1, quickstart({"haproxy", "--name", "a.example.com", "--write"}).exit);
    CPPUNIT_ASSERT_EQUAL(std::string("no directory"), content("/etc/evercert"));
  }

  void no_link_leads_out_of_another_root() {
    const Folder outside;
    debian_nginx();
    debian_haproxy();
    std::filesystem::remove_all(place("/etc/nginx/conf.d"));
    std::filesystem::create_directory_symlink(outside.path(), place("/etc/nginx/conf.d"));
    std::filesystem::create_directory_symlink(outside.path(), place("/etc/evercert"));
    for (const char* const server : {"nginx", "haproxy"})
      CPPUNIT_ASSERT_EQUAL(1, quickstart({server, "--name", "a.example.com", "--write"}).exit);
    CPPUNIT_ASSERT(std::filesystem::is_empty(outside.path()));
  }

  void completions_and_the_manual_know_the_words_for_cas() {
    const std::string zsh = run({"completion", "zsh"}).out;
    CPPUNIT_ASSERT(
        holds(run({"completion", "bash"}).out, "quickstart:--issuer) mapfile -t COMPREPLY < <(compgen -W 'letsencrypt "));
    CPPUNIT_ASSERT(holds(zsh, ":CA:(letsencrypt letsencrypt-staging ") && holds(zsh, ":KID: :FILE:_files'"));
    CPPUNIT_ASSERT(holds(run({"completion", "fish"}).out, " -x -a 'letsencrypt letsencrypt-staging "));
    const std::string manual = run({"reference", "manual-configuration"}).out;
    for (const KnownCa& ca : known_cas()) {
      std::string word;  // hyphens are escaped there
      for (const char c : ca.word) word += (c == '-' ? "\\" : "") + std::string(1, c);
      CPPUNIT_ASSERT_EQUAL(!ca.directory.empty(), holds(manual, "\n\\fB" + word + "\\fR\n"));
    }
  }

 private:
  [[nodiscard]] std::string place(const std::string& path) const { return machine_->path() + path; }
  [[nodiscard]] bool there(const std::string& path) const { return std::filesystem::exists(place(path)); }
  [[nodiscard]] std::string content(const std::string& path) const {
    std::ifstream file(place(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(place(path)).parent_path());
    write_text(place(path), text);
  }
  [[nodiscard]] Outcome quickstart(const std::vector<std::string>& words) const {
    std::vector<std::string> all{"quickstart", "--root", machine_->path()};
    all.insert(all.end(), words.begin(), words.end());
    return run(all);
  }
  // Whether it has IPv6 is this machine's affair.
  static std::string without_ipv6(std::string text) {
    for (const std::string line : {"    listen [::]:80;\n", "    listen [::]:443 ssl;\n"})
      if (const auto at = text.find(line); at != std::string::npos) text.erase(at, line.size());
    return text;
  }

  void debian_nginx() const {
    put("/etc/nginx/nginx.conf",
        "user www-data;\ninclude /etc/nginx/modules-enabled/*.conf;\nevents {\n}\nhttp {\n\tinclude "
        "/etc/nginx/conf.d/*.conf;\n"
        "\tinclude /etc/nginx/sites-enabled/*;\n}\n");
    put("/etc/nginx/sites-enabled/default", "server {\n\tlisten 80 default_server;\n\tserver_name _;\n}\n");
    std::filesystem::create_directories(place("/etc/nginx/conf.d"));
    put("/usr/share/nginx/modules-available/mod-http-evercert.conf", "load_module modules/ngx_http_evercert_module.so;\n");
    std::filesystem::create_directories(place("/etc/nginx/modules-enabled"));
    std::filesystem::create_symlink("/usr/share/nginx/modules-available/mod-http-evercert.conf",
                                    place("/etc/nginx/modules-enabled/50-mod-http-evercert.conf"));
    put("/usr/lib/nginx/modules/ngx_http_evercert_module.so", "");
  }

  void debian_apache() const {
    put("/etc/apache2/apache2.conf", "# Global configuration\nIncludeOptional sites-enabled/*.conf\n");
    put("/etc/apache2/ports.conf", "Listen 80\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n");
    put("/etc/apache2/mods-available/evercert.load", "LoadModule evercert_module /usr/lib/apache2/modules/mod_evercert.so\n");
    std::filesystem::create_directories(place("/etc/apache2/mods-enabled"));
    std::filesystem::create_directories(place("/etc/apache2/sites-available"));
  }

  void debian_haproxy() const {
    put("/etc/haproxy/haproxy.cfg", "global\n\tuser haproxy\n\tgroup haproxy\ndefaults\n\tmode http\n");
    put("/usr/share/evercert/evercert.lua", "");
  }

  std::unique_ptr<Folder> machine_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(QuickstartTest);

}  // namespace
