"""The pages in a real browser without a network: a picture, its progress, the login, a call from the API page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.mini.conftest import Checkout, Running, wait_for

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1240,900",
    # Whatever is not this machine does not resolve: what the page needs must come from the page.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chrome: webdriver.Chrome) -> webdriver.Chrome:
    """The browser of this module, with nothing in its log of what earlier tests provoked."""
    chrome.get("about:blank")
    chrome.get_log("browser")
    return chrome


def _errors(browser: webdriver.Chrome) -> list[str]:
    return [str(entry["message"]) for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def _set(browser: webdriver.Chrome, name: str, value: int) -> None:
    element = browser.find_element(By.ID, name)
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", element, str(value)
    )


def _text(browser: webdriver.Chrome, name: str) -> Callable[[], str]:
    return lambda: browser.find_element(By.ID, name).text


def test_a_picture_is_made_and_its_progress_shown(checkout: Checkout, browser: webdriver.Chrome) -> None:
    running = checkout.start(misbehave="seconds-per-picture=1.5")
    browser.get(running.url)
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#sampler option"), "the samplers")
    prompt = browser.find_element(By.ID, "prompt")
    prompt.clear()
    prompt.send_keys("a yellow moon, night")
    Select(browser.find_element(By.ID, "sampler")).select_by_visible_text("DDIM")
    for name, value in (("steps", 12), ("width", 128), ("height", 64), ("seed", 7)):
        _set(browser, name, value)
    assert "12" in browser.find_element(By.CSS_SELECTOR, "label[for=steps]").text
    prompt.send_keys(Keys.CONTROL, Keys.ENTER)
    wait_for(lambda: _text(browser, "status")().startswith("Step "), "a step")
    assert 0 < float(str(browser.find_element(By.ID, "progress").get_attribute("value"))) < 1
    assert not browser.find_element(By.ID, "generate").is_enabled()
    wait_for(lambda: _text(browser, "status")().startswith("Done in "), "the end")
    caption = _text(browser, "caption")()
    assert caption.startswith("a yellow moon, night\nSteps: 12, Sampler: DDIM, ")
    assert "Seed: 7, Size: 128x64" in caption
    source = str(browser.find_element(By.ID, "picture").get_attribute("src"))
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert picture.size == (128, 64)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#strip img")) == 1
    assert _errors(browser) == []


def test_a_picture_is_interrupted_and_a_failure_is_told(checkout: Checkout, browser: webdriver.Chrome) -> None:
    running = checkout.start(misbehave="seconds-per-picture=60")
    browser.get(running.url)
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#sampler option"), "the samplers")
    _set(browser, "width", 64)
    browser.find_element(By.ID, "generate").click()
    wait_for(lambda: _text(browser, "status")().startswith("Step "), "a step")
    browser.find_element(By.ID, "interrupt").click()
    wait_for(lambda: _text(browser, "status")().startswith("Done in "), "the end")
    failing = checkout.start(misbehave="oom", model=False)
    browser.get(failing.url)
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#sampler option"), "the samplers")
    browser.find_element(By.ID, "generate").click()
    wait_for(lambda: "CUDA out of memory" in _text(browser, "status")(), "the failure")
    assert browser.find_element(By.ID, "generate").is_enabled()


def test_the_login_lets_in_who_knows_the_password(checkout: Checkout, browser: webdriver.Chrome) -> None:
    running = checkout.start("--gradio-auth", "joe:one", model=False)
    assert running.get("/page/offer").status_code == 401
    browser.get(running.url)
    browser.find_element(By.NAME, "username").send_keys("joe")
    browser.find_element(By.NAME, "password").send_keys("one", Keys.ENTER)
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#sampler option"), "the page")
    assert browser.find_element(By.ID, "prompt").is_displayed()


def test_the_api_page_lists_all_and_tries_a_call(mini: Running, browser: webdriver.Chrome) -> None:
    browser.get(f"{mini.url}/docs")
    wait_for(lambda: browser.find_elements(By.TAG_NAME, "details"), "the list")
    entries = browser.find_elements(By.TAG_NAME, "details")
    paths = mini.get("/openapi.json").json()["paths"]
    assert len(entries) == sum(len(methods) for methods in paths.values())
    txt2img = next(entry for entry in entries if entry.text.endswith("/sdapi/v1/txt2img"))
    txt2img.find_element(By.TAG_NAME, "summary").click()
    wait_for(lambda: txt2img.find_elements(By.TAG_NAME, "button"), "the form")
    assert "cfg_scale" in txt2img.text
    txt2img.find_element(By.TAG_NAME, "button").click()
    image = wait_for(lambda: txt2img.find_elements(By.TAG_NAME, "img"), "the picture")[0]
    wait_for(lambda: browser.execute_script("return arguments[0].naturalWidth", image) == 256, "its pixels")
    assert _errors(browser) == []
