"""Near copies of images: the same picture in another size, format or compression.

The 64 bits of a perceptual hash are those of Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010):
signs of low frequencies against their median.
"""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from acclimate.data.copies import Copies
from acclimate.data.domains import Domains
from acclimate.data.samples import Samples

NearCopies = Literal["auto", "warn", "off"]
# Comparing this number of images takes about half a second.
MAX_AUTOMATIC = 2000

SIDE = 16
AT_ONCE = 256
# Largest number of bits in which the hashes of near copies differ.
MAX_DISTANCE = 6
# Each image is compared with the next ones in the order of the hashes, in four different orders.
NUM_NEIGHBOURS = 8
# Smallest correlation of the thumbnails of near copies, and the standard deviation in grey levels that it requires. 99 % of
# photographs of at least 64 pixels reach it after being compressed again or reduced, but only 56 of the 60,000 digits of MNIST.
MIN_CORRELATION, MIN_DEVIATION = 0.995, 4.0


def thumbnails(samples: Samples) -> Tensor:
    """Return images of 16 × 16 pixels, float16, shape (N, C * 256), with values from 0 to 255.

    Args:
        samples: Images, of sizes that may differ.
    """
    return torch.cat([*_thumbnails(samples)])


def _thumbnails(samples: Samples) -> Iterator[Tensor]:
    for start in range(0, len(samples), AT_ONCE):
        loaded = samples.load(range(start, min(start + AT_ONCE, len(samples))))
        yield torch.stack([_reduced(image).flatten().half() for image in loaded])


def _reduced(image: Tensor) -> Tensor:
    if image.dtype == torch.uint8 and len(image) == 3:
        # In one thread: synchronising several takes longer than reducing an image.
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).resize((SIDE, SIDE), Image.Resampling.BOX)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return F.adaptive_avg_pool2d(255 * image if image.is_floating_point() else image.float(), SIDE)


def group_near_copies(thumbs: Tensor) -> Tensor:
    """Return numbers that are equal for near copies, int64, shape (N,).

    Pairs with similar perceptual hashes are near copies if their pixels correlate.

    Args:
        thumbs: The result of `thumbnails`.
    """
    hashes = _hashes(thumbs)
    groups = torch.arange(len(thumbs))
    pairs = torch.cat([torch.empty(2, 0, dtype=torch.int64), *(_confirmed(thumbs, pairs) for pairs in _candidates(hashes))], dim=1)
    while True:
        lowest = groups[pairs].amin(dim=0)
        merged = groups.scatter_reduce(0, pairs.flatten(), lowest.repeat(2), "amin")
        if torch.equal(merged, groups):
            return groups
        groups = merged


def _hashes(thumbs: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return 64 bits for each image: which low frequencies of its brightness are above their median."""
    frequencies, places = torch.arange(8), torch.arange(SIDE)
    cosines = torch.cos(math.pi / SIDE * (places + 0.5) * frequencies[:, None])
    coefficients = torch.cat([cosines @ _brightness(block) @ cosines.T for block in torch.split(thumbs, 4096)]).flatten(1)
    bits = coefficients > coefficients[:, 1:].median(dim=1, keepdim=True).values
    return np.packbits(bits.numpy(), axis=1).view(np.uint64)[:, 0]


def _brightness(thumbs: Tensor) -> Tensor:
    return thumbs.float().view(len(thumbs), -1, SIDE, SIDE).mean(dim=1)


def _candidates(hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Iterator[Tensor]:
    """Yield pairs of images with similar hashes, int64, shape (2, number of pairs)."""
    for shift in (np.uint64(16 * part) for part in range(4)):
        turned = hashes << shift | hashes >> (np.uint64(64) - shift) if shift else hashes
        order = turned.argsort(kind="stable")
        for step in range(1, NUM_NEIGHBOURS + 1):
            pairs = np.stack([order[:-step], order[step:]])
            differing = hashes[pairs[0]] ^ hashes[pairs[1]]
            distance = np.unpackbits(differing.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
            yield torch.from_numpy(pairs[:, distance <= MAX_DISTANCE])


def _confirmed(thumbs: Tensor, pairs: Tensor) -> Tensor:
    kept = [torch.empty(2, 0, dtype=torch.int64)]
    for block in torch.split(pairs, 4096, dim=1):
        both = thumbs[block].float()
        centred = both - both.mean(dim=2, keepdim=True)
        deviations = centred.square().mean(dim=2).sqrt()
        correlation = centred.prod(dim=0).mean(dim=1) / deviations.prod(dim=0).clamp(min=1e-6)
        kept.append(block[:, (correlation >= MIN_CORRELATION) & (deviations.amin(dim=0) >= MIN_DEVIATION)])
    return torch.cat(kept, dim=1)


def describe_near_copies(domains: Domains, wanted: NearCopies) -> list[str]:
    """Describe near copies of images as `Copies` describes exact ones.

    Args:
        domains: All samples of a run, ready for loading.
        wanted: `auto` compares up to 2,000 images that are decoded, `warn` all images, `off` none.
    """
    if wanted == "off":
        return []
    copies = Copies(domains)
    parts = [samples for *_, samples in copies.members]
    if wanted == "auto" and (sum(map(len, parts)) > MAX_AUTOMATIC or not all(samples.is_at_hand for samples in parts)):
        return []
    return copies.near(group_near_copies(copies.collect(thumbnails)))
