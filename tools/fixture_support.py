"""What the fixture scripts share: the counter-based generator of include/steerlm/core/rng.h in numpy, and how numbers are written.

Weights are not stored. Both sides make them: element (i, j) of the tensor with Hugging Face name N and shape (r, c) is
float32(center + width * (2 u - 1)), computed in float64, u = bits / 2^32, bits the j-th draw of Rng(seed, "fixture " + N, i);
a tensor of one dimension is one row. A gradient is stored as its norm and its product with the vector
p_j = 2 u - 1, bits the j-th draw of Rng(seed, "projection " + N, 0).
"""

import json

import numpy
import torch


def philox(counter, key):
    """Philox 4x32-10. counter: uint64 array (..., 4) of 32-bit words; key: two 32-bit integers. Returns the same shape."""
    word = numpy.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (counter[..., i].astype(numpy.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = c0 * numpy.uint64(0xD2511F53), c2 * numpy.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((product1 >> numpy.uint64(32)) ^ c1 ^ numpy.uint64(k0), product1 & word,
                          (product0 >> numpy.uint64(32)) ^ c3 ^ numpy.uint64(k1), product0 & word)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return numpy.stack([c0, c1, c2, c3], axis=-1)


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def draws(seed, purpose, rows, columns):
    """bits[i, j]: the j-th 32-bit draw of Rng(seed, purpose, i). Returns uint64 (rows, columns)."""
    key = seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF ^ fnv1a(purpose)
    blocks = (columns + 3) // 4
    counter = numpy.zeros((rows, blocks, 4), dtype=numpy.uint64)
    counter[:, :, 0] = numpy.arange(blocks, dtype=numpy.uint64)[None, :]
    counter[:, :, 2] = numpy.arange(rows, dtype=numpy.uint64)[:, None]
    return philox(counter, (key & 0xFFFFFFFF, key >> 32)).reshape(rows, -1)[:, :columns]


def check_generator():
    """The known answers of tests/core/rng_test.cpp."""
    ones = 0xFFFFFFFF
    for counter, key, expected in (
            ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
            ((ones, ones, ones, ones), (ones, ones), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
            ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
             (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1))):
        assert tuple(philox(numpy.array(counter, dtype=numpy.uint64), key).tolist()) == expected
    assert [fnv1a(text) for text in ("", "a", "foobar")] == [0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8]


def center_and_width(name, columns):
    if "norm" in name:
        return 1.0, 0.35
    if name.endswith(".bias"):
        return 0.0, 0.4
    if "embed_tokens" in name:
        return 0.0, 0.9
    return 0.0, (1.5 if "lora_A" in name or "lora_B" in name else 2.6) / columns ** 0.5


def fixture_tensor(seed, name, shape):
    rows, columns = (1, shape[0]) if len(shape) == 1 else shape
    center, width = center_and_width(name, columns)
    uniform = draws(seed, "fixture " + name, rows, columns).astype(numpy.float64) / 2.0 ** 32
    return torch.from_numpy((center + width * (2 * uniform - 1)).astype(numpy.float32).reshape(tuple(shape)))


def projection_vector(seed, name, count):
    return 2 * (draws(seed, "projection " + name, 1, count)[0].astype(numpy.float64) / 2.0 ** 32) - 1


def number(value):
    return float(f"{float(torch.as_tensor(value).detach()):.9g}")


def numbers(tensor):
    return [number(value) for value in tensor.detach().flatten().tolist()]


def summary(seed, name, tensor):
    flat = tensor.detach().numpy().astype(numpy.float64).ravel()
    return {"norm": number(numpy.sqrt(flat @ flat)), "projection": number(flat @ projection_vector(seed, name, flat.size))}


def write_json(file, value):
    file.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
