// What Android gives adbd and Debian does not, preloaded into it: the socket to the framework, which decides about
// unknown keys, and the system's properties, which go into the banner.
#include <cstdlib>
#include <fstream>
#include <string>

extern "C" int android_get_control_socket(const char *name) {
  const char *descriptor = getenv((std::string("ANDROID_SOCKET_") + name).c_str());
  return descriptor ? atoi(descriptor) : -1;
}

namespace android::base {

// The same `key=value` lines that the device's getprop reads.
std::string GetProperty(const std::string &key, const std::string &otherwise) {
  std::ifstream properties("/lab/properties");
  for (std::string line; std::getline(properties, line);)
    if (line.rfind(key + "=", 0) == 0) return line.substr(key.size() + 1);
  return otherwise;
}

} // namespace android::base
