"""The base class of data sets of images."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from annotated_types import Len, doc

from acclimate.data.datamodule import AdaptationData
from acclimate.data.domains import Domains
from acclimate.data.images.images import Crop, Images, ImageSize
from acclimate.data.images.near_copies import NearCopies, describe_near_copies
from acclimate.data.images.pixels import pixel_format
from acclimate.data.images.views import ViewOption
from acclimate.data.kind import Kind
from acclimate.inputs import ImageSpec
from acclimate.ranges import Count


class ImageData(AdaptationData):
    """Base class of data modules with images.

    Args:
        source_view: View of source images in training: a name, see `ImageView`, or a transform of torchvision, see
            `TransformView`.
        target_views: Views of target images in training.
        strong_view: Additional view of target images for terms that compare two views, such as FixMatch, and both views of all
            images for methods that compare two views, such as SimCLR.
        crop: Share of the shorter side that evaluation keeps, see `ImageView`.
        image_size: Height and width in pixels; None: the size that the model was made for.
        channels: 3 is RGB and 1 is grey, whatever the files have; any other number, such as 4, keeps the channels of the files.
        value_range: Values that become 0 and 1 in images of more than 8 bits, whose depth is kept; None: found in the source, or
            taken from the model that the run continues from.
        nan: Value of pixels that have none (NaN, infinite, or marked as such in the file); None refuses them.
        background: Colour behind transparent pixels: a name, or a hexadecimal number in quotes.
        near_copies: Search for images that are almost equal to others, see `describe_near_copies`.
        **loading: Arguments of `AdaptationData`.
    """

    kind: Images

    def __init__(
        self,
        *,
        source_view: ViewOption = "plain",
        target_views: Annotated[Sequence[ViewOption], Len(1), doc("Name a view, such as [plain].")] = ("plain",),
        strong_view: ViewOption = "strong",
        crop: Crop = 1.0,
        image_size: ImageSize | None = None,
        channels: Count = 3,
        value_range: Annotated[Sequence[float], Len(2, 2), doc("Name two numbers, such as [0,4095].")] | None = None,
        nan: float | None = None,
        background: str = "white",
        near_copies: NearCopies = "off",
        **loading: Any,
    ) -> None:
        super().__init__(source_view=source_view, target_views=target_views, strong_view=strong_view, **loading)
        self.crop = crop
        self.image_size = image_size
        # The range of values is unknown until the images are read.
        self.pixels = pixel_format(channels=channels, value_range=value_range, nan=nan, background=background)
        self.near_copies: NearCopies = near_copies

    def input_spec(self) -> ImageSpec:
        return ImageSpec(self.image_size, self.pixels.channels)

    def use_settings_of(self, kind: Kind) -> None:
        if isinstance(kind, Images) and self.pixels.value_range is None:
            self.pixels = replace(self.pixels, value_range=kind.pixels.value_range)

    def describe_near_copies(self, domains: Domains) -> list[str]:
        return describe_near_copies(domains, self.near_copies)

    def kind_for(self, spec: ImageSpec) -> Images:  # type: ignore[override]
        images = Images(image_size=spec.size, crop=self.crop)  # type: ignore[arg-type]
        return images.changed(**asdict(self.pixels))
