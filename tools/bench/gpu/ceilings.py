#!/usr/bin/env python3
"""The two ceilings of a card, beside which all other figures are read: as JSON.

    ceilings.py [--device cuda] --output FILE

copy_bytes_per_second: a copy of 4 GB on the device, bytes read and written counted. product_flops: a bf16 product 8,192 x 8,192 x 8,192 of
random numbers. Medians of 10 after 3. On a CPU both are tiny and mean nothing.
"""

import time

import torch

import rival


def seconds_of(work, device):
    times = []
    for _ in range(13):
        rival.synchronize(device)
        begin = time.perf_counter()
        work()
        rival.synchronize(device)
        times.append(time.perf_counter() - begin)
    return rival.median(times[3:])


def main():
    arguments = rival.arguments_of(__doc__)
    device, on_card = arguments.device, arguments.device.startswith("cuda")
    source = torch.ones(10**9 if on_card else 10**6, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    copy = seconds_of(lambda: target.copy_(source), device)
    size = 8192 if on_card else 256
    a, b = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    product = seconds_of(lambda: torch.mm(a, b), device)
    result = {"copy_bytes_per_second": 8 * source.numel() / copy, "product_flops": 2 * size**3 / product, "torch": torch.__version__}
    if on_card:
        card = torch.cuda.get_device_properties(0)
        result |= {"card": card.name, "multiprocessors": card.multi_processor_count, "memory_bytes": card.total_memory,
                   "cuda": torch.version.cuda}
    rival.write(arguments.output, result)


if __name__ == "__main__":
    main()
