"""The base class of data sets in folders and files, one or several for each domain."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.data.datamodule import missing_source
from acclimate.data.division import DividedData
from acclimate.data.domains import Domains, Parts
from acclimate.data.joined_samples import JoinedSamples, join_parts
from acclimate.data.places import Place, Places, find_places
from acclimate.data.samples import Samples
from acclimate.types import Domain


class PlacedData(DividedData):
    """Base class of data sets of the user in places: folders or files.

    Several sources form one labelled set with the classes of all of them, and several targets form one target. Each sample keeps the
    number of its place. Each place is divided as if it were the only one, except that copies and groups stay together across places.

    Args:
        source: Place of the labelled samples, or several; None only for methods without a source.
        target: Place of the target, or several; None: transfer learning without a target.
        **loading: Arguments of `DividedData`.

    Raises:
        ConfigError: If a place is named twice.
    """

    def __init__(self, *, source: Places | None, target: Places | None = None, **loading: Any) -> None:
        super().__init__(**loading)
        self.source = find_places(source, "data.source")
        self.target = find_places(target, "data.target")

    @abstractmethod
    def look_into(self, place: Path, domain: Domain) -> Any:
        """Read what determines the classes of a place.

        Raises:
            DataError: If it cannot be read.
        """

    @abstractmethod
    def classes_of(self, found: Sequence[Any]) -> list[str]:
        """Return the classes of the sources, in order.

        Args:
            found: Result of `look_into` for each source.

        Raises:
            DataError: If there are too few.
        """

    @abstractmethod
    def samples_of(self, found: Any, place: Path, classes: list[str], domain: Domain) -> Mapping[str, Samples]:
        """Return the samples of a place by part, or under the key `all` if it is not divided; labels are indices of `classes`.

        Args:
            found: Result of `look_into` for the place.
            place: The folder or file.
            classes: Names of all classes.
            domain: Domain of the samples.

        Raises:
            DataError: If there are other classes, or no samples are left.
        """

    def read(self) -> Domains:
        if not self.source:
            raise missing_source()
        found = [self.look_into(place.path, "source") for place in self.source]
        classes = self.classes_of(found)
        if self.class_order is not None and (set(classes) == set(self.class_order) or self._may_belong_to_model(classes)):
            classes = self.class_order
        return Domains(classes, self._divide_all(found, self.source, classes, "source"), self.read_target(classes))

    def read_target(self, classes: list[str]) -> Parts | None:
        if not self.target:
            return None
        found = [self.look_into(place.path, "target") for place in self.target]
        return self._divide_all(found, self.target, classes, "target")

    def _divide_all(self, found: Sequence[Any], places: Sequence[Place], classes: list[str], domain: Domain) -> Parts:
        """Divide the samples of one place, or of several, as one domain."""
        given = [self.samples_of(one, place.path, classes, domain) for one, place in zip(found, places, strict=True)]
        if len(places) == 1:
            return self.divide(given[0], places[0].path, domain)
        names = [place.name for place in places]
        # Places with the same parts are divided together.
        alike = defaultdict(list)
        for number, parts in enumerate(given):
            alike[tuple(parts)].append(number)
        divided = []
        for keys, numbers in alike.items():
            joined = {part: JoinedSamples({number: given[number][part] for number in numbers}, names) for part in keys}
            divided.append(self.divide(joined, " and ".join(str(places[number].path) for number in numbers), domain))
        return join_parts(divided)

    def _may_belong_to_model(self, classes: Sequence[str]) -> bool:
        """Return True if classes may be taken for some of those of a trained model; the others of them are unknown."""
        return self.may_lack_classes and not set(classes).isdisjoint(self.class_order or ())
