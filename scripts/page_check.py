"""Open every page of a folder in headless Chromium, as wide as a phone, a desk and a wall: none may be wider than its
window, show a broken image, or fetch anything; a table scrolls only where the window is full, and shows that it does.

python scripts/page_check.py FOLDER                 exit code 1 and a sentence for each fault
python scripts/page_check.py FOLDER --shots DIR     writes a screenshot of each page at each width, too
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

#: Name -> width and height of the window, in CSS pixels.
WINDOWS = {"phone": (360, 800), "desk": (1280, 900), "wall": (2400, 900)}
#: Pixels beside a table that fills its window.
BESIDE = 100
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()
#: Pages that Chromium opens at once; the tallest screenshot.
AT_ONCE, TALLEST = 8, 12000
#: Headless Chromium makes no window narrower than 500 pixels, so that each page is looked at in a frame of its width.
FRAME = """<!doctype html><meta charset="utf-8"><style>body{{margin:0}}iframe{{border:0;display:block}}</style>
<pre id="found" hidden></pre><script>
addEventListener("message", event => {{ document.getElementById("found").textContent += event.data + "\\n"; }});
</script>{frames}"""
#: Before all else in a page: nothing may be fetched, and what is asked for is remembered.
FORBID = """<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<script>
const asked = [];
addEventListener("securitypolicyviolation", event => asked.push(event.blockedURI));
</script>"""
#: What a page says of itself, once all is loaded.
MEASURE = """<script>
addEventListener("load", () => {
  const root = document.documentElement, wide = root.clientWidth;
  const boxed = one => { for (let up = one.parentElement; up && up !== document.body; up = up.parentElement)
    if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return true; };
  const scrolling = [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth + 1);
  parent.postMessage(JSON.stringify({
    name: window.name, window: wide, width: root.scrollWidth, height: root.scrollHeight,
    over: [...document.body.querySelectorAll("*")].filter(
      one => one.getBoundingClientRect().right > wide + 1 && !boxed(one)
    ).slice(0, 3).map(one => one.outerHTML.slice(0, 60)),
    broken: [...document.images].filter(one => !one.naturalWidth).map(one => one.getAttribute("src").slice(0, 60)),
    narrow: scrolling.filter(one => one.clientWidth < wide - BESIDE).map(one => one.outerHTML.slice(0, 60)),
    unmarked: scrolling.filter(one => getComputedStyle(one).backgroundImage === "none").length,
    fetched: [...new Set(asked)],
  }), "*");
});
</script>""".replace("BESIDE", str(BESIDE))


def browser() -> str:
    """Chromium's path. Exits with a sentence where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise SystemExit(f"Expected one of {', '.join(NAMES)} on the PATH: `apt-get install chromium`.")
    return found


def run(folder: Path, frames: str, *words: str) -> str:
    """What Chromium prints of a page of frames, with a profile of its own."""
    (folder / "frames.html").write_text(FRAME.format(frames=frames), encoding="utf-8")
    profile = folder / "profile"
    command = [browser(), *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=10000", *words]
    address = (folder / "frames.html").as_uri()
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=300, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


def frame(place: int, name: str, height: int | None = None) -> str:
    """A page in a frame as wide as the window of this name."""
    width, usual = WINDOWS[name]
    return f'<iframe name="{place}-{name}" src="{place}.html" width="{width}" height="{height or usual}"></iframe>'


def measured(pages: list[Path], folder: Path) -> dict[str, dict[str, Any]]:
    """What each page says of itself in each window, by "place-window"; its copies, which ask it, are in the folder."""
    for place, page in enumerate(pages):
        text = page.read_text(encoding="utf-8")
        text = text.replace("<head>", f"<head>{FORBID}", 1).replace("</body>", f"{MEASURE}</body>")
        (folder / f"{place}.html").write_text(text, encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(pages), AT_ONCE):
        some = range(start, min(start + AT_ONCE, len(pages)))
        printed = run(folder, "".join(frame(place, name) for place in some for name in WINDOWS), "--dump-dom")
        told = re.search(r'<pre id="found"[^>]*>(.*?)</pre>', printed, re.DOTALL)
        for line in html.unescape(told[1]).split("\n") if told else []:
            if line:
                facts = json.loads(line)
                found[facts["name"]] = facts
    return found


def faults(facts: dict[str, Any] | None) -> list[str]:
    """What is wrong, a phrase each."""
    if facts is None:
        return ["was not loaded by Chromium"]
    found = []
    if facts["width"] > facts["window"]:
        found.append(f"is {facts['width']} pixels wide, wider than the window's {facts['window']}: {facts['over']}")
    found += [f"has a broken image: {source}" for source in facts["broken"]]
    found += [f"has a table that scrolls beside free space: {table}" for table in facts["narrow"]]
    if facts["unmarked"]:
        found.append(f"has {facts['unmarked']} tables that do not show that they scroll")
    return found + [f"fetches {name}" for name in facts["fetched"]]


def shoot(place: int, name: str, height: int, folder: Path, path: Path) -> None:
    """A picture of the whole page in the window of this name."""
    width = WINDOWS[name][0]
    tall = min(height, TALLEST)
    run(folder, frame(place, name, tall), f"--screenshot={path}", f"--window-size={max(500, width)},{tall}")
    with Image.open(path) as picture:
        picture.crop((0, 0, width, tall)).save(path)


def main() -> None:
    """Look at all pages and say what is wrong."""
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--shots", type=Path, help="where screenshots are written")
    chosen = words.parse_args()
    pages = sorted(chosen.folder.glob("*.html"))
    if not pages:
        raise SystemExit(f"{chosen.folder}: expected *.html in it, found none.")
    wrong = 0
    with tempfile.TemporaryDirectory() as held:
        known = measured(pages, Path(held))
        for place, page in enumerate(pages):
            for name, (width, height) in WINDOWS.items():
                facts = known.get(f"{place}-{name}")
                for fault in faults(facts):
                    print(f"{page.name} at {width} x {height} {fault}")
                    wrong += 1
                if chosen.shots and facts:
                    chosen.shots.mkdir(parents=True, exist_ok=True)
                    shoot(place, name, facts["height"], Path(held), chosen.shots.resolve() / f"{page.stem}-{name}.png")
    print(f"{len(pages)} pages at {len(WINDOWS)} widths: {wrong or 'no'} faults.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
