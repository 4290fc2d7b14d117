"""Summaries for TensorBoard with descriptions, which torch's writer does not write."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar import layout_pb2  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar import metadata as page_metadata
from tensorboard.plugins.image import metadata as image_metadata  # type: ignore[import-untyped]
from tensorboard.plugins.scalar import metadata as scalar_metadata  # type: ignore[import-untyped]
from tensorboard.plugins.text import metadata as text_metadata  # type: ignore[import-untyped]

from acclimate.training.dashboard import Chart


def scalar(name: str, value: float) -> Any:
    """Return the summary of a number, in the form that all readers of event files know."""
    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def described_scalar(name: str, value: float, description: str) -> Any:
    """Return the summary of a number with a description, which TensorBoard's default loader reads only from tensors."""
    metadata = scalar_metadata.create_summary_metadata(display_name="", description=description)
    tensor = TensorProto(dtype="DT_FLOAT", float_val=[value], tensor_shape=TensorShapeProto())
    return Summary(value=[Summary.Value(tag=name, tensor=tensor, metadata=_own(metadata))])


def together(summaries: Iterable[Any]) -> Any:
    """Return the values of several summaries as one: the writer passes each to another thread, which takes longer than writing it."""
    return Summary(value=[value for summary in summaries for value in summary.value])


def image(name: str, png: bytes, size: tuple[int, int], description: str) -> Any:
    """Return the summary of a picture.

    Args:
        name: Name in TensorBoard.
        png: The picture as a PNG file.
        size: Height and width in pixels.
        description: Text beside it.
    """
    metadata = image_metadata.create_summary_metadata(display_name="", description=description)
    height, width = size
    drawn = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=name, image=drawn, metadata=_own(metadata))])


def text(name: str, markdown: str, description: str) -> Any:
    """Return the summary of a text in Markdown."""
    metadata = text_metadata.create_summary_metadata(display_name="", description=description)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    return Summary(value=[Summary.Value(tag=name, tensor=tensor, metadata=_own(metadata))])


def page(sections: Mapping[str, Sequence[Chart]]) -> Any:
    """Return the summary of the page of custom scalars."""
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                chart=[
                    layout_pb2.Chart(
                        title=chart.title,
                        multiline=layout_pb2.MultilineChartContent(
                            tag=[f"^{tag}$" for tag in (*chart.tags, *(name for name, _ in chart.lines))]
                        ),
                    )
                    for chart in charts
                ],
            )
            for title, charts in sections.items()
        ]
    )
    tensor = TensorProto(dtype="DT_STRING", string_val=[layout.SerializeToString()], tensor_shape=TensorShapeProto())
    metadata = _own(page_metadata.create_summary_metadata())
    return Summary(value=[Summary.Value(tag=page_metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata)])


def _own(metadata: Any) -> Any:
    """Return metadata in the type of torch's writer, whatever class the plug-ins of TensorBoard use."""
    return SummaryMetadata.FromString(metadata.SerializeToString())
