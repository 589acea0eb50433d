#include "steerlm/core/hash.h"

#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "steerlm/core/paths.h"

namespace steerlm {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr);
}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::update(std::string_view bytes) {
  EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  unsigned char digest[32];
  EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest, nullptr);
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const Path& path, ExitCode missing) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::character || type == std::filesystem::file_type::fifo) {
    fail(missing, {.what = "a stream where a file is expected: it can be read only once, or never ends",
                   .where = path.string(),
                   .advice = "write it to a file first"});
  }
  std::ifstream file(path, std::ios::binary);
  const auto give_up = [&] {
    const int reason = errno;
    fail(code_of_open(reason, missing), {.what = std::string("cannot read the file: ") + std::strerror(reason),
                                         .where = path.string(),
                                         .advice = advice_of_open(reason)});
  };
  if (!file) give_up();
  Sha256 hash;
  std::string buffer(1 << 20, '\0');
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  if (file.bad()) give_up();
  return hash.hex();
}

std::uint64_t hash64(std::string_view bytes) { return std::stoull(sha256_hex(bytes).substr(0, 16), nullptr, 16); }

}  // namespace steerlm
