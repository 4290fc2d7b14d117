"""A headless Chromium for tests of reports and dashboards."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Containers have no user namespaces for the sandbox, and little shared memory; only pages of the tests are opened. WebGL, which
# TensorBoard's projector needs, is drawn without a graphics card.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Context manager that starts the browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watched:
    """A page whose requests and errors are recorded.

    Args:
        browser: From `chromium`.
        allowed: Beginnings of the addresses that may be opened; all other requests are refused.
        **settings: Those of a page, such as `viewport`.

    Attributes:
        page: The page of Playwright.
        refused: Addresses of the refused requests.
        errors: Messages of errors in the console, and uncaught exceptions.
    """

    def __init__(self, browser: "Browser", allowed: Sequence[str] = ("file:", "data:", "blob:"), **settings: Any) -> None:
        self.page: Page = browser.new_page(**settings)
        self.refused: list[str] = []
        self.errors: list[str] = []
        self.page.route(lambda address: not address.startswith(tuple(allowed)), self._refuse)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _refuse(self, route: Any) -> None:
        self.refused.append(route.request.url)
        route.abort()
