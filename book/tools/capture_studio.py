"""Capture the editing studio as IMAGES / studio.png and studio.gif: `python book/tools/capture_studio.py`.

Every frame is the real panel, in Chromium, after it has answered; the waiting in between is left out.
"""

import contextlib
import importlib.util
import io
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "book" / "images"
WIDTH, HEIGHT, MARGIN = 900, 1100, 10  # of the page and around the panel, in CSS pixels
#: what is done before every frame but the first: (slider, value it is dragged to), or the button that is pressed
STORY = [(1, value) for value in (0.5, 1, 2, 1, -0.5, -1, -2, -0.5)] + [(2, 1), (2, 2), "new sample", (2, -1), (1, 1)]
STILL, STILL_WIDTH = 9, 1335  # the frame that is the picture, and its width in pixels
DURATION, LAST, LONGEST = 600, 1800, 300  # of a frame and of the last one, in ms; of waiting for an answer, in s
EDIT = "const i = [...document.images].find(i => i.alt.startsWith('edit')); return i ? i.alt : '';"


@contextlib.contextmanager
def served():
    """The address of the studio, served as `make studio` does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "-m voila" in line)
    command = [sys.executable, *shlex.split(words.split("python", 1)[1]), f"--port={port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.2)
            else:
                sys.exit("voila has ended: make studio shows why")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()


def open_browser():
    """Chromium, which reaches this machine only."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in ("headless", "no-sandbox", "disable-gpu", "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
        options.add_argument("--" + switch)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def wait(browser, before=""):
    """Wait until the edit is not the one before and the status line, which follows it, is the final one."""
    from selenium.webdriver.support.ui import WebDriverWait

    until = WebDriverWait(browser, LONGEST, poll_frequency=0.1).until
    until(lambda b: b.execute_script(EDIT) != before)
    time.sleep(0.5)
    until(lambda b: "network passes" in b.find_element("tag name", "body").text)


def act(browser, what):
    """Press a button, or drag a slider to a value."""
    from selenium.webdriver import ActionChains

    if isinstance(what, str):
        return browser.find_element("xpath", f"//button[contains(., '{what}')]").click()
    number, value = what
    handle, track = (browser.find_elements("class name", f"noUi-{part}")[number - 1] for part in ("handle", "base"))
    now, largest = (float(handle.get_attribute(f"aria-value{name}")) for name in ("now", "max"))
    pixels = round((value - now) / (2 * largest) * track.size["width"])
    ActionChains(browser).drag_and_drop_by_offset(handle, pixels, 0).perform()
    off = abs(float(handle.get_attribute("aria-valuenow")) - value)
    assert off < 0.15, f"slider {number} is {off:.1f} from {value}"  # a pixel is about 0.1


def shot(browser, scale=1):
    """The panel as it is now, with so many pixels for a CSS pixel."""
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": scale, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.5)
    panel = Image.open(io.BytesIO(browser.find_element("class name", "jupyter-widgets").screenshot_as_png))
    return ImageOps.expand(panel.convert("RGB"), MARGIN * scale, "white")


def animate(frames, path):
    """Write the frames under one palette, so that what stays the same costs nothing."""
    width, height = frames[0].width, max(frame.height for frame in frames)
    sheet = Image.new("RGB", (width, height * len(frames)), "white")
    for number, frame in enumerate(frames):
        sheet.paste(frame, (0, number * height))
    sheet = sheet.quantize(256)
    first, *others = (sheet.crop((0, top, width, top + height)) for top in range(0, sheet.height, height))
    first.save(path, save_all=True, append_images=others, duration=[DURATION] * len(others) + [LAST], loop=0)


def main():
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    missing += [name for name in ("voila", "selenium") if not importlib.util.find_spec(name)]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (the Python packages: pip install -e '.[studio,test]')")
    print("serving the studio ...", flush=True)
    with served() as address, open_browser() as browser:
        browser.get(address)
        wait(browser)
        frames = [shot(browser)]
        for number, what in enumerate(STORY, 1):
            edit = browser.execute_script(EDIT)
            act(browser, what)
            wait(browser, edit)
            frames.append(shot(browser))
            print(f"[{number}/{len(STORY)}] {browser.execute_script(EDIT)}", flush=True)
            if number == STILL:
                still = shot(browser, scale=2)
    still.thumbnail((STILL_WIDTH, 2 * STILL_WIDTH), Image.Resampling.LANCZOS)
    still.quantize(256, dither=Image.Dither.NONE).save(IMAGES / "studio.png", optimize=True)
    animate(frames, IMAGES / "studio.gif")


if __name__ == "__main__":
    main()
