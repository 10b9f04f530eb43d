// What Android gives adbd and Debian does not, preloaded into it: the socket to the framework, which decides about
// unknown keys, and the system's properties, which go into the banner.
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <unistd.h>

static int framework = -1;

// Neither the library nor the socket is for the commands that the daemon starts.
__attribute__((constructor)) static void keep_to_the_daemon() {
  if (const char *descriptor = getenv("ANDROID_SOCKET_adbd")) {
    framework = atoi(descriptor);
    fcntl(framework, F_SETFD, FD_CLOEXEC);
  }
  unsetenv("ANDROID_SOCKET_adbd");
  unsetenv("LD_PRELOAD");
}

extern "C" int android_get_control_socket(const char *) { return framework; }

namespace android::base {

// The same `key=value` lines that the device's getprop reads.
std::string GetProperty(const std::string &key, const std::string &otherwise) {
  std::ifstream properties("/lab/properties");
  for (std::string line; std::getline(properties, line);)
    if (line.rfind(key + "=", 0) == 0) return line.substr(key.size() + 1);
  return otherwise;
}

} // namespace android::base
