"""What is read of an image file that holds more than one plain image."""

from dataclasses import dataclass

# What `dml segment` segments in 8 GB with room to spare, magnified by 1.25, see
# docs/large_images.md. A larger one may have the system end the program, and the other results with
# it.
# Pillow's limit holds for its own formats alone, and for all of a program.
MAX_PIXELS = 10_000 * 10_000


@dataclass(frozen=True)
class ReadingRules:
    """Which page and which channels of a file are the image, and how large it may be.

    Attributes:
        page: of a file with several, from 0; None: a file with several is refused. Files with one
            page are read as they are.
        channels: one to three, from 0. One is grey; of two or three the first is red, the second
            green, the third blue, and what is absent black. None: a file with other channels than
            grey or red, green and blue, each with or without opacity, is refused. Where a file has
            several pages of one channel and no page is chosen, these are pages.
        max_pixels: height times width of the largest image that is read.
    """

    page: int | None = None
    channels: tuple[int, ...] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self):
        if self.page is not None and self.page < 0:
            raise ValueError(f"--page counts from 0, got {self.page}")
        if self.channels is not None and (
            not 1 <= len(self.channels) <= 3 or min(self.channels) < 0
        ):
            raise ValueError(
                "--channels takes one to three numbers that count from 0, got "
                f"{' '.join(map(str, self.channels))}"
            )
        if self.max_pixels < 1:
            raise ValueError(f"--max-pixels is at least 1, got {self.max_pixels}")


PLAIN = ReadingRules()
