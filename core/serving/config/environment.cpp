#include "serving/config/environment.h"

#include <cstdlib>

namespace evercert {

bool environment_says_no_color() {
  const char* wish = std::getenv("NO_COLOR");
  return wish != nullptr && *wish != '\0';
}

}  // namespace evercert
